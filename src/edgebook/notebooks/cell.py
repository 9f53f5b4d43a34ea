"""The parameters cell of a notebook: what it declares, and which values it takes.

The cell holds flat ``name: int|float|str|bool = literal  # help`` lines and nothing else, which is the part
of Python that papermill's own reader understands too.
"""

from __future__ import annotations

import ast
import io
import json
import math
import tokenize
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from edgebook.notebooks.files import parse_python

Value = int | float | str | bool

TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
_TAKES = {int: "an int", float: "a finite float", str: "a str", bool: "a bool"}
FORM = "name: int|float|str|bool = literal  # help"


class Parameter(NamedTuple):
    """One line of a parameters cell; ``type`` is one of int, float, str and bool."""

    name: str
    type: type
    default: Value
    help: str


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook file, each ``source`` as one string; a `ValueError` where it is no notebook."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [{**cell, "source": "".join(cell["source"])} for cell in found]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a readable notebook: {error!r}.") from None


def tags(cell: Mapping[str, Any]) -> list[str]:
    """Return the tags of a notebook cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def parameters(path: Path) -> dict[str, Parameter]:
    """Read the cell tagged ``parameters``.

    A `ValueError` unless there is one such cell, and each of its lines is ``name: type = literal  # help``.
    """
    path = Path(path)
    stat = path.stat()
    return dict(_parameters(path, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=64)
def _parameters(path: Path, _mtime: int, _size: int) -> dict[str, Parameter]:
    """Read a notebook's parameters once for all points of a sweep."""
    tagged = [cell["source"] for cell in cells(path) if "parameters" in tags(cell)]
    if len(tagged) != 1:
        raise ValueError(f"{path.name} has {len(tagged)} cells tagged 'parameters'; it must have one.")
    source = tagged[0]
    try:
        statements = parse_python(source).body
    except SyntaxError as error:
        line = (error.text or "").strip() or f"line {error.lineno}"
        raise ValueError(f"Parameters cell of {path.name}: '{line}' is not '{FORM}'.") from None
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement in statements:
        line = source.splitlines()[statement.lineno - 1].strip()
        try:
            name, kind, default = _declaration(statement)
            if name in found:
                raise ValueError("is declared twice")
        except ValueError as error:
            raise ValueError(f"Parameters cell of {path.name}: '{line}' {error}.") from None
        found[name] = Parameter(name, kind, default, comments.get(statement.end_lineno or 0, ""))
    return found


def _comments(source: str) -> dict[int, str]:
    """Map line numbers to the comment at their end."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").rstrip() for t in tokens if t.type == tokenize.COMMENT}


def _declaration(statement: ast.stmt) -> tuple[str, type, Value]:
    """Take ``name: type = literal`` apart; what else it may be is refused with the end of a sentence."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind), value=ast.expr() as value):
            pass
        case _:
            raise ValueError(f"is not '{FORM}'")
    if kind not in TYPES:
        raise ValueError(f"has type {kind}; allowed: {', '.join(TYPES)}")
    match value:
        case ast.Constant(value=default):
            pass
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=number)) if type(number) in (int, float):
            default = -number
        case _:
            raise ValueError("has a default that is not a literal")
    # Not even an int for a float: papermill and Run All would hand over the int, the runner the float.
    if type(default) is not TYPES[kind]:
        raise ValueError(f"has a default that is not of type {kind}")
    if isinstance(default, str) and "=" in default:
        raise ValueError("has an equals sign in its default, which papermill cannot read")
    return name, TYPES[kind], default


def coerce(parameter: Parameter, value: object) -> Value:
    """Return ``value`` as the parameter's type; an int is taken for a float, and nothing else is converted.

    A `ValueError` where it has another type, or is not finite.
    """
    if parameter.type is float and type(value) is int:
        value = float(value)
    if type(value) is not parameter.type or (isinstance(value, float) and not math.isfinite(value)):
        text = parameter.type is float and isinstance(value, str)
        hint = " (YAML takes 1e-3 for text: write 1.0e-3)" if text else ""
        raise ValueError(f"Parameter '{parameter.name}' takes {_TAKES[parameter.type]}, not {value!r}{hint}.")
    return value


def parse(parameter: Parameter, text: str) -> Value:
    """Return the value that ``text``, from a command line, stands for; a `ValueError` where it has another type."""
    try:
        if parameter.type is bool:
            return {"true": True, "false": False}[text.lower()]
        return coerce(parameter, parameter.type(text))
    except (ValueError, KeyError):
        takes = "true or false" if parameter.type is bool else _TAKES[parameter.type]
        raise ValueError(f"Parameter '{parameter.name}' takes {takes}, not '{text}'.") from None
