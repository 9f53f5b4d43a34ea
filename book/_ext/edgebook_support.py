"""HTML of the page on using a kernel, from the record of what the tests carry alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Cell = Mapping[str, Any]


def load_support(root: Path) -> dict[str, Any]:
    """Read the record that `tests/support.py` writes."""
    return json.loads((root / "results" / "support.json").read_text(encoding="utf-8"))


def answer(cells: Sequence[Cell]) -> str:
    """Say what a kernel does under a feature, from the cells of the two."""
    if not cells:
        return "not tested"
    refused = [bool(cell["refused"]) for cell in cells]
    return "refused" if all(refused) else "in part" if any(refused) else "works"


def table_html(record: Mapping[str, Any]) -> str:
    """Draw the whole: a row per feature, a column per kernel."""
    kernels, features = record["kernels"], record["features"]
    head = "".join(f'<th scope="col"><a href="#{_anchor(name)}">{escape(name)}</a></th>' for name in kernels)
    rows = ""
    for feature in features:
        said = [answer([c for c in _of(record, kernel) if c["feature"] == feature]) for kernel in kernels]
        marks = "".join(f'<td class="eb-{word.replace(" ", "-")}">{_shown(word)}</td>' for word in said)
        rows += f'<tr><th scope="row">{escape(feature)}</th>{marks}</tr>'
    return _scrolled(f'<thead><tr><th scope="col">Under</th>{head}</tr></thead><tbody>{rows}</tbody>', "eb-grid-table")


def kernel_html(record: Mapping[str, Any], kernel: str) -> str:
    """Say of one kernel what is refused, with each sentence, and what is tried, with the tests."""
    cells = _of(record, kernel)
    if not cells:
        raise ValueError(f"There is no kernel {kernel!r}; there are {', '.join(map(repr, record['kernels']))}.")
    refused = [f"<dt>{_asked(c)}</dt><dd>{escape(c['refused'])}</dd>" for c in cells if c["refused"]]
    works = [f"<li>{_asked(c)}{_tried_on(c)}</li>" for c in cells if not c["refused"]]
    tests = sorted({test for c in cells for test in c["tests"]})
    backing = "".join(f"<li><code>{escape(test)}</code></li>" for test in tests)
    sentences = (
        f'<p>Refused:</p><dl class="eb-refused">{"".join(refused)}</dl>' if refused else "<p>Nothing is refused.</p>"
    )
    return (
        f'<div class="eb-support" id="{_anchor(kernel)}">{sentences}'
        f"<details><summary>What works, and the tests that say so</summary>"
        f"<ul>{''.join(works)}</ul><p>Tests:</p><ul>{backing}</ul></details></div>"
    )


def versions_html(record: Mapping[str, Any]) -> str:
    """Say in one sentence which versions the tests run with."""
    *rest, last = (f"{name} {value}" for name, value in record["versions"].items())
    return f"<p>The tests run with {escape(', '.join(rest))} and {escape(last)}, on a processor.</p>"


def drawn_for(kind: str, record: Mapping[str, Any]) -> str:
    """Draw what the page names: `table`, `versions` or a kernel."""
    whole = {"table": table_html, "versions": versions_html}
    return whole[kind](record) if kind in whole else kernel_html(record, kind)


def _of(record: Mapping[str, Any], kernel: str) -> list[Cell]:
    return [cell for cell in record["cells"] if cell["kernel"] == kernel]


def _asked(cell: Cell) -> str:
    return f"<strong>{escape(cell['feature'])}</strong>" + (f", {escape(cell['part'])}" if cell["part"] else "")


def _tried_on(cell: Cell) -> str:
    return f": {escape(', '.join(cell['on']))}" if cell["on"] else ""


def _shown(word: str) -> str:
    return '<span aria-label="not tested">\u2013</span>' if word == "not tested" else word


def _anchor(kernel: str) -> str:
    return f"support-{kernel.replace(' ', '-')}"


def _scrolled(table: str, kind: str) -> str:
    region = 'role="region" aria-label="What works under what" tabindex="0"'
    return f'<div class="{kind}" {region}><table>{table}</table></div>'
