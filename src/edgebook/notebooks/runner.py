"""Run one notebook strictly: known parameters, its own processes, a wall-clock limit, whole or not at all.

The notebook is executed by `edgebook.notebooks.worker` in a process of its own, into a private folder.
Only when all of it has succeeded do the executed notebook and its record move to where they belong.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgebook import notebooks
from edgebook.notebooks.files import write_whole
from edgebook.notebooks.paths import project_root

_THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")
# glibc returns large tensors to the system when they are freed, and fetching them again took a sixth of a training.
_MEMORY_KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
_FOLDERS = ("EDGEBOOK_DATA", "EDGEBOOK_RESUME")


class RunError(RuntimeError):
    """A notebook that was started did not finish; the message is one sentence.

    ``said`` is what went wrong, without the place of the notebook that was kept.
    """

    def __init__(self, said: str, kept: Path | None = None) -> None:
        super().__init__(f"{said}; the notebook with its traceback is at {kept}." if kept else f"{said}.")
        self.said = said


class _NoKernelError(RunError):
    """The kernel did not start, so that no cell has been executed."""


def run(
    name: str,
    *,
    tier: str = "book",
    settings: Mapping[str, object] | None = None,
    out: Path | str | None = None,
    failed: Path | str | None = None,
    timeout: float | None = None,
) -> Path:
    """Execute a paper's notebook or a page, with ``settings`` before the tier's values; return the executed copy.

    It goes with its record to the folder ``out``, by default ``_build/runs/<tier>``; one that fails is kept at
    ``failed``, by default ``_build/failed/<name>.ipynb``. ``timeout`` is in seconds, by default the tier's limit.

    A `ValueError` before anything is executed: an unknown notebook, tier or parameter, a value of the wrong type, or a
    limit that is not positive. A `RunError` where the notebook raised, took too long, or its kernel died; earlier
    results in ``out`` are then as they were.
    """
    source = notebooks.find(name)
    values = notebooks.resolve(name, tier, settings)
    limit = notebooks.TIERS[tier].limit if timeout is None else timeout
    if limit is not None and not limit > 0:
        raise ValueError(f"The time limit must be above 0 seconds, not {limit:g}.")
    folder = Path(out).expanduser().resolve() if out else project_root() / "_build" / "runs" / tier
    kept = Path(failed).expanduser().resolve() if failed else project_root() / "_build" / "failed" / source.name
    try:
        return _attempt(source, changed(name, values), limit, folder, kept)
    except _NoKernelError:  # it happens on a machine that is short of memory or processes for a moment
        return _attempt(source, changed(name, values), limit, folder, kept)


def prepare(tier: str, out: Path | str) -> list[Path]:
    """Write every notebook, not executed, with the parameter values of a tier into the folder ``out``.

    Nothing is written where a `ValueError` says that the tier is unknown or a file is not as it should be.
    """
    names = [*notebooks.paper_names(), *notebooks.page_names()]
    jobs = [(name, changed(name, notebooks.resolve(name, tier))) for name in names]
    from edgebook.notebooks.worker import prepared

    folder = Path(out).expanduser().resolve()
    with _private_folder() as private:
        for name, values in jobs:
            prepared(notebooks.find(name), private / f"{name}.ipynb", values)
        return [_publish(private / f"{name}.ipynb", folder / f"{name}.ipynb") for name, _ in jobs]


def changed(name: str, values: Mapping[str, object]) -> dict[str, object]:
    """Return the values that differ from a notebook's defaults: only those are shown in an injected cell."""
    declared = notebooks.parameters(notebooks.find(name))
    return {key: value for key, value in values.items() if value != declared[key].default}


def _attempt(source: Path, values: Mapping[str, object], limit: float | None, folder: Path, kept: Path) -> Path:
    with _private_folder() as private:
        outcome = _execute(source, values, private, limit)
        if outcome["status"] == "no kernel":
            raise _NoKernelError(f"{source.stem}: {outcome['message']}")
        if outcome["status"] != "done":
            raise RunError(f"{source.stem}: {outcome['message']}", _keep_failure(private, kept))
        for record in sorted((private / "out").glob("*.json")):
            _publish(record, folder / record.name)
        return _publish(private / "notebook.ipynb", folder / source.name)


@contextmanager
def _private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="edgebook-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _execute(source: Path, values: Mapping[str, Any], private: Path, limit: float | None) -> dict[str, str]:
    """Run the worker to its end or to the limit; return its outcome, a status and a message."""
    for name in ("out", "cwd"):
        (private / name).mkdir()
    job = {"source": str(source), "values": dict(values), "private": str(private)}
    (private / "job.json").write_text(json.dumps(job), encoding="utf-8")
    lifeline, held = os.pipe()
    worker = subprocess.Popen(
        [sys.executable, "-m", "edgebook.notebooks.worker", str(private / "job.json"), str(lifeline)],
        env=_environment(private),
        stdin=subprocess.DEVNULL,
        pass_fds=(lifeline,),
        start_new_session=True,
    )
    os.close(lifeline)
    try:
        worker.wait(limit)
    except subprocess.TimeoutExpired:
        return {"status": "failed", "message": f"stopped {_place(private)}after its limit of {limit:g} s"}
    finally:
        _end(worker, held)
    try:
        return json.loads((private / "outcome.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        ended = f"ended with exit code {worker.returncode}"
        return {"status": "failed", "message": f"the process that ran it {ended} {_place(private)}".rstrip()}


def _end(worker: subprocess.Popen[bytes], held: int) -> None:
    """Have the worker kill all its descendants and itself, which it also does when this process is killed."""
    with suppress(BrokenPipeError):
        os.write(held, b"k")  # the private folder is ours to remove
    os.close(held)
    try:
        worker.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _place(private: Path) -> str:
    """Return "in cell N " where a worker that can no longer speak had got to."""
    try:
        return f"in cell {(private / 'cell').read_text(encoding='utf-8')} "
    except FileNotFoundError:
        return ""


def _environment(private: Path) -> dict[str, str]:
    """Return the environment of worker and kernel: this interpreter, one thread, no settings of Jupyter's."""
    env = {f"{library}_NUM_THREADS": "1" for library in _THREADS} | _MEMORY_KEPT | os.environ
    env.pop("MPLBACKEND", None)  # it would hide the figures
    for key in _FOLDERS:
        if env.get(key):
            env[key] = str(Path(env[key]).expanduser().resolve())
    if env.get("PYTHONPATH"):  # the kernel has another working directory
        folders = env["PYTHONPATH"].split(os.pathsep)
        env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(folder) for folder in folders if folder)
    kernel = private / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3 (ipykernel)", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return env | {
        "EDGEBOOK_ROOT": str(project_root()),
        "EDGEBOOK_OUT": str(private / "out"),
        "EDGEBOOK_RUNNER": "1",
        "IPYTHONDIR": str(private / "ipython"),
        "JUPYTER_PATH": str(private / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(private / "config"),
        "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
    }


def _keep_failure(private: Path, target: Path) -> Path | None:
    """Keep what was executed for reading; return where it is, or None where nothing of it can be read."""
    executed = private / "notebook.ipynb"
    try:
        notebooks.cells(executed)
    except (ValueError, FileNotFoundError):  # killed before, or while, it was written
        return None
    return _publish(executed, target)


def _publish(file: Path, target: Path) -> Path:
    return write_whole(target, lambda part: shutil.copyfile(file, part))
