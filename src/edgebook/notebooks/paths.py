"""The checkout: the one place that turns "the project" into a folder, and which commit it is at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_MARKERS = ("book/claims", "notebooks")


def _is_checkout(folder: Path) -> bool:
    return all((folder / marker).is_dir() for marker in _MARKERS)


def project_root() -> Path:
    """Return the folder of the checkout that notebooks, ledgers and records belong to.

    Looked for in this order: the environment variable ``EDGEBOOK_ROOT``, the checkout around the installed package,
    the working directory and its parents. A `FileNotFoundError` where none holds ``book/claims`` and ``notebooks``.
    """
    named = os.environ.get("EDGEBOOK_ROOT")
    if named:
        root = Path(named).expanduser().resolve()
        if not _is_checkout(root):
            raise FileNotFoundError(f"EDGEBOOK_ROOT is {root}, which holds no book/claims and notebooks.")
        return root
    here = Path.cwd().resolve()
    for folder in (Path(__file__).resolve().parents[3], here, *here.parents):
        if _is_checkout(folder):
            return folder
    raise FileNotFoundError("No checkout of the project found: run inside one, or set EDGEBOOK_ROOT to its folder.")


def revision(root: Path) -> tuple[str | None, bool]:
    """Return the commit of a checkout, and whether it holds changes beside it; None and True outside a repository.

    What runs have written into ``results`` is no such change: the second paper recorded in a row has the same code.
    """
    return _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--", ".", ":(exclude)results") != ""


def changed_files(root: Path, paths: Sequence[str]) -> list[str]:
    """Return the files under some paths that differ from the commit; all of ``paths`` outside a repository."""
    found = _git(root, "status", "--porcelain", "--", *paths)
    return list(paths) if found is None else [line[2:].strip() for line in found.splitlines()]


def committed(root: Path, path: str) -> str | None:
    """Return a file of a checkout as the commit has it; None where it has none, and outside a repository."""
    return _git(root, "show", f"HEAD:./{path}")


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip()
