"""Which statements could change what others read, although nobody uses a name of theirs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from edgebook.notebooks.modules import NOTEBOOK, Modules, Place, of_package, with_packages_above
from edgebook.notebooks.statements import Statement, dotted, first_of

_DRAWING = ("matplotlib", "seaborn", "IPython", "tqdm")


def in_notebook(modules: Modules, reached: Iterable[Place]) -> list[Place]:
    """Return the notebook's other statements that could change a reached variable, or something global."""
    statements = modules.notebook.statements
    indices = {index for module, index in reached if module == NOTEBOOK}
    data = (statements[index] for index in indices if not _is_function_or_class(statements[index]))
    variables = {name for one in data if not _from_room_passed_over(modules, one) for name in one.binds}
    functions = [one for one in statements if _is_function_or_class(one)]
    changing = {name for one in functions if _stores(modules, one.node, variables) for name in one.binds}

    def could_change(one: Statement) -> bool:
        if any(_may_change(modules, function) for function in one.setters) or _calls(one.node) & changing:
            return True
        if one.definition:
            return bool(one.binds & changing) and not one.variable
        return _stores(modules, one.node, variables) or _hands_on(modules, one.node, variables)

    return [(NOTEBOOK, index) for index, one in enumerate(statements) if index not in indices and could_change(one)]


def in_modules(modules: Modules, used: Iterable[str]) -> Iterator[Place]:
    """Yield what acts at a distance in all modules that Python loads for the notebook and for ``used``."""
    notebook = modules.notebook
    waiting = [*notebook.loads, *used]
    for statement in notebook.statements:
        targets = (notebook.target(node, name) for name, node in statement.imports.items())
        waiting += [f"{module}.{name}" if name else module for module, name in targets]
    seen: set[str] = set()
    while waiting:
        for module in with_packages_above(waiting.pop()):
            if module in seen or modules.passed_over(module, None) or module not in modules:
                continue
            seen.add(module)
            waiting += modules[module].loads
            yield from ((module, index) for index, one in enumerate(modules[module].statements) if one.acts)


def _stores(modules: Modules, node: ast.AST, variables: set[str]) -> bool:
    """Tell whether a statement stores into a variable, calls a method of one, or sets an attribute of a library."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load):
            first = first_of(next(dotted(inner), ""))
            if first in variables or (first in modules.notebook.imported and _may_change(modules, first)):
                return True
        elif isinstance(inner, ast.Name) and not _is_function(node):  # a function's own names are its own affair
            if inner.id in variables and not isinstance(inner.ctx, ast.Load):
                return True
        elif (isinstance(inner, ast.Global) and variables & set(inner.names)) or (
            isinstance(inner, ast.Call) and _method_of(inner.func) in variables
        ):
            return True
    return False


def _method_of(function: ast.expr) -> str | None:
    """Return the first name of a dotted call, None for a plain one."""
    return first_of(next(dotted(function), "")) if isinstance(function, ast.Attribute) else None


def _hands_on(modules: Modules, node: ast.AST, variables: set[str]) -> bool:
    """Tell whether a statement calls a function for its effect, or hands a variable to one."""
    for inner in ast.walk(node):
        call = inner.value if isinstance(inner, ast.Expr) else inner
        if isinstance(call, ast.Call) and _may_change(modules, first_of(next(dotted(call.func), ""))):
            given = {argument.id for argument in call.args if isinstance(argument, ast.Name)}
            if isinstance(inner, ast.Expr) or given & variables:
                return True
    return False


def _calls(node: ast.AST) -> set[str]:
    return {next(dotted(inner.func), "") for inner in ast.walk(node) if isinstance(inner, ast.Call)}


def _may_change(modules: Modules, function: str) -> bool:
    """Tell whether a function named like that is the notebook's or a library's, and no drawing or builtin one."""
    if function in modules.notebook.imported:
        module, name = modules.notebook.imported[function]
        return first_of(module) not in _DRAWING and not modules.passed_over(module, name)
    return any(_is_function_or_class(modules.statement(place)) for place in modules.bound(NOTEBOOK, function))


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _is_function_or_class(statement: Statement) -> bool:
    return statement.definition and not statement.variable


def _from_room_passed_over(modules: Modules, statement: Statement) -> bool:
    """Tell whether a variable is nothing but what a room that is passed over returned, such as the run."""
    value = getattr(statement.node, "value", None)
    if not statement.variable or not isinstance(value, ast.Call):
        return False
    module, name = modules.notebook.imported.get(first_of(next(dotted(value.func), "")), ("", None))
    return of_package(module) and modules.passed_over(module, name)
