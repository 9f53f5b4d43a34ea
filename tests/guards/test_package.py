"""What public kernels owe their users: a docstring that states inputs and outputs, and full annotations."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from enum import Enum
from itertools import pairwise
from pathlib import Path

import pytest

MOST_LINES = 300
# They judge, draw or run: what a name is for is said, and its arguments where they do not explain themselves.
PLUMBING = ("ledger", "notebooks", "pages", "sweeps")


def wings(root: Path) -> list[str]:
    return sorted(path.parent.name for path in (root / "src" / "edgebook").glob("*/__init__.py"))


def signature_of(thing: Callable[..., object]) -> inspect.Signature | None:
    if inspect.isclass(thing):
        if issubclass(thing, Enum | Exception) or "__init__" not in vars(thing):
            return None  # enumerations, errors, models and tuples list their fields themselves
        thing = vars(thing)["__init__"]
    return inspect.signature(thing)


def shortcomings(name: str, thing: Callable[..., object]) -> list[str]:
    """Say what a public function or class lacks."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    if not (text or "").strip():
        return [f"{name} has no docstring"]
    signature, found = signature_of(thing), []
    if signature is None:
        return found
    own = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    bare = [p.name for p in own if p.annotation is inspect.Parameter.empty]
    if bare:
        found.append(f"{name} does not annotate {', '.join(bare)}")
    if signature.return_annotation is inspect.Signature.empty:
        found.append(f"{name} does not annotate what it returns")
    sections = {title.strip() for title, rule in pairwise(text.splitlines()) if set(rule.strip()) == {"-"}}
    if own and "Parameters" not in sections:
        found.append(f"{name} has arguments and no Parameters section")
    gives = signature.return_annotation not in (None, "None", inspect.Signature.empty)
    if gives and not sections & {"Returns", "Yields"}:
        found.append(f"{name} returns something and has no Returns section")
    return found


def public(package: str) -> dict[str, Callable[..., object]]:
    """Return the functions and classes that a package offers, modules and constants left out."""
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    things = {name: getattr(module, name) for name in names}
    return {
        name: thing
        for name, thing in things.items()
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__.startswith(package)
    }


def test_public_kernels_are_documented(root: Path) -> None:
    offered = {f"edgebook.{wing}.{name}": thing for wing in wings(root) if wing not in PLUMBING
               for name, thing in public(f"edgebook.{wing}").items()}  # fmt: skip
    assert offered, "nothing to check"
    assert [problem for name, thing in offered.items() for problem in shortcomings(name, thing)] == []


def test_plumbing_is_documented() -> None:
    offered = {f"{room}.{name}": thing for room in PLUMBING for name, thing in public(f"edgebook.{room}").items()}
    assert offered
    assert [name for name, thing in offered.items() if not (thing.__doc__ or "").strip()] == []


def test_files_stay_short(root: Path) -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (root / "src").rglob("*.py")}
    assert sizes
    assert {str(path.relative_to(root)): n for path, n in sizes.items() if n > MOST_LINES} == {}


def _good(width: int) -> int:
    """Double.

    Parameters
    ----------
    width : int

    Returns
    -------
    int
    """
    return 2 * width


def _silent(width: int) -> None:
    """Do nothing."""


def _bare(width):
    """Double.

    Parameters
    ----------
    width : int
    """


@pytest.mark.parametrize(("thing", "words"), [
    (_good, []),
    (_silent, ["no Parameters"]),
    (_bare, ["annotate width", "annotate what it returns"]),
    (lambda: None, ["no docstring"]),
])  # fmt: skip
def test_shortcomings_are_seen(thing: Callable[..., object], words: list[str]) -> None:
    found = shortcomings("f", thing)
    assert len(found) == len(words)
    assert all(word in problem for word, problem in zip(words, found, strict=True))
