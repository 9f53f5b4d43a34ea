"""The README must stay true: its scoreboard, its code, and the commands that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgebook import notebooks
from edgebook.ledger.scoreboard import as_markdown, rows


def _readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_scoreboard_is_that_of_the_records(root: Path, tmp_path: Path) -> None:
    shown = re.search(r"<!-- scoreboard -->\n(.*?)<!-- scoreboard end -->", _readme(root), flags=re.DOTALL)
    recorded = as_markdown(rows(root, executed=tmp_path))  # the committed records alone
    assert shown is not None
    assert shown[1].strip() == recorded.strip(), "make picture writes the table anew"


@pytest.mark.parametrize(
    ("place", "printed"),
    [(0, r"\((\d+, ){3}\d+\)"), (1, r"[\d.]+ %, \d+ additions for an image\n\{'first.neuron': 0\.\d+, .*\}")],
)
def test_the_python_examples_run(root: Path, capsys: pytest.CaptureFixture[str], place: int, printed: str) -> None:
    examples = _blocks(_readme(root), "python")
    assert len(examples) == 2
    assert len([line for line in examples[place].splitlines() if line.strip()]) <= 11
    exec(compile(examples[place], "README.md", "exec"), {})  # the example is ours, and is what readers will run
    assert re.fullmatch(printed, capsys.readouterr().out.strip())


def test_named_commands_and_parameters_exist(root: Path) -> None:
    text = _readme(root)
    commands = "\n".join(_blocks(text, "bash"))
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= targets
    for name, settings in re.findall(r"(?:edgebook run|PAPER=|notebooks/)\s?([a-z-]+)(?:\.ipynb)?(.*)", commands):
        declared = notebooks.parameters(notebooks.find(name))
        assert set(re.findall(r"(?:--set|-p) (\w+)", settings)) <= set(declared)


def test_linked_files_exist(root: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", _readme(root)):
        assert (root / target).is_file(), target
