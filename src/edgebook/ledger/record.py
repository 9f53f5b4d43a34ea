"""One run of a notebook as a JSON record: what it is computed with and on, written once, whole or not at all."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, model_validator

from edgebook.ledger.claims import Claim, Floor, Strict, load_ledger
from edgebook.ledger.evidence import Method, Sample
from edgebook.ledger.rule import Effect, Size, Verdict
from edgebook.notebooks.files import read_model, write_whole
from edgebook.notebooks.paths import project_root

CODE_CHANGED = "the notebook's code or a kernel has changed"
_PACKAGES = (
    "edgebook", "torch", "torchvision", "numpy", "scipy", "numba", "scikit-learn", "scikit-image", "Torch-Pruning",
    "snntorch", "captum", "flwr",
)  # fmt: skip


class Alternative(Strict):
    """A headline claim judged again: under another choice of ours, or for a method that does nothing."""

    samples: tuple[Sample, ...]
    mean: float | None
    interval: tuple[float, float] | None
    verdict: Verdict
    reason: str


class ClaimResult(Strict):
    """A claim as it stood in the ledger, its samples, and what was made of them.

    ``verdict`` holds under every choice in ``under``, and ``alone`` is the word without them.
    """

    claim: Claim
    samples: tuple[Sample, ...]
    mean: float | None
    interval: tuple[float, float] | None
    method: Method
    effect: Effect | None
    size: Size | None
    gap: float | None = Field(description="mean minus the paper's number, where the paper gives one")
    p_value: float | None
    alone: Verdict
    verdict: Verdict
    reason: str
    holm_verdict: Verdict
    under: dict[str, Alternative] = Field(default_factory=dict)
    placebo: Alternative | None = None


class Hardware(Strict):
    """What the run was computed on."""

    cpu: str
    cores: int
    gpu: str | None
    platform: str


class Confirmation(Strict):
    """One seed of a record, run again later: which claims it gave other samples for, if any."""

    when: str
    commit: str | None
    seed: int
    beside: Literal["the record", "a run at its commit"]
    differing: tuple[str, ...] = ()

    def __str__(self) -> str:
        commit = self.commit[:7] if self.commit else "no commit"
        return f"{self.when} at {commit} by seed {self.seed}, equal to {self.beside} to the last bit"


class Record(Strict):
    """Everything that is known of one run; ``changed`` names the parameters that are not those of its tier."""

    schema_version: Literal[2] = 2
    notebook: str
    title: str
    tier: str
    changed: tuple[str, ...] = ()
    scale: str
    parameters: dict[str, bool | int | float | str]
    seeds: tuple[int, ...]
    results: tuple[ClaimResult, ...]
    floor: Floor | None = None
    commit: str | None
    dirty: bool
    fingerprint: str
    versions: dict[str, str]
    hardware: Hardware
    seconds: float
    started: str
    confirmed: Confirmation | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_the_present_form(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("schema_version", 2) == 1:
            raise ValueError(f"it is of an older form; make it anew: make record PAPER={given.get('notebook')}")
        return given

    @property
    def label(self) -> str:
        """Say at which tier the run was, and which of its parameters it had otherwise."""
        return f"tier {self.tier}" + (f" (changed: {', '.join(self.changed)})" if self.changed else "")


Levels = dict[str, dict[str, tuple[float, ...]]]  # by arm and measure, a value for each seed


class Measured(Strict):
    """What a run measured, beside its record: from it come figures, numbers in the prose, and what arms have learnt.

    ``results`` has what the experiment gave for each seed, and ``under`` and ``placebo`` what it gave there; ``arms``
    and ``arms_under`` what each arm reached. ``started`` is that of the record to which it belongs.
    """

    started: str
    seeds: tuple[int, ...]
    arms: Levels
    arms_under: dict[str, Levels] = Field(default_factory=dict)
    results: tuple[JsonValue, ...]
    under: dict[str, tuple[JsonValue, ...]] = Field(default_factory=dict)
    placebo: tuple[JsonValue, ...] = ()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers may depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def hardware() -> Hardware:
    """Return what this process computes on."""
    torch = sys.modules.get("torch")  # a run that has not loaded it has used no GPU, and loading it takes seconds
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    cpu = names[0] if names else platform.processor() or platform.machine()
    return Hardware(cpu=cpu, cores=os.cpu_count() or 1, gpu=gpu, platform=f"{platform.system()} {platform.machine()}")


def save_record(record: Record, folder: Path, name: str | None = None) -> Path:
    """Write ``<folder>/<name>.json``, by default with the notebook's name, whole or not at all; return its path."""
    return write_whole(folder / f"{name or record.notebook}.json", record.model_dump_json(indent=2) + "\n")


def save_measured(measured: Measured, record: Path) -> Path:
    """Write what was measured beside a record, as ``<notebook>.measured.json``."""
    return write_whole(record.with_suffix(".measured.json"), measured.model_dump_json() + "\n")


def full_measured(notebook: str, root: Path | None = None) -> Measured | None:
    """Return what the committed run of a notebook measured, or None where there is none yet.

    A `ValueError` where it was measured by another run than the one that is recorded.
    """
    path = (root or project_root()) / "results" / "full" / f"{notebook}.measured.json"
    if not path.is_file():
        return None
    measured, record = read_model(path, Measured, path.name, "file of what was measured"), full_record(notebook, root)
    if record is not None and (record.started, record.seeds) != (measured.started, measured.seeds):
        raise ValueError(
            f"{path.name} is of the run of {measured.started}, and the record of that of {record.started}."
        )
    return measured


def records_in(folder: Path) -> list[Path]:
    """Return the records of a folder, without what lies beside them."""
    return [path for path in sorted(folder.glob("*.json")) if "." not in path.stem]


def load_record(path: Path) -> Record:
    """Read a record; a `FileNotFoundError` where there is none, a `ValueError` names the first field that is wrong."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no record at {path}.")
    return read_model(path, Record, path.name, "record")


def full_record(notebook: str, root: Path | None = None) -> Record | None:
    """Return the committed verdict-grade record of a notebook, or None where there is none yet."""
    path = (root or project_root()) / "results" / "full" / f"{notebook}.json"
    return load_record(path) if path.is_file() else None


def stale_reasons(record: Record, root: Path | None = None) -> list[str]:
    """Say why a record no longer speaks for the checkout; an empty list means that it does.

    Compared are the fingerprint of the notebook's code and of the kernels that it uses, the claims, choices and floor
    in the ledger, and the parameters that its tier has now; a seed that was run again and differed counts too.
    """
    from edgebook import notebooks
    from edgebook.notebooks import sources

    root = root or project_root()
    path = root / "notebooks" / f"{record.notebook}.ipynb"
    again = record.confirmed
    if not path.is_file():
        return ["the notebook is gone"]
    reasons = []
    if sources.fingerprint(path) != record.fingerprint:
        reasons.append(CODE_CHANGED)
    ledger = load_ledger(record.notebook, root)
    under = [{choice.name for choice in ledger.choices if claim.id in choice.claims} for claim in ledger.claims]
    asked = (ledger.floor, *zip(ledger.claims, under, strict=True))
    if asked != (record.floor, *((result.claim, {*result.under}) for result in record.results)):
        reasons.append("the ledger has changed")
    if (ledger.floor or ledger.choices) and record.tier == "full" and full_measured(record.notebook, root) is None:
        reasons.append("what it measured is not beside it")
    if notebooks.resolve(record.notebook, record.tier, {}) != record.parameters:
        reasons.append(f"its parameters are not those of tier {record.tier}")
    if again is not None and again.differing:
        reasons.append(f"its seed {again.seed}, run again {again.when}, differs in {', '.join(again.differing)}")
    return reasons
