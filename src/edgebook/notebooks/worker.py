"""The process that executes a notebook for `edgebook.notebooks.runner`, and takes its kernel along when it must go."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# Nothing of these is used here, and all that imports them does without them. jsonschema, which nbformat imports, would
# build a grammar of web addresses, more than a second for each run, and papermill would load Arrow with NumPy.
# Another process that imports this module may well use them.
if __name__ == "__main__":
    for _heavy in ("rfc3987_syntax", "isoduration", "pyarrow.fs"):
        sys.modules.setdefault(_heavy, None)  # type: ignore[arg-type]

import nbformat
import papermill
import psutil
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

_METADATA = ("papermill", "execution")  # paths of this machine, and times that differ from run to run
_TOLD = 10  # cells of a run that are told without a terminal
_BESIDE = 60  # characters of the notebook's own words beside papermill's bar


def prepared(source: Path, target: Path, values: Mapping[str, object]) -> None:
    """Write a notebook with the parameter values injected, not executed."""
    logging.getLogger("papermill").setLevel(logging.WARNING)
    papermill.execute_notebook(source, target, dict(values), kernel_name="python3", prepare_only=True)
    tidy(target, machine=[])


def tidy(path: Path, machine: list[str]) -> None:
    """Strip a notebook of what differs from run to run: papermill's metadata, and paths of this machine."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"  # papermill draws one anew each time
    for holder in (notebook, *notebook.cells):
        for key in _METADATA:
            holder.metadata.pop(key, None)
        holder.metadata = nbformat.from_dict(_without(holder.metadata, machine))
    nbformat.write(notebook, path)


def _without(value: Any, machine: list[str]) -> Any:
    """Return nested metadata without the strings in which one of the paths in ``machine`` occurs."""

    def named(item: Any) -> bool:
        return isinstance(item, str) and any(path in item for path in machine)

    if isinstance(value, dict):
        return {key: _without(item, machine) for key, item in value.items() if not named(item)}
    if isinstance(value, list):
        return [_without(item, machine) for item in value if not named(item)]
    return value


class _Said:
    """What a notebook writes to stderr, such as its progress bars: beside papermill's bar, or as it is without one."""

    bar: Any = None

    def write(self, text: str) -> None:
        lines = [line for line in re.split(r"[\r\n]+", re.sub(r"\|.*\|", "", text)) if line.strip()]
        if self.bar is None:
            tell(text)
        elif lines:
            self.bar.set_postfix_str(" ".join(lines[-1].split())[:_BESIDE])

    def flush(self) -> None:
        """Nothing is held back."""


def tell(text: str) -> None:
    """Write to stderr at once; that nobody reads it any more is no reason to stop a run."""
    with suppress(BrokenPipeError):
        print(text, end="", file=sys.stderr, flush=True)


class _Watched(NBClientEngine):
    """papermill's engine; before each code cell it notes the cell's number, and tells every tenth off a terminal."""

    name: str
    note: Path
    said: _Said

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        start = nb_man.cell_start
        code = [index for index, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
        cls.said.bar = nb_man.pbar

        def cell_start(cell: Any, cell_index: int | None = None, **rest: Any) -> Any:
            if cell_index in code:
                number = code.index(cell_index) + 1
                cls.note.write_text(str(number), encoding="utf-8")
                if nb_man.pbar is None and number * _TOLD // len(code) > (number - 1) * _TOLD // len(code):
                    tell(f"{cls.name}: cell {number} of {len(code)}\n")
            return start(cell, cell_index, **rest)

        nb_man.cell_start = cell_start
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


papermill_engines.register("edgebook", _Watched)


def execute(source: Path, values: Mapping[str, Any], private: Path) -> dict[str, str]:
    """Execute a notebook into the folder ``private``; return a status and what to say of it.

    Kernel and worker talk through sockets in that folder: TCP ports can be taken by another run.
    """
    _Watched.name, _Watched.note, _Watched.said = source.stem, private / "cell", _Said()
    target = private / "notebook.ipynb"
    try:
        papermill.execute_notebook(
            source,
            target,
            dict(values),
            engine_name="edgebook",
            kernel_name="python3",
            cwd=private / "cwd",
            stderr_file=_Watched.said,
            config=Config(KernelManager={"transport": "ipc", "ip": str(private / "kernel")}),
            shutdown_kernel="immediate",  # the interrupt that goes before a graceful one can cost five seconds
            progress_bar={"desc": source.stem, "leave": False, "dynamic_ncols": True} if sys.stderr.isatty() else False,
        )
    except PapermillExecutionError as error:
        tidy(target, [])
        said = " ".join(f"{error.ename}: {error.evalue}".split()).removesuffix(".")
        return {"status": "failed", "message": f"cell {error.exec_count or _Watched.note.read_text()}: {said}"}
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(".")
        if not _Watched.note.exists():
            return {"status": "no kernel", "message": f"no kernel could be started: {said}"}
        return {"status": "failed", "message": f"the kernel died in cell {_Watched.note.read_text()}: {said}"}
    code = [cell for cell in nbformat.read(target, as_version=4).cells if cell.cell_type == "code"]
    skipped = [number for number, cell in enumerate(code, 1) if cell.source.strip() and not cell.execution_count]
    if skipped:  # papermill takes sys.exit() for success
        return {"status": "failed", "message": f"the notebook ended itself before cell {skipped[0]}"}
    tidy(target, [str(private), str(Path(os.environ["EDGEBOOK_ROOT"])), str(Path.home())])
    return {"status": "done", "message": ""}


class _Watcher(threading.Thread):
    """Waits until the runner lets go of its end of a pipe; then kills every descendant and this process."""

    def __init__(self, lifeline: int, private: Path) -> None:
        super().__init__(daemon=True)
        self.lifeline, self.private = lifeline, private
        self.leaving, self.finished = threading.Event(), threading.Event()

    def run(self) -> None:
        alone = os.read(self.lifeline, 1) == b""
        self.leaving.set()
        descendants = psutil.Process().children(recursive=True)
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(descendants, timeout=5)
        if alone:  # nobody else is left to remove the folder, in which the main thread may still be writing
            self.finished.wait(5)
            shutil.rmtree(self.private, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)


def main(job: Path, lifeline: int) -> None:
    """Execute the job that the runner wrote down, and write down its outcome."""
    task = json.loads(job.read_text(encoding="utf-8"))
    private = Path(task["private"])
    watcher = _Watcher(lifeline, private)
    watcher.start()
    outcome = execute(Path(task["source"]), task["values"], private)
    (private / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
    watcher.finished.set()
    if watcher.leaving.is_set():
        watcher.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
