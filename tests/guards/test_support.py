"""The record of what is supported is what the tests say now, and the page shows all of it; its examples run."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HEADINGS = {"table", "versions"}


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def record(root: Path) -> dict[str, Any]:
    return json.loads((root / "results" / "support.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "book" / "support.md").read_text(encoding="utf-8")


def test_the_record_is_what_the_tests_say(root: Path, record: dict[str, Any], tmp_path: Path) -> None:
    code = "import json, support, sys; json.dump(support.collected(), open(sys.argv[1], 'w'))"
    command = [sys.executable, "-c", code, str(tmp_path / "found.json")]
    done = subprocess.run(command, cwd=root / "tests", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    lines = [[json.dumps(cell) for cell in some["cells"]] for some in (found, record)]
    gone, new = sorted({*lines[1]} - {*lines[0]}), sorted({*lines[0]} - {*lines[1]})
    assert (gone, new) == ([], []), "python tests/support.py writes results/support.json anew"
    assert found == record, "python tests/support.py writes results/support.json anew"


@pytest.mark.parametrize(
    "said",
    [
        {"kernel": "neuron"},
        {"kernel": "neutron", "feature": "vmap"},
        {"kernel": "neuron", "feature": "torch.vmap"},
        {"kernel": "neuron", "feature": "vmap", "refuses": "x"},
    ],
)
def test_other_words_than_those_of_the_lists_are_refused(root: Path, said: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="test_x: the mark `support` says"):
        module(root / "tests" / "support.py").cell(said, "test_x")


def test_the_page_shows_every_kernel_and_every_refusal(root: Path, record: dict[str, Any], page: str) -> None:
    drawing = module(root / "book" / "_ext" / "edgebook_support.py")
    shown = re.findall(r"^```\{support\} (.+)$", page, flags=re.MULTILINE)
    assert sorted(shown) == sorted([*HEADINGS, *record["kernels"]])
    with pytest.raises(ValueError, match="There is no kernel 'x'; there are 'neuron'"):
        drawing.drawn_for("x", record)
    for kernel in record["kernels"]:
        drawn = drawing.drawn_for(kernel, record)
        assert drawn.count("<dd>") == sum(c["kernel"] == kernel and bool(c["refused"]) for c in record["cells"])


def test_a_cell_says_what_its_tests_do(root: Path) -> None:
    drawing = module(root / "book" / "_ext" / "edgebook_support.py")
    works, refused = {"refused": ""}, {"refused": "No."}
    words = [drawing.answer(cells) for cells in ([], [works], [refused], [works, refused])]
    assert words == ["not tested", "works", "refused", "in part"]
    cell = {"kernel": "a", "feature": "f", "part": "", "on": [], "tests": ["t"], "refused": "x < 1"}
    table = drawing.table_html({"kernels": ["a", "b"], "features": ["f"], "cells": [cell]})
    assert re.findall(r"<td.*?>(.*?)</td>", table) == ["refused", '<span aria-label="not tested">\u2013</span>']
    assert "x &lt; 1" in drawing.kernel_html({"kernels": ["a"], "cells": [cell]}, "a")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.support(kernel="spiking networks", feature="torch.compile, in its default mode", on="network")
def test_the_examples_run(page: str) -> None:
    """Each compares with an eager run itself; the first is what a reader needs for the others."""
    examples = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert len(examples) == 5 and "torch.compile(" in examples[1]
    assert all("assert" in example for example in examples[1:])
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, "support.md", "exec"), names)
