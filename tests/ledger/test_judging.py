"""Every branch of the rule, and the error rates that simulation gives it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgebook.ledger import Claim, Verdict, judge
from edgebook.ledger.judging import DECIDED, holm_verdicts, under_all
from edgebook.ledger.rule import effect_of, size_of, word_for


def claim(**changes) -> Claim:
    fields = {
        "id": "T-1", "says": "More.", "where": "abstract", "measures": "a - b", "unit": "points",
        "expects": "positive", "margin": 1.0,
    }  # fmt: skip
    return Claim(**{**fields, **changes})


def sized(target: float, size: str = "at least", tolerance: float = 0.5, **changes) -> Claim:
    return claim(target=target, size=size, tolerance=tolerance, **changes)


def around(mean: float, spread: float = 0.1, n: int = 8) -> list[float]:
    """`n` values with this mean; their interval is about 0.5 spread wide to either side."""
    return [mean + spread * (2 * i / (n - 1) - 1) for i in range(n)]


EQUAL = {"expects": "equivalent"}
TABLE = [
    # claim, samples, word
    (claim(), around(2), "reproduced"),
    (claim(), around(1), "inconclusive"),
    (claim(), around(0), "not reproduced"),
    (claim(), around(-1), "not reproduced"),
    (claim(), around(-2), "contradicted"),
    (claim(), around(1, spread=4), "inconclusive"),
    (claim(expects="negative"), around(-2), "reproduced"),
    (claim(expects="negative"), around(2), "contradicted"),
    (claim(neutral=1.0, margin=0.1), around(1.5), "reproduced"),
    (claim(neutral=1.0, margin=0.1), around(0.5), "contradicted"),
    (claim(neutral=1.0, margin=0.1, expects="negative"), around(0.5), "reproduced"),
    (sized(4.0), around(2), "direction only"),
    (sized(4.0), around(3.5), "direction only"),  # spans the target less its tolerance: touching is not reaching
    (sized(4.0), around(3.7), "reproduced"),
    (sized(4.0), around(9), "reproduced"),
    (sized(4.0, "up to"), around(4), "reproduced"),
    (sized(4.0, "up to"), around(2), "direction only"),
    (sized(4.0, "up to"), around(9), "direction only"),  # 9 times is another number than "up to 4 times"
    (sized(-4.0, "up to", expects="negative"), around(-9), "direction only"),
    (sized(4.0, "about"), around(4), "reproduced"),
    (sized(4.0, "about"), around(9), "direction only"),
    (sized(4.0, "about"), around(4.5), "direction only"),
    (sized(-4.0, "about", expects="negative"), around(-4), "reproduced"),
    (sized(-4.0, expects="negative"), around(-2), "direction only"),
    (sized(9.0), around(1, spread=4), "not reproduced"),  # the effect is open, and the claimed size is ruled out
    (claim(**EQUAL), around(0.2), "reproduced"),
    (claim(**EQUAL), around(1.0), "inconclusive"),
    (claim(**EQUAL), around(2.0), "contradicted"),
    (claim(**EQUAL), around(-2.0), "contradicted"),
    (claim(**EQUAL, neutral=1.0, margin=0.5), around(1.1), "reproduced"),
    (claim(kind="question"), around(2), "yes"),
    (claim(kind="question"), around(0), "no"),
    (claim(kind="question"), around(-2), "the other way round"),
    (claim(kind="question"), around(1), "inconclusive"),
    (claim(kind="question", **EQUAL), around(0.2), "yes"),
    (claim(kind="question", **EQUAL), around(2), "no"),
    (claim(kind="control"), around(2), "held"),
    (claim(kind="control"), around(0), "failed"),
    (claim(kind="control"), around(-2), "failed"),
    (claim(kind="control"), around(1), "inconclusive"),
    (claim(kind="identity", samples="exact"), [9.0], "agrees"),
    (claim(kind="identity", samples="exact"), [0.0], "does not agree"),
    (sized(10.0, "about", kind="identity", samples="exact"), [9.0], "does not agree"),
    (sized(10.0, "about", kind="identity", samples="exact"), [9.7], "agrees"),
    (claim(kind="identity"), around(1), "inconclusive"),
    (claim(), around(2, n=4), "inconclusive"),
    (claim(), around(2, n=5), "reproduced"),
    (claim(), [], "inconclusive"),
    # On the margin or the edge of the tolerance but for rounding, which decides nothing
    (claim(margin=0.3), [0.1 + 0.2] * 8, "inconclusive"),
    (claim(margin=0.3, expects="negative"), [-0.1 - 0.2] * 8, "inconclusive"),
    (claim(margin=0.3, kind="identity", samples="exact"), [0.1 + 0.2], "inconclusive"),
    (claim(margin=0.3, neutral=100.0, **EQUAL), [100.3] * 8, "inconclusive"),
    (sized(0.4, tolerance=0.1, margin=0.1), [0.1 + 0.2] * 8, "direction only"),
    (sized(0.4, "about", tolerance=0.1, margin=0.1), [0.5] * 8, "direction only"),
    (sized(0.4, "about", tolerance=0.1, margin=0.1, kind="identity", samples="exact"), [0.1 + 0.2], "inconclusive"),
    (claim(needs=["robot"]), around(2), "not testable here"),
    (claim(needs=["robot"]), [], "not testable here"),
]


@pytest.mark.parametrize(("entry", "samples", "word"), TABLE)
def test_the_table_of_words(entry: Claim, samples: list[float], word: str) -> None:
    judged = judge(entry, samples, "full")
    assert judged.verdict == word
    assert judged.reason
    if samples:
        assert judged.mean == pytest.approx(np.mean(samples))


@pytest.mark.parametrize(("samples", "what"), [
    (around(1), "the interval spans the margin"), ([0.0, 2.0] * 4, "the values span the margin"),
    ([1.0] * 8, "the values span the margin"), (around(1, n=4), "4 of at least 5 seeds"),
    ([2.0] * 5, "5 of at least 6 seeds"), (around(0), "an effect as large as the margin is ruled out"),
])  # fmt: skip
def test_the_reason_says_what_decided(samples: list[float], what: str) -> None:
    assert judge(claim(), samples, "full").reason == what


def test_effect_and_size_are_told_apart() -> None:
    reasons = [judge(sized(4.0, "about"), around(mean), "full").reason for mean in (2, 4, 4.5)]
    told = ["is ruled out, by less than it asks", "is reached", "stays open"]
    assert judge(sized(4.0, "up to"), around(9), "full").reason.endswith("is ruled out, by more than it asks")
    assert judge(sized(-4.0, expects="negative"), around(-2), "full").reason.endswith("by less than it asks")
    assert reasons == [f"beyond the margin; the paper's number {what}" for what in told]


def test_every_word_of_the_rule_stands_in_the_table_or_belongs_to_a_whole_page() -> None:
    elsewhere = {Verdict.DEPENDS, Verdict.NOT_JUDGED}
    assert {word for *_, word in TABLE} | elsewhere == set(Verdict)


def test_what_a_tier_or_an_arm_cannot_say() -> None:
    assert judge(claim(), around(2), "quick").verdict == Verdict.NOT_JUDGED
    assert judge(claim(needs=["robot"]), around(2), "paper").verdict == Verdict.REPRODUCED
    unlearnt = judge(claim(), around(2), "full", unlearnt="accuracy of dense 10.1, where guessing gives 10")
    assert unlearnt.verdict == Verdict.NOT_JUDGED
    assert unlearnt.reason == "nothing learnt: accuracy of dense 10.1, where guessing gives 10"


def words(entry: Claim, draws: np.ndarray) -> list[Verdict]:
    """The word for each row of samples, from SciPy's interval of all rows at once and the rule."""
    ends = stats.t.interval(0.95, draws.shape[1] - 1, draws.mean(axis=1), stats.sem(draws, axis=1))
    spans = zip(*(end.tolist() for end in ends), strict=True)
    return [word_for(entry, effect_of(entry, *span), size_of(entry, *span)) for span in spans]


def shares(entry: Claim, draws: np.ndarray) -> dict[Verdict, float]:
    found = words(entry, draws)
    return {word: found.count(word) / len(found) for word in Verdict}


@pytest.mark.parametrize("entry", [
    claim(), claim(expects="negative"), claim(**EQUAL), sized(2.0), sized(2.0, "about"), claim(kind="question"),
    claim(kind="control"), claim(neutral=1.0, margin=0.1),
])  # fmt: skip
def test_judging_is_students_interval_and_the_rule(entry: Claim) -> None:
    """So that the simulations below, which take the interval of many rows at once, speak of `judge`."""
    rng = np.random.default_rng(2)
    draws = rng.uniform(-3, 3, (60, 1)) + rng.choice([0.1, 1.0], (60, 1)) * rng.normal(size=(60, 8))
    assert [judge(entry, row.tolist(), "full").verdict for row in draws] == words(entry, draws)


@pytest.mark.parametrize("expects", ["positive", "negative", "equivalent"])
@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_a_true_null_is_called_reproduced_in_at_most_five_percent(expects: str, noise: str) -> None:
    """At the edge of the margin, where the null is true and hardest to tell: 2,000 experiments of 8 seeds."""
    rng = np.random.default_rng(7)
    draws = rng.normal(size=(2000, 8)) if noise == "normal" else rng.exponential(size=(2000, 8)) - 1
    edge = -1.0 if expects == "negative" else 1.0
    # An equivalence can only pass where the interval is narrower than the margin.
    spread = 0.3 if expects == "equivalent" else 1.0
    sign = -1.0 if expects == "negative" and noise == "skewed" else 1.0  # the harder tail of the skew
    found = shares(claim(expects=expects), edge + sign * spread * draws)
    assert 0 < found[Verdict.REPRODUCED] <= (0.05 if noise == "normal" else 0.12)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize(("size", "true"), [
    ("at least", 3.5), ("about", 3.5), ("about", 4.5), ("up to", 3.5), ("up to", 4.5),
])  # fmt: skip
def test_noise_never_earns_the_papers_number(spread: float, size: str, true: float) -> None:
    """The true value is just short of what counts, or just past it: at any spread at most 5 % are reproduced."""
    draws = true + spread * np.random.default_rng(3).normal(size=(2000, 8))
    assert shares(sized(4.0, size), draws)[Verdict.REPRODUCED] <= 0.05


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize(("entry", "true", "false"), [
    (claim(), 1.0, {Verdict.NOT_REPRODUCED, Verdict.CONTRADICTED}), (claim(), 1.0, {Verdict.REPRODUCED}),
    (claim(), -1.0, {Verdict.CONTRADICTED}), (claim(**EQUAL), 1.0, {Verdict.REPRODUCED}),
    (claim(**EQUAL), 1.0, {Verdict.CONTRADICTED}), (sized(2.0), 1.0, {Verdict.REPRODUCED, Verdict.DIRECTION_ONLY}),
    (sized(2.0), 1.5, {Verdict.NOT_REPRODUCED, Verdict.CONTRADICTED}),
    (claim(kind="question"), 1.0, {Verdict.YES}), (claim(kind="question"), 1.0, {Verdict.NO, Verdict.OTHER_WAY}),
    (claim(kind="control"), 1.0, {Verdict.HELD}), (claim(kind="control"), 1.0, {Verdict.FAILED}),
    (claim(kind="identity"), 1.0, {Verdict.AGREES}), (claim(kind="identity"), 1.0, {Verdict.DISAGREES}),
])  # fmt: skip
def test_no_word_is_earned_where_it_is_just_false(entry: Claim, true: float, false: set, spread: float) -> None:
    """At the edge, where a word is false and hardest to tell from true: at most 5 % at every spread."""
    found = shares(entry, true + spread * np.random.default_rng(8).normal(size=(1000, 8)))
    assert sum(found[word] for word in false) <= 0.05


@pytest.mark.parametrize("entry", [claim(), sized(1.9), sized(2.0, "about")], ids=["effect", "at least", "about"])
def test_precision_never_costs_a_word(entry: Claim) -> None:
    """Where the claim is true, a smaller spread calls it reproduced at least as often."""
    noise = np.random.default_rng(4).normal(size=(1000, 8))
    rates = [shares(entry, 2 + spread * noise)[Verdict.REPRODUCED] for spread in (3.0, 1.0, 0.3, 0.1, 0.03)]
    assert rates == sorted(rates)
    assert rates[-1] == 1.0


def test_a_true_effect_is_hardly_ever_ruled_out_and_none_hardly_ever_contradicts() -> None:
    noise = np.random.default_rng(5).normal(size=(2000, 8))
    assert shares(claim(), 1 + noise)[Verdict.NOT_REPRODUCED] <= 0.035  # at the margin: one tail of 2.5 %
    assert shares(claim(), noise)[Verdict.CONTRADICTED] <= 0.01
    assert shares(claim(), noise)[Verdict.REPRODUCED] <= 0.01
    assert shares(claim(), 3 + noise)[Verdict.REPRODUCED] > 0.95


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=12), st.floats(0.01, 2), st.sampled_from([None, -5, 5]))
def test_the_p_value_and_the_word_agree(samples: list[float], margin: float, end: float | None) -> None:
    """Whatever the samples, also where the measure ends between its neutral value and what lies on the margin."""
    low, high = (None, end) if end == 5 else (end, None)
    neutral = 4.9 if end == 5 else -4.9 if end == -5 else 0.0
    for expects in ("positive", "negative", "equivalent"):
        entry = claim(margin=margin, neutral=neutral).model_copy(update={"expects": expects, "bounds": (low, high)})
        judged = judge(entry, samples, "full")
        if judged.p_value is not None:
            assert (judged.p_value <= 0.025 + 1e-9) or judged.verdict is Verdict.INCONCLUSIVE
            assert (judged.p_value >= 0.025 - 1e-9) or judged.verdict in DECIDED


@given(st.lists(st.tuples(st.integers(0, 9), st.just(9)), min_size=5, max_size=12), st.floats(1, 40))
def test_the_p_value_of_a_share_and_its_word_agree(samples: list[tuple[int, int]], margin: float) -> None:
    for expects, neutral in (("positive", 50.0), ("negative", 50.0), ("equivalent", 50.0), ("equivalent", 100.0)):
        entry = claim(samples="share", unit="%", expects=expects, neutral=neutral, margin=margin)
        judged = judge(entry, samples, "full")
        assert (judged.p_value <= 0.025 + 1e-9) or judged.verdict is Verdict.INCONCLUSIVE
        assert (judged.p_value >= 0.025 - 1e-9) or judged.verdict in DECIDED


@pytest.mark.parametrize("alike", [2.0, 20.0, 1e6])
def test_a_share_whose_seeds_differ_earns_no_word(alike: float) -> None:
    """The true share is at the margin, 51 %; seeds scatter widely around it, less so, or not at all."""
    rng = np.random.default_rng(6)
    entry = claim(samples="share", unit="%", neutral=50.0)
    true = rng.beta(0.51 * alike, 0.49 * alike, (1000, 8))
    found = [judge(entry, [(hits, 50) for hits in row], "full").verdict for row in rng.binomial(50, true).tolist()]
    assert found.count(Verdict.REPRODUCED) / len(found) <= 0.05
    assert found.count(Verdict.NOT_REPRODUCED) / len(found) <= 0.05


def test_values_without_a_spread_are_not_decided_against_their_mean() -> None:
    """Most seeds lie on one side of the margin, and a few so far on the other that their mean does too."""
    assert judge(claim(), [-100.0] * 6 + [2.0] * 18, "full").verdict == Verdict.INCONCLUSIVE
    assert judge(claim(bounds=[0, 100]), [0.0] * 18 + [100.0] * 6, "full").verdict == Verdict.INCONCLUSIVE


def test_holm_counts_every_sampled_claim_of_a_page() -> None:
    weak = judge(claim(), around(1.07, n=8), "full")
    assert weak.verdict == Verdict.REPRODUCED
    assert 0.002 < weak.p_value < 0.025
    nothing = judge(claim(), around(1.0, spread=0.01), "full")
    assert nothing.verdict == Verdict.INCONCLUSIVE
    number = judge(claim(kind="identity", samples="exact"), [9.0], "full")
    assert holm_verdicts([weak, number]) == [Verdict.REPRODUCED, Verdict.AGREES]
    assert number.p_value is None
    after = holm_verdicts([weak, *[nothing] * 12, number])  # one decided among thirteen tested
    assert after == [*[Verdict.INCONCLUSIVE] * 13, Verdict.AGREES]


def test_a_word_stands_where_it_holds_under_every_choice() -> None:
    shown, none, opposite = (judge(claim(), around(mean), "full") for mean in (2, 0, -2))
    silent = judge(claim(), around(2), "full", unlearnt="x")
    assert under_all(shown, {})[0] == Verdict.REPRODUCED
    assert under_all(shown, {"gain": shown, "epochs": shown})[0] == Verdict.REPRODUCED
    verdict, reason = under_all(shown, {"gain": shown, "epochs": none, "noise": opposite})
    assert verdict == Verdict.DEPENDS
    assert "epochs (not reproduced), noise (contradicted)" in reason
    assert "gain" not in reason
    assert under_all(shown, {"gain": shown, "epochs": shown})[1] == "beyond the margin; the same under gain, epochs"
    assert under_all(shown, {"gain": silent}) == ("reproduced", "beyond the margin; not judged under: gain")
    assert under_all(silent, {"gain": shown})[0] == Verdict.NOT_JUDGED


@pytest.mark.parametrize(("entry", "samples", "tier", "sentence"), [
    (claim(), [1.0, float("nan")] * 4, "full", "finite"),
    (claim(), [float("inf")], "quick", "finite"),
    (claim(), [1.0] * 8, "fast", "tier must be one of"),
    (claim(kind="identity", samples="exact"), [1.0, 2.0], "full", "one exact number"),
    (claim(bounds=[-5, 5]), [6.0] * 8, "full", r"lies within \[-5.0, 5.0\]"),
    (claim(), [(3, 4)] * 8, "full", "are numbers, one for each seed"),
    (claim(samples="share", unit="%", neutral=50), [3.0] * 8, "full", r"\(successes, trials\)"),
    (claim(samples="share", unit="%", neutral=50), [(5, 4)], "full", r"\(successes, trials\)"),
    (claim(samples="share", unit="%", neutral=50), [(0, 0)] * 8, "full", r"\(successes, trials\)"),
    (claim(samples="share", unit="%", neutral=50), [(3.7, 5)] * 8, "full", r"\(successes, trials\)"),
])  # fmt: skip
def test_bad_samples_and_tiers_are_refused(entry: Claim, samples: list, tier: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        judge(entry, samples, tier)
