"""What samples weigh, against SciPy's own intervals and tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgebook.ledger import Claim
from edgebook.ledger.evidence import median_ranks, weigh
from edgebook.ledger.power import seeds_to_decide


def claim(**changes) -> Claim:
    fields = {
        "id": "T-1", "says": "More.", "where": "abstract", "measures": "a - b", "unit": "points",
        "expects": "positive", "margin": 1.0,
    }  # fmt: skip
    return Claim(**{**fields, **changes})


SHARE = claim(samples="share", unit="%", neutral=50.0, bounds=[0, 100])


@given(st.integers(1, 60).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_a_share_has_the_exact_interval_and_test(counts: tuple[int, int]) -> None:
    """Of seeds that are all alike, so that they tell no more than their trials."""
    found, test = weigh(SHARE, [counts] * 5), stats.binomtest(5 * counts[0], 5 * counts[1])
    assert found.span == pytest.approx([100 * end for end in test.proportion_ci(method="exact")])
    for bound in (0.1, 0.5, 0.9):
        assert found.above(100 * bound) == pytest.approx(stats.binomtest(test.k, test.n, bound, "greater").pvalue)
        assert found.below(100 * bound) == pytest.approx(stats.binomtest(test.k, test.n, bound, "less").pvalue)


def test_certainty_of_a_share_has_a_price() -> None:
    """Forty of forty and four hundred of four hundred, as Clopper and Pearson's tables have them."""
    assert weigh(SHARE, [(5, 5)] * 8).span == pytest.approx((91.19, 100), abs=0.01)
    assert weigh(SHARE, [(50, 50)] * 8).span == pytest.approx((99.08, 100), abs=0.01)


@pytest.mark.parametrize("count", [6, 7, 8, 12, 24, 25])
def test_ranks_hold_the_median_as_often_as_promised(count: int) -> None:
    low, high = median_ranks(count)
    inside = stats.binom.cdf(high - 1, count, 0.5) - stats.binom.cdf(low - 1, count, 0.5)
    narrower = stats.binom.cdf(high - 2, count, 0.5) - stats.binom.cdf(low, count, 0.5)
    assert narrower < 0.95 <= inside


def test_two_values_are_judged_by_ranks_and_shown_as_they_are() -> None:
    found = weigh(claim(unit="times", neutral=1.0, margin=0.1), [1.0] * 7 + [4.155])
    assert found.method == "values"
    assert found.estimate == pytest.approx(11.155 / 8)
    assert found.span == (1.0, 4.155)
    assert found.above(1.1) == pytest.approx(stats.binom.sf(0, 8, 0.5))


def test_a_share_needs_seeds_and_is_as_uncertain_as_they_differ() -> None:
    assert weigh(SHARE, [(5000, 5000)] * 4).span is None
    counts = [(50, 50)] * 5 + [(0, 50)] * 3
    found, shares = weigh(SHARE, counts), [100 * hits / of for hits, of in counts]
    assert found.span.low == pytest.approx(stats.t.interval(0.95, 7, np.mean(shares), stats.sem(shares))[0])
    assert found.span.high == 100
    assert found.above(51) == pytest.approx(stats.ttest_1samp(shares, 51, alternative="greater").pvalue)


def test_no_test_is_needed_beyond_what_the_measure_can_be() -> None:
    """That a share of 100 % is not above 100.5 % is no question of sampling, nor that a size is not below -1."""
    equal = claim(samples="share", unit="%", neutral=100.0, margin=0.5, expects="equivalent")
    assert weigh(equal, [(500, 500)] * 8).below(100.5) == 0
    samples = [0.1, 0.2, 0.1, 3.0, 0.3, 0.2, 0.4, 0.1]
    assert weigh(claim(bounds=[0, None]), samples).above(-0.1) == 0
    assert weigh(claim(), samples).above(-0.1) > 0.025


def test_equal_samples_are_not_certainty() -> None:
    found = weigh(claim(), [2.0] * 8)
    assert found.method == "values"
    assert found.above(1.0) == pytest.approx(0.5**8)
    assert weigh(claim(), [2.0] * 5).span is None


def test_values_piled_on_a_bound_have_no_students_interval() -> None:
    entry = claim(bounds=[0, None])
    assert weigh(entry, [0, 0, 0, 1, 2, 3, 4, 5]).method == "values"
    assert weigh(entry, [0, 0.1, 0.2, 1, 2, 3, 4, 5]).method == "Student"


def test_an_interval_ends_where_the_measure_does() -> None:
    samples = [0.1, 0.2, 0.1, 3.0, 0.3, 0.2, 0.4, 0.1]
    assert weigh(claim(), samples).span.low < 0
    assert weigh(claim(bounds=[0, None]), samples).span.low == 0


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=30), st.floats(-6, 6))
def test_interval_and_tests_are_each_others_inverse(samples: list[float], bound: float) -> None:
    found = weigh(claim(), samples)
    for excluded, p_value in (
        (found.span.low > bound, found.above(bound)),
        (found.span.high < bound, found.below(bound)),
    ):
        assert excluded == (p_value <= 0.025) or abs(p_value - 0.025) < 1e-9


@pytest.mark.parametrize("draw", ["two values", "a pile at the bound"])
def test_ranks_keep_their_error_rate_where_students_interval_has_none(draw: str) -> None:
    """The true median is at the margin: at most 2.5 % of the experiments exclude it on either side."""
    rng = np.random.default_rng(1)
    entry = claim(bounds=[0, None])
    rows = rng.integers(0, 2, (2000, 8)) * 2.0 if draw == "two values" else rng.normal(1, 3, (2000, 8)).clip(min=0)
    weighed = [weigh(entry, row.tolist()) for row in rows]
    ranked = [found for found in weighed if found.method == "values"]
    assert len(ranked) > 200
    assert np.mean([found.span.low > 1 for found in ranked]) <= 0.03
    assert np.mean([found.span.high < 1 for found in ranked]) <= 0.03


def test_the_seeds_that_would_decide() -> None:
    samples = [0.0, 2.0, 1.5, 3.5, 2.5, 1.0, 4.0, 1.5]  # mean 2, spread 1.31; the margin is 1
    seeds = seeds_to_decide(claim(), samples)
    mean, spread = np.mean(samples), np.std(samples, ddof=1)
    low = [mean - stats.t.ppf(0.975, n - 1) * spread / n**0.5 for n in (seeds - 1, seeds)]
    assert low[0] <= 1 < low[1]
    assert seeds_to_decide(claim(), [1.0, 1.2, 0.8, 1.1, 0.9]) is None  # the mean is the margin
    assert seeds_to_decide(claim(), [0.0] * 7 + [4.0]) is None  # judged by ranks
    assert seeds_to_decide(claim(), [3.0]) is None
    share = claim(samples="share", unit="%", neutral=100.0, margin=0.5, expects="equivalent")
    assert seeds_to_decide(share, [(50, 50)] * 8) == 15  # 0.995 ** 736 is 2.5 %
    assert seeds_to_decide(share, [(398, 400)] * 8) is None  # 99.5 % is the margin
