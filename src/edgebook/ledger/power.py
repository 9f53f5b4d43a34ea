"""How many seeds would decide what is open, if mean and spread stayed as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice
from statistics import fmean, stdev

from edgebook.ledger.claims import Claim
from edgebook.ledger.evidence import CONFIDENCE, MINIMUM_SEEDS, Sample, weigh
from edgebook.ledger.record import full_record, records_in
from edgebook.ledger.rule import Effect, Verdict, effect_of
from edgebook.ledger.terminal import PLAIN, Look
from edgebook.ledger.wording import measured
from edgebook.notebooks.files import require
from edgebook.notebooks.listing import catalogued
from edgebook.notebooks.paths import project_root

_COUNTS = range(MINIMUM_SEEDS, 1001)


def seeds_to_decide(claim: Claim, samples: Sequence[Sample]) -> int | None:
    """Return the fewest seeds whose interval would decide the effect, with the mean and spread of these samples.

    Shares are taken to go on as they are, seed by seed. None where more than a thousand would not, and where the spread
    is not known: for fewer than two values, and for samples that are judged by their ranks. It is a guide for planning:
    mean and spread of a few seeds are themselves uncertain, and a claim that is looked at until it is decided errs more
    often than its interval says.
    """
    if claim.samples == "exact" or len(samples) < 2 or weigh(claim, samples).method == "values":
        return None
    if claim.samples == "share":
        spans = ((seeds, weigh(claim, [*islice(cycle(samples), seeds)]).span) for seeds in _COUNTS)
        return next((seeds for seeds, span in spans if effect_of(claim, *span) is not Effect.OPEN), None)
    from scipy import special

    mean, spread = fmean(samples), stdev(samples)
    for seeds in _COUNTS:
        half = special.stdtrit(seeds - 1, 0.5 + CONFIDENCE / 2) * spread / math.sqrt(seeds)
        if effect_of(claim, mean - half, mean + half) is not Effect.OPEN:
            return seeds
    return None


def as_text(papers: Sequence[str] = (), look: Look = PLAIN) -> str:
    """Write what is inconclusive in the records of some papers, by default of all, with the seeds that it needs.

    A `ValueError` where a paper has no record, with the nearest name where there is no such paper.
    """
    recorded = [path.stem for path in records_in(project_root() / "results" / "full")]
    for name in papers:
        require("paper", name, dict.fromkeys([*recorded, *(one["name"] for one in catalogued())]))
    lines = [f"{'claim':<7} {'seeds':>5} {'needs':>6}  measured"]
    for name in papers or recorded:
        record = full_record(name)
        if record is None:
            raise ValueError(f"There is no record of '{name}'.")
        for one in record.results:
            if one.verdict is Verdict.INCONCLUSIVE:
                needs = seeds_to_decide(one.claim, one.samples) or "-"
                lines.append(f"{one.claim.id:<7} {len(one.samples):>5} {needs:>6}  {measured(one)}")
                lines += look.beneath(one.claim.says)
    return "\n".join(lines) if len(lines) > 1 else "Nothing is inconclusive."
