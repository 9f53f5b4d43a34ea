"""What a page shows: the recorded run as long as it speaks for the page, else the run at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from edgebook.ledger.display import results_of
from edgebook.ledger.record import Record, full_measured, full_record, stale_reasons
from edgebook.ledger.strip import per_seed


class Shown(NamedTuple):
    """Results that figures, tables and claims of a page are drawn from, all of the same run.

    ``results``, ``under`` and ``placebo`` have one result for each of ``seeds``, as `Run.judge` was given them, and
    ``parameters`` are those that they were computed with; ``recorded`` says whether they are those of the committed
    run at tier full.
    """

    results: list[Any]
    seeds: list[int]
    parameters: SimpleNamespace
    record: Record
    under: dict[str, list[Any]]
    placebo: list[Any]
    recorded: bool

    @property
    def caption(self) -> str:
        """Which run it is, in one sentence."""
        count = len(self.seeds)
        seeds = f"{count} seed{'s' * (count != 1)}"
        return f"{'Recorded run' if self.recorded else 'This run'}: {self.record.scale}, {seeds}."

    def rows(self, labels: Mapping[str, str]) -> dict[str, list[float]]:
        """Return the samples of some claims, one for each seed, as rows of a figure: its id stands before each label.

        A `ValueError` where the record has no claim with one of the ids.
        """
        found = {result.claim.id: per_seed(result) for result in results_of(self.record, list(labels))}
        return {f"{claim}  {label}": found[claim] for claim, label in labels.items()}

    def __repr__(self) -> str:
        return self.caption


def recorded(notebook: str, root: Path) -> Shown | None:
    """Return the committed run of a notebook as it is shown; None where it is stale or half of it is missing."""
    try:
        record, measured = full_record(notebook, root), full_measured(notebook, root)
        if record is None or measured is None or stale_reasons(record, root):
            return None
    except ValueError:  # of an older form, or what was measured is of another run
        return None
    return shown(record, measured.results, measured.under, measured.placebo, recorded=True)


def shown(
    record: Record,
    results: Sequence[Any],
    under: Mapping[str, Sequence[Any]],
    placebo: Sequence[Any],
    *,
    recorded: bool = False,
) -> Shown:
    """Put a record and what it was judged from together."""
    return Shown(
        results=list(results), seeds=list(record.seeds), parameters=SimpleNamespace(**record.parameters),
        record=record, under={name: list(of) for name, of in under.items()}, placebo=list(placebo), recorded=recorded,
    )  # fmt: skip
