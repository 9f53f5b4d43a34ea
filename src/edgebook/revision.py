"""Which commit the checkout is at, for records and tables."""

from __future__ import annotations

import subprocess
from pathlib import Path


def revision(root: Path) -> tuple[str | None, bool]:
    """Return the commit of a checkout, and whether it holds changes beside it; None and True outside a repository."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    return git("rev-parse", "HEAD"), git("status", "--porcelain") != ""
