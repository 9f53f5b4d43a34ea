"""What a notebook's numbers depend on: edits that do or do not count, one row each."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.notebooks.sources import fingerprint, function_fingerprint, page_fingerprint
from edgebook.notebooks.statements import canonical

KERNELS = {
    "__init__.py": '"""The package."""\n__version__ = "1"\n',
    "wing/__init__.py": (
        '"""A wing."""\nfrom .density import density as density\n'
        "from edgebook.wing.pruning import prune as cut\nfrom . import extra\n"
    ),
    "wing/density.py": (
        '"""Kernel."""\nfrom edgebook.base import energy\nfrom math import sin as wave\n\n'
        'def density(x: int, power: int = 1):\n    """Say it."""\n    # why\n'
        "    return energy(x) * 2 + wave(x) ** power\n"
        "\ndef other(x):\n    return x * 7\n"
    ),
    "wing/pruning.py": "def prune(x):\n    from edgebook.wing.late import late\n    return x - 1 + late()\n",
    "wing/late.py": "def late():\n    return 8\n",
    "wing/extra.py": "THREE = 3\nif THREE > 2:\n    VOLT = 1\n\n"
    "class Part:\n    def up(self):\n        return 1\n    def down(self):\n        return 2\n",
    "wing/unused.py": "FOUR = 4\n",
    "base/__init__.py": "from edgebook.base.energy import energy as energy\n",
    "base/energy.py": (
        "from edgebook.base.constants import JOULE\n\ndef energy(x):\n    return _twice(x) * JOULE if x else 0\n\n"
        "def _twice(x):\n    return energy(x - 1) + 2\n"
    ),
    "base/constants.py": "JOULE = 5\n",
    "ledger/__init__.py": (
        "from edgebook.ledger.judging import judge as judge\n"
        "from edgebook.ledger.statistics import interval as interval\n"
    ),
    "ledger/judging.py": "from edgebook.wing import cut\n\ndef judge(x):\n    return x > 1\n",
    "ledger/statistics.py": "def interval(x):\n    return x + 11\n",
    "style.py": "def effects(x):\n    return x\n",
}
DENSITY = "from edgebook.wing import density\n\nfound = density(3)"
PRUNING = "from edgebook.wing import cut\n\nfound = cut(3)"
RECORDS = "samples = {'A-1': found}\nrecord = run.record(samples)"


@pytest.fixture
def kernels(checkout):
    for name, text in KERNELS.items():
        checkout.write(f"src/edgebook/{name}", text)
    return checkout


def edit(checkout, path, old, new):
    file = checkout.root / path
    assert old in file.read_text(), "nothing to edit"
    file.write_text(file.read_text().replace(old, new))


def stale(checkout, change, **cells):
    """Return the names of the notebooks whose fingerprint a change has changed."""
    paths = {name: checkout.notebook(f"notebooks/{name}.ipynb", *given, RECORDS) for name, given in cells.items()}
    before = {name: fingerprint(path) for name, path in paths.items()}
    change()
    return {name for name, path in paths.items() if fingerprint(path) != before[name]}


# Two papers that share a wing: which of them an edit of one file makes stale.
BOTH, NONE = {"density", "pruning"}, set()
EDITS = [
    ("src/edgebook/wing/density.py", "* 2", "* 3", {"density"}),
    ("src/edgebook/wing/density.py", "power: int = 1", "power: int = 2", {"density"}),
    ("src/edgebook/wing/density.py", "sin as wave", "cos as wave", {"density"}),
    ("src/edgebook/wing/density.py", "def density", "@cache\ndef density", {"density"}),
    ("src/edgebook/wing/density.py", "def density", "@somewhere.entered\ndef density", BOTH),
    ("src/edgebook/wing/__init__.py", "density as density", "other as density", {"density"}),
    ("src/edgebook/base/energy.py", "+ 2", "+ 3", {"density"}),  # two calls deep, across two files
    ("src/edgebook/base/constants.py", "JOULE = 5", "JOULE = 6", {"density"}),
    ("src/edgebook/wing/pruning.py", "- 1", "- 2", {"pruning"}),
    ("src/edgebook/wing/late.py", "8", "9", {"pruning"}),  # imported when it is called
    ("src/edgebook/wing/extra.py", "THREE = 3", "import random\nrandom.seed(3)\nTHREE = 3", BOTH),
    ("src/edgebook/wing/extra.py", "THREE = 3", "THREE = library.define('three')", BOTH),
    ("src/edgebook/wing/extra.py", "class Part", "@_registered\nclass Part", BOTH),
    ("src/edgebook/wing/late.py", "def late", "if 1:\n    import f\nelse:\n    f = 0\ndef late", {"pruning"}),
    ("src/edgebook/wing/extra.py", "class Part", "@library.register_fake('p')\nclass Part", BOTH),
    ("src/edgebook/wing/extra.py", "VOLT = 1", "VOLT = 2", BOTH),  # a statement that is no definition
    ("src/edgebook/__init__.py", '"1"', '"1"\nimport os\nos.environ.setdefault("A", "1")', BOTH),
    # Nothing that a number comes from.
    ("src/edgebook/wing/density.py", "x * 7", "x * 8", NONE),
    ("src/edgebook/wing/density.py", "def other", "def new(x):\n    return 1\n\ndef other", NONE),
    ("src/edgebook/wing/density.py", "def other", "class Other:\n    '''No one.'''\n\ndef other", NONE),
    ("src/edgebook/wing/density.py", "# why", "# why not", NONE),
    ("src/edgebook/wing/density.py", "Say it.", "Say it better.", NONE),
    ("src/edgebook/wing/density.py", "x: int", "x: float", NONE),
    ("src/edgebook/wing/density.py", "energy(x) * 2", "(energy(x)  *  2)", NONE),
    ("src/edgebook/wing/density.py", "Kernel.", "A kernel.", NONE),
    ("src/edgebook/wing/density.py", "from math import sin as wave", "import math\nfrom math import sin as wave", NONE),
    ("src/edgebook/wing/extra.py", "return 1", "return 2", NONE),
    ("src/edgebook/wing/__init__.py", "from . import extra", "from . import extra\nfrom . import unused", NONE),
    ("src/edgebook/ledger/judging.py", "x > 1", "x > 2", NONE),
    ("src/edgebook/__init__.py", '"1"', '"2"', NONE),
]  # fmt: skip


@pytest.mark.parametrize(("path", "old", "new", "expected"), EDITS)
def test_an_edit_makes_exactly_those_stale_whose_numbers_it_could_change(kernels, path, old, new, expected):
    assert stale(kernels, lambda: edit(kernels, path, old, new), density=[DENSITY], pruning=[PRUNING]) == expected


def test_moving_a_definition_or_a_file_makes_nothing_stale(kernels):
    source = kernels.root / "src/edgebook"

    def move():
        (source / "deep").mkdir()
        shutil.move(source / "wing/density.py", source / "deep/thick.py")
        (source / "deep/__init__.py").write_text('"""A new room."""\nfrom edgebook.deep.thick import density\n')
        edit(kernels, "src/edgebook/wing/__init__.py", ".density import density", "edgebook.deep import density")
        edit(kernels, "src/edgebook/base/energy.py", "\ndef _twice(x):\n    return energy(x - 1) + 2\n", "")
        edit(kernels, "src/edgebook/base/energy.py", "\n\ndef", "\nfrom edgebook.base.twice import _twice\n\ndef")
        body = "def _twice(x):\n    return energy(x - 1) + 2\n\n\nfrom edgebook.base.energy import energy\n"
        (source / "base/twice.py").write_text(body)
        shutil.move(source / "wing/late.py", source / "deep/late.py")
        edit(kernels, "src/edgebook/wing/pruning.py", "edgebook.wing.late", "edgebook.deep.late")

    assert stale(kernels, move, density=[DENSITY], pruning=[PRUNING]) == NONE


@pytest.mark.parametrize(
    ("cell", "counts"),
    [
        ("import edgebook.wing\nfound = edgebook.wing.density(3)", False),
        ("from edgebook import wing\nfound = wing.density(3)", False),
        ("from edgebook import wing\nfound = wing.extra.Part()", True),
        ("from edgebook import wing\nfound = use(wing)", True),
        ("from edgebook.wing import *\nfound = density(3)", True),
        ("from edgebook.wing.extra import Part\nfound = Part().down()", True),  # a class counts whole
        ("import importlib\nfound = importlib.import_module('edgebook.wing.extra').Part()", True),
        ("from edgebook.wing import density\nfound = (lambda extra: extra)(3)", False),
    ],
)
def test_what_cannot_be_told_apart_counts_whole(kernels, cell, counts):
    found = stale(kernels, lambda: edit(kernels, "src/edgebook/wing/extra.py", "return 1", "return 2"), one=[cell])
    assert found == ({"one"} if counts else NONE)


def test_what_a_statement_that_is_no_definition_imports_counts(kernels):
    cell = "from edgebook.wing.either import late\nfound = late()"
    kernels.write(
        "src/edgebook/wing/either.py",
        "try:\n    from edgebook.wing.late import late\nexcept ImportError:\n    late = None\n",
    )
    assert stale(kernels, lambda: edit(kernels, "src/edgebook/wing/late.py", "8", "9"), one=[cell]) == {"one"}


def test_statistics_count_although_they_stand_beside_the_judge(kernels):
    cell = "from edgebook.ledger import interval\nfound = interval(1)"
    change = ("src/edgebook/ledger/statistics.py", "+ 11", "+ 12")
    assert stale(kernels, lambda: edit(kernels, *change), one=[cell]) == {"one"}


CELLS = (
    "import os\nimport matplotlib.pyplot as plt\nimport torch\n"
    "from edgebook import ledger, style\nfrom edgebook.wing import density\n"
    "from edgebook.wing.pruning import prune as prepare",
    "style.use()\nrun = ledger.start('a', globals())\nrun.at_least(seeds=1)\nif seeds > 9:\n    raise ValueError('no')",
    "shown = density(9)\nfig, ax = plt.subplots()\nax.plot(shown)\nplt.show()",
    "values = [1, 2]\n\ndef one(x):\n    return density(x) + 1",
    "found = [run.cached(one, x=x) for x in values]\nstyle.effects(found)\nprint(found)",
)


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("x) + 1", "x) + 2", True),
        ("values = [1, 2]", "values = [1, 3]", True),
        ("values = [1, 2]", "values = [1, 2]\nvalues.append(3)", True),
        ("values = [1, 2]", "values = [1, 2]\nvalues[0] = 3", True),
        ("values = [1, 2]", "values = [1, 2]\ndensity(values)", True),  # it might change them
        ("values = [1, 2]", "values = [1, 2]\ntorch.manual_seed(1)", True),
        ("values = [1, 2]", "values = [1, 2]\n_ = torch.set_num_threads(2)", True),
        ("values = [1, 2]", "values = [1, 2]\nif seeds:\n    values = [3]", True),
        ("values = [1, 2]", "values = [1, 2]\nos.environ['A'] = '1'", True),
        ("values = [1, 2]", "values = [1, 2]\ntorch.backends.flag = True", True),
        ("values = [1, 2]", "values = [1, 2]\nprepare()", True),  # of ours, called for its effect
        ("values = [1, 2]", "values = [1, 2]\ndef prepare():\n    values.append(3)\n\ndone = prepare()", True),
        (
            "values = [1, 2]",
            "values = [1, 2]\ndef prepare():\n    global values\n    values = 3\n\ndone = prepare()",
            True,
        ),
        ("values = [1, 2]", "values = [1, 2]\ndef prepare():\n    values = 3\n\ndone = prepare()", False),
        ("ax.plot(shown)", "ax.plot(shown)\nax.set_title('shown')\nax.plot(values)", False),
        ("density(9)", "density(8)", False),
        ("seeds > 9", "seeds > 8", False),
        ("seeds=1", "seeds=2", False),
        ("print(found)", "print(*found)\nfig, ax = plt.subplots()\nplt.show()", False),
        ("style.effects(found)", "style.effects(found[1:])", False),
        ("values = [1, 2]", "values = [1, 2]  # two\n'''said'''", False),
        ("values = [1, 2]", "%time\nvalues = [1, 2]", False),
    ],
)
def test_of_a_notebook_counts_what_its_recording_cell_reaches(kernels, old, new, counts):
    def path(cells):
        return kernels.notebook("notebooks/a.ipynb", *cells, RECORDS, "draw(record, 2)")

    before = fingerprint(path(CELLS))
    assert sum(old in cell for cell in CELLS) == 1
    assert (fingerprint(path([cell.replace(old, new) for cell in CELLS])) != before) is counts


@pytest.mark.parametrize(
    ("cells", "same"),
    [
        ((RECORDS, "draw(record, 2)"), True),
        ((RECORDS,), True),
        ((RECORDS.replace("A-1", "A-2"), "draw(record)"), False),
        (("more = 1\n" + RECORDS, "draw(record)"), False),
    ],
)
def test_what_follows_the_record_cannot_change_it(kernels, cells, same):
    before = fingerprint(kernels.notebook("notebooks/a.ipynb", DENSITY, RECORDS, "draw(record)"))
    assert (fingerprint(kernels.notebook("notebooks/a.ipynb", DENSITY, *cells)) == before) is same


def test_parameters_touching_and_executing_change_nothing(kernels, tmp_path):
    path = kernels.notebook("notebooks/a.ipynb", DENSITY, RECORDS)
    before = fingerprint(path)
    assert len(before) == 16
    assert int(before, 16) >= 0
    (kernels.root / "src/edgebook/wing/density.py").touch()
    executed = json.loads(path.read_text().replace("seeds: int = 3", "seeds: int = 4"))
    executed["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "6"}]
    injected = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": "seeds = 9"}
    executed["cells"].insert(1, injected)
    copy = tmp_path / "elsewhere.ipynb"
    copy.write_text(json.dumps(executed))
    assert fingerprint(path) == fingerprint(copy) == before


def test_a_cached_function_counts_with_all_that_it_reaches_wherever_it_is_called(kernels):
    late = "def late(x):\n    return density(x) + len(values)"
    path = kernels.notebook("notebooks/a.ipynb", *CELLS, RECORDS, late)

    def changed(name, *change):
        before = function_fingerprint(path, name)
        edit(kernels, *change)
        return function_fingerprint(path, name) != before

    assert changed("late", "src/edgebook/base/constants.py", "JOULE = 5", "JOULE = 6")
    assert changed("late", "notebooks/a.ipynb", "values = [1, 2]", "values = [1, 2, 3]")
    assert not changed("one", "notebooks/a.ipynb", "len(values)", "len(values) + 1")
    assert changed("late", "notebooks/a.ipynb", "len(values)", "len(values) + 1")
    assert not changed("late", "src/edgebook/wing/density.py", "x * 7", "x * 8")


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("src/edgebook/ledger/judging.py", "x > 1", "x > 2"),
        ("src/edgebook/base/constants.py", "JOULE = 5", "JOULE = 6"),
        ("notebooks/a.ipynb", "draw(record)", "draw(record, 2)"),
    ],
)
def test_everything_counts_for_a_page(kernels, path, old, new):
    cells = ("from edgebook.ledger import judge\njudge(1)", DENSITY, RECORDS, "draw(record)")
    notebook = kernels.notebook("notebooks/a.ipynb", *cells)
    before = page_fingerprint(notebook)
    edit(kernels, path, old, new)
    assert page_fingerprint(notebook) != before


def test_every_notebook_of_the_book_has_a_fingerprint_of_its_own(root: Path):
    paths = [*(root / "notebooks").glob("*.ipynb"), *(root / "book").glob("*.ipynb")]
    assert len({fingerprint(path) for path in paths}) == len(paths) > 0


NUMBERS = st.integers(0, 50)


@given(NUMBERS, NUMBERS)
def test_two_constants_are_the_same_text_only_if_equal(one, other):
    texts = [canonical(ast.parse(f"def f(x=[]):\n    return x, {number}, None, f'{{x}}'")) for number in (one, other)]
    assert (texts[0] == texts[1]) == (one == other)
