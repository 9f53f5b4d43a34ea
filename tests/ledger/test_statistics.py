"""Intervals and p-values against scipy.stats, statsmodels-free arithmetic and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from edgebook.ledger import mean_interval
from edgebook.ledger.statistics import holm, mean_exceeds

SAMPLES = st.lists(st.floats(-100, 100), min_size=2, max_size=20).filter(lambda v: np.std(v) > 1e-6)


@given(SAMPLES, st.floats(0.5, 0.99))
def test_interval_is_students(samples: list[float], confidence: float) -> None:
    expected = stats.t.interval(confidence, len(samples) - 1, np.mean(samples), stats.sem(samples))
    assert mean_interval(samples, confidence) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(SAMPLES, st.floats(-50, 50))
def test_p_value_is_that_of_the_t_test(samples: list[float], bound: float) -> None:
    expected = stats.ttest_1samp(samples, bound, alternative="greater").pvalue
    assert mean_exceeds(samples, bound) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("samples", "bound", "p"), [([2, 2, 2], 1, 0.0), ([2, 2, 2], 2, 1.0), ([2, 2, 2], 3, 1.0)])
def test_constant_samples_are_decided_by_their_side(samples: list[float], bound: float, p: float) -> None:
    assert mean_exceeds(samples, bound) == p
    assert mean_interval(samples) == (2.0, 2.0)


# Values that no sum or difference of doubles gives alike: each pair is equal in decimals.
ROUNDED = [
    ([0.7] * 6, 0.7), ([0.1] * 3, 0.1), ([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], 0.3), ([93.1 - 92.1, 84.3 - 83.3, 1.0], 1.0),
    ([1e-200 / 3 * 3, 1e-200, 1e-200], 1e-200), ([-(0.1 + 0.7) * 10, -8.0], -8.0), ([0.0, 0.0], 0.0),
]  # fmt: skip


def equivalence_p_value(samples: list[float], margin: float) -> float:
    """Two one-sided tests (Schuirmann, 1987), as the rule makes them of `mean_exceeds`."""
    values = np.asarray(samples)
    return max(mean_exceeds(values, -margin), mean_exceeds(-values, -margin))


@pytest.mark.parametrize(("samples", "value"), ROUNDED)
def test_samples_that_differ_by_rounding_are_constant_and_on_their_bound(samples: list[float], value: float) -> None:
    size = abs(value) or 1.0
    assert mean_exceeds(samples, value) == mean_exceeds([-x for x in samples], -value) == 1.0
    assert mean_exceeds(samples, value - 1e-3 * size) == 0.0
    assert mean_exceeds(samples, value + 1e-3 * size) == 1.0
    assert mean_interval(samples) == (min(samples), max(samples))
    if value:
        assert equivalence_p_value(samples, size) == 1.0
        assert equivalence_p_value(samples, 1.001 * size) == 0.0


def test_a_spread_beyond_rounding_is_one() -> None:
    samples = [1.0, 1.0 + 1e-10, 1.0 + 2e-10]
    assert mean_exceeds(samples, 1.0) == pytest.approx(stats.ttest_1samp([0, 1, 2], 0, alternative="greater").pvalue)
    low, high = mean_interval(samples)
    assert high - low == pytest.approx(1e-10 * np.ptp(stats.t.interval(0.95, 2, 1, stats.sem([0, 1, 2]))), rel=1e-4)


@given(SAMPLES, st.floats(-50, 50), st.integers(-1040, 1000))
def test_size_decides_nothing(samples: list[float], bound: float, exponent: int) -> None:
    """Powers of two are exact, down to numbers whose squares vanish and up to those whose squares overflow."""
    assume(max(map(abs, samples)) > 1 / 4 and exponent < 1015 - math.frexp(max(*map(abs, samples), abs(bound)))[1])
    samples, bound = [float(np.float32(x)) for x in samples], float(np.float32(bound))  # exact where they are subnormal
    assume(all(math.ldexp(x, exponent) != 0 or x == 0 for x in (*samples, bound)) or exponent > -900)
    scaled = [math.ldexp(x, exponent) for x in samples]
    assume([math.ldexp(x, -exponent) for x in scaled] == samples)
    limit = math.ldexp(bound, exponent)
    assume(math.ldexp(limit, -exponent) == bound)
    assert mean_exceeds(scaled, limit) == mean_exceeds(samples, bound)
    expected = [math.ldexp(end, exponent) for end in mean_interval(samples)]
    assert mean_interval(scaled) == pytest.approx(expected, rel=1e-12, abs=5e-324)


def test_tiny_and_huge_samples_keep_their_variance() -> None:
    p = stats.ttest_1samp([1.0, 2.0], 0, alternative="greater").pvalue
    interval = stats.t.interval(0.95, 1, 1.5, stats.sem([1.0, 2.0]))
    for size in (1e-300, 1e-200, 1e200, 1e300):
        assert mean_exceeds([size, 2 * size], 0.0) == pytest.approx(p, rel=1e-12)
        assert mean_interval([size, 2 * size]) == pytest.approx([size * end for end in interval], rel=1e-12)
    assert mean_exceeds([5e-324, 1e-323], 0.0) == pytest.approx(p, rel=1e-12)
    assert mean_exceeds([1e-200, 2e-200], 1.0) == 1.0 and mean_exceeds([1e-200, 2e-200], -1.0) == 0.0
    assert mean_interval([1.7e308, -1.7e308, 1.7e308]) == (-math.inf, math.inf)


@given(SAMPLES, st.floats(0.01, 50))
def test_equivalence_is_two_one_sided_t_tests(samples: list[float], margin: float) -> None:
    above = stats.ttest_1samp(samples, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(samples, margin, alternative="less").pvalue
    assert equivalence_p_value(samples, margin) == pytest.approx(max(above, below), rel=1e-6, abs=1e-12)
    assert equivalence_p_value([-x for x in samples], margin) == equivalence_p_value(samples, margin)
    assert equivalence_p_value(samples, 2 * margin) <= equivalence_p_value(samples, margin)


@given(SAMPLES, st.floats(0.01, 50))
def test_equivalence_holds_where_the_90_percent_interval_lies_within(samples: list[float], margin: float) -> None:
    low, high = stats.t.interval(0.9, len(samples) - 1, np.mean(samples), stats.sem(samples))
    gap = margin - max(high, -low)
    assume(abs(gap) > 1e-9 * margin)
    assert (equivalence_p_value(samples, margin) <= 0.05) == (gap > 0)


@pytest.mark.parametrize(("samples", "p"), [([0.5, 0.5], 0.0), ([-0.5, -0.5], 0.0), ([1, 1], 1.0), ([-2, -2], 1.0)])
def test_constant_samples_are_equivalent_within_the_margin(samples: list[float], p: float) -> None:
    assert equivalence_p_value(samples, 1) == p


def test_equivalence_is_seldom_found_at_the_margin() -> None:
    draws = np.random.default_rng(0).normal(1.0, 0.3, size=(2000, 8))
    assert np.mean([equivalence_p_value(row, 1.0) <= 0.05 for row in draws]) == pytest.approx(0.05, abs=0.015)


def test_student_covers_at_eight_seeds_where_the_bootstrap_does_not() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(600, 8))
    students = np.mean([low <= 0 <= high for low, high in map(mean_interval, draws)])
    boot = stats.bootstrap((draws,), np.mean, axis=-1, n_resamples=999, method="percentile", rng=rng)
    bootstraps = np.mean((boot.confidence_interval.low <= 0) & (boot.confidence_interval.high >= 0))
    assert 0.93 <= students <= 0.97
    assert bootstraps < 0.925


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, made monotone.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_and_never_exceeds_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(adjusted[a] <= adjusted[b] + 1e-15 for a, b in itertools.pairwise(order))
    assert adjusted[order[0]] == pytest.approx(min(1.0, p_values[order[0]] * len(p_values)))


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_too_little_or_not_finite_is_refused(bad: list) -> None:
    with pytest.raises(ValueError, match="samples"):
        mean_interval(bad)
    with pytest.raises(ValueError, match="samples"):
        mean_exceeds(bad, 0.0)


def test_wrong_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="bound must be a number"):
        mean_exceeds([1.0, 2.0], math.nan)
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, 1.2])
