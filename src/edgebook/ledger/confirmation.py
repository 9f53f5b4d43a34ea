"""A record confirmed instead of made anew: one of its seeds, run again, gives the same samples to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from edgebook import notebooks
from edgebook.ledger.record import (
    CODE_CHANGED,
    ClaimResult,
    Confirmation,
    Record,
    full_record,
    hardware,
    load_record,
    save_record,
    stale_reasons,
)
from edgebook.notebooks import runner, sources
from edgebook.notebooks.paths import changed_files, project_root, revision

_CODE = ("src", "notebooks", "book/claims", "constraints.txt")


def confirm(notebook: str) -> tuple[bool, str]:
    """Run the first recorded seed of a notebook at tier full, and compare every sample with the recorded one.

    Where the record was made on another processor, on which trainings go other ways, the seed is run twice here, at
    the record's commit and at this one, and these two are compared.
    Equal to the last bit: the record gets the present fingerprint, and a line about its confirmation.
    Not equal: a record that was stale stays so, and one that was fresh becomes so.

    Returned are whether all samples were equal, and what is to be said: a line, or one for each claim that differs.

    A `ValueError`, and nothing is run, where there is no such notebook or no record of it, or claims or parameters have
    changed, so that its samples cannot be met. A `RunError`, and the record is as it was, where a run did not finish.
    """
    record = _confirmable(notebook)
    seed, here = record.seeds[0], hardware()
    same_processor = (record.hardware.cpu, record.hardware.gpu) == (here.cpu, here.gpu)
    fresh = sources.fingerprint(notebooks.find(notebook)) == record.fingerprint
    with tempfile.TemporaryDirectory(prefix="edgebook-confirm-", ignore_cleanup_errors=True) as folder:
        expected = record if same_processor else _run_at(record, seed, Path(folder) / "then")
        found = _run_here(notebook, seed, Path(folder) / "now")
    differing = _differing(expected, found)
    commit, _ = revision(project_root())
    confirmation = Confirmation(
        when=datetime.now(UTC).date().isoformat(), commit=commit, seed=seed,
        beside="the record" if same_processor else "a run at its commit", differing=tuple(differing),
    )  # fmt: skip
    if differing:
        if fresh:
            _note(record, confirmed=confirmation)
        lines = [f"  {claim}: {was} in {confirmation.beside}, {now} now" for claim, (was, now) in differing.items()]
        return False, "\n".join([f"{notebook}: seed {seed} gives other values for {len(differing)} claims.", *lines])
    said = f"{notebook}: seed {seed} gives the same samples as {confirmation.beside}, all {len(record.results)} claims"
    changed = changed_files(project_root(), _CODE)
    if changed:
        return True, f"{said}; not noted, for {changed[0]} has changes that are not committed."
    _note(record, fingerprint=found.fingerprint, confirmed=confirmation)
    return True, f"{said}; noted in results/full/{notebook}.json."


def _confirmable(notebook: str) -> Record:
    """Return the record of a notebook, if a run of today's notebook could meet its samples at all."""
    notebooks.find(notebook)
    record = full_record(notebook)
    if record is None:
        raise ValueError(f"There is no record of '{notebook}' to confirm; make one: make record PAPER={notebook}.")
    unseen = record.model_copy(update={"confirmed": None})
    other = [reason for reason in stale_reasons(unseen) if reason != CODE_CHANGED]
    if other:
        raise ValueError(f"The record of '{notebook}' cannot be confirmed: {other[0]}; make it anew.")
    return record


def _differing(before: Record, after: Record) -> dict[str, tuple[str, str]]:
    """Return the claims whose first samples differ, under a choice or for the placebo too, with both as text."""
    pairs = zip(before.results, after.results, strict=True)
    firsts = {one.claim.id: (_firsts(one), _firsts(other)) for one, other in pairs}
    return {claim: (", ".join(one), ", ".join(other)) for claim, (one, other) in firsts.items() if one != other}


def _firsts(result: ClaimResult) -> list[str]:
    """Write a claim's first sample, then those of its alternatives."""
    others = [*result.under.values(), *([result.placebo] if result.placebo else [])]
    return [repr(one.samples[0]) if one.samples else "no value" for one in (result, *others)]


def _note(record: Record, **changes: object) -> None:
    save_record(record.model_copy(update=changes), project_root() / "results" / "full")


def _run_here(notebook: str, seed: int, folder: Path) -> Record:
    cache = os.environ.pop("EDGEBOOK_RESUME", None)  # nothing from that of the run that is to be confirmed
    try:
        runner.run(notebook, tier="full", settings={"seeds": 1, "first_seed": seed}, out=folder)
    finally:
        if cache is not None:
            os.environ["EDGEBOOK_RESUME"] = cache
    return load_record(folder / f"{notebook}.json")


def _run_at(record: Record, seed: int, folder: Path) -> Record:
    """Run a seed at the record's commit, in a worktree of its own, with the packages that are installed now."""
    root, tree = project_root(), folder / "tree"
    if record.commit is None or record.dirty:
        raise ValueError(f"The record of '{record.notebook}' was made from uncommitted changes; make it anew.")
    folder.mkdir()
    added = subprocess.run(
        ["git", "worktree", "add", "--detach", str(tree), record.commit], cwd=root, capture_output=True, text=True
    )
    if added.returncode:
        raise ValueError(f"Commit {record.commit[:7]} of the record cannot be checked out: {added.stderr.strip()}.")
    environment = os.environ | {"EDGEBOOK_ROOT": str(tree), "PYTHONPATH": str(tree / "src")}
    environment.pop("EDGEBOOK_RESUME", None)
    words = ["run", record.notebook, "--tier", "full", "--set", "seeds=1", f"first_seed={seed}", "--out", str(folder)]
    try:
        line = [sys.executable, "-m", "edgebook", *words]
        done = subprocess.run(line, cwd=tree, env=environment, stdout=subprocess.DEVNULL)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=root, capture_output=True)
    if done.returncode:
        raise runner.RunError(f"The run of '{record.notebook}' at commit {record.commit[:7]} failed")
    return load_record(folder / f"{record.notebook}.json")
