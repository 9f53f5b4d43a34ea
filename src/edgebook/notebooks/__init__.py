"""The notebooks of the book: where each is, its parameters, what its numbers depend on, how it is run."""

from edgebook.notebooks.catalogue import TIERS as TIERS
from edgebook.notebooks.catalogue import find as find
from edgebook.notebooks.catalogue import overrides as overrides
from edgebook.notebooks.catalogue import page_names as page_names
from edgebook.notebooks.catalogue import paper_names as paper_names
from edgebook.notebooks.catalogue import read_tiers as read_tiers
from edgebook.notebooks.catalogue import resolve as resolve
from edgebook.notebooks.cell import Value as Value
from edgebook.notebooks.cell import cells as cells
from edgebook.notebooks.cell import coerce as coerce
from edgebook.notebooks.cell import parameters as parameters
from edgebook.notebooks.cell import parse as parse
from edgebook.notebooks.cell import tags as tags
from edgebook.notebooks.files import nearest as nearest
from edgebook.notebooks.files import require as require
