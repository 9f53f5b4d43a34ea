"""A notebook that is executed without the runner: by papermill alone, in JupyterLab, by nbconvert.

Nothing then has looked at its parameters, and nothing says where its record goes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from edgebook.notebooks.catalogue import overrides, resolve
from edgebook.notebooks.cell import Value, parameters
from edgebook.notebooks.paths import committed, project_root

_NAMED = 3  # parameters that a refusal names one by one


def is_by_hand(namespace: Mapping[str, Any]) -> bool:
    """Tell whether these are the globals of a notebook that the runner did not start."""
    return "get_ipython" in namespace and "EDGEBOOK_RUNNER" not in os.environ


def changed_parameters(notebook: str, values: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the parameters whose values are not those of the tier that they name; the tier itself without any such.

    A default is what the commit has, where there is one: an editor may have saved another into the notebook.
    """
    try:
        known = resolve(notebook, str(values["tier"])) | _committed_defaults(notebook)
        known |= overrides(notebook, str(values["tier"])) | {"tier": values["tier"]}
    except ValueError:
        return ("tier",)
    return tuple(name for name, value in values.items() if value != known[name])


def require_tier(notebook: str, tier: str, differing: Sequence[str]) -> None:
    """Refuse a notebook that was given the name of a tier without its values; tier book is what one starts from."""
    if tier == "book" or not differing:
        return
    known = resolve(notebook, tier)  # refuses a tier that has no values
    few = ", ".join(f"{name} = {known[name]!r}" for name in differing[:_NAMED])
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    raise ValueError(
        f"tier {tier} means {few}{more}, which this run does not have: leave tier as it is, or let the runner set "
        f"them all: python -m edgebook run {notebook} --tier {tier}."
    )


def record_path(notebook: str, namespace: Mapping[str, Any]) -> Path:
    """Return where a record goes: beside the notebook that papermill writes, else into a folder of this run alone."""
    beside = _papermill_output(namespace)
    if beside is not None:
        return beside.with_suffix(".json")
    stamp = f"{datetime.now():%Y-%m-%dT%H-%M-%S}-{os.getpid()}"
    return project_root() / "_build" / "runs" / stamp / f"{notebook}.json"


def _committed_defaults(notebook: str) -> dict[str, Value]:
    text = committed(project_root(), f"notebooks/{notebook}.ipynb")
    with tempfile.TemporaryDirectory() as folder, suppress(ValueError):
        path = Path(folder, f"{notebook}.ipynb")
        path.write_text(text or "", encoding="utf-8")
        return {parameter.name: parameter.default for parameter in parameters(path).values()}
    return {}


def _papermill_output(namespace: Mapping[str, Any]) -> Path | None:
    """Return the notebook that papermill writes, None where it is not papermill or does not say.

    It says so with ``--inject-paths``, and on the command line of the process that started this kernel.
    """
    import psutil  # not for those whom the runner started

    try:
        caller = psutil.Process().parent()
        words, folder = caller.cmdline(), Path(caller.cwd())
    except (psutil.Error, AttributeError, OSError):  # it has ended, or is not ours to look at
        return None
    notebooks = [number for number, word in enumerate(words) if word.endswith(".ipynb")]
    called = notebooks and any(Path(word).stem == "papermill" for word in words[: notebooks[0]])
    on_the_line = words[notebooks[1]] if called and len(notebooks) > 1 else ""
    output = str(namespace.get("PAPERMILL_OUTPUT_PATH") or on_the_line)
    path = Path(output)
    if path.suffix != ".ipynb" or "://" in output or "{" in output:  # nothing, in a cloud, or a pattern of names
        return None
    if not path.is_absolute() and "--cwd" in words:  # it stands in the folder from which papermill was called
        return None
    return (folder / path).resolve()
