"""Cells that show the recorded run read nothing of the page's own small run, not even through a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from edgebook import notebooks
from edgebook.notebooks.files import parse_python
from edgebook.notebooks.statements import Statement, first_of
from edgebook.pages.check.ledgers import refusal

_OWN = re.compile(r"run\.(over_seeds|cached|judge|seeds|parameters|tier)\b")
_SHOWS = re.compile(r"\bplt\.show\(|\bstyle\.table\(")
_PLAIN = ast.FunctionDef | ast.ClassDef


def shown_cells(root: Path) -> Iterator[str]:
    """Yield cells tagged ``shown`` that read what this run measured, or a parameter that tier full sets otherwise.

    And those after `Run.shown` that show a figure or a table, and lack the tag.
    """
    for name in notebooks.paper_names():
        path = notebooks.find(name)
        if refusal(notebooks.cells, path) or refusal(notebooks.overrides, name, "full"):
            continue  # said elsewhere
        declared = notebooks.parameters(path)
        other = [key for key, value in notebooks.overrides(name, "full").items() if value != declared[key].default]
        yield from (f"notebooks/{name}.ipynb: {problem}." for problem in problems_of(notebooks.cells(path), other))


def problems_of(cells: list[dict], other: list[str]) -> list[str]:
    """Return what is wrong with the cells of a notebook; ``other`` are the parameters that tier full sets otherwise."""
    code = [cell for cell in cells if cell["cell_type"] == "code" and "parameters" not in notebooks.tags(cell)]
    start = {name: f"the parameter {name}" for name in ("tier", *other)}
    _, functions = _walk(code, start)  # a function may use what is bound after it
    found, _ = _walk(code, start | functions)
    after = False
    for cell in code:
        if after and _SHOWS.search(cell["source"]) and "shown" not in notebooks.tags(cell):
            found.append(f"{_named(cell)} shows a figure or a table after run.shown(...) and is not tagged shown")
        after = after or "run.shown(" in cell["source"]
    return found


def _walk(code: list[dict], own: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Follow what is of this run from statement to statement; return problems, and the functions that read it."""
    own, found, functions = dict(own), [], {}
    for cell in code:
        shown, told = "shown" in notebooks.tags(cell), {}
        for node in _statements(cell["source"]):
            statement = Statement(node)
            read = {} if "run.shown" in statement.chains else _reads(statement, own)
            told |= read
            for name in statement.binds:
                own.pop(name, None)
                if read and not shown:  # in a cell that shows it is told once, where it is read
                    own[name] = next(iter(read.values()))
                    functions |= {name: own[name]} if isinstance(node, _PLAIN) else {}
        if shown and told:
            names = ", ".join(name if name == why else f"{name} ({why})" for name, why in told.items())
            found.append(f"{_named(cell)} is tagged shown and reads of this run: {names}")
    return found, functions


def _reads(statement: Statement, own: dict[str, str]) -> dict[str, str]:
    """Return what a statement reads of this run, and for each name where that comes from."""
    node = statement.node
    loaded = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
    if isinstance(node, ast.For | ast.With):  # they bind before they read
        loaded -= statement.binds
    bound = set() if isinstance(node, ast.AugAssign) else statement.binds - loaded
    found = {}
    for chain in statement.chains:
        first = first_of(chain)
        if _OWN.match(chain):
            found[chain] = chain
        elif first in own and first not in bound:
            found[first] = own[first]
    return found


def _statements(source: str) -> list[ast.stmt]:
    try:
        return parse_python(source).body
    except SyntaxError:  # said elsewhere
        return []


def _named(cell: dict) -> str:
    return f"cell {cell['source'].splitlines()[0][:60]!r}"
