"""What became of a point: one file, written when all else is there, for a point that failed too; and sweeps in words.

A notebook that fails is a result of a sweep as well: its point is finished, and other points do not wait for it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgebook import notebooks
from edgebook.notebooks import runner
from edgebook.notebooks.files import write_whole
from edgebook.notebooks.paths import project_root, revision
from edgebook.sweeps.points import Point, points_of
from edgebook.sweeps.sweep_file import load, sweep_names

FILE = "outcome.json"


def run_point(point: Point) -> dict[str, Any]:
    """Execute a point and return its outcome, which is also written into the point's folder, last of all.

    The folder gets ``<notebook>.ipynb``, executed as far as it came, and ``outcome.json``: a ``status``, done or
    failed, a ``message``, and what is known of the run. What an earlier run left there is removed first.
    """
    executed, record, metrics = (point.folder / f"{point.notebook}.{end}" for end in ("ipynb", "json", "metrics.json"))
    point.folder.mkdir(parents=True, exist_ok=True)
    for path in (point.folder / FILE, executed, record, metrics):
        path.unlink(missing_ok=True)
    clock = time.perf_counter()
    commit, dirty = revision(project_root())
    said = ""
    try:
        asked = {"tier": point.tier, "settings": point.settings, "timeout": point.limit}
        runner.run(point.notebook, **asked, out=point.folder, failed=executed)
    except runner.RunError as error:
        said = error.said
        if not executed.is_file():  # nothing of it could be kept
            shutil.copyfile(notebooks.find(point.notebook), executed)
    found = _read(record)
    if found is not None and found["fingerprint"] != point.fingerprint:
        said = f"{point.notebook}: the notebook or a kernel was changed while it ran"
    outcome = {
        "status": "failed" if said else "done", "message": said, "seconds": round(time.perf_counter() - clock, 1),
        "commit": commit, "dirty": dirty, "fingerprint": point.fingerprint,
        "record": None if said else found, "metrics": None if said else _read(metrics),
    }  # fmt: skip
    write_whole(point.folder / FILE, json.dumps(outcome))
    return outcome


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """Return the outcome that lies in a folder, None where the point has not been finished."""
    return _read(folder / FILE)


def forget_failures(folders: Iterable[Path]) -> int:
    """Remove the outcomes of points that failed, so that they are run again; return how many there were.

    Their notebooks stay until then.
    """
    failed = [folder for folder in folders if _state(read_outcome(folder)) == "failed"]
    for folder in failed:
        (folder / FILE).unlink()
    return len(failed)


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
    states = [_state(outcome) for outcome in outcomes]
    found = zip(points, outcomes, states, strict=True)
    shown = [(point, outcome) for point, outcome, state in found if state != "done" or not only_problems]
    lines = [_line(point, outcome, varied) for point, outcome in shown]
    counted = ", ".join(f"{states.count(state)} {state}" for state in ("done", "failed", "not run") if state in states)
    lines.append(f"{name}: {len(points)} points, {counted}.")
    return "\n".join(lines), set(states) == {"done"}


def _line(point: Point, outcome: dict[str, Any] | None, varied: list[str]) -> str:
    text = f"{point.id}  {_state(outcome):8s} {point.label(varied)}"
    if outcome is None or outcome["status"] == "done":
        return text
    kept = point.folder / f"{point.notebook}.ipynb"
    return f"{text}\n  {outcome['message']}; its notebook is at {os.path.relpath(kept)}"


def _state(outcome: dict[str, Any] | None) -> str:
    return "not run" if outcome is None else outcome["status"]


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(FileNotFoundError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None
