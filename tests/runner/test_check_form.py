"""The form of notebooks in git: a good one passes, and each thing that spoils it is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nbformat
import pytest

from edgebook.pages.check.form import problems_of


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
        nbformat.v4.new_markdown_cell("It shows shares."),
        nbformat.v4.new_markdown_cell("And that was all."),
        nbformat.v4.new_code_cell("assert 6 / 2 == seeds", metadata={"tags": ["remove-cell"]}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def test_a_good_notebook_passes() -> None:
    assert list(problems_of(good_notebook(), paper=True)) == []


def _set(cell: int, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda nb: nb["cells"][cell].__setitem__(key, value)


def _line(line: str) -> Callable[[dict[str, Any]], None]:
    return lambda nb: nb["cells"][1].__setitem__("source", f'tier: str = "book"  # scale\n{line}')


SPOILED: dict[str, Callable[[dict[str, Any]], None]] = {
    "outputs": _set(2, "outputs", [nbformat.v4.new_output("stream", text="1")]),
    "execution count": _set(5, "execution_count", 7),
    "papermill metadata": lambda nb: nb["cells"][2]["metadata"].update(papermill={"duration": 1.0}),
    "the notebook has papermill metadata": lambda nb: nb["metadata"].update(papermill={"version": "2"}),
    "version of Python": lambda nb: nb["metadata"]["language_info"].update(version="3.11.7"),
    "format": lambda nb: nb.update(nbformat_minor=4),
    "kernel": lambda nb: nb["metadata"]["kernelspec"].update(name="venv"),
    "injected": lambda nb: nb["cells"][2]["metadata"].update(tags=["injected-parameters"]),
    "first code cell": lambda nb: nb["cells"].insert(1, nb["cells"].pop(2)),
    "21 lines": _set(5, "source", "\n".join(["seeds = 1"] * 21)),
    "4 code cells follow each other": lambda nb: nb["cells"].extend([nb["cells"][5]] * 3),
    "4 code cells and only 3 of prose": lambda nb: nb["cells"].insert(3, nb["cells"][5]),
    "caption": lambda nb: nb["cells"][2]["metadata"]["mystnb"].pop("figure"),
    "alt text": lambda nb: nb["cells"][2]["metadata"]["mystnb"].pop("image"),
    "absolute path": _set(5, "source", 'open("/data/x.npz")'),
    "plain Python": _set(5, "source", "%matplotlib inline"),
    "remove-cell": lambda nb: nb["cells"][-1]["metadata"].pop("tags"),
    "first parameter must be 'tier": _set(1, "source", "seeds: int = 3  # how many"),
    "is not 'name": _line("seeds: int | None = 3  # a union"),
}


@pytest.mark.parametrize("words", SPOILED)
def test_a_spoiled_notebook_is_caught(words: str) -> None:
    nb = good_notebook()
    SPOILED[words](nb)
    found = list(problems_of(nb, paper=True))
    assert any(words in problem for problem in found), found


@pytest.mark.parametrize("line", ["seeds = 3  # how many", "seeds: int = 3", "a: str = 'b=c'  # text", "", "x = y"])
def test_a_line_of_another_form_is_caught(line: str) -> None:
    nb = good_notebook()
    nb["cells"][1]["source"] = f'tier: str = "book"  # scale\n{line}\nseeds: int = 1  # how many'
    (said,) = problems_of(nb, paper=True)
    assert said.startswith(f"parameters: {line!r} is not 'name: int|float|str|bool = literal  # help'")
