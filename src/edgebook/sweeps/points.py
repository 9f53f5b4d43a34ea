"""The points of a sweep: every parameter of each, and the id under which its result is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from edgebook import notebooks
from edgebook.notebooks import sources
from edgebook.notebooks.files import read_plain
from edgebook.notebooks.paths import project_root
from edgebook.sweeps.sweep_file import RESERVED, Sweep, load


class Point(NamedTuple):
    """One run of a notebook.

    ``fingerprint`` is that of the notebook and the kernels that it uses, ``settings`` are the values that the sweep
    sets, and ``values`` those of all parameters, the tier among them.
    """

    id: str
    fingerprint: str
    notebook: str
    tier: str
    settings: dict[str, notebooks.Value]
    values: dict[str, notebooks.Value]
    limit: float | None  # seconds; None is the tier's

    @property
    def folder(self) -> Path:
        """Where the executed notebook and the outcome go."""
        return project_root() / "_build" / "points" / self.id

    def label(self, varied: list[str]) -> str:
        """Say in a few words which point this is."""
        return " ".join(f"{name}={self.values[name]}" for name in varied)


def points_of(name: str) -> list[Point]:
    """Return the points of a sweep, in the order of its file; the last parameter of a grid varies fastest."""
    sweep = load(name)
    try:
        return _points(sweep)
    except ValueError as error:
        raise ValueError(f"notebooks/sweeps/{name}.yml: {error}") from None


def find_point(sweep: str, identity: str) -> Point:
    """Return the point of a sweep with an id; a `ValueError` where it has no such point by now."""
    for point in points_of(sweep):
        if point.id == identity:
            return point
    why = "its file, the notebook or a kernel has changed"
    raise ValueError(f"The sweep '{sweep}' has no point {identity}: {why}; start it again.")


def point_id(notebook: str, values: Mapping[str, object], fingerprint: str) -> str:
    """Return the id of a run: the same for the same parameters, notebook and kernels, whichever sweep asks for it."""
    key = json.dumps([notebook, dict(values), fingerprint], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _points(sweep: Sweep) -> list[Point]:
    source = notebooks.find(sweep.notebook)
    _check_names(sweep)
    fingerprint = sources.fingerprint(source)
    found: dict[str, Point] = {}
    for settings in _settings(sweep):
        values = notebooks.resolve(sweep.notebook, sweep.tier, settings)
        identity = point_id(sweep.notebook, values, fingerprint)
        given = {name: values[name] for name in settings}  # in their types
        point = Point(identity, fingerprint, sweep.notebook, sweep.tier, given, values, sweep.limit)
        if point.id in found:
            raise ValueError(f"The point {point.label(sweep.varied)} stands more than once.")
        found[point.id] = point
    return list(found.values())


def _settings(sweep: Sweep) -> list[dict[str, Any]]:
    if sweep.listed is not None:
        return [sweep.fixed | point for point in sweep.listed]
    grid = sweep.grid or {}
    return [sweep.fixed | dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def _check_names(sweep: Sweep) -> None:
    """Refuse what `edgebook.notebooks.resolve` does not look at."""
    for name in notebooks.parameters(notebooks.find(sweep.notebook)):
        if name in RESERVED:
            raise ValueError(f"The parameter '{name}' of '{sweep.notebook}' has the name of a column of the table.")
    claims = read_plain(f"book/claims/{sweep.notebook}.yml").get("claims", []) if sweep.shows else []
    known = [str(claim.get("id")) for claim in claims]
    for claim in sweep.shows:
        if claim not in known:
            near = notebooks.nearest(claim, known)
            raise ValueError(f"The ledger of '{sweep.notebook}' has no claim '{claim}'; {near}")
