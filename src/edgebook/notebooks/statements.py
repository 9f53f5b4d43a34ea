"""One statement at the top level of a module or of a notebook's cell: what it binds, uses and could change.

Read from the syntax tree alone; nothing is imported.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from functools import cached_property
from typing import Any

# They change nothing but the function or class that they decorate.
_PLAIN_DECORATORS = {
    "cache", "cached_property", "classmethod", "contextmanager", "dataclass", "inference_mode", "jit", "lru_cache",
    "njit", "no_grad", "overload", "property", "runtime_checkable", "staticmethod", "vectorize", "wraps",
}  # fmt: skip
# Calls of such names set something that others read: torch.manual_seed, torch.set_default_dtype, Library.impl ...
_SETTERS = ("set_", "seed", "manual_seed", "register", "define", "impl", "use_", "enable", "disable", "setdefault")

Import = ast.Import | ast.ImportFrom
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef


class Statement:
    """A statement: a ``definition`` where it only binds names, a ``variable`` where it binds them to a value."""

    def __init__(self, node: ast.stmt) -> None:
        self.node = node
        assigns = isinstance(node, ast.Assign | ast.AnnAssign)
        self.variable = assigns and all(isinstance(target, ast.Name) for target in _targets(node))
        self.definition = self.variable or isinstance(node, _Definition)

    @cached_property
    def text(self) -> str:
        """The statement without docstrings, layout, and annotations that nobody reads at run time."""
        return canonical(self._bare)

    @cached_property
    def binds(self) -> frozenset[str]:
        return frozenset(_stored(self.node))

    @cached_property
    def chains(self) -> tuple[str, ...]:
        """The dotted names that it takes from its module, such as ``F.relu``, sorted."""
        table = symtable.symtable(ast.unparse(self._bare), "statement", "exec")
        names = set(_from_outside(table)) | set(self.imports)
        return tuple(sorted({chain for chain in dotted(self._bare) if first_of(chain) in names}))

    @cached_property
    def imports(self) -> dict[str, Import]:
        """The names that are imported inside it, each with its statement."""
        found = (node for node in ast.walk(self.node) if isinstance(node, Import))
        return {name: node for node in found for name in imported_names(node)}

    @cached_property
    def strings(self) -> frozenset[str]:
        """Its string constants: one of them may name a module that is imported while it runs."""
        constants = (node.value for node in ast.walk(self._bare) if isinstance(node, ast.Constant))
        return frozenset(value for value in constants if isinstance(value, str))

    @cached_property
    def acts(self) -> bool:
        """Whether it could change what others read: no definition, a decorator that registers, a call that sets."""
        if isinstance(self.node, _Definition):
            return not _plainly_decorated(self.node)
        return not self.definition or bool(self.setters)

    @cached_property
    def setters(self) -> frozenset[str]:
        """The first names of calls in it that are named as if they set a default, a seed or an implementation."""
        calls = [next(dotted(node.func), "") for node in ast.walk(self.node) if isinstance(node, ast.Call)]
        return frozenset(first_of(name) for name in calls if name.rpartition(".")[2].startswith(_SETTERS))

    @cached_property
    def _bare(self) -> ast.stmt:
        _ = self.imports  # where they come from is told by what the names are followed to
        self.node = _WithoutImports().visit(self.node)
        for inner in ast.walk(self.node):
            if isinstance(inner, _Definition):
                inner.body = without_docstring(inner.body) or [ast.Pass()]
            if isinstance(inner, _Function) and _plainly_decorated(inner):
                inner.returns = None
                for argument in ast.walk(inner.args):
                    if isinstance(argument, ast.arg):
                        argument.annotation = None
        return self.node


class _WithoutImports(ast.NodeTransformer):
    def visit_Import(self, _: Import) -> ast.Pass:
        return ast.Pass()

    visit_ImportFrom = visit_Import


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


def first_of(chain: str) -> str:
    return chain.partition(".")[0]


def imported_names(node: Import) -> list[str]:
    """Return the names that an import statement binds: ``import a.b`` binds a."""
    whole = isinstance(node, ast.ImportFrom)
    return [alias.asname or (alias.name if whole else first_of(alias.name)) for alias in node.names]


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def never_matters(node: ast.stmt) -> bool:
    """Tell whether a statement changes nothing in a run that goes on: a bare constant, a refusal, a script's end."""
    match node:
        case ast.Assert(test=ast.Constant()):  # a cell that is no Python
            return False
        case ast.Expr(value=ast.Constant()) | ast.Pass() | ast.Assert():
            return True
        case ast.If(orelse=[]) if all(isinstance(inner, ast.Raise) for inner in node.body):
            return True
        case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Compare(left=ast.Name("__name__")), orelse=[]):
            return True
        case ast.If(test=ast.Attribute(attr="TYPE_CHECKING"), orelse=[]):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "__version__")]):
            return True
    return False


def _targets(node: ast.Assign | ast.AnnAssign) -> Iterator[ast.expr]:
    """Yield what an assignment assigns to, tuples taken apart."""
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        for part in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            yield part.value if isinstance(part, ast.Starred) else part


def _stored(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds, not those inside functions that it defines."""
    if isinstance(node, _Definition):
        yield node.name
        return
    if isinstance(node, Import):
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


def _plainly_decorated(node: _Definition) -> bool:
    """Tell whether no decorator could register the function elsewhere, or read its annotations."""
    called = (decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list)
    names = [ast.unparse(decorator).rpartition(".")[2] for decorator in called]
    return all(name in _PLAIN_DECORATORS for name in names)
