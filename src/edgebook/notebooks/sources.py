"""What a notebook's numbers depend on, as a fingerprint: definitions are followed, not files.

From the names that the recording cell uses, each is followed to the statement that binds it, and from there the
names that this statement uses, within and across the modules of the package.
Where a definition stands counts for nothing, nor does what nobody reaches; names, bodies, defaults and decorators do.
Besides, statements that could act at a distance count wherever they are executed: one that sets a global default.
What cannot be told apart, such as a module that is handed on whole, counts as all of its module.
Everything is read from the sources, nothing is imported; data files are not seen.
"""

from __future__ import annotations

import ast
import hashlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from edgebook.notebooks import effects
from edgebook.notebooks.modules import NOTEBOOK, Modules, Place, code_cells, of_package
from edgebook.notebooks.statements import Statement

# They judge, draw, record or run; none of them can change a measured number.
WITHOUT_NUMBERS = ("__main__", "ledger", "notebooks", "pages", "style", "sweeps")


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change when a number recorded by a notebook could change.

    They cover what the cell that calls ``.record`` reaches; all cells where none does.
    Parameter cells are left out, for a record holds the values themselves, and so are the modules that only judge,
    draw or record.
    """
    cells = code_cells(Path(path))
    last = next((number for number, tree in enumerate(cells) if _records(tree)), None)
    if last is None:
        return _Walk(cells, WITHOUT_NUMBERS).from_all().digest()
    return _Walk(cells[: last + 1], WITHOUT_NUMBERS).from_nodes(cells[last].body).digest()


def page_fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change when anything could change that a page shows; all of it counts."""
    return _Walk(code_cells(Path(path))).from_all().digest()


def function_fingerprint(path: Path, name: str) -> str:
    """Return 16 hexadecimal digits that change when a function of a notebook could give another result.

    The function may be called anywhere in the notebook; a name that no cell binds stands for all cells.
    """
    walk = _Walk(code_cells(Path(path)), WITHOUT_NUMBERS)
    return walk.from_name(name).digest()


def _records(tree: ast.Module) -> bool:
    """Tell whether a cell calls a method named ``record`` or ``judge``."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(isinstance(function, ast.Attribute) and function.attr in ("record", "judge") for function in calls)


class _Walk:
    """Statements in the order in which they are reached; their numbers in that order stand for their places."""

    def __init__(self, cells: list[ast.Module], passed_over: Iterable[str] = ()) -> None:
        self._modules = Modules(cells, passed_over)
        self._number: dict[Place, int] = {}
        self._open: deque[Place] = deque()
        self._lines: list[str] = []

    def from_all(self) -> _Walk:
        return self.from_nodes(statement.node for statement in self._modules.notebook.statements)

    def from_nodes(self, nodes: Iterable[ast.stmt]) -> _Walk:
        """Start from the notebook's statements with these syntax trees."""
        chosen = {id(node) for node in nodes}
        for index, statement in enumerate(self._modules.notebook.statements):
            if id(statement.node) in chosen:
                self._reach((NOTEBOOK, index))
        return self

    def from_name(self, name: str) -> _Walk:
        """Start from what the notebook binds to a name, or from all of it where it does not."""
        places = self._modules.bound(NOTEBOOK, name)
        for place in places:
            self._reach(place)
        return self if places or name in self._modules.notebook.imported else self.from_all()

    def digest(self) -> str:
        """Follow everything and return the fingerprint."""
        self._follow()
        while acting := effects.in_notebook(self._modules, self._number):
            for place in acting:
                self._reach(place)
            self._follow()
        used = [module for module, _ in self._number if module != NOTEBOOK]
        for place in sorted(effects.in_modules(self._modules, used), key=lambda p: self._modules.statement(p).text):
            self._reach(place)
        self._follow()
        return hashlib.sha256("\n".join(self._lines).encode()).hexdigest()[:16]

    def _reach(self, place: Place) -> int:
        """Number a statement and put it among those to follow, unless that was done; return its number."""
        if place not in self._number:
            self._number[place] = len(self._number)
            self._open.append(place)
        return self._number[place]

    def _follow(self) -> None:
        while self._open:
            place = self._open.popleft()
            statement = self._modules.statement(place)
            self._lines.append(statement.text)
            for chain in self._used(statement):
                self._lines.append(f"  {chain} = {self._resolved(place[0], statement, chain)}")
            for string in sorted(statement.strings):
                if string.startswith("edgebook.") and string in self._modules:
                    self._lines.append(f"  {string} = {self._whole(string)}")

    @staticmethod
    def _used(statement: Statement) -> list[str]:
        """Return the dotted names that a statement uses; one that is no definition may bind what it imports."""
        bound = [] if statement.definition else statement.imports
        return sorted({*statement.chains, *bound})

    # Each of these reaches what a name stands for and returns it: numbers of statements, or words where there are none.

    def _resolved(self, module: str, statement: Statement, chain: str) -> str:
        """Reach what a dotted name in a statement stands for."""
        first, *rest = chain.split(".")
        if first in statement.imports:
            return self._target(*self._modules[module].target(statement.imports[first], first), rest)
        return self._member(module, first, rest)

    def _member(self, module: str, name: str, rest: list[str]) -> str:
        """Reach what a name of a module stands for, with the attributes that follow."""
        places = self._modules.bound(module, name)
        if places:
            return " ".join([str(self._reach(place)) for place in places])
        imported = self._modules[module].imported
        for known in (name, "*"):
            if known in imported:
                return self._target(*imported[known], rest)
        inner = f"{module}.{name}"
        return self._target(inner, None, rest) if inner in self._modules else "a parameter or a builtin"

    def _target(self, module: str, name: str | None, rest: list[str]) -> str:
        """Reach what an import binds."""
        if not of_package(module):
            return f"{module}.{name}" if name else module
        if name == "*" or (name is None and not rest):
            return self._whole(module)
        return self._attribute(module, name, rest) if name else self._attribute(module, rest[0], rest[1:])

    def _attribute(self, module: str, name: str, rest: list[str]) -> str:
        """Reach an attribute of a module of the package."""
        if self._modules.passed_over(module, name):
            return "no number"
        if module not in self._modules:
            return "missing"
        source, inner = self._modules[module], f"{module}.{name}"
        itself = source.imported.get(name) == (module, name)  # `from . import part` in the package of that part
        if not itself and (name in source.imported or name in source.places):
            return self._member(module, name, rest)
        return self._target(inner, None, rest) if inner in self._modules else self._whole(module)

    def _whole(self, module: str) -> str:
        """Reach all that a module holds, and for a package all that it imports."""
        if self._modules.passed_over(module, None):
            return "no number"
        if module not in self._modules:
            return "missing"
        source = self._modules[module]
        for index in range(len(source.statements)):
            self._reach((module, index))
        if source.package:
            for name, target in sorted(source.imported.items()):
                if target == (module, name):
                    if f"{module}.{name}" in self._modules:
                        self._whole(f"{module}.{name}")
                elif of_package(target[0]):
                    self._target(*target, [])
        return "all of a module"
