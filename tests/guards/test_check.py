"""What ``python -m edgebook check`` looks at, it finds in order; tests/runner/test_check*.py show that it looks."""

from __future__ import annotations

from pathlib import Path

from edgebook import notebooks
from edgebook.pages.check import check


def test_the_check_finds_nothing(root: Path) -> None:
    assert notebooks.paper_names() and notebooks.page_names(), "nothing to check"
    assert check(root) == []
