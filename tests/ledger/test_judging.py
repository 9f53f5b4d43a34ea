"""Every branch of the verdict table, and the error rates that simulation gives it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.ledger import Claim, Verdict, judge
from edgebook.ledger.judging import holm_verdicts


def claim(**changes) -> Claim:
    fields = {
        "id": "T-1", "says": "More.", "where": "abstract", "paper": None, "measures": "a - b", "unit": "points",
        "expects": "positive", "neutral": 0.0, "margin": 1.0, "target": None, "kind": "claim", "exact": False,
        "needs": [],
    }  # fmt: skip
    return Claim(**{**fields, **changes})


def around(mean: float, spread: float = 0.1, n: int = 8) -> list[float]:
    """`n` values with this mean; their interval is about 0.8 spread wide to either side."""
    return [mean + spread * (2 * i / (n - 1) - 1) for i in range(n)]


TABLE = [
    # claim, samples, tier, verdict
    (claim(), around(2), "full", Verdict.REPRODUCED),
    (claim(), around(2), "book", Verdict.REPRODUCED),
    (claim(target=4.0), around(2), "full", Verdict.DIRECTION_ONLY),
    (claim(target=2.05), around(2), "full", Verdict.REPRODUCED),
    (claim(target=1.5), around(2), "full", Verdict.REPRODUCED),
    (claim(), around(1), "full", Verdict.INCONCLUSIVE),
    (claim(), around(0), "full", Verdict.INCONCLUSIVE),
    (claim(), around(-1), "full", Verdict.INCONCLUSIVE),
    (claim(), around(-2), "full", Verdict.CONTRADICTED),
    (claim(expects="negative"), around(-2), "full", Verdict.REPRODUCED),
    (claim(expects="negative", target=-4.0), around(-2), "full", Verdict.DIRECTION_ONLY),
    (claim(expects="negative"), around(2), "full", Verdict.CONTRADICTED),
    (claim(neutral=1.0, margin=0.1), around(1.5), "full", Verdict.REPRODUCED),
    (claim(neutral=1.0, margin=0.1, expects="negative"), around(0.5), "full", Verdict.REPRODUCED),
    (claim(neutral=1.0, margin=0.1), around(0.5), "full", Verdict.CONTRADICTED),
    (claim(expects="equivalent"), around(0.2), "full", Verdict.REPRODUCED),
    (claim(expects="equivalent"), around(1.0), "full", Verdict.INCONCLUSIVE),
    (claim(expects="equivalent"), around(2.0), "full", Verdict.CONTRADICTED),
    (claim(expects="equivalent"), around(-2.0), "full", Verdict.CONTRADICTED),
    (claim(expects="equivalent", neutral=1.0, margin=0.5), around(1.1), "full", Verdict.REPRODUCED),
    (claim(), around(2, n=4), "full", Verdict.INCONCLUSIVE),
    (claim(), around(2, n=5), "full", Verdict.REPRODUCED),
    (claim(), [], "full", Verdict.INCONCLUSIVE),
    (claim(), [9.0], "full", Verdict.INCONCLUSIVE),
    (claim(exact=True), [9.0], "full", Verdict.REPRODUCED),
    (claim(exact=True, target=10.0), [9.0], "full", Verdict.DIRECTION_ONLY),
    (claim(exact=True), [-9.0], "full", Verdict.CONTRADICTED),
    # On the margin or the target but for rounding, which decides nothing
    (claim(margin=0.3), [0.1 + 0.2] * 8, "full", Verdict.INCONCLUSIVE),
    (claim(margin=0.3, expects="negative"), [0.1 + 0.2] * 8, "full", Verdict.INCONCLUSIVE),
    (claim(margin=0.3, exact=True), [0.1 + 0.2], "full", Verdict.INCONCLUSIVE),
    (claim(margin=0.3, neutral=100.0, expects="equivalent"), [100.3] * 8, "full", Verdict.INCONCLUSIVE),
    (claim(margin=0.1, target=0.1 + 0.2), [0.3] * 8, "full", Verdict.REPRODUCED),
    (claim(needs=["cifar10"]), around(2), "full", Verdict.NOT_TESTABLE),
    (claim(needs=["cifar10"]), [], "book", Verdict.NOT_TESTABLE),
    (claim(needs=["cifar10"]), around(2), "paper", Verdict.REPRODUCED),
    (claim(), around(2), "quick", Verdict.NOT_JUDGED),
    (claim(exact=True), [9.0], "quick", Verdict.NOT_JUDGED),
    (claim(needs=["cifar10"]), [], "quick", Verdict.NOT_JUDGED),
]


@pytest.mark.parametrize(("entry", "samples", "tier", "verdict"), TABLE)
def test_the_table_of_verdicts(entry: Claim, samples: list[float], tier: str, verdict: Verdict) -> None:
    judged = judge(entry, samples, tier)
    assert judged.verdict == verdict
    assert judged.reason
    if samples:
        assert judged.mean == pytest.approx(np.mean(samples))


def test_too_few_seeds_have_no_interval() -> None:
    assert judge(claim(), around(2, n=4), "book").interval is None
    assert judge(claim(), around(2, n=5), "book").interval is not None
    assert judge(claim(exact=True), [3.0, 4.0], "full").interval is not None


def test_an_effect_shown_to_be_too_small_is_said_to_be_so() -> None:
    assert judge(claim(), around(0), "full").reason == "no effect as large as the margin, either way"
    assert "expected direction" in judge(claim(), around(-1), "full").reason
    assert judge(claim(), around(1), "full").reason == "the interval spans the margin"


@pytest.mark.parametrize("expects", ["positive", "negative", "equivalent"])
@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_a_true_null_is_called_reproduced_in_at_most_five_percent(expects: str, noise: str) -> None:
    """At the edge of the margin, where the null is true and hardest to tell: 2,000 experiments of 8 seeds."""
    rng = np.random.default_rng(7)
    draws = rng.normal(size=(2000, 8)) if noise == "normal" else rng.exponential(size=(2000, 8)) - 1
    entry = claim(expects=expects)
    edge = {"positive": 1.0, "negative": -1.0, "equivalent": 1.0}[expects]
    # An equivalence can only pass where the interval is narrower than the margin.
    spread = 0.3 if expects == "equivalent" else 1.0
    sign = -1.0 if expects == "negative" and noise == "skewed" else 1.0  # the harder tail of the skew
    verdicts = [judge(entry, (edge + sign * spread * row).tolist(), "full").verdict for row in draws]
    reproduced = np.mean([verdict == Verdict.REPRODUCED for verdict in verdicts])
    assert reproduced <= (0.05 if noise == "normal" else 0.12)
    assert reproduced > 0.0  # a rule that never reproduces anything would pass too


def test_no_effect_at_all_is_almost_never_reproduced() -> None:
    rng = np.random.default_rng(8)
    verdicts = [judge(claim(), row.tolist(), "full").verdict for row in rng.normal(size=(2000, 8))]
    assert np.mean([verdict == Verdict.REPRODUCED for verdict in verdicts]) <= 0.01


def test_a_real_effect_is_found() -> None:
    rng = np.random.default_rng(9)
    verdicts = [judge(claim(), (3 + row).tolist(), "full").verdict for row in rng.normal(size=(500, 8))]
    assert np.mean([verdict == Verdict.REPRODUCED for verdict in verdicts]) > 0.95


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=12), st.floats(0.01, 2))
def test_the_p_value_and_the_verdict_agree(samples: list[float], margin: float) -> None:
    for expects in ("positive", "negative", "equivalent"):
        judged = judge(claim(expects=expects, margin=margin), samples, "full")
        if judged.p_value is not None:
            assert judged.p_value <= 0.025 + 1e-9
            assert judged.verdict in (Verdict.REPRODUCED, Verdict.CONTRADICTED)
        else:
            assert judged.verdict == Verdict.INCONCLUSIVE


def test_holm_withdraws_the_weak_among_many_and_leaves_counts_alone() -> None:
    weak = judge(claim(), around(1.07, n=8), "full")
    assert weak.verdict == Verdict.REPRODUCED
    assert 0.002 < weak.p_value < 0.025
    nothing = judge(claim(), around(0), "full")
    count = judge(claim(exact=True), [9.0], "full")
    assert holm_verdicts([weak]) == [Verdict.REPRODUCED]
    after = holm_verdicts([weak] * 12 + [nothing, count])
    assert after == [Verdict.INCONCLUSIVE] * 13 + [Verdict.REPRODUCED]


@pytest.mark.parametrize(("samples", "tier", "exact", "sentence"), [
    ([1.0, float("nan")] * 4, "full", False, "finite"), ([float("nan")], "full", True, "finite"),
    ([float("inf")], "quick", True, "finite"), ([1.0] * 8, "fast", False, "tier must be one of"),
])  # fmt: skip
def test_bad_samples_and_tiers_are_refused(samples: list[float], tier: str, exact: bool, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        judge(claim(exact=exact), samples, tier)
