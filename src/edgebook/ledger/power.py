"""How many seeds would decide what is open, if mean and spread stayed as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from edgebook.ledger.claims import Claim
from edgebook.ledger.evidence import CONFIDENCE, MINIMUM_SEEDS
from edgebook.ledger.rule import Effect, effect_of

MOST_SEEDS = 1000


def seeds_to_decide(claim: Claim, samples: Sequence[float]) -> int | None:
    """Return the fewest seeds whose interval would decide the effect, with the mean and spread of these samples.

    None where more than a thousand would not, and for samples of fewer than two values, whose spread is not known. It
    is a guide for planning: mean and spread of a few seeds are themselves uncertain.
    """
    if claim.samples != "seeds" or len(samples) < 2:
        return None
    from scipy import special

    mean, spread = fmean(samples), stdev(samples)
    for seeds in range(MINIMUM_SEEDS, MOST_SEEDS + 1):
        half = special.stdtrit(seeds - 1, 0.5 + CONFIDENCE / 2) * spread / math.sqrt(seeds)
        if effect_of(claim, mean - half, mean + half) is not Effect.OPEN:
            return seeds
    return None
