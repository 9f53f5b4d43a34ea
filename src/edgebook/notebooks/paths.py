"""Where the checkout is: the one place that turns "the project" into a folder."""

from __future__ import annotations

import os
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
