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
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from edgebook.notebooks.definitions import Source, Statement, code_cells, dotted, module_file, module_source

# They judge, draw, record or run; none of them can change a measured number.
WITHOUT_NUMBERS = ("__main__", "ledger", "notebooks", "pages", "style", "sweeps")
# Statistics stand beside the judge, but a notebook may compute a sample with them.
_WITH_NUMBERS_ALL_THE_SAME = ("edgebook.ledger.statistics",)
_DRAWING = ("matplotlib", "seaborn", "IPython", "tqdm")

_Place = tuple[str, int]  # a module, or "" for the notebook, and the index of a statement in it


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change when a number recorded by a notebook could change.

    They cover what the cell that calls ``.record`` reaches; all cells where none does.
    Parameter cells are left out, for a record holds the values themselves, and so are the modules that only judge,
    draw or record.
    """
    cells = code_cells(Path(path))
    last = _recording(cells)
    walk = _Walk(cells if last is None else cells[: last + 1], skip=WITHOUT_NUMBERS)
    roots = cells if last is None else cells[last : last + 1]
    walk.from_nodes({id(node) for tree in roots for node in tree.body})
    return walk.digest()


def page_fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change when anything could change that a page shows; all of it counts."""
    walk = _Walk(code_cells(Path(path)), skip=())
    walk.from_nodes(None)
    return walk.digest()


def function_fingerprint(path: Path, name: str) -> str:
    """Return 16 hexadecimal digits that change when a function of a notebook could give another result.

    The function may be called anywhere in the notebook; a name that no cell binds stands for all cells.
    """
    walk = _Walk(code_cells(Path(path)), skip=WITHOUT_NUMBERS)
    if not walk.from_name(name):
        walk.from_nodes(None)
    return walk.digest()


def _recording(cells: list[ast.Module]) -> int | None:
    """Return the first cell that calls a method named ``record`` or ``judge``, None where none does."""
    for position, tree in enumerate(cells):
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        if any(isinstance(function, ast.Attribute) and function.attr in ("record", "judge") for function in calls):
            return position
    return None


class _Walk:
    """Statements in the order in which they are reached; their numbers in that order stand for their places."""

    def __init__(self, cells: list[ast.Module], skip: tuple[str, ...]) -> None:
        self._notebook = Source(None, False, cells)
        self._skip = {f"edgebook.{name}" for name in skip}
        self._number: dict[_Place, int] = {}
        self._open: deque[_Place] = deque()
        self._lines: list[str] = []
        self._file = cache(module_file)
        self._source = cache(self._read)

    def from_nodes(self, nodes: set[int] | None) -> None:
        """Start from the notebook's statements with these syntax trees, or from all of them."""
        for index, statement in enumerate(self._notebook.statements):
            if nodes is None or id(statement.node) in nodes:
                self._reach(("", index))

    def from_name(self, name: str) -> bool:
        """Start from what the notebook binds to a name; tell whether it binds it."""
        found = list(self._bound("", name))
        for place in found:
            self._reach(place)
        return bool(found) or name in self._notebook.imported

    def digest(self) -> str:
        """Follow everything and return the fingerprint."""
        self._follow()
        while any([self._reach(place) for place in self._acting_in_notebook()]):
            self._follow()
        acting = sorted(self._acting_in_modules(), key=lambda place: self._statement(place).text)
        for place in acting:
            self._reach(place)
        self._follow()
        return hashlib.sha256("\n".join(self._lines).encode()).hexdigest()[:16]

    def _follow(self) -> None:
        while self._open:
            place = self._open.popleft()
            statement = self._statement(place)
            self._lines.append(statement.text)
            for chain in statement.chains:
                self._lines.append(f"  {chain} = {self._resolved(place[0], statement, chain)}")
            for string in sorted(statement.strings):
                if string.startswith("edgebook.") and self._is_module(string):
                    self._lines.append(f"  {string} = {self._whole(string)}")

    def _reach(self, place: _Place) -> bool:
        """Number a statement and put it among those to follow, unless that was done; tell whether it is new."""
        if place in self._number:
            return False
        self._number[place] = len(self._number)
        self._open.append(place)
        return True

    def _resolved(self, module: str, statement: Statement, chain: str) -> str:
        """Reach what a dotted name stands for and return it: numbers of statements, or a name of another package."""
        first, *rest = chain.split(".")
        if first in statement.imports:
            return self._target(*self._source(module).target(statement.imports[first], first), rest)
        return self._member(module, first, rest)

    def _member(self, module: str, name: str, rest: list[str]) -> str:
        """Reach what a name of a module stands for."""
        source = self._source(module)
        places = list(self._bound(module, name))
        if places:
            for place in places:
                self._reach(place)
            return " ".join(str(self._number[place]) for place in places)
        if name in source.imported:
            return self._target(*source.imported[name], rest)
        if "*" in source.imported:
            return self._target(*source.imported["*"], rest)
        inner = f"{module}.{name}"
        if module and self._is_module(inner):
            return self._target(inner, None, rest)
        return "a parameter or a builtin"

    def _target(self, module: str, name: str | None, rest: list[str]) -> str:
        """Reach what an import binds, with the attributes that follow."""
        if module.partition(".")[0] != "edgebook":
            return ".".join([module, *([name] if name else [])])
        if name == "*":
            return self._whole(module)
        if name is not None:
            return self._of_package(module, name, rest)
        return self._of_package(module, rest[0], rest[1:]) if rest else self._whole(module)

    def _of_package(self, module: str, name: str, rest: list[str]) -> str:
        if self._skipped(module, name):
            return "no number"
        if self._file(module) is None:
            return "missing"
        source = self._source(module)
        itself = source.imported.get(name) == (module, name)  # `from . import part` in the package of that part
        if not itself and (name in source.imported or name in source.places):
            return self._member(module, name, rest)
        if self._is_module(f"{module}.{name}"):
            return self._target(f"{module}.{name}", None, rest)
        return self._whole(module)

    def _whole(self, module: str) -> str:
        """Reach all that a module holds, and for a package all that it imports."""
        if self._skipped(module, None):
            return "no number"
        if self._file(module) is None:
            return "missing"
        source = self._source(module)
        for index in range(len(source.statements)):
            self._reach((module, index))
        if source.package:
            for name, target in sorted(source.imported.items()):
                if target[0].partition(".")[0] == "edgebook" and target != (module, name):
                    self._target(*target, [])
                elif target == (module, name) and self._is_module(f"{module}.{name}"):
                    self._whole(f"{module}.{name}")
        return "all of a module"

    def _acting_in_notebook(self) -> list[_Place]:
        """Return the notebook's statements that could change a reached variable, or something global."""
        statements = self._notebook.statements
        reached = [statements[index] for module, index in self._number if module == ""]
        variables = {name for one in reached if not self._from_skipped(one) for name in one.binds if _holds_data(one)}
        return [
            ("", index)
            for index, one in enumerate(statements)
            if ("", index) not in self._number
            and (any(map(self._may_change, one.setters)) or (not one.definition and self._changes(one.node, variables)))
        ]

    def _changes(self, node: ast.AST, variables: set[str]) -> bool:
        """Tell whether a statement stores into a variable, calls its methods, or hands it to a function of ours."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute | ast.Subscript | ast.Name) and not isinstance(inner.ctx, ast.Load):
                if next(dotted(inner), "").partition(".")[0] in variables:
                    return True
            elif isinstance(inner, ast.Call):
                first = next(dotted(inner.func), "").partition(".")[0]
                given = {argument.id for argument in inner.args if isinstance(argument, ast.Name)}
                if first in variables and isinstance(inner.func, ast.Attribute):
                    return True
                if given & variables and self._may_change(first):
                    return True
        return False

    def _may_change(self, function: str) -> bool:
        """Tell whether a function named like that is the notebook's or a library's, and no drawing or builtin one."""
        if function in self._notebook.imported:
            module, name = self._notebook.imported[function]
            return module.partition(".")[0] not in _DRAWING and not self._skipped(module, name)
        bound = [self._notebook.statements[index] for index in self._notebook.places.get(function, ())]
        return any(not statement.variable and statement.definition for statement in bound)

    def _from_skipped(self, statement: Statement) -> bool:
        """Tell whether a variable is nothing but what a room without numbers returned, such as the run."""
        value = getattr(statement.node, "value", None)
        if not statement.variable or not isinstance(value, ast.Call):
            return False
        module, name = self._notebook.imported.get(next(dotted(value.func), "").partition(".")[0], ("", None))
        return module.partition(".")[0] == "edgebook" and self._skipped(module, name)

    def _acting_in_modules(self) -> Iterator[_Place]:
        """Yield the statements that act at a distance in all modules that Python loads for the notebook."""
        seen: set[str] = set()
        waiting = [*self._notebook.loads, *(module for module, _ in self._number if module)]
        for statement in self._notebook.statements:
            waiting += self._loaded_inside(statement)
        while waiting:
            module = waiting.pop()
            for name in _with_packages_above(module):
                if name in seen or self._skipped(name, None) or self._file(name) is None:
                    continue
                seen.add(name)
                source = self._source(name)
                waiting += source.loads
                yield from ((name, i) for i, statement in enumerate(source.statements) if statement.acts)

    def _loaded_inside(self, statement: Statement) -> list[str]:
        targets = (self._notebook.target(node, name) for name, node in statement.imports.items())
        return [f"{module}.{name}" if name else module for module, name in targets]

    def _bound(self, module: str, name: str) -> Iterable[_Place]:
        return ((module, index) for index in self._source(module).places.get(name, ()))

    def _statement(self, place: _Place) -> Statement:
        return self._source(place[0]).statements[place[1]]

    def _read(self, module: str) -> Source:
        if not module:
            return self._notebook
        path = self._file(module)
        assert path is not None, module
        stat = path.stat()
        return module_source(path, module, stat.st_mtime_ns, stat.st_size)

    def _skipped(self, module: str, name: str | None) -> bool:
        """Tell whether a name lies in a room without numbers."""
        full = f"{module}.{name}" if name else module
        if any(f"{full}.".startswith(f"{kept}.") for kept in _WITH_NUMBERS_ALL_THE_SAME):
            return False
        if name is not None and self._file(module) is not None:
            origin = self._source(module).imported.get(name)
            if origin is not None and origin[0] in _WITH_NUMBERS_ALL_THE_SAME:
                return False
        room = ".".join(full.split(".")[:2])
        return room in self._skip

    def _is_module(self, name: str) -> bool:
        return self._file(name) is not None


def _holds_data(statement: Statement) -> bool:
    return statement.variable or not statement.definition


def _with_packages_above(module: str) -> Iterator[str]:
    """Yield a module of the package after all packages in which it lies; nothing for other packages."""
    parts = module.split(".")
    if parts[0] == "edgebook":
        yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
