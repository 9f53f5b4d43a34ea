"""Files are written whole or not at all, and refused in one sentence that names the nearest thing that would do."""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from edgebook.notebooks.paths import project_root

if TYPE_CHECKING:  # it takes seconds to import, which most commands do without
    from pydantic import BaseModel, ValidationError

    M = TypeVar("M", bound=BaseModel)


def write_whole(target: Path, content: str | Callable[[Path], object]) -> Path:
    """Write a text, or have a function write, beside the target; put it there when it is whole and on the disk.

    A reader sees the earlier file or the new one, never half of either; so does one who comes after a kill.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if isinstance(content, str):
            part.write_text(content, encoding="utf-8")
        else:
            content(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def read_yaml(path: Path, name: str) -> Any:
    """Read a YAML file, which messages call ``name``; a `ValueError` where it is none, or a key stands twice."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is not YAML: {' '.join(str(error).split())}.") from None


def read_plain(path: str) -> dict[str, Any]:
    """Read a YAML file of the checkout as it is, {} without it: its model, which 'check' uses, is slow to import."""
    file = project_root() / path
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def read_model(path: Path, model: type[M], name: str, what: str = "") -> M:
    """Read a JSON or YAML file through a strict model; ``name``, and ``what`` it should be, begin the message.

    A `ValueError` where the file does not fit the model: a sentence with the first field that is wrong.
    """
    from pydantic import ValidationError

    try:
        if path.suffix == ".json":
            return model.model_validate_json(path.read_text(encoding="utf-8"))
        return model.model_validate(read_yaml(path, name))
    except ValidationError as error:
        lead = f"{name} is no valid {what}" if what else name
        raise ValueError(f"{lead}: {_first_problem(error, model)}") from None


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return the end of an error sentence: the nearest allowed name, or all of them where none is near.

    >>> nearest("ful", ["quick", "full"])
    "did you mean 'full'?"
    """
    names = list(allowed)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.4)
    return f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(names) or 'none'}."


def parse_python(source: str, name: str = "<unknown>") -> ast.Module:
    """Parse Python, once more where CPython 3.11 stumbles: its parser is not safe from other threads (gh-106905)."""
    try:
        return ast.parse(source, name)
    except SystemError:
        return ast.parse(source, name)


def require(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is not known, with the nearest one that is: a `ValueError` of one sentence."""
    known = list(known)
    if name not in known:
        raise ValueError(f"There is no {kind} '{name}'; {nearest(name, known)}")


class _OnceLoader(yaml.SafeLoader):
    """Reads YAML, but refuses a key that stands twice in one place: the second would replace the first unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = [key.value for key, _ in node.value]
        for key in seen:
            if seen.count(key) > 1:
                raise yaml.YAMLError(f"'{key}' stands twice in line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)


def _first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        allowed = [field.alias or name for name, field in model.model_fields.items()]
        return f"there is no key '{place}'; {nearest(place, allowed)}"
    if first["type"] == "model_type":
        kind = model.__name__.lower()
        return f"it must map the keys of {'an' if kind[0] in 'aeiou' else 'a'} {kind} to values."
    said = first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}." if place else f"{said}."
