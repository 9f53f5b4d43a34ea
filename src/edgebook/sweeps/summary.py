"""A sweep in words: which there are, and what became of each point of one."""

from __future__ import annotations

import os
from typing import Any

from edgebook.sweeps.outcome import read_outcome
from edgebook.sweeps.points import Point, points_of
from edgebook.sweeps.sweep_file import load, sweep_names


def listed() -> str:
    """Return a line per sweep: its name, how many points it has of which notebook, and what it asks."""
    lines = []
    for name in sweep_names():
        sweep, points = load(name), points_of(name)
        lines.append(f"{name:22s} {len(points):3d} points of {sweep.notebook}, tier {sweep.tier}: {sweep.says}")
    return "\n".join(lines)


def told(name: str, only_problems: bool = False) -> tuple[str, bool]:
    """Return a line per point of a sweep and one that counts them, and whether all of them are done.

    ``only_problems`` leaves out the lines of points that are done.
    """
    varied, points = load(name).varied, points_of(name)
    outcomes = [read_outcome(point.folder) for point in points]
    found = zip(points, outcomes, strict=True)
    lines = [_line(point, outcome, varied) for point, outcome in found if not (only_problems and _done(outcome))]
    states = [_state(outcome) for outcome in outcomes]
    counted = ", ".join(f"{states.count(state)} {state}" for state in ("done", "failed", "not run") if state in states)
    lines.append(f"{name}: {len(points)} points, {counted}.")
    return "\n".join(lines), set(states) == {"done"}


def _line(point: Point, outcome: dict[str, Any] | None, varied: list[str]) -> str:
    text = f"{point.id}  {_state(outcome):8s} {point.label(varied)}"
    if outcome is None or _done(outcome):
        return text
    kept = point.folder / f"{point.notebook}.ipynb"
    return f"{text}\n  {outcome['message']}; its notebook is at {os.path.relpath(kept)}"


def _state(outcome: dict[str, Any] | None) -> str:
    return "not run" if outcome is None else outcome["status"]


def _done(outcome: dict[str, Any] | None) -> bool:
    return _state(outcome) == "done"
