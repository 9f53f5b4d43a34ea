"""The top-level statements of a module or a notebook: what each binds, what it uses, whether it acts on more.

Read from syntax trees alone; nothing is imported.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from edgebook.notebooks.cell import cells, tags
from edgebook.notebooks.paths import project_root

# They change nothing but the function or class that they decorate.
_PLAIN_DECORATORS = {
    "cache", "cached_property", "classmethod", "contextmanager", "dataclass", "inference_mode", "jit", "lru_cache",
    "njit", "no_grad", "overload", "property", "runtime_checkable", "staticmethod", "vectorize", "wraps",
}  # fmt: skip
# Calls of such names set something that others read: torch.manual_seed, torch.set_default_dtype, Library.impl ...
_SETTERS = ("set_", "seed", "manual_seed", "register", "define", "impl", "use_", "enable", "disable", "setdefault")

Target = tuple[str, str | None]
"""What an import binds: a module, and a name in it; None where the module itself is bound."""


class Statement:
    """One statement at the top level of a module or of a notebook's cell."""

    def __init__(self, node: ast.stmt) -> None:
        self.node = node
        self.definition = isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
        ) and all(isinstance(target, ast.Name) for target in _targets(node))
        self.variable = self.definition and isinstance(node, ast.Assign | ast.AnnAssign)

    @cached_property
    def text(self) -> str:
        """The statement without docstrings, layout, and annotations that nobody reads at run time."""
        return canonical(self._bare)

    @cached_property
    def binds(self) -> frozenset[str]:
        """The names that it binds in its module."""
        if isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return frozenset({self.node.name})
        return frozenset(_stored(self.node))

    @cached_property
    def chains(self) -> tuple[str, ...]:
        """The dotted names that it takes from its module, such as ``F.relu``, sorted."""
        table = symtable.symtable(ast.unparse(self._bare), "statement", "exec")
        names = set(_from_outside(table)) | set(self.imports)
        return tuple(sorted({chain for chain in dotted(self._bare) if chain.split(".")[0] in names}))

    @cached_property
    def imports(self) -> dict[str, ast.Import | ast.ImportFrom]:
        """The names that are imported inside it, each with its statement."""
        found = (node for node in ast.walk(self.node) if isinstance(node, ast.Import | ast.ImportFrom))
        return {name: node for node in found for name in imported_names(node)}

    @cached_property
    def strings(self) -> frozenset[str]:
        """Its string constants: one of them may name a module that is imported while it runs."""
        constants = (node.value for node in ast.walk(self._bare) if isinstance(node, ast.Constant))
        return frozenset(value for value in constants if isinstance(value, str))

    @cached_property
    def acts(self) -> bool:
        """Whether it could change what others read: no definition, a decorator that registers, a call that sets."""
        if isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return not _plainly_decorated(self.node)
        return not self.definition or bool(self.setters)

    @cached_property
    def setters(self) -> frozenset[str]:
        """The first names of calls in it that are named as if they set a default, a seed or an implementation."""
        calls = [next(dotted(node.func), "") for node in ast.walk(self.node) if isinstance(node, ast.Call)]
        return frozenset(name.partition(".")[0] for name in calls if name.rpartition(".")[2].startswith(_SETTERS))

    @cached_property
    def _bare(self) -> ast.stmt:
        _ = self.imports  # where they come from is told by what the names are followed to
        self.node = _WithoutImports().visit(self.node)
        for inner in ast.walk(self.node):
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner.body = _code(inner.body) or [ast.Pass()]
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and _plainly_decorated(inner):
                inner.returns = None
                for argument in ast.walk(inner.args):
                    if isinstance(argument, ast.arg):
                        argument.annotation = None
        return self.node


class _WithoutImports(ast.NodeTransformer):
    def visit_Import(self, _: ast.Import) -> ast.Pass:
        return ast.Pass()

    def visit_ImportFrom(self, _: ast.ImportFrom) -> ast.Pass:
        return ast.Pass()


class Source:
    """A module, or a notebook's code: its statements, and the imports that bind names beside them."""

    def __init__(self, module: str | None, package: bool, trees: list[ast.Module]) -> None:
        self.module = module
        self.package = package  # whether it is an __init__
        body = [node for tree in trees for node in _code(tree.body) if not _never_matters(node)]
        self.statements = tuple(Statement(node) for node in body if not isinstance(node, ast.Import | ast.ImportFrom))
        self.imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]

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
        inner = (statement for statement in self.statements if not statement.definition)
        nodes = [*self.imports, *(node for statement in inner for node in statement.imports.values())]
        found = []
        for node in nodes:
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            else:
                found += [self._origin(node), *(f"{self._origin(node)}.{alias.name}" for alias in node.names)]
        return found

    def target(self, node: ast.Import | ast.ImportFrom, name: str) -> Target:
        """Return what an import statement binds to one of its names; ``*`` counts as the whole module."""
        for alias in node.names:
            if isinstance(node, ast.ImportFrom) and (alias.asname or alias.name) == name:
                return self._origin(node), alias.name
            if isinstance(node, ast.Import) and alias.asname == name:
                return alias.name, None
        return name, None  # `import a.b` binds a

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level or self.module is None:
            return node.module or ""
        parts = self.module.split(".")
        base = parts[: len(parts) - node.level + self.package]
        return ".".join([*base, node.module] if node.module else base)


def module_file(module: str) -> Path | None:
    """Return the file of a dotted name of the package, None where it is no module."""
    checkout = project_root() / "src" / "edgebook"
    folder = checkout if checkout.is_dir() else Path(__file__).resolve().parents[1]
    stem = folder.joinpath(*module.split(".")[1:])
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


@lru_cache(maxsize=1024)
def module_source(path: Path, module: str, _mtime: int, _size: int) -> Source:
    """Read a file of the package; modification time and size are there for the cache."""
    return Source(module, path.name == "__init__.py", [ast.parse(path.read_text(encoding="utf-8"), path.name)])


def code_cells(path: Path) -> list[ast.Module]:
    """Return the syntax tree of each code cell of a notebook, in order, but for those that hold parameters."""
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    values = {"parameters", "injected-parameters"}
    return [_cell_tree(cell["source"]) for cell in code if not values.intersection(tags(cell))]


def canonical(node: Any) -> str:
    """Write a syntax tree as text, without positions and empty fields.

    Neither `ast.dump` nor `ast.unparse` does: minor versions of Python add fields to the former and change
    the quotes and parentheses of the latter, and a record must not go stale with a new interpreter.
    """
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind"))
        written = (f"{name}={canonical(value)}" for name, value in fields if value not in (None, []))
        return f"{type(node).__name__}({','.join(written)})"
    if isinstance(node, list):
        return f"[{','.join(canonical(item) for item in node)}]"
    return repr(node)


def dotted(node: ast.AST) -> Iterator[str]:
    """Yield every name in a tree with all attributes that follow it: ``a.b.c`` once, not ``a`` and ``a.b`` too."""
    parts: list[str] = []
    inner: ast.AST = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield ".".join([inner.id, *reversed(parts)])
        return
    for child in ast.iter_child_nodes(inner):
        yield from dotted(child)


def imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the names that an import statement binds."""
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    return [alias.asname or alias.name.partition(".")[0] for alias in node.names]


def _cell_tree(source: str) -> ast.Module:
    """Parse a cell without its magics; what is still no Python, such as ``%%bash``, counts as text."""
    kept = []
    for line in source.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        magic = line.lstrip().startswith(("%", "!"))
        kept.append((indent and f"{indent}pass") if magic else line)
    for text in (source, "\n".join(kept)):
        try:
            return ast.parse(text)
        except SyntaxError:
            continue
    return ast.Module([ast.Assert(ast.Constant(source))], [])


def _code(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the body of a definition or module without its docstring."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _never_matters(node: ast.stmt) -> bool:
    """Tell whether a statement changes nothing in a run that goes on: a bare constant, a refusal, a script's end."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Pass() | ast.Assert():
            return not isinstance(getattr(node, "test", None), ast.Constant)  # a cell that is no Python
        case ast.If(orelse=[]) if all(isinstance(inner, ast.Raise) for inner in node.body):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=[]):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__")), orelse=[]):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "__version__")]):
            return True
    return False


def _targets(node: ast.stmt) -> list[ast.expr]:
    """Return what an assignment assigns to, tuples taken apart."""
    targets = list(node.targets) if isinstance(node, ast.Assign) else []
    targets += [node.target] if isinstance(node, ast.AnnAssign) else []
    found: list[ast.expr] = []
    for target in targets:
        parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        found += [part.value if isinstance(part, ast.Starred) else part for part in parts]
    return found


def _stored(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds, not those inside functions that it defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from imported_names(node)
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return
    for child in ast.iter_child_nodes(node):
        yield from _stored(child)


def _from_outside(table: symtable.SymbolTable, top: bool = True) -> Iterator[str]:
    """Yield the names that a statement reads from its module, also in functions within it."""
    for symbol in table.get_symbols():
        if symbol.is_global() or ((top or table.get_type() == "class") and symbol.is_referenced()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _from_outside(child, top=False)


def _plainly_decorated(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Tell whether no decorator could register the function elsewhere, or read its annotations."""
    called = (decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list)
    names = [ast.unparse(decorator).rpartition(".")[2] for decorator in called]
    return all(name in _PLAIN_DECORATORS or name.startswith("_") for name in names)
