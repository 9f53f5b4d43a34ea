"""What the tests say is supported: a record of the marks `support` on them, behind the page "Use a kernel".

A test names, on itself or on its parameters, a `kernel`, a `feature` ("checkpoint", or "checkpoint, reentrant" for a
part of it), perhaps what it is tried `on`, and where the kernel refuses, the sentence of the refusal. Nothing is said
that no test carries: the record comes from what pytest collects. Run this file to write it anew.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
KERNELS = (
    "neuron",
    "one step of a neuron",
    "spiking norms and layers",
    "spiking networks",
    "rate-coded networks",
    "chips",
    "crossbar solver",
    "held masks",
    "cut networks",
    "quantised networks",
    "thresholds",
    "density meter",
    "counts of operations",
)
FEATURES = (
    "torch.compile",
    "torch.export",
    "torch.jit.trace",
    "torch.fx.symbolic_trace",
    "make_fx",
    "fake tensors",
    "autocast",
    "half types",
    "double precision",
    "checkpoint",
    "DataParallel",
    "AveragedModel",
    "state_dict",
    "deepcopy",
    "pickle",
    "functional_call",
    "vmap",
    "torch.func.grad",
    "forward mode",
    "second derivatives",
    "inference_mode",
    "operations in place",
    "groups of parameters",
    "channels cut",
    "computed weights",
    "lazy layers",
)


class Cell(NamedTuple):
    """One line of the record: what works, or what is refused and with which words."""

    kernel: str
    feature: str
    part: str
    refused: str


def cell(said: dict[str, str], test: str) -> Cell:
    """Return the cell that a test's marks name together."""
    feature, _, part = said.get("feature", "").partition(", ")
    found = Cell(said.get("kernel", ""), feature, part, said.get("refused", ""))
    if found.kernel not in KERNELS or feature not in FEATURES or not said.keys() <= {*Cell._fields, "on"}:
        raise ValueError(f"{test}: the mark `support` says {said}, which is not in the lists of {Path(__file__).name}.")
    return found


class Collector:
    """Gathers the marks of all tests that would run here."""

    def __init__(self) -> None:
        self.found: dict[Cell, tuple[set[str], set[str]]] = {}  # tests that back it, and what it is tried on

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            marks = [mark.kwargs for mark in item.iter_markers("support")]
            if marks and not any(mark.args[0] for mark in item.iter_markers("skipif")):
                test = item.nodeid.partition("[")[0]
                said = {name: value for mark in reversed(marks) for name, value in mark.items()}  # the closest last
                tests, on = self.found.setdefault(cell(said, test), (set(), set()))
                tests.add(test)
                on.update([said["on"]] if "on" in said else [])


def versions(root: Path) -> dict[str, str]:
    """Return what the tests run with: the locked versions, and each Python of the workflow."""
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", (root / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    workflow = (root / ".github" / "workflows" / "test.yml").read_text("utf-8")
    [pythons] = re.findall(r"^ +python: \[(.+)\]$", workflow, re.MULTILINE)
    python = " and ".join(re.findall(r'"([\d.]+)"', pythons))
    return {"Python": python, "PyTorch": locked["torch"], "NumPy": locked["numpy"], "Numba": locked["numba"]}


def collected(root: Path = ROOT) -> dict[str, Any]:
    """Collect the tests that carry a mark, without running any, and return the record."""
    files = [str(path) for path in sorted(root.glob("tests/*/test_*.py")) if "mark.support" in path.read_text("utf-8")]
    collector = Collector()
    options = ["--collect-only", "-qq", "--no-header", "--rootdir", str(root), *files]
    if code := pytest.main(options, plugins=[collector]):
        raise RuntimeError(f"The tests could not be collected: {code!r}.")
    places = {name: place for names in (KERNELS, FEATURES) for place, name in enumerate(names)}
    found = sorted(collector.found.items(), key=lambda pair: [places.get(said, said) for said in pair[0]])
    cells = [{**c._asdict(), "on": sorted(on), "tests": sorted(tests)} for c, (tests, on) in found]
    return {"versions": versions(root), "kernels": KERNELS, "features": FEATURES, "cells": cells}


def written(record: dict[str, Any]) -> str:
    """Return the record as JSON with a line for each cell."""
    parts = {name: json.dumps(value, ensure_ascii=False) for name, value in record.items()}
    parts["cells"] = "[\n  " + ",\n  ".join(json.dumps(c, ensure_ascii=False) for c in record["cells"]) + "\n ]"
    return "{\n" + ",\n".join(f' "{name}": {value}' for name, value in parts.items()) + "\n}\n"


if __name__ == "__main__":
    (ROOT / "results" / "support.json").write_text(written(collected()), encoding="utf-8")
    sys.stdout.write("Written to results/support.json\n")
