"""All claims of a page judged together: what must be there, choices, placebo, what has not learnt, Holm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebook.ledger import Ledger, Verdict
from edgebook.ledger.claims import Choice
from edgebook.ledger.judging import judge
from edgebook.ledger.record import full_measured, full_record, records_in
from edgebook.ledger.results import judge_all

ROOT = Path(__file__).resolve().parents[2]
CLAIM = {"says": "More.", "where": "abstract", "measures": "a - b", "unit": "points", "expects": "positive",
         "margin": 1.0}  # fmt: skip
GAIN = {"name": "gain", "says": "A gain of 4 instead of 3.", "claims": ["T-1"]}
FLOOR = {"measure": "accuracy", "chance": 10.0, "beyond": 5.0}


def ledger(*claims: dict, **parts: object) -> Ledger:
    given = [{**CLAIM, "id": f"T-{n}", **claim} for n, claim in enumerate(claims or ({},), start=1)]
    statements = [{"says": "S.", "tested_by": [claim["id"] for claim in given]}]
    return Ledger(title="T", cite="t", statements=statements, claims=given, **parts)


def around(mean: float, spread: float = 0.1) -> list[float]:
    return [mean + spread * (2 * i / 7 - 1) for i in range(8)]


def results(found: Ledger, samples: dict, tier: str = "full", **more: dict) -> dict:
    given = {"under": {}, "placebo": {}, "levels": {}} | more
    return {result.claim.id: result for result in judge_all(found, samples, tier, **given)}


HEAD = ledger({"headline": True}, {}, choices=[GAIN])
SAMPLES = {"T-1": around(2), "T-2": around(0)}
WHOLE = {"under": {"gain": {"T-1": around(2)}}, "placebo": {"T-1": around(0)}}


@pytest.mark.parametrize(
    ("found", "samples", "more", "says"),
    [
        (ledger({}, {}), {"T-1": around(2)}, {}, r"samples: missing \['T-2'\], not in the ledger \[\]"),
        (ledger(), {"T-1": around(2), "T-9": [1.0]}, {}, r"samples: missing \[\], not in the ledger \['T-9'\]"),
        (HEAD, SAMPLES, {"placebo": WHOLE["placebo"]}, r"choices: missing \['gain'\]"),
        (HEAD, SAMPLES, WHOLE | {"under": {"gain": {}}}, r"samples under 'gain': missing \['T-1'\]"),
        (
            HEAD,
            SAMPLES,
            WHOLE | {"under": {"gain": SAMPLES}},
            r"under 'gain': missing \[\], not in the ledger \['T-2'\]",
        ),
        (HEAD, SAMPLES, WHOLE | {"under": WHOLE["under"] | {"luck": {}}}, r"not in the ledger \['luck'\]"),
        (HEAD, SAMPLES, {"under": WHOLE["under"]}, r"placebo samples: missing \['T-1'\]"),
        (HEAD, SAMPLES, WHOLE | {"placebo": SAMPLES}, r"placebo samples: missing \[\], not in the ledger \['T-2'\]"),
        (ledger({"learnt": ["dense"]}, floor=FLOOR), {"T-1": around(2)}, {}, "whether dense have learnt"),
    ],
)
def test_what_is_missing_or_belongs_to_nothing_is_named(found: Ledger, samples: dict, more: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        results(found, samples, **more)


def test_what_this_tier_cannot_test_may_be_without_samples() -> None:
    found = results(ledger({}, {"needs": ["robot"]}), {"T-1": around(2)})
    assert (found["T-2"].verdict, found["T-2"].samples) == (Verdict.NOT_TESTABLE, ())


def test_a_headline_without_choices_needs_no_placebo_and_may_have_one() -> None:
    plain = ledger({"headline": True})
    assert results(plain, {"T-1": around(2)})["T-1"].placebo is None
    assert results(plain, {"T-1": around(2)}, placebo={"T-1": around(2)})["T-1"].placebo.verdict == "reproduced"


def test_a_result_is_what_judging_the_claim_alone_gives() -> None:
    found = results(ledger({"paper": 5.0}), {"T-1": around(2)})["T-1"]
    alone = judge(found.claim, around(2), "full")
    assert (found.mean, found.interval, found.verdict, found.reason) == (
        alone.mean, tuple(alone.interval), alone.verdict, alone.reason,
    )  # fmt: skip
    assert found.gap == pytest.approx(-3)
    assert (found.alone, found.holm_verdict, found.under, found.placebo) == (alone.verdict, alone.verdict, {}, None)


@pytest.mark.parametrize(
    ("other", "verdict", "says"),
    [
        (around(3), "reproduced", "beyond the margin; the same under gain"),
        (around(0), "depends", "reproduced as declared; other words under: gain (not reproduced)"),
        (around(1), "depends", "gain (inconclusive)"),
    ],
)
def test_a_headline_is_judged_under_each_choice(other: list[float], verdict: str, says: str) -> None:
    found = results(HEAD, SAMPLES, **WHOLE | {"under": {"gain": {"T-1": other}}})["T-1"]
    assert found.verdict == verdict
    assert says in found.reason
    assert found.alone == Verdict.REPRODUCED
    assert found.under["gain"].samples == tuple(other)
    assert found.holm_verdict == found.verdict
    assert found.placebo.verdict == Verdict.NOT_REPRODUCED


def test_a_claim_whose_arms_have_not_learnt_is_not_judged() -> None:
    page = ledger({"learnt": ["dense", "sparse"]}, {}, floor=FLOOR)
    levels = {"dense": [90.0, 80.0], "sparse": [11.0, 13.0]}
    found = results(page, {"T-1": around(2), "T-2": around(2)}, levels=levels)
    assert found["T-1"].verdict == Verdict.NOT_JUDGED
    assert found["T-1"].reason == "nothing learnt: accuracy of sparse 12, where guessing gives 10"
    assert found["T-2"].verdict == Verdict.REPRODUCED


def test_an_arm_that_has_not_learnt_under_a_choice_is_not_judged_there() -> None:
    page = ledger({"headline": True, "learnt": ["dense"]}, choices=[GAIN], floor=FLOOR)
    given = {"T-1": around(2)}, {"under": {"gain": {"T-1": around(-2)}}, "placebo": {"T-1": around(0)}}
    levels = {"levels": {"dense": [90.0]}}
    found = results(page, given[0], **given[1], **levels, levels_under={"gain": {"dense": [11.0]}})["T-1"]
    assert found.verdict == Verdict.REPRODUCED
    assert found.reason == "beyond the margin; not judged under: gain"
    assert found.under["gain"].reason == "nothing learnt: accuracy of dense 11, where guessing gives 10"
    with pytest.raises(ValueError, match="whether dense have learnt under 'gain', and the run has no values"):
        results(page, given[0], **given[1], **levels)


def test_what_this_tier_cannot_test_need_not_have_learnt() -> None:
    page = ledger({}, {"needs": ["robot"], "learnt": ["robot"]}, floor=FLOOR)
    assert results(page, {"T-1": around(2)})["T-2"].verdict == Verdict.NOT_TESTABLE


def test_the_quick_tier_judges_nothing_under_any_choice() -> None:
    found = results(HEAD, SAMPLES, "quick", **WHOLE)["T-1"]
    assert (found.verdict, found.placebo.verdict) == (Verdict.NOT_JUDGED, Verdict.NOT_JUDGED)


def test_holm_counts_the_open_claims_of_the_page_and_no_exact_numbers() -> None:
    number = {"kind": "identity", "samples": "exact"}
    weak, still = around(1.07), {f"T-{n}": around(1.0, 0.01) for n in range(2, 14)}
    alone = results(ledger({}, number), {"T-1": weak, "T-2": [9.0]})
    assert {one.holm_verdict for one in alone.values()} == {Verdict.REPRODUCED, Verdict.AGREES}
    many = results(ledger({}, *[{}] * 12, number), {"T-1": weak, "T-14": [9.0]} | still)
    assert (many["T-1"].verdict, many["T-1"].holm_verdict) == (Verdict.REPRODUCED, Verdict.INCONCLUSIVE)
    assert many["T-14"].holm_verdict == Verdict.AGREES


def test_shares_keep_their_counts() -> None:
    page = ledger({"samples": "share", "unit": "%", "neutral": 50.0, "bounds": [0, 100]})
    found = results(page, {"T-1": [(9, 10)] * 8})["T-1"]
    assert found.samples == ((9, 10),) * 8
    assert (found.mean, found.method, found.verdict) == (90.0, "Clopper-Pearson", Verdict.REPRODUCED)


@pytest.mark.parametrize("name", [path.stem for path in records_in(ROOT / "results" / "full")])
def test_the_committed_records_are_what_todays_rule_makes_of_their_samples(name: str) -> None:
    """Nobody has typed a word in, and none is left of an earlier rule; asked of the claims as they were judged."""
    record, measured = full_record(name, ROOT), full_measured(name, ROOT)
    under, samples = {}, {one.claim.id: one.samples for one in record.results if one.samples}
    for one in record.results:
        for choice, other in one.under.items():
            under.setdefault(choice, {})[one.claim.id] = other.samples
    declared = [*measured.arms_under] if measured else []  # in the ledger's order, which a single claim may not show
    under = {choice: under[choice] for choice in dict.fromkeys([*declared, *under]) if choice in under}
    asked = Ledger.model_construct(
        title="", cite="", statements=(), floor=record.floor, claims=tuple(one.claim for one in record.results),
        choices=tuple(Choice(name=choice, says="-", claims=tuple(ids)) for choice, ids in under.items()),
    )  # fmt: skip

    def levels(arms: dict) -> dict:
        measure = record.floor.measure if record.floor else None
        return {arm: found[measure] for arm, found in arms.items() if measure in found}

    found = judge_all(
        asked, samples, record.tier, under=under, levels=levels(measured.arms if measured else {}),
        placebo={one.claim.id: one.placebo.samples for one in record.results if one.placebo},
        levels_under={choice: levels(arms) for choice, arms in measured.arms_under.items()} if measured else {},
    )  # fmt: skip
    for one, again in zip(record.results, found, strict=True):
        now, then = again.model_dump(), one.model_dump()
        for field in ("mean", "gap", "p_value", "interval"):  # another SciPy may round them otherwise; None is nan
            ends = (np.array(of.pop(field), dtype=float) for of in (now, then))
            assert np.allclose(*ends, rtol=1e-6, atol=1e-12, equal_nan=True), (one.claim.id, field)
        for result in (now, then):
            others = [*result["under"].values(), *([result["placebo"]] if result["placebo"] else [])]
            result["under"], result["placebo"] = [*result["under"]], [other["verdict"] for other in others]
        assert now == then
