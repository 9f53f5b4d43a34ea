"""What a notebook depends on: compared with what Python imports, and with edits that do or do not count."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.sources import canonical, fingerprint, source_files

KERNELS = {
    "__init__.py": '"""The package."""\n__version__ = "1"\n',
    "wing/__init__.py": (
        '"""A wing."""\nfrom .density import density as density\n'
        "from edgebook.wing.pruning import prune as cut\nfrom . import extra\n"
    ),
    "wing/density.py": (
        '"""Kernel."""\nfrom edgebook.base import energy\n\n'
        'def density(x):\n    """Say it."""\n    # why\n    return energy(x) * 2\n'
    ),
    "wing/pruning.py": "def prune(x):\n    return x - 1\n",
    "wing/extra.py": "THREE = 3\n",
    "wing/unused.py": "FOUR = 4\n",
    "base/__init__.py": "from edgebook.base.energy import energy as energy\n",
    "base/energy.py": "from edgebook.base.constants import JOULE\n\ndef energy(x):\n    return x * JOULE\n",
    "base/constants.py": "JOULE = 5\n",
    "ledger/__init__.py": "from edgebook.ledger.judging import judge as judge\n",
    "ledger/judging.py": "from edgebook.wing import cut\n\ndef judge(x):\n    return x > 1\n",
}
USES_DENSITY = ("base/constants.py", "base/energy.py", "wing/density.py")


@pytest.fixture
def kernels(checkout):
    for name, text in KERNELS.items():
        checkout.write(f"src/edgebook/{name}", text)
    return checkout


def used(checkout, *cells):
    path = checkout.notebook("notebooks/a.ipynb", *cells)
    folder = checkout.root / "src" / "edgebook"
    return tuple(file.relative_to(folder).as_posix() for file in source_files(path))


def test_a_name_from_a_wing_counts_for_the_files_behind_it_alone(kernels):
    assert used(kernels, "from edgebook.wing import density") == USES_DENSITY
    assert used(kernels, "from edgebook.wing import cut") == ("wing/pruning.py",)
    assert used(kernels, "from edgebook.wing import extra") == ("wing/extra.py",)
    assert used(kernels, "from edgebook.wing import unused") == ("wing/unused.py",)
    assert used(kernels, "def late():\n    from edgebook.wing.density import density") == USES_DENSITY
    assert used(kernels, "import numpy, edgebook") == ()


@pytest.mark.parametrize("line", ["import edgebook.wing", "from edgebook import wing", "from edgebook.wing import *"])
def test_a_whole_wing_counts_for_all_that_python_imports_with_it(kernels, line):
    """Python's own list of modules is the oracle; packages that only import are not files of their own."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"{line}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        env={"PYTHONPATH": str(kernels.root / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name.split(".") for name in json.loads(loaded.stdout) if name.startswith("edgebook.")]
    files = ["/".join(name[1:]) + ".py" for name in names]
    assert used(kernels, line) == tuple(sorted(file for file in files if file in KERNELS))


def test_an_initializer_that_does_more_than_import_counts(kernels):
    kernels.write("src/edgebook/wing/__init__.py", KERNELS["wing/__init__.py"] + "extra.THREE = 4\n")
    assert "wing/__init__.py" in used(kernels, "from edgebook.wing.unused import FOUR")
    kernels.write("src/edgebook/__init__.py", "import random\nrandom.seed(1)\n")
    assert "__init__.py" in used(kernels, "from edgebook.base import energy")


def test_everything_counts_for_the_workflow_but_only_numbers_for_a_record(kernels):
    cell = "from edgebook.ledger import judge"
    assert used(kernels, cell) == ("ledger/judging.py", "wing/pruning.py")
    before = fingerprint(kernels.root / "notebooks/a.ipynb")
    kernels.write("src/edgebook/ledger/judging.py", "from edgebook.wing import cut\nLEVEL = 0.9\n")
    kernels.write("src/edgebook/wing/pruning.py", "def prune(x):\n    return x - 2\n")
    assert fingerprint(kernels.root / "notebooks/a.ipynb") == before


CELL = "from edgebook.wing import density\n\nshown = density(3)"


def edited(checkout, path, old, new):
    """Return the fingerprints before and after one edit."""
    checkout.notebook("notebooks/a.ipynb", CELL, "# prose")
    before = fingerprint(checkout.root / "notebooks/a.ipynb")
    file = checkout.root / path
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return before, fingerprint(checkout.root / "notebooks/a.ipynb")


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("src/edgebook/wing/density.py", "* 2", "* 3"),
        ("src/edgebook/base/energy.py", "x * JOULE", "JOULE * x"),
        ("src/edgebook/base/constants.py", "5", "6"),
        ("src/edgebook/wing/__init__.py", "density as density", "energy as density"),
        ("notebooks/a.ipynb", "density(3)", "density(4)"),
    ],
)
def test_an_edit_that_can_change_a_number_changes_the_fingerprint(kernels, path, old, new):
    before, after = edited(kernels, path, old, new)
    assert before != after
    assert len(after) == 16
    assert int(after, 16) >= 0


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("src/edgebook/wing/density.py", "# why", "# why not"),
        ("src/edgebook/wing/density.py", "Say it.", "Say it better."),
        ("src/edgebook/wing/density.py", "    return energy(x) * 2", "\n    return (energy(x)  *  2)\n"),
        ("src/edgebook/wing/density.py", "Kernel.", "A kernel."),
        ("src/edgebook/wing/pruning.py", "1", "2"),
        ("src/edgebook/wing/__init__.py", "as cut", "as trim"),
        ("src/edgebook/__init__.py", '"1"', '"2"'),
        ("notebooks/a.ipynb", "seeds: int = 3", "seeds: int = 4"),  # the record holds the value itself
        ("notebooks/a.ipynb", "# prose", "# other prose"),
        ("notebooks/a.ipynb", "density(3)", "density(3)  # of three"),
        ("notebooks/a.ipynb", "shown =", "%time\\nshown ="),
        ("notebooks/a.ipynb", "# how many", "# how many of them"),
    ],
)
def test_an_edit_that_cannot_change_a_number_does_not(kernels, path, old, new):
    before, after = edited(kernels, path, old, new)
    assert before == after


def test_touching_moving_and_executing_change_nothing(kernels, tmp_path):
    path = kernels.notebook("notebooks/a.ipynb", CELL)
    before = fingerprint(path)
    (kernels.root / "src/edgebook/wing/density.py").touch()
    executed = json.loads(path.read_text())
    executed["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "6"}]
    injected = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": "seeds = 9"}
    executed["cells"].insert(1, injected)
    copy = tmp_path / "elsewhere.ipynb"
    copy.write_text(json.dumps(executed))
    assert fingerprint(path) == fingerprint(copy) == before


def test_a_module_has_a_closure_too(kernels):
    folder = kernels.root / "src" / "edgebook"
    expected = [folder / name for name in ("ledger/judging.py", "wing/pruning.py")]
    assert source_files(folder / "ledger" / "__init__.py") == expected


NUMBERS = st.integers(0, 50)


@given(NUMBERS, NUMBERS)
def test_two_constants_are_the_same_text_only_if_equal(one, other):
    texts = [canonical(ast.parse(f"def f(x=[]):\n    return x, {number}, None, f'{{x}}'")) for number in (one, other)]
    assert (texts[0] == texts[1]) == (one == other)


RECORDS = "samples = {}\nrecord = run.record(samples)"


@pytest.mark.parametrize(
    ("cells", "same"),
    [
        (("x = 1", RECORDS, "draw(record, 2)"), True),
        (("x = 1", RECORDS), True),
        (("x = 2", RECORDS, "draw(record)"), False),
        (("x = 1", RECORDS + "\nmore = 1", "draw(record)"), False),
    ],
)
def test_what_follows_the_record_cannot_change_it(kernels, cells, same):
    before = fingerprint(kernels.notebook("notebooks/a.ipynb", "x = 1", RECORDS, "draw(record)"))
    assert (fingerprint(kernels.notebook("notebooks/a.ipynb", *cells)) == before) is same
