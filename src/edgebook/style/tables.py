"""Tables of numbers and words, and how a number is written."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from html import escape

from edgebook.ledger.wording import with_minus

_GROUPED = 10_000  # from here on integers have commas
_NUMBER = re.compile(r"[+\u2212-]?[\d.,]+(e[+\u2212-]?\d+)?( ?%)?( \[.*\])?")  # also one that was written before


class Table:
    """Rows of numbers and words: HTML in a notebook or the book, text elsewhere."""

    def __init__(self, rows: Mapping[str, Mapping[str, str]], corner: str, words: Collection[str]) -> None:
        self._rows, self._corner, self._words = rows, corner, words
        self._columns = list(dict.fromkeys(name for cells in rows.values() for name in cells))

    def _repr_html_(self) -> str:
        head = "".join(self._cell("th", name, name, ' scope="col"') for name in self._columns)
        body = "".join(
            f'<tr><th scope="row">{escape(row)}</th>'
            + "".join(self._cell("td", name, cells.get(name, "")) for name in self._columns)
            + "</tr>"
            for row, cells in self._rows.items()
        )
        return (
            '<div class="eb-scroll" style="overflow-x:auto"><table class="eb-numbers">'
            f"<thead><tr><th>{escape(self._corner)}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def _cell(self, tag: str, column: str, text: str, more: str = "") -> str:
        kind = ' class="eb-words"' if column in self._words else ""
        return f"<{tag}{more}{kind}>{escape(text)}</{tag}>"

    def __str__(self) -> str:
        import pandas as pd  # slow to import

        frame = pd.DataFrame.from_dict(self._rows, orient="index").rename_axis(columns=self._corner or None)
        return frame.to_string(na_rep="")

    __repr__ = __str__


def table(
    rows: Mapping[str, Mapping[str, object]], *, corner: str = "", written: str | Mapping[str, str] = ".1f"
) -> Table:
    """Return a table, to be shown as the last value of a notebook's cell.

    Parameters
    ----------
    rows : mapping of row name to mapping of column name to value
        Numbers and words; a value that a row lacks stays blank.
    corner : str
        What all values are, above the names of the rows.
    written : str, or mapping of column name to str
        Format of floats, for all columns or for each; integers and words stand as they are, integers from 10,000 on
        with commas.

    Returns
    -------
    Table
        Draws itself as HTML in a notebook and in the book, and as text elsewhere.

    Examples
    --------
    >>> shown = table({"T = 5": {"direct": 39.24, "rate": 34.0}}, written={"rate": ".0f"})
    >>> print(shown)
          direct rate
    T = 5   39.2   34
    """
    formats = {} if isinstance(written, str) else written
    usual = written if isinstance(written, str) else ".1f"

    def text(name: str, value: object) -> str:
        if isinstance(value, int) and abs(value) >= _GROUPED:
            return with_minus(f"{value:,}")
        return with_minus(f"{value:{formats.get(name, usual)}}" if isinstance(value, float) else str(value))

    texts = {row: {name: text(name, value) for name, value in cells.items()} for row, cells in rows.items()}
    names = {name for cells in rows.values() for name in cells}
    held = {name: [cells[name] for cells in texts.values() if cells.get(name)] for name in names}
    numbers = {name for name, found in held.items() if any(map(_NUMBER.fullmatch, found))}
    return Table(texts, corner, names - numbers)
