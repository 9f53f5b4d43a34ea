"""Numbers of a notebook that belong to no claim, handed over for the table of a sweep."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgebook.paths import project_root


def save_metrics(notebook: str, metrics: Mapping[str, float | Sequence[float]]) -> Path:
    """Write ``<notebook>.metrics.json`` beside the record of this run; nothing in it is judged.

    Parameters
    ----------
    notebook : str
        Name of the notebook, without suffix.
    metrics : mapping of name to values
        A number, or one number per seed.

    Returns
    -------
    Path
        The file, in ``EDGEBOOK_OUT`` or else in ``_build/runs``.

    Raises
    ------
    ValueError
        A metric has no value, or one that is not finite.
    """
    found = {name: [float(value) for value in _listed(given)] for name, given in metrics.items()}
    for name, values in found.items():
        if not values or not all(map(math.isfinite, values)):
            raise ValueError(f"The metric '{name}' must have finite values, got {values}.")
    folder = Path(os.environ.get("EDGEBOOK_OUT") or project_root() / "_build" / "runs")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{notebook}.metrics.json"
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.write_text(json.dumps(found), encoding="utf-8")
    os.replace(part, target)
    return target


def _listed(given: float | Sequence[float]) -> Sequence[float]:
    return given if isinstance(given, Sequence) else [given]
