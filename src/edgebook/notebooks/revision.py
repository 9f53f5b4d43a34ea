"""Which commit the checkout is at, for records and tables."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


def revision(root: Path) -> tuple[str | None, bool]:
    """Return the commit of a checkout, and whether it holds changes beside it; None and True outside a repository."""
    return _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain") != ""


def changed_files(root: Path, paths: Sequence[str]) -> list[str]:
    """Return the files under some paths that differ from the commit; all of ``paths`` outside a repository."""
    found = _git(root, "status", "--porcelain", "--", *paths)
    return list(paths) if found is None else [line[2:].strip() for line in found.splitlines()]


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip()
