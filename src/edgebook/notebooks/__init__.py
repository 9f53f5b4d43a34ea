"""The notebooks of the book: where each is, its parameters, what its numbers depend on, how it is run."""

from edgebook.notebooks.catalogue import (
    TIERS,
    find,
    overrides,
    page_names,
    paper_names,
    read_tiers,
    resolve,
    settings_of,
)
from edgebook.notebooks.cell import Value, cells, coerce, parameters, tags
from edgebook.notebooks.files import nearest, require
