"""What samples weigh: an estimate, the interval that is judged, and one-sided tests at any bound.

Each way of weighing inverts its own tests: the interval excludes a bound exactly where the one-sided p-value of that
bound is at most 0.025.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from edgebook.ledger.claims import Claim
from edgebook.ledger.statistics import Interval, mean_exceeds, mean_interval

MINIMUM_SEEDS = 5
CONFIDENCE = 0.95
LEVEL = (1 - CONFIDENCE) / 2  # of each tail
Sample = float | tuple[int, int]
Method = Literal["Student", "values", "Clopper-Pearson", "exact", "none"]


class Evidence(NamedTuple):
    """Samples as they are weighed.

    ``span`` is what is judged; None where there are too few values. ``above`` and ``below`` give for a bound the
    one-sided p-value that the true value is not above, or not below it; None for an exact number.
    """

    estimate: float | None
    span: Interval | None
    method: Method
    above: Callable[[float], float] | None = None
    below: Callable[[float], float] | None = None


def weigh(claim: Claim, samples: Sequence[Sample]) -> Evidence:
    """Weigh the samples of a claim.

    Values for each seed get Student's interval of their mean, cut off at the ``bounds`` of the measure. Samples of at
    most two values, or of which a third and more lie on a bound, have no spread that an interval of a mean could rest
    on: they are judged by the ranks that hold their median, however they are distributed (`median_ranks`). Shares get
    the exact interval of Clopper and Pearson over all trials; an exact number is its own.

    A `ValueError` where samples are not finite, lie outside the bounds, or are not of the form that the claim declares.
    """
    if claim.samples == "share":
        return _share(*_counts(claim, samples), 100.0 if claim.unit == "%" else 1.0)
    values = _values(claim, samples)
    if claim.samples == "exact":
        if len(values) > 1:
            raise ValueError(f"{claim.id} is one exact number, got {len(values)}.")
        return Evidence(values[0], Interval(values[0], values[0]), "exact") if values else Evidence(None, None, "none")
    if len(values) < MINIMUM_SEEDS:
        return Evidence(sum(values) / len(values) if values else None, None, "none")
    if _has_no_spread(claim, values):
        return _ranked(values)
    low, high = mean_interval(values, CONFIDENCE)
    low = low if claim.low is None else max(low, claim.low)
    high = high if claim.high is None else min(high, claim.high)
    return Evidence(
        sum(values) / len(values), Interval(low, high), "Student",
        lambda bound: mean_exceeds(values, bound),
        lambda bound: mean_exceeds([-value for value in values], -bound),
    )  # fmt: skip


def median_ranks(count: int) -> tuple[int, int] | None:
    """Return the ranks, from 1, of the sorted values that hold the median with at least 95 % confidence.

    The number of values below the median is binomial with p = 1/2, whatever they are distributed like. None for fewer
    than six values, whose whole range holds it less often.

    >>> median_ranks(8), median_ranks(24), median_ranks(5)
    ((1, 8), (7, 18), None)
    """
    rank = sum(_tail(count, count - below) <= LEVEL for below in range(count // 2 + 1))
    return (rank, count + 1 - rank) if rank else None


def _tail(count: int, successes: int) -> float:
    """P(at least so many of `count` fair coins fall heads)."""
    return sum(math.comb(count, k) for k in range(successes, count + 1)) / 2**count


def _ranked(values: list[float]) -> Evidence:
    ordered, count = sorted(values), len(values)
    ranks = median_ranks(count)
    span = Interval(ordered[ranks[0] - 1], ordered[ranks[1] - 1]) if ranks else None
    median = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return Evidence(
        median, span, "values",
        lambda bound: _tail(count, sum(value > bound for value in values)),
        lambda bound: _tail(count, sum(value < bound for value in values)),
    )  # fmt: skip


def _share(successes: int, trials: int, whole: float) -> Evidence:
    """Weigh a share by the exact interval and test of Clopper and Pearson (1934)."""
    if trials == 0:
        return Evidence(None, None, "none")
    from scipy import special

    failures = trials - successes
    low = special.betaincinv(successes, failures + 1, LEVEL) if successes else 0.0
    high = special.betaincinv(successes + 1, failures, 1 - LEVEL) if failures else 1.0

    def above(bound: float) -> float:
        """P(at least so many successes) where the true share is the bound."""
        share = min(max(bound / whole, 0.0), 1.0)
        return float(special.betainc(successes, failures + 1, share)) if successes else 1.0

    def below(bound: float) -> float:
        share = min(max(bound / whole, 0.0), 1.0)
        return float(special.betaincc(successes + 1, failures, share)) if failures else 1.0

    span = Interval(float(whole * low), float(whole * high))
    return Evidence(whole * successes / trials, span, "Clopper-Pearson", above, below)


def _has_no_spread(claim: Claim, values: list[float]) -> bool:
    near = 1e-9 * max(map(abs, values))  # values that differ by rounding alone are one value
    distinct = 1 + sum(after - before > near for before, after in pairwise(sorted(values)))
    on_a_bound = sum(end is not None and abs(value - end) <= near for value in values for end in claim.bounds)
    return distinct <= 2 or 3 * on_a_bound >= len(values)


def _values(claim: Claim, samples: Sequence[Sample]) -> list[float]:
    if any(isinstance(sample, Sequence) for sample in samples):
        raise ValueError(f"Samples of {claim.id} are numbers, one for each seed, got {list(samples)}.")
    values = [float(sample) for sample in samples]
    if not all(map(math.isfinite, values)):
        raise ValueError(f"Samples of {claim.id} must be finite, got {values}.")
    low = -math.inf if claim.low is None else claim.low
    high = math.inf if claim.high is None else claim.high
    slack = 1e-9 * max((abs(end) for end in (low, high) if math.isfinite(end)), default=0.0)
    outside = [value for value in values if not low - slack <= value <= high + slack]
    if outside:
        raise ValueError(f"{claim.id} lies within {list(claim.bounds)} by its ledger, got {outside[0]}.")
    return values


def _counts(claim: Claim, samples: Sequence[Sample]) -> tuple[int, int]:
    for sample in samples:
        if not (isinstance(sample, Sequence) and len(sample) == 2 and 0 <= sample[0] <= sample[1]):
            raise ValueError(f"{claim.id} is a share: samples are (successes, trials), got {sample!r}.")
    return sum(int(sample[0]) for sample in samples), sum(int(sample[1]) for sample in samples)
