"""The bibliography: one label for a work, in the text and in the list, and links to where it can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.richtext import Text
from pybtex.style.formatting.unsrt import Style as Unsorted
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx


class AuthorYear(BaseLabelStyle):
    """Labels such as "Kim et al., 2022a": the letter where authors and year would name two works."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        """Yield the label of each entry."""
        labels = [label(entry) for entry in sorted_entries]
        shared, seen = Counter(labels), Counter[str]()
        for one in labels:
            yield one + chr(ord("a") + seen[one]) if shared[one] > 1 else one
            seen[one] += 1


def label(entry: Entry) -> str:
    """Return whose work it is and of which year: one name, two, or the first and "et al."."""
    persons = entry.persons["author"]
    others = len(persons) > 2 or str(persons[-1]) == "others"
    first, *rest = (Text.from_latex(" ".join(one.prelast_names + one.last_names)) for one in persons)
    names = f"{first} et al." if others else " and ".join(map(str, (first, *rest)))
    return f"{names}, {entry.fields['year']}"


class Style(Unsorted):
    """The usual formatting, by author and year; a link stands wherever the entry has `url`, `eprint` or `doi`."""

    default_label_style = AuthorYear
    default_sorting_style = "author_year_title"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the style under the name that the configuration gives."""
    register_plugin("pybtex.style.formatting", "edgebook", Style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
