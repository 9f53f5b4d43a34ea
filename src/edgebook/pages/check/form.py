"""How a notebook looks in git: a page without outputs, one plain parameters cell, described figures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from edgebook import notebooks
from edgebook.notebooks.cell import FORM
from edgebook.notebooks.files import parse_python
from edgebook.pages.check.ledgers import refusal

MOST_LINES = 20  # of a code cell; the cell of parameters has a line for each
MOST_IN_A_ROW = 3  # code cells without a word between them
_LINE = re.compile(r"[a-z][a-z0-9_]*: (int|float|str|bool) = [^#=]+?  # \S.*")
# A cell that makes a figure: pyplot's makers, or a plot of seaborn.
_DRAWS = re.compile(
    r"\bplt\.(subplots|figure|subplot_mosaic)\(|\bsns\.(\w+plot|heatmap|clustermap|FacetGrid|PairGrid)\("
)
_ABSOLUTE = re.compile(r"^(/\w|~/|[A-Za-z]:\\)")


def notebooks_in_git(root: Path) -> Iterator[str]:
    """Yield what is wrong with the form of each notebook."""
    import nbformat

    papers = notebooks.paper_names()
    for name in [*papers, *notebooks.page_names()]:
        path = notebooks.find(name)
        place = path.relative_to(root.resolve()).as_posix()
        yield from refusal(notebooks.parameters, path)
        if refusal(notebooks.cells, path):
            continue
        try:
            notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
            nbformat.validate(notebook)
        except nbformat.ValidationError as error:
            yield f"{place}: it is no valid notebook: {' '.join(error.message.split())}."
            continue
        yield from (f"{place}: {problem}." for problem in problems_of(notebook, paper=name in papers))


def problems_of(notebook: Any, *, paper: bool) -> Iterator[str]:
    """Yield everything that is wrong with a notebook that nbformat has read, as clauses."""
    cells, metadata = notebook["cells"], notebook["metadata"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if (notebook["nbformat"], notebook["nbformat_minor"]) != (4, 5):
        yield "its format is not 4.5"
    if metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if "papermill" in metadata:
        yield "the notebook has papermill metadata"
    if "version" in metadata.get("language_info", {}):
        yield "the notebook names a version of Python"
    if any("injected-parameters" in notebooks.tags(cell) for cell in cells):
        yield "there is an injected-parameters cell"
    if paper and "remove-cell" not in notebooks.tags(cells[-1]):
        yield "the last cell is not tagged remove-cell"
    marked = [cell for cell in cells if "parameters" in notebooks.tags(cell)]
    if len(marked) == 1:
        before = [cell for cell in code if "in_one_minute(" not in cell["source"]]
        if not before or marked[0] is not before[0]:
            yield "the parameters cell is not the first code cell"
        yield from _lines(marked[0]["source"])
    yield from _rhythm([cell["cell_type"] == "code" for cell in cells])
    for cell in code:
        where = f"cell {cell['source'].splitlines()[0][:60]!r}" if cell["source"] else "an empty code cell"
        yield from (f"{where} {problem}" for problem in _cell(cell))


def _rhythm(code: list[bool]) -> Iterator[str]:
    """Code is explained: no long run of it without a word, and as many cells of prose as of code."""
    longest = max((len(list(run)) for is_code, run in groupby(code) if is_code), default=0)
    if longest > MOST_IN_A_ROW:
        yield f"{longest} code cells follow each other without a word"
    if 2 * sum(code) > len(code):
        yield f"there are {sum(code)} code cells and only {len(code) - sum(code)} of prose"


def _lines(source: str) -> Iterator[str]:
    """Each line declares one parameter and says what it is; the tier comes first."""
    lines = source.splitlines()
    yield from (f"parameters: {line!r} is not '{FORM}'" for line in lines if not _LINE.fullmatch(line))
    if not lines or not lines[0].startswith('tier: str = "book"  '):
        yield "the first parameter must be 'tier: str = \"book\"'"


def _cell(cell: Any) -> Iterator[str]:
    source, metadata = cell["source"], cell["metadata"]
    if cell.get("outputs"):
        yield "has outputs"
    if cell.get("execution_count") is not None:
        yield "has an execution count"
    if "papermill" in metadata:
        yield "has papermill metadata"
    if len(source.splitlines()) > MOST_LINES and "parameters" not in notebooks.tags(cell):
        yield f"has {len(source.splitlines())} lines"
    if _DRAWS.search(source):
        described = metadata.get("mystnb", {})
        if not described.get("figure", {}).get("caption"):
            yield "draws a figure without a caption"
        if not described.get("image", {}).get("alt"):
            yield "draws a figure without alt text"
    try:
        tree = parse_python(source)
    except SyntaxError:
        yield "is not plain Python"
        return
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    yield from (f"names the absolute path {text!r}" for text in texts if _ABSOLUTE.match(text))
