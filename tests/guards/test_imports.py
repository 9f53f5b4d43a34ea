"""The arrows between the parts of the package: what may import what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebook.notebooks.files import parse_python

# For each room, the rooms that it may import; a kernel imports the ground alone, and wings never meet.
GROUND = {"data", "measure", "networks"}
WINGS = {"autonomy", "compression", "crossbar", "decoding", "federated", "spiking"}
MAY_IMPORT: dict[str, set[str]] = {
    "data": set(),
    "measure": {"data"},
    "networks": {"data", "measure"},
    **{wing: GROUND for wing in WINGS},
    "notebooks": set(),
    "ledger": {"notebooks"},
    "style": {"ledger"},
    "sweeps": {"ledger", "notebooks"},
    "pages": {"ledger", "notebooks", "style", "sweeps"},
    "__main__": {"data", "ledger", "notebooks", "pages", "sweeps"},
}
# Any room may ask where the checkout is.
NEUTRAL = "notebooks.paths"


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all that a file imports, anywhere in it, relative imports resolved."""
    name = module_name(path, package)
    inside = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(parse_python(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            # `from edgebook import data` names a part only together with the alias.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called in ("importlib.import_module", "import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def part_of(module: str, package: str = "edgebook") -> str | None:
    """Return the part of the package that a dotted name lies in, None for another package."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == package and rest else None


def forbidden(importer: str, imported: str) -> bool:
    return importer != imported and not imported.startswith("__") and imported not in MAY_IMPORT.get(importer, set())


def violations(package: Path) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        importer = part_of(module_name(path, package), package.name)
        for line, module in imported_modules(path, package):
            imported = part_of(module, package.name)
            neutral = module.startswith(f"{package.name}.{NEUTRAL}")
            if importer and imported and not neutral and forbidden(importer, imported):
                found.append(f"{path.relative_to(package)}:{line} imports {package.name}.{imported}")
    return found


def test_the_package_keeps_its_arrows(root: Path) -> None:
    package = root / "src" / "edgebook"
    assert (package / "compression").is_dir(), "nothing to check"
    assert violations(package) == []


def test_every_part_is_known(root: Path) -> None:
    """A new room must be named above, so that what it may import is decided and not found."""
    package = root / "src" / "edgebook"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")} | {path.stem for path in package.glob("*.py")}
    assert rooms - {"__init__"} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("file", "source", "caught"),
    [
        ("spiking/neurons.py", "from edgebook.crossbar import mapping", True),
        ("spiking/neurons.py", "import edgebook.federated.engine as engine", True),
        ("spiking/neurons.py", "from ..crossbar.mapping import tile", True),
        ("spiking/__init__.py", "from .. import crossbar", True),
        ("crossbar/circuit.py", "def late():\n    from edgebook import ledger", True),
        ("crossbar/circuit.py", "import importlib\nimportlib.import_module('edgebook.notebooks.runner')", True),
        ("data/images.py", "from edgebook.ledger.record import start", True),
        ("data/images.py", "from edgebook.compression import density", True),
        ("measure/energy.py", "from edgebook import notebooks", True),
        ("networks/training.py", "from edgebook.compression import density", True),
        ("crossbar/circuit.py", "from edgebook.style import palette", True),
        ("spiking/neurons.py", "from edgebook.measure import energy", False),
        ("spiking/neurons.py", "from .coding import rate", False),
        (
            "spiking/neurons.py",
            "from edgebook import networks\nfrom edgebook.notebooks.paths import x\nfrom edgebook import __version__",
            False,
        ),
        ("data/images.py", "import numpy\nfrom crossbar import tile", False),
        ("ledger/record.py", "from edgebook.notebooks import runner", False),
        ("ledger/record.py", "from edgebook.pages import render", True),
        ("notebooks/runner.py", "from edgebook.ledger import judge", True),
        ("sweeps/table.py", "from edgebook.style import use", True),
    ],
)
def test_a_violation_is_caught(tmp_path: Path, file: str, source: str, caught: bool) -> None:
    path = tmp_path / "edgebook" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    assert bool(violations(tmp_path / "edgebook")) is caught
