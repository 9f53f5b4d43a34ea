"""The ledger's file: what it may say and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from edgebook.ledger import Claim, Ledger, load_ledger
from edgebook.ledger.claims import Floor

ENTRY = {
    "id": "T-1", "says": "More.", "where": "abstract", "paper": 2.0, "measures": "a / b", "unit": "times",
    "expects": "positive", "neutral": 1, "margin": 0.1, "target": 2.0, "size": "about", "tolerance": 0.25,
}  # fmt: skip
BARE = {"paper": None, "target": None, "size": None, "tolerance": None}
STATEMENT = {"says": "It is more.", "tested_by": ["T-1"]}
FLOOR = {"measure": "accuracy", "chance": 10, "beyond": 5}


def ledger(*claims: dict, **parts) -> dict:
    return {"title": "T", "cite": "t2020", "statements": [STATEMENT], "claims": [*claims] or [ENTRY], **parts}


def write(root: Path, content: dict) -> None:
    folder = root / "book" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.yml").write_text(yaml.safe_dump(content))


def test_a_ledger_reads_back_as_written(tmp_path: Path) -> None:
    question = {**BARE, "id": "T-2", "kind": "question", "where": "our reading", "headline": True}
    write(tmp_path, ledger(ENTRY, {**ENTRY, **question}))
    found = load_ledger("toy", tmp_path)
    assert (found.claim("T-1").target, found.claim("T-1").size) == (2.0, "about")
    assert found.claim("T-1").needs == ()
    assert [claim.id for claim in found.headlines] == ["T-2"]
    with pytest.raises(ValueError, match="it has T-1, T-2"):
        found.claim("T-3")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"verdict": "reproduced"}, r"claims\.0\.verdict: Extra inputs"),
        ({"exact": False}, r"claims\.0\.exact: Extra inputs"),
        ({"expects": "better"}, "claims.0.expects"),
        ({"kind": "hope"}, "claims.0.kind"),
        ({"samples": "counts"}, "claims.0.samples"),
        ({"size": "nearly"}, "claims.0.size"),
        ({"margin": -1}, "claims.0.margin"),
        ({"tolerance": -1}, "claims.0.tolerance"),
        ({"id": "7 b"}, "claims.0.id"),
        ({"neutral": float("nan")}, "claims.0.neutral"),
        ({"bounds": [0, float("inf")]}, "claims.0.bounds"),
        ({"tolerance": None}, "target, size and tolerance stand together or not at all"),
        ({"size": None}, "target, size and tolerance stand together or not at all"),
        ({"target": None}, "target, size and tolerance stand together or not at all"),
        ({"kind": "question"}, "a target is a number of the paper, and a question has none"),
        ({"kind": "control"}, "a target is a number of the paper, and a control has none"),
        ({"target": 1.2}, "less its tolerance lies short of the margin around 1.0"),
        ({"expects": "negative"}, "less its tolerance lies short of the margin"),
        ({"expects": "equivalent"}, "has a margin and no target"),
        ({**BARE, "expects": "equivalent", "margin": 0}, "needs a margin above 0"),
        ({"speaks_against_the_paper": "held"}, "only a control says whether it speaks against the paper"),
        ({"samples": "exact"}, "an exact number, the same for every seed, is an identity"),
        ({"samples": "share"}, "a share is measured in % or as a share, got the unit 'times'"),
        ({**BARE, "headline": True, "kind": "control"}, "a headline is a claim or a question, and this is a control"),
        ({"learnt": ["a"]}, "T-1 asks that arms have learnt, and the ledger has no floor"),
        ({"bounds": [2, 1]}, r"bounds are a lower and an upper end, got \[2.0, 1.0\]"),
        ({"bounds": [None, 0.5]}, r"neutral 1.0 lies outside the bounds \[None, 0.5\]"),
        ({**BARE, "bounds": [0, 1.05]}, r"within \[0.0, 1.05\] nothing lies beyond the margin"),
        ({"bounds": [0, 1.5]}, r"within \[0.0, 1.5\] nothing lies beyond the margin and at the target"),
        (
            {**BARE, "expects": "equivalent", "bounds": [0.95, 1.05]},
            "no value counts as missed, so it cannot be missed",
        ),
        # Only the bound itself is not seen, and it counts as missed no more: every noise lies above it.
        ({**BARE, "margin": 0, "neutral": -1, "bounds": [-1, 1]}, "no value counts as missed"),
        ({**BARE, "expects": "equivalent", "bounds": [1, 1.1]}, "no value counts as missed"),
        ({"where": "our reading"}, "a claim stands in the paper, and 'our reading' is a question or a control"),
        ({"size": "at least", "bounds": [1, None]}, None),  # a ratio that cannot be below 1 can be about 1
    ],
)
def test_an_entry_that_does_not_fit_is_named(tmp_path: Path, change: dict, sentence: str | None) -> None:
    write(tmp_path, ledger({**ENTRY, **change}))
    if sentence is None:
        assert load_ledger("toy", tmp_path).claims
        return
    with pytest.raises(ValueError, match=sentence) as caught:
        load_ledger("toy", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"statements": []}, "statements: Tuple should have at least 1 item"),
        ({"statements": [{"says": "S."}]}, "the statement 'S.' needs either tested_by or untested, and not both"),
        ({"statements": [{**STATEMENT, "untested": "no"}]}, "needs either tested_by or untested, and not both"),
        ({"statements": [{"says": "S.", "tested_by": ["T-9"]}]}, "'S.' names T-9, which is not a claim of this ledger"),
        ({"choices": [{"name": "gain", "says": "4", "claims": ["T-1"]}]}, "names T-1, which is not a headline claim"),
        ({"choices": [{"name": "gain", "says": "4", "claims": []}]}, "choices.0.claims"),
        ({"choices": [{"name": "gain", "says": "4", "claims": ["T-2"]}] * 2}, "choices stand more than once: gain"),
        (
            {"claims": [ENTRY, {**ENTRY, "id": "T-3"}]},
            "T-3 stands in the abstract, and none of its statements names it",
        ),
        (
            {"choices": [{"name": "gain", "says": "4", "claims": ["T-2"]}]},
            "none is named that might decide the headline T-4",
        ),
        ({"floor": {**FLOOR, "beyond": 0}}, "beyond must not be 0"),
        ({"claims": [ENTRY, {**ENTRY, "id": "t-1"}]}, "claim ids stand more than once: t-1"),
        ({"claims": []}, "claims: Tuple should have at least 1 item"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(tmp_path: Path, parts: dict, sentence: str) -> None:
    claims = [ENTRY, *({**ENTRY, "id": name, "where": "table 2", "headline": True} for name in ("T-2", "T-4"))]
    write(tmp_path, ledger(*claims) | parts)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_ledger("toy", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no ledger for 'toy'"):
        load_ledger("toy", tmp_path)
    write(tmp_path, ledger())
    (tmp_path / "book/claims/toy.yml").write_text("claims: [")
    with pytest.raises(ValueError, match=r"book/claims/toy\.yml is not YAML"):
        load_ledger("toy", tmp_path)


@pytest.mark.parametrize(("beyond", "learnt"), [(5, {14.9: False, 15: True, 90: True}), (-0.5, {1.9: True, 2: False})])
def test_a_floor_lies_on_the_better_side_of_guessing(beyond: float, learnt: dict[float, bool]) -> None:
    floor = Floor(measure="accuracy", chance=10 if beyond > 0 else 2.4, beyond=beyond)
    assert {mean: floor.reached(mean) for mean in learnt} == learnt


def test_a_ledger_is_checked_in_memory_too() -> None:
    with pytest.raises(ValidationError, match="more than once: t-1"):
        Ledger(**ledger(ENTRY, {**ENTRY, "id": "t-1"}))
    with pytest.raises(ValidationError, match="short of the margin"):
        Claim(**{**ENTRY, "expects": "negative"})
