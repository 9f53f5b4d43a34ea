"""Verdicts where the reader is: a line per claim beneath the figure that belongs to it."""

from __future__ import annotations

from html import escape

from edgebook.ledger.record import ClaimResult, Record, full_record, stale_reasons
from edgebook.ledger.table import badge
from edgebook.ledger.wording import estimate, sampling


class VerdictLines:
    """Verdicts on a few claims as HTML and as text: a line for the weightiest run, and beneath it this one."""

    def __init__(self, rows: list[list[tuple[str, ClaimResult]]]) -> None:
        self._rows = rows  # for each claim its (source, result), the weightiest first

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{_line(*first)}{''.join(map(_beneath, rest))}</li>" for first, *rest in self._rows)
        return f'<ul class="eb-lines" style="list-style:none;padding-left:0">{lines}</ul>'

    def __str__(self) -> str:
        return "\n".join(
            f"{result.claim.id}: {result.verdict}, {_numbers(result)} ({source})"
            for row in self._rows
            for source, result in row
        )

    __repr__ = __str__


def verdict_lines(record: Record, *claims: str) -> VerdictLines:
    """Return what the recorded run at tier full says of some claims, and what this run says.

    Parameters
    ----------
    record : Record
        The record of this run.
    *claims : str
        Ids of claims, in the order in which they are shown.

    Raises
    ------
    ValueError
        The record has no claim with one of the ids.
    """
    sources = [(f"this run, tier {record.tier}", record)]
    full = full_record(record.notebook)
    if full is not None and record.tier != "full":
        sources.insert(0, ("recorded at tier full" + (", stale" if stale_reasons(full) else ""), full))
    known = [result.claim.id for result in record.results]
    for claim in claims:
        if claim not in known:
            raise ValueError(f"The record has no claim {claim!r}; it has {', '.join(known)}.")
    return VerdictLines(
        [
            [(name, result) for name, source in sources for result in source.results if result.claim.id == claim]
            for claim in claims
        ]
    )


def _line(source: str, result: ClaimResult) -> str:
    return (
        f"<strong>{escape(result.claim.id)}</strong> {badge(result.verdict)} "
        f"{escape(_numbers(result))} <small>({escape(source)})</small>"
    )


def _beneath(row: tuple[str, ClaimResult]) -> str:
    source, result = row
    return f'<br><small style="opacity:.8">{escape(f"{source}: {result.verdict}, {_numbers(result)}")}</small>'


def _numbers(result: ClaimResult) -> str:
    claim = result.claim
    return (
        f"{estimate(result.mean, result.interval, claim.unit)}, {sampling(claim, len(result.samples))}: {result.reason}"
    )
