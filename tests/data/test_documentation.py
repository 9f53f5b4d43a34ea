"""Docstrings of packages: read without import, against what Python itself says, no package named, no text twice."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections import Counter

import networkx
import pytest

from edgebook.data import SOURCES, docstrings
from edgebook.data.documentation import NAMES, prose


def test_twenty_packages_have_prose_and_no_names() -> None:
    found = docstrings(files=12)
    counts = Counter(one.source for one in found)
    assert set(counts) == set(SOURCES) and len(SOURCES) == 20
    assert sum(counts.values()) > 500
    assert len({one.text for one in found}) == len(found)
    assert not any(NAMES.search(one.text) or NAMES.search(one.first) for one in found)
    assert all(one.file.startswith(f"{one.source}/") and one.text == one.text.lower() for one in found)


def test_a_description_is_what_python_says() -> None:
    text = inspect.getdoc(networkx.pagerank)
    first, rest = prose(text)
    wanted = " ".join(text.split("Parameters")[0].lower().split())
    assert f"{first} {rest}" == NAMES.sub("it", wanted)


@pytest.mark.parametrize("end", ["Args:\n  x: one", "Returns\n-------\nint", ">>> f(1)", ":param x: one", ".. note::"])
def test_prose_ends_where_lists_and_code_begin(end: str) -> None:
    assert prose(f"Do it.\n\nAll of it,\nand more.\n\n{end}\n\nMore prose.") == ("do it.", "all of it, and more.")
    assert prose("Do it.") == ("do it.", "") and prose("") == ("", "")


def test_no_package_is_imported() -> None:
    code = (
        "import sys; from edgebook.data.documentation import docstrings; docstrings(files=1); "
        "print({'captum', 'datasets', 'flwr', 'snntorch', 'matplotlib'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_bad_input_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        docstrings(files=0)
    monkeypatch.setattr("edgebook.data.documentation.SOURCES", ("no_such_package",))
    with pytest.raises(FileNotFoundError, match="no_such_package"):
        docstrings(files=2)
