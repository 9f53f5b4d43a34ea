"""Which files a notebook depends on, and a fingerprint of what can change a number it measures.

Both come from reading the sources, never from importing them.
An import such as ``from edgebook.compression import activation_density`` is followed through the package's
``__init__`` to the file that defines the name, so that a change to one kernel concerns only its users.
``import edgebook.compression`` and star imports count for all of the package.
Imports made at run time from strings, and data files, are not seen.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgebook import notebooks
from edgebook.paths import project_root

# They judge, draw, record or run; none of them can change a measured number.
WITHOUT_NUMBERS = (
    "__main__",
    "book",
    "checks",
    "ledger",
    "metrics",
    "notebooks",
    "parameters",
    "paths",
    "revision",
    "runner",
    "sources",
    "style",
    "sweeps",
    "worker",
)


def source_files(path: Path) -> list[Path]:
    """Return the files of the package that a notebook or module uses, sorted; everything counts."""
    walk = _Walk(skip=())
    walk.imports_of(_trees(Path(path)), _module_of(Path(path)))
    return sorted(walk.files.values())


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change when a number measured by a notebook could change.

    They cover the notebook's code cells as far as the one that makes the record (what follows only draws) and
    every kernel file that these reach, without comments, docstrings, magics and layout, and without the modules
    that only judge, draw or record.
    Parameter cells are left out: a record holds the values themselves.
    """
    path = Path(path)
    walk = _Walk(skip=WITHOUT_NUMBERS)
    trees = _until_recorded(_trees(path))
    walk.imports_of(trees, _module_of(path))
    digest = hashlib.sha256()
    for tree in trees:
        digest.update(f"cell {canonical(tree)}\n".encode())
    for name in sorted(walk.files):
        digest.update(f"file {name} {canonical(_parse(walk.files[name]))}\n".encode())
    for binding in sorted(walk.bindings):
        digest.update(f"name {binding}\n".encode())
    return digest.hexdigest()[:16]


def canonical(node: Any) -> str:
    """Write a syntax tree as text, without docstrings, positions and empty fields.

    Neither `ast.dump` nor `ast.unparse` does: minor versions of Python add fields to the former and change
    the quotes and parentheses of the latter, and a record must not go stale with a new interpreter.
    """
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind"))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            fields = ((name, _code(value) if name == "body" else value) for name, value in fields)
        written = (f"{name}={canonical(value)}" for name, value in fields if value not in (None, []))
        return f"{type(node).__name__}({','.join(written)})"
    if isinstance(node, list):
        return f"[{','.join(canonical(item) for item in node)}]"
    return repr(node)


def _code(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the body of a definition without its docstring."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _trees(path: Path) -> list[ast.AST]:
    """Return the syntax tree of a module, or of each code cell of a notebook."""
    if path.suffix != ".ipynb":
        return [_parse(path)]
    code = [cell for cell in notebooks.cells(path) if cell["cell_type"] == "code"]
    values = {"parameters", "injected-parameters"}
    return [_cell_tree(cell["source"]) for cell in code if not values.intersection(notebooks.tags(cell))]


def _until_recorded(trees: list[ast.AST]) -> list[ast.AST]:
    """Return the trees up to the first that calls a method named ``record``; all where none does."""
    for position, tree in enumerate(trees):
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        if any(isinstance(function, ast.Attribute) and function.attr == "record" for function in calls):
            return trees[: position + 1]
    return trees


def _cell_tree(source: str) -> ast.AST:
    """Parse a cell without its magics; what is still no Python, such as ``%%bash``, counts as text."""
    try:
        return ast.parse(source)
    except SyntaxError:
        pass
    kept = []
    for line in source.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        magic = line.lstrip().startswith(("%", "!"))
        kept.append((indent and f"{indent}pass") if magic else line)
    try:
        return ast.parse("\n".join(kept))
    except SyntaxError:
        return ast.Constant(source)


def _package_folder() -> Path:
    checkout = project_root() / "src" / "edgebook"
    return checkout if checkout.is_dir() else Path(__file__).resolve().parent


def _module_of(path: Path) -> str | None:
    """Return the dotted name of a file of the package, None for any other file."""
    try:
        parts = path.resolve().relative_to(_package_folder()).with_suffix("").parts
    except ValueError:
        return None
    return ".".join(("edgebook", *parts)).removesuffix(".__init__")


def _file(module: str) -> Path | None:
    """Return the file of a dotted name of the package, None where it is no module."""
    stem = _package_folder().joinpath(*module.split(".")[1:])
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def _parse(path: Path) -> ast.Module:
    stat = path.stat()
    return _parse_cached(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=512)
def _parse_cached(path: Path, _mtime: int, _size: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=path.name)


def _only_names(tree: ast.Module) -> bool:
    """Tell whether an ``__init__`` does nothing but import and name: then it changes no number itself."""
    for statement in _code(tree.body):
        match statement:
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.Assign(targets=[ast.Name(id="__all__" | "__version__")]):
                continue
        return False
    return True


class _Walk:
    """The files reached so far, and the names that packages bound on the way."""

    def __init__(self, skip: tuple[str, ...]) -> None:
        self.files: dict[str, Path] = {}
        self.bindings: set[str] = set()
        self._skip = {f"edgebook.{name}" for name in skip}
        self._seen: set[tuple[str, str]] = set()

    def imports_of(self, trees: list[ast.AST], module: str | None) -> None:
        """Follow every import statement in ``trees``, wherever it stands."""
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        self._name(alias.name, "*")
                elif isinstance(node, ast.ImportFrom):
                    origin = _absolute(node, module)
                    for alias in node.names:
                        self._name(origin, alias.name)

    def _name(self, module: str, name: str) -> None:
        """Count what ``from module import name`` depends on; the name ``*`` stands for all of the module."""
        family = ".".join(module.split(".")[:2])
        if module.split(".")[0] != "edgebook" or family in self._skip or (module, name) in self._seen:
            return
        self._seen.add((module, name))
        path = _file(module)
        if path is None:
            return
        for package in _packages_above(module):
            self._initializer(package)
        if path.name != "__init__.py":
            self._whole(module, path)
        elif name == "*":
            self._initializer(module)
            self.imports_of([_parse(path)], module)
        else:
            self._member(module, name, path)

    def _member(self, package: str, name: str, path: Path) -> None:
        """Count what one name of a package depends on."""
        self._initializer(package)
        origin = _bound(_parse(path), package, name)
        if origin not in (None, (package, name)):  # `from . import x` binds a submodule to its own name
            self.bindings.add(f"{package}.{name} = {'.'.join(origin)}")
            self._name(*origin)
        elif _file(f"{package}.{name}") is not None:
            self._name(f"{package}.{name}", "*")
        else:
            self._name(package, "*")

    def _whole(self, module: str, path: Path) -> None:
        if module not in self.files:
            self.files[module] = path
            self.imports_of([_parse(path)], module)

    def _initializer(self, package: str) -> None:
        """Count a package's ``__init__``, with all that it imports, if it does more than import."""
        path = _file(package)
        if path is not None and not _only_names(_parse(path)):
            self._whole(package, path)


def _packages_above(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts)))


def _absolute(node: ast.ImportFrom, module: str | None) -> str:
    """Return the absolute name of the module that a ``from ... import`` names."""
    if not node.level or module is None:
        return node.module or ""
    path = _file(module)
    levels = node.level - (path is not None and path.name == "__init__.py")
    base = module.split(".")[: len(module.split(".")) - levels]
    return ".".join([*base, node.module] if node.module else base)


def _bound(tree: ast.Module, package: str, name: str) -> tuple[str, str] | None:
    """Return the module and name that an ``__init__`` binds ``name`` to by import; the last wins."""
    found = None
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    found = (_absolute(node, package), alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname == name:
                    found = (alias.name, "*")
    return found
