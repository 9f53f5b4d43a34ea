"""Real prose that is always at hand: what the docstrings of installed packages say, read without importing them.

Twenty packages are twenty classes, a stand-in for newsgroups; a description and its first line are a text and its
summary. Texts differ a little between versions of the packages.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

SOURCES = (
    "PIL", "asyncio", "captum", "datasets", "email", "flwr", "matplotlib", "networkx", "numpy", "pandas",
    "scipy.optimize", "scipy.signal", "scipy.sparse", "scipy.stats", "skimage", "sklearn", "snntorch", "sympy",
    "torch", "torchvision",
)  # fmt: skip
# A word with the name of a package in it; "pil" is in too many others.
_PARTS = "|".join(sorted({part.lower() for source in SOURCES for part in source.split(".")} - {"pil"}, reverse=True))
NAMES = re.compile(rf"\b(?:\w*(?:{_PARTS})\w*|pil|pillow)\b")
MASK = "it"  # stands where a package is named
# Where prose ends and lists of arguments or code begin: a rule, a heading of arguments, an example, a field.
_END = re.compile(
    r"^\s*(-{3,}|={3,}|~{3,}|(Args|Arguments|Parameters|Returns|Raises|Examples?|Notes?)\b.*:?$|>>>|:\w+|\.\. )"
)
_LEAST = 8  # words of a description


class Docstring(NamedTuple):
    """What one docstring says."""

    source: str  #: the package, as in `SOURCES`
    file: str  #: where it stands, so that texts of one file stay on one side of a split
    first: str  #: its first line
    text: str  #: the prose behind it, packages' names masked, in lower case


@lru_cache(maxsize=4)
def docstrings(files: int = 60) -> tuple[Docstring, ...]:
    """Read the docstrings of the twenty packages, without importing any.

    Parameters
    ----------
    files : int
        So many files of each package, evenly spaced in alphabetical order.

    Returns
    -------
    tuple of Docstring
        Each text once, those with at least eight words of prose behind the first line.

    Raises
    ------
    ValueError
        Fewer than one file.
    FileNotFoundError
        A package that is not installed.

    Examples
    --------
    >>> found = docstrings(files=1)
    >>> {one.source for one in found} <= set(SOURCES)
    True
    """
    if files < 1:
        raise ValueError(f"files must be at least 1, got {files}.")
    seen: set[str] = set()
    found: list[Docstring] = []
    for source in SOURCES:
        folder = _folder(source)
        paths = sorted(path for path in folder.rglob("*.py") if not {"tests", "testing"} & {*path.parts})
        for path in [paths[k * len(paths) // files] for k in range(files)] if len(paths) > files else paths:
            for text in _written(path):
                first, rest = prose(text)
                if len(rest.split()) >= _LEAST and rest not in seen and not _END.match(text):
                    seen.add(rest)
                    found.append(Docstring(source, f"{source}/{path.relative_to(folder)}", first, rest))
    return tuple(found)


def prose(docstring: str) -> tuple[str, str]:
    """Return the first line of a docstring and the prose behind it, in lower case, names of packages masked."""
    lines = docstring.strip().splitlines()
    kept: list[str] = []
    for line, following in zip(lines[1:], [*lines[2:], ""], strict=False):
        if _END.match(line) or re.match(r"^\s*[-=~]{3,}\s*$", following):
            break
        kept.append(line)
    first, rest = (
        " ".join(NAMES.sub(MASK, part.lower()).split()) for part in (lines[0] if lines else "", " ".join(kept))
    )
    return first, rest


def _folder(source: str) -> Path:
    """Return where a package lies, found by its name alone."""
    places = sysconfig.get_paths()
    for place in ("purelib", "platlib", "stdlib"):
        folder = Path(places[place], *source.split("."))
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"The docstrings of {source} are wanted, which is not installed.")


def _written(path: Path) -> Iterator[str]:
    """Yield the docstrings of a file: its own and those of its classes and functions."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):  # a template, or another encoding
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text
