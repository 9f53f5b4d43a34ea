"""The scoreboard, the picture of all claims, and the scripts that judge and reckon again, in a real browser."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebook.ledger import export
from edgebook.ledger.claims import Claim, Ledger
from edgebook.ledger.judging import judge, under_all
from edgebook.ledger.papers import Paper, load_papers
from edgebook.ledger.record import Hardware, Record, load_record, records_in
from edgebook.ledger.results import judge_all

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "book" / "_static"
PAPER = Paper(name="alpha", short="A", title="A", year=2021, wing="a", cite="a", question="So?")
JUDGED = ("word", "alone", "method", "effect", "reason")


@pytest.fixture(scope="module")
def scripts(browser: object) -> Iterator[object]:
    """A page with nothing but the scripts that judge and reckon."""
    context = browser.new_context()
    page = context.new_page()
    page.set_content("<!doctype html><title>scripts</title>")
    for name in ("judge.js", "calculators.js"):
        page.add_script_tag(path=STATIC / name)
    yield page
    context.close()


def recorded() -> list[dict[str, Any]]:
    """Every claim of every committed record, as scripts read it."""
    papers = {paper.name: paper for paper in load_papers(ROOT).papers}
    records = [load_record(path) for path in records_in(ROOT / "results" / "full")]
    return [export.claim_json(one, record, papers[record.notebook]) for record in records for one in record.results]


def record_of(tier: str) -> Record:
    return Record(
        notebook="alpha", title="A", tier=tier, scale="s", parameters={}, seeds=(), results=(), commit=None,
        dirty=False, fingerprint="f", versions={}, seconds=1.0, started="now",
        hardware=Hardware(cpu="c", cores=1, gpu=None, platform="p"),
    )  # fmt: skip


def some_claim(draw: random.Random) -> Claim:
    """A claim of any kind that the ledger allows."""
    while True:
        kind = draw.choice(["claim", "claim", "question", "control", "identity"])
        form = draw.choice(["seeds", "seeds", "seeds", "share", "exact" if kind == "identity" else "seeds"])
        expects = draw.choice(["positive", "negative", "equivalent"])
        neutral = draw.choice([0, 0, 1, -1, 0.5, 40])
        asked = {
            "id": "A-1", "says": "s", "where": "table 1", "measures": "m", "kind": kind, "samples": form,
            "unit": draw.choice(["%", "share"]) if form == "share" else "points", "expects": expects,
            "neutral": neutral, "margin": draw.choice([0, 0.1, 1, 2.5]),
            "headline": kind in ("claim", "question"),
            "bounds": draw.choice([(None, None), (None, None), (-100, 100), (0, None), (None, 3)]),
        }  # fmt: skip
        if draw.random() < 0.4 and kind in ("claim", "identity"):
            asked |= {"target": round(draw.uniform(-5, 5), 2), "tolerance": draw.choice([0, 0.3, 1]),
                      "size": draw.choice(["at least", "about", "up to"])}  # fmt: skip
        if draw.random() < 0.05:
            asked["needs"] = ["a robot"]
        try:
            return Claim.model_validate(asked)
        except ValueError:
            continue


def some_samples(draw: random.Random, claim: Claim) -> list[Any]:
    """Samples that the claim allows: spread, of two values, constant, on a bound, many or few."""
    low, high = claim.ends
    count = draw.choice([0, 1, 4, 5, 6, 7, 8, 8, 8, 12, 20])
    if claim.samples == "exact":
        values = [draw.choice([claim.neutral, claim.neutral + 1, claim.target or 2.0])] * min(count, 1)
        return [min(max(one, low), high) for one in values]
    if claim.samples == "share":
        trials = draw.choice([1, 3, 40, 500])
        chance = draw.choice([0, 0.02, 0.5, 0.9, 1])
        return [(sum(draw.random() < chance for _ in range(trials)), trials) for _ in range(count)]
    centre = draw.choice([claim.neutral, claim.target or 0, claim.neutral + draw.gauss(0, 3)])
    spread = draw.choice([0.01, 0.5, 4, 1e-15, 1e5])
    values = [draw.gauss(centre, spread) for _ in range(count)]
    shape = draw.random()
    if shape < 0.1:
        values = [draw.choice([centre, centre + 1]) for _ in values]
    elif shape < 0.15:
        values = [centre] * count
    return [min(max(one, low), high) for one in values]


def some_results(count: int, seed: int) -> list[dict[str, Any]]:
    """Claims and samples made with a seed, judged by Python: headlines also under two choices."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        claim, tier = some_claim(draw), draw.choice(["full", "full", "full", "paper", "quick"])
        names = ["gain 3", "an epoch less"] if claim.headline and draw.random() < 0.5 else []
        ledger = Ledger.model_validate({
            "title": "A", "cite": "a", "statements": [{"says": "s", "tested_by": ["A-1"]}], "claims": [claim],
            "choices": [{"name": name, "says": "s", "claims": ["A-1"]} for name in names],
        })  # fmt: skip
        (result,) = judge_all(
            ledger, {"A-1": some_samples(draw, claim)}, tier, levels={},
            under={name: {"A-1": some_samples(draw, claim)} for name in names},
            placebo={"A-1": some_samples(draw, claim)} if names else {},
        )  # fmt: skip
        found.append(export.claim_json(result, record_of(tier), PAPER))
    return found


def differences(entries: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[tuple[str, str, Any, Any]]:
    """Compare what the script found with what Python did."""
    found = []
    for entry, answer in zip(entries, answers, strict=True):
        for name in JUDGED:
            wanted, given = entry[name], answer[name]
            if name == "reason" and wanted.startswith("nothing learnt"):  # which arms, no sample says
                wanted = wanted[: len(given)]
            if wanted != given:
                found.append((entry["id"], name, wanted, given))
        if entry["size_word"] != answer["size"]:
            found.append((entry["id"], "size", entry["size_word"], answer["size"]))
        for name in ("mean", "interval"):
            wanted, given = entry[name], answer[name]
            same = wanted is given if None in (wanted, given) else wanted == pytest.approx(given, rel=1e-9, abs=1e-12)
            if not same:
                found.append((entry["id"], name, wanted, given))
        words = {name: one["word"] for name, one in answer["under"].items()}
        if words != entry["under"]:
            found.append((entry["id"], "under", entry["under"], words))
    return found


JUDGE = "entries => entries.map((entry) => window.edgebookJudge.judge(entry))"


def test_the_script_judges_every_recorded_claim_as_python_did(scripts: object) -> None:
    entries = recorded()
    assert len(entries) > 100
    assert differences(entries, scripts.evaluate(JUDGE, entries)) == []


def test_the_script_judges_a_thousand_random_claims_as_python_does(scripts: object) -> None:
    entries = some_results(1000, seed=20)
    met = {(entry["kind"], entry["word"]) for entry in entries}
    assert {word for _, word in met} >= {
        "reproduced", "direction only", "not reproduced", "contradicted", "yes", "no", "the other way round", "held",
        "failed", "agrees", "does not agree", "inconclusive", "depends", "not testable here", "not judged",
    }  # fmt: skip
    assert {entry["method"] for entry in entries} == {"Student", "values", "Clopper-Pearson", "exact", "none"}
    assert differences(entries, scripts.evaluate(JUDGE, entries)) == []


def test_another_margin_and_a_seed_left_out_are_judged_as_python_would(scripts: object) -> None:
    papers = {paper.name: paper for paper in load_papers(ROOT).papers}
    asked, wanted = [], []
    for path in records_in(ROOT / "results" / "full"):
        record = load_record(path)
        for one in record.results:
            for factor, without in ((0.5, None), (2.0, None), (1.0, 0), (3.0, 2)):
                margin = factor * one.claim.margin
                changed = one.claim.model_copy(update={"margin": margin})
                samples = [sample for place, sample in enumerate(one.samples) if place != without]
                told = judge(changed, samples, record.tier, "so" if one.alone == "not judged" else "")
                word, _ = under_all(told, {})
                asked.append([export.claim_json(one, record, papers[record.notebook]),
                              {"margin": margin, "without": without}])  # fmt: skip
                wanted.append(str(word))
    judged = scripts.evaluate("all => all.map(([entry, how]) => window.edgebookJudge.judge(entry, how).alone)", asked)
    assert judged == wanted
    assert len({word for word in wanted}) > 5
