"""What samples weigh: an estimate, the interval that is judged, and one-sided tests at any bound.

Each way of weighing inverts its own tests: the interval excludes a bound exactly where the one-sided p-value of that
bound is at most 0.025.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean
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
    """Weigh the samples of a claim; nothing beyond the ``bounds`` of its measure counts as possible.

    Values for each seed get Student's interval of their mean. Samples of at most two values, or of which a third and
    more lie on a bound, have no spread that an interval of a mean could rest on: they are judged by the ranks that hold
    their median, however they are distributed (`median_ranks`), and by where their mean lies. Shares get the exact
    interval of Clopper and Pearson over all trials, widened to Student's over seeds where these differ: trials of one
    seed are not independent of each other. An exact number is its own.

    A `ValueError` where samples are not finite, lie outside the bounds, or are not of the form that the claim declares.
    """
    if claim.samples == "share":
        return _within(claim, _share(_counts(claim, samples), 100.0 if claim.unit == "%" else 1.0))
    values = _values(claim, samples)
    if claim.samples == "exact":
        if len(values) > 1:
            raise ValueError(f"{claim.id} is one exact number, got {len(values)}.")
        return Evidence(values[0], Interval(values[0], values[0]), "exact") if values else Evidence(None, None, "none")
    if len(values) < MINIMUM_SEEDS:
        return Evidence(fmean(values) if values else None, None, "none")
    return _within(claim, (_ranked if _has_no_spread(claim, values) else _student)(values))


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


def _student(values: list[float]) -> Evidence:
    return Evidence(
        fmean(values), mean_interval(values, CONFIDENCE), "Student",
        lambda bound: mean_exceeds(values, bound),
        lambda bound: mean_exceeds([-value for value in values], -bound),
    )  # fmt: skip


def _ranked(values: list[float]) -> Evidence:
    ordered, count, mean = sorted(values), len(values), fmean(values)
    ranks = median_ranks(count)
    ends = [ordered[rank - 1] for rank in ranks or ()] + [mean]
    return Evidence(
        mean, Interval(min(ends), max(ends)) if ranks else None, "values",
        lambda bound: _tail(count, sum(value > bound for value in values)) if mean > bound else 1.0,
        lambda bound: _tail(count, sum(value < bound for value in values)) if mean < bound else 1.0,
    )  # fmt: skip


def _share(counts: list[tuple[int, int]], whole: float) -> Evidence:
    """Weigh a share by the exact interval and test of Clopper and Pearson (1934), and by Student's over seeds."""
    successes, trials = (sum(one[which] for one in counts) for which in (0, 1))
    estimate = whole * successes / trials if trials else None
    if len(counts) < MINIMUM_SEEDS:
        return Evidence(estimate, None, "none")
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
    exact = Evidence(estimate, span, "Clopper-Pearson", above, below)
    seeds = [whole * hits / of for hits, of in counts]
    return exact if len(set(seeds)) == 1 else _both(exact, _student(seeds))


def _both(one: Evidence, other: Evidence) -> Evidence:
    """Let two ways of weighing have to agree: the wider interval, and the larger p-value."""
    span = Interval(min(one.span.low, other.span.low), max(one.span.high, other.span.high))
    return one._replace(
        span=span,
        above=lambda bound: max(one.above(bound), other.above(bound)),
        below=lambda bound: max(one.below(bound), other.below(bound)),
    )


def _within(claim: Claim, found: Evidence) -> Evidence:
    """Leave out what the measure cannot be: its true value lies beyond no bound, which needs no test."""
    if found.span is None:
        return found
    low, high = claim.ends
    return found._replace(
        span=Interval(max(found.span.low, low), min(found.span.high, high)),
        above=lambda bound: 0.0 if bound < low else found.above(bound),
        below=lambda bound: 0.0 if bound > high else found.below(bound),
    )


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
    low, high = claim.ends
    slack = 1e-9 * max((abs(end) for end in (low, high) if math.isfinite(end)), default=0.0)
    outside = [value for value in values if not low - slack <= value <= high + slack]
    if outside:
        raise ValueError(f"{claim.id} lies within {list(claim.bounds)} by its ledger, got {outside[0]}.")
    return values


def _counts(claim: Claim, samples: Sequence[Sample]) -> list[tuple[int, int]]:
    for sample in samples:
        if not (isinstance(sample, Sequence) and len(sample) == 2 and 0 <= sample[0] <= sample[1] > 0) or any(
            part != int(part) for part in sample
        ):
            raise ValueError(f"{claim.id} is a share: samples are (successes, trials), got {sample!r}.")
    return [(int(hits), int(trials)) for hits, trials in samples]
