"""The arrows between the parts of the package: what may import what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

GROUND = {"data", "measure"}
WINGS = {"autonomy", "compression", "crossbar", "decoding", "federated", "spiking"}
# Shared by several wings, below them.
COMMON = {"networks", "training"}
KERNELS = GROUND | WINGS | COMMON
# Any kernel may ask where the checkout is; everything else that is no kernel stands apart.
NEUTRAL = {"paths"}


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all that a file imports, anywhere in it, relative imports resolved."""
    name = module_name(path, package)
    inside = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    if importer == imported or importer not in KERNELS or imported in NEUTRAL or imported.startswith("__"):
        return False
    if imported not in KERNELS:
        return True
    return imported in WINGS


def violations(package: Path) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        importer = part_of(module_name(path, package), package.name)
        for line, module in imported_modules(path, package):
            imported = part_of(module, package.name)
            if importer and imported and forbidden(importer, imported):
                found.append(f"{path.relative_to(package)}:{line} imports {package.name}.{imported}")
    return found


def test_the_package_keeps_its_arrows(root: Path) -> None:
    package = root / "src" / "edgebook"
    assert (package / "compression").is_dir(), "nothing to check"
    assert violations(package) == []


def test_every_part_is_known(root: Path) -> None:
    """A new folder of kernels must be named above, or its imports would go unchecked."""
    package = root / "src" / "edgebook"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folders - KERNELS == {"ledger", "sweeps"}


@pytest.mark.parametrize(
    ("file", "source", "caught"),
    [
        ("spiking/neurons.py", "from edgebook.crossbar import mapping", True),
        ("spiking/neurons.py", "import edgebook.federated.engine as engine", True),
        ("spiking/neurons.py", "from ..crossbar.mapping import tile", True),
        ("spiking/__init__.py", "from .. import crossbar", True),
        ("crossbar/circuit.py", "def late():\n    from edgebook import ledger", True),
        ("crossbar/circuit.py", "import importlib\nimportlib.import_module('edgebook.runner')", True),
        ("data/images.py", "from edgebook.ledger.record import start", True),
        ("data/images.py", "from edgebook.compression import density", True),
        ("measure/energy.py", "from edgebook import runner", True),
        ("networks.py", "from edgebook.compression import density", True),
        ("crossbar/circuit.py", "from edgebook.style import palette", True),
        ("spiking/neurons.py", "from edgebook.measure import energy", False),
        ("spiking/neurons.py", "from .coding import rate", False),
        (
            "spiking/neurons.py",
            "from edgebook import networks, paths\nfrom edgebook import __version__",
            False,
        ),
        ("data/images.py", "import numpy\nfrom crossbar import tile", False),
        ("ledger/record.py", "from edgebook.measure import statistics\nfrom edgebook import runner", False),
    ],
)
def test_a_violation_is_caught(tmp_path: Path, file: str, source: str, caught: bool) -> None:
    path = tmp_path / "edgebook" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    assert bool(violations(tmp_path / "edgebook")) is caught
