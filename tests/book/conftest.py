"""The extensions of the book, which lie in no package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def extension(root: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Import an extension of the book by its name."""
    folder = str(root / "book" / "_ext")
    sys.path.insert(0, folder)
    yield import_module
    sys.path.remove(folder)
