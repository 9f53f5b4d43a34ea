"""The modules of the package and the code of a notebook, as statements and imports, read from their files."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache, cached_property, lru_cache
from pathlib import Path

from edgebook.notebooks.cell import cells, tags
from edgebook.notebooks.files import parse_python
from edgebook.notebooks.paths import project_root
from edgebook.notebooks.statements import Import, Statement, first_of, imported_names, never_matters, without_docstring

NOTEBOOK = ""
"""What stands for the notebook among the names of modules."""

Place = tuple[str, int]
"""A module, or `NOTEBOOK`, and the index of a statement in it."""

Target = tuple[str, str | None]
"""What an import binds: a module, and a name in it; None where the module itself is bound."""

# Statistics stand beside the judge, but a notebook may compute a sample with them.
_NEVER_PASSED_OVER = "edgebook.ledger.statistics"


class Source:
    """A module, or a notebook's code: its statements, and the imports that bind names beside them."""

    def __init__(self, module: str, package: bool, trees: Iterable[ast.Module]) -> None:
        self.module = module
        self.package = package  # whether it is an __init__
        body = [node for tree in trees for node in without_docstring(tree.body) if not never_matters(node)]
        self.statements = tuple(Statement(node) for node in body if not isinstance(node, Import))
        self.imports = [node for node in body if isinstance(node, Import)]

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where each name is bound, as indices of statements in order."""
        found: dict[str, list[int]] = {}
        for index, statement in enumerate(self.statements):
            for name in statement.binds:
                found.setdefault(name, []).append(index)
        return found

    @cached_property
    def imported(self) -> dict[str, Target]:
        """The names that top-level imports bind; the last wins."""
        return {name: self.target(node, name) for node in self.imports for name in imported_names(node)}

    @cached_property
    def loads(self) -> list[str]:
        """The modules that Python imports along with this one, each ``from m import n`` as m and as m.n."""
        acting = (statement for statement in self.statements if not statement.definition)
        nodes = [*self.imports, *(node for statement in acting for node in statement.imports.values())]
        return [module for node in nodes for module in self._loaded(node)]

    def target(self, node: Import, name: str) -> Target:
        """Return what an import statement binds to one of its names; ``*`` counts as the whole module."""
        for alias in node.names:
            if isinstance(node, ast.ImportFrom) and (alias.asname or alias.name) == name:
                return self._origin(node), alias.name
            if isinstance(node, ast.Import) and alias.asname == name:
                return alias.name, None
        return name, None  # `import a.b` binds a

    def _loaded(self, node: Import) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        return [self._origin(node), *(f"{self._origin(node)}.{alias.name}" for alias in node.names)]

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level or self.module == NOTEBOOK:
            return node.module or ""
        parts = self.module.split(".")
        base = parts[: len(parts) - node.level + self.package]
        return ".".join([*base, node.module] if node.module else base)


class Modules:
    """A notebook beside the modules of the package, each read when it is asked for; some rooms may be passed over."""

    def __init__(self, notebook: Iterable[ast.Module], passed_over: Iterable[str] = ()) -> None:
        self.notebook = Source(NOTEBOOK, False, notebook)
        self._passed_over = {f"edgebook.{room}" for room in passed_over}
        self._file = cache(_module_file)
        self._read = cache(lambda module: _module_source(module, self._file(module)))

    def __contains__(self, module: str) -> bool:
        return self._file(module) is not None

    def __getitem__(self, module: str) -> Source:
        return self.notebook if module == NOTEBOOK else self._read(module)

    def statement(self, place: Place) -> Statement:
        return self[place[0]].statements[place[1]]

    def bound(self, module: str, name: str) -> list[Place]:
        return [(module, index) for index in self[module].places.get(name, ())]

    def passed_over(self, module: str, name: str | None) -> bool:
        """Tell whether a name lies in a room that is passed over."""
        full = f"{module}.{name}" if name else module
        if f"{full}.".startswith(f"{_NEVER_PASSED_OVER}."):
            return False
        if name is not None and module in self and self[module].imported.get(name, ("",))[0] == _NEVER_PASSED_OVER:
            return False
        return ".".join(full.split(".")[:2]) in self._passed_over


def code_cells(path: Path) -> list[ast.Module]:
    """Return the syntax tree of each code cell of a notebook, in order, but for those that hold parameters."""
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    values = {"parameters", "injected-parameters"}
    return [_cell_tree(cell["source"]) for cell in code if not values.intersection(tags(cell))]


def of_package(module: str) -> bool:
    return first_of(module) == "edgebook"


def with_packages_above(module: str) -> Iterator[str]:
    """Yield a module of the package after all packages in which it lies; nothing for other packages."""
    parts = module.split(".")
    if of_package(module):
        yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _module_file(module: str) -> Path | None:
    """Return the file of a dotted name, None where it is no module of the package."""
    if not of_package(module):
        return None
    checkout = project_root() / "src" / "edgebook"
    folder = checkout if checkout.is_dir() else Path(__file__).resolve().parents[1]
    stem = folder.joinpath(*module.split(".")[1:])
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def _module_source(module: str, path: Path) -> Source:
    stat = path.stat()
    return _parsed(module, path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _parsed(module: str, path: Path, _mtime: int, _size: int) -> Source:
    """Read a file of the package; modification time and size are there for the cache."""
    return Source(module, path.name == "__init__.py", [parse_python(path.read_text(encoding="utf-8"), path.name)])


def _cell_tree(source: str) -> ast.Module:
    """Parse a cell without its magics; what is still no Python, such as ``%%bash``, counts as text."""
    kept = []
    for line in source.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        magic = line.lstrip().startswith(("%", "!"))
        kept.append((indent and f"{indent}pass") if magic else line)
    for text in (source, "\n".join(kept)):
        try:
            return parse_python(text)
        except SyntaxError:
            continue
    return ast.Module([ast.Assert(ast.Constant(source))], [])
