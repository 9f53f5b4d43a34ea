"""How a notebook looks in git: a page without outputs, one plain parameters cell, described figures."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

MOST_LINES = 30
TYPES = {"int": int, "float": float, "str": str, "bool": bool}
# A cell that makes a figure: pyplot's makers, or a plot of seaborn.
DRAWS = re.compile(
    r"\bplt\.(subplots|figure|subplot_mosaic)\(|\bsns\.(\w+plot|heatmap|clustermap|FacetGrid|PairGrid)\("
)
ABSOLUTE = re.compile(r"^(/\w|~/|[A-Za-z]:\\)")

ROOT = Path(__file__).resolve().parents[2]
PAPERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted((ROOT / "book").glob("*.ipynb"))


def tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def code_cells(nb: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in nb["cells"] if cell["cell_type"] == "code"]


def parameter_problems(source: str) -> list[str]:
    """Say which lines of a parameters cell are not ``name: type = literal  # help``."""
    found, names = [], []
    for line in source.splitlines():
        parts = re.fullmatch(r"([a-z][a-z0-9_]*): (int|float|str|bool) = ([^#=]+?)  # \S.*", line)
        if parts is None:
            found.append(f"parameters: not 'name: int|float|str|bool = literal  # help': {line!r}")
            continue
        name, kind, text = parts.groups()
        names.append(name)
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found.append(f"parameters: the default is no literal: {line!r}")
            continue
        if type(value) is not TYPES[kind]:
            found.append(f"parameters: the default is no {kind}: {line!r}")
    if not names or names[0] != "tier":
        found.append("parameters: the first one is not 'tier'")
    if len(names) != len(set(names)):
        found.append("parameters: a name stands twice")
    return found


def cell_problems(cell: dict[str, Any]) -> list[str]:
    source, found = cell["source"], []
    where = f"cell {source.splitlines()[0][:60]!r}" if source else "an empty code cell"
    if cell.get("outputs"):
        found.append(f"{where} has outputs")
    if cell.get("execution_count") is not None:
        found.append(f"{where} has an execution count")
    if "papermill" in cell["metadata"]:
        found.append(f"{where} has papermill metadata")
    if len(source.splitlines()) > MOST_LINES:
        found.append(f"{where} has {len(source.splitlines())} lines")
    if DRAWS.search(source):
        described = cell["metadata"].get("mystnb", {})
        if not described.get("figure", {}).get("caption"):
            found.append(f"{where} draws a figure without a caption")
        if not described.get("image", {}).get("alt"):
            found.append(f"{where} draws a figure without alt text")
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return [*found, f"{where} is not plain Python"]
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    found += [f"{where} names the absolute path {text!r}" for text in texts if ABSOLUTE.match(text)]
    return found


def problems(nb: dict[str, Any], *, paper: bool = True) -> list[str]:
    """Say everything that is wrong with a notebook."""
    found = [problem for cell in code_cells(nb) for problem in cell_problems(cell)]
    if nb["metadata"].get("kernelspec", {}).get("name") != "python3":
        found.append("the kernel is not python3")
    if "papermill" in nb["metadata"]:
        found.append("the notebook has papermill metadata")
    if "version" in nb["metadata"].get("language_info", {}):
        found.append("the notebook names a version of Python")
    marked = [cell for cell in nb["cells"] if "parameters" in tags(cell)]
    if any("injected-parameters" in tags(cell) for cell in nb["cells"]):
        found.append("there is an injected-parameters cell")
    if len(marked) != 1:
        found.append(f"there are {len(marked)} cells tagged parameters")
    elif not code_cells(nb) or marked[0] is not code_cells(nb)[0]:
        found.append("the parameters cell is not the first code cell")
    else:
        found += parameter_problems(marked[0]["source"])
    if paper and "remove-cell" not in tags(nb["cells"][-1]):
        found.append("the last cell is not tagged remove-cell")
    return found


@pytest.mark.parametrize("path", [*PAPERS, *PAGES], ids=lambda path: path.stem)
def test_notebook(path: Path) -> None:
    nb = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(nb)
    assert (nb.nbformat, nb.nbformat_minor) == (4, 5)
    assert problems(nb, paper=path in PAPERS) == []


@pytest.mark.parametrize("path", [*PAPERS, *PAGES], ids=lambda path: path.stem)
def test_papermill_reads_the_same_parameters(path: Path) -> None:
    from edgebook.notebooks import parameters

    seen = papermill.inspect_notebook(str(path))
    ours = parameters(path)
    assert [*seen] == [*ours]
    for name, parameter in ours.items():
        assert seen[name]["inferred_type_name"] == parameter.type.__name__
        assert ast.literal_eval(seen[name]["default"]) == parameter.default
        assert seen[name]["help"] == parameter.help


def test_there_is_a_paper() -> None:
    assert PAPERS


def good_notebook() -> dict[str, Any]:
    figure = {"mystnb": {"figure": {"caption": "Shares."}, "image": {"alt": "Two curves."}}}
    lines = [
        'tier: str = "book"  # scale of the run',
        "seeds: int = 3  # how many",
        "rate: float = -0.5  # step",
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("fig, ax = plt.subplots()", metadata=figure),
        nbformat.v4.new_code_cell("assert 6 / 2 == seeds", metadata={"tags": ["remove-cell"]}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def test_a_good_notebook_passes() -> None:
    assert problems(good_notebook()) == []


def _set(cell: int, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda nb: nb["cells"][cell].__setitem__(key, value)


def _line(line: str) -> Callable[[dict[str, Any]], None]:
    return lambda nb: nb["cells"][1].__setitem__("source", f'tier: str = "book"  # scale\n{line}')


SPOILED: dict[str, Callable[[dict[str, Any]], None]] = {
    "outputs": _set(2, "outputs", [nbformat.v4.new_output("stream", text="1")]),
    "execution count": _set(3, "execution_count", 7),
    "papermill metadata": lambda nb: nb["cells"][2]["metadata"].update(papermill={"duration": 1.0}),
    "the notebook has papermill metadata": lambda nb: nb["metadata"].update(papermill={"version": "2"}),
    "version of Python": lambda nb: nb["metadata"]["language_info"].update(version="3.11.7"),
    "kernel": lambda nb: nb["metadata"]["kernelspec"].update(name="venv"),
    "2 cells tagged parameters": lambda nb: nb["cells"].append(copy.deepcopy(nb["cells"][1])),
    "0 cells tagged parameters": lambda nb: nb["cells"].pop(1),
    "injected": lambda nb: nb["cells"][2]["metadata"].update(tags=["injected-parameters"]),
    "first code cell": lambda nb: nb["cells"].insert(1, nb["cells"].pop(2)),
    "31 lines": _set(3, "source", "\n".join(["seeds = 1"] * 31)),
    "caption": lambda nb: nb["cells"][2]["metadata"]["mystnb"].pop("figure"),
    "alt text": lambda nb: nb["cells"][2]["metadata"]["mystnb"].pop("image"),
    "absolute path": _set(3, "source", 'open("/data/x.npz")'),
    "plain Python": _set(3, "source", "%matplotlib inline"),
    "remove-cell": lambda nb: nb["cells"][-1]["metadata"].pop("tags"),
    "'tier'": _set(1, "source", "seeds: int = 3  # how many"),
    "twice": _line("seeds: int = 3  # one\nseeds: int = 4  # two"),
    "no literal": _line("seeds: int = 2 * 3  # derived"),
    "no int": _line("seeds: int = 3.0  # how many"),
    "no float": _line("rate: float = 1  # step"),
    "no bool": _line("deep: bool = 1  # residual or not"),
    "not 'name": _line("seeds: int | None = 3  # a union"),
}


@pytest.mark.parametrize("words", SPOILED)
def test_a_spoiled_notebook_is_caught(words: str) -> None:
    nb = good_notebook()
    SPOILED[words](nb)
    assert any(words in problem for problem in problems(nb)), problems(nb)


@pytest.mark.parametrize("line", ["seeds = 3  # how many", "seeds: int = 3", "a: str = 'b=c'  # text", "", "x = y"])
def test_a_line_of_another_form_is_caught(line: str) -> None:
    assert parameter_problems(f'tier: str = "book"  # scale\n{line}\nseeds: int = 1  # how many') != []
