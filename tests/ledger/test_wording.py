"""How numbers are written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.ledger import Claim, judge
from edgebook.ledger.record import ClaimResult
from edgebook.ledger.wording import (
    counts_from,
    duration,
    estimate,
    gap,
    measured,
    number,
    paper_number,
    sampling,
    values,
)

FINITE = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


def read(text: str) -> list[float]:
    return [float(value.replace(",", "")) for value in re.findall(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?", text)]


def claim(**changed: object) -> Claim:
    known = {"id": "A", "says": "s", "where": "w", "measures": "m", "unit": "points", "expects": "positive"}
    return Claim.model_validate(known | {"margin": 1.0} | changed)


@given(FINITE)
def test_a_number_reads_back_within_its_three_digits(value: float) -> None:
    assert read(number(value)) == pytest.approx([value], rel=0.0051)


@given(FINITE, st.floats(min_value=1e-9, max_value=1e6), st.floats(min_value=0, max_value=1))
def test_an_estimate_reads_back_and_keeps_its_order(low: float, width: float, share: float) -> None:
    high = low + width
    mean = min(high, low + share * width)
    shown = read(estimate(mean, (low, high)))
    size = max(abs(low), abs(high))
    assert shown == pytest.approx([mean, low, high][: len(shown)], rel=0.02, abs=max(0.1 * width, 0.02 * size))
    if len(shown) == 3:
        assert shown[1] <= shown[0] <= shown[2]


@pytest.mark.parametrize(
    ("mean", "interval", "text"),
    [
        (1.23456, (1.1, 1.36), "1.23 [1.10, 1.36] x"),
        (241.193, (241.156, 241.229), "241.2 [241.2, 241.2] x"),
        (57.0, (57.0, 57.0), "57 x"),
        (-0.5, None, "-0.500 x"),
        (None, None, "–"),
        (1.78e-15, None, "0 x"),
        (1e-14, (-1e-13, 1e-13), "0 x"),
    ],
)
def test_estimates(mean: float | None, interval: tuple[float, float] | None, text: str) -> None:
    assert estimate(mean, interval, "x") == text


def test_the_paper_column_keeps_numbers_directions_and_other_kinds_apart() -> None:
    assert paper_number(claim(paper=200.0)) == "200 points"
    assert paper_number(claim(paper=200.0, target=200, size="up to", tolerance=50)) == "up to 200 points"
    assert paper_number(claim()) == "above 0 points, no number"
    assert paper_number(claim(expects="negative")) == "below 0 points, no number"
    assert paper_number(claim(expects="equivalent")) == "no difference"
    assert paper_number(claim(expects="equivalent", neutral=3)) == "equal to 3 points"
    bounds = (-100, 100)
    assert paper_number(claim(neutral=-1, margin=0, bounds=bounds)) == "loses less than 1 point, no number"
    assert paper_number(claim(neutral=-2, expects="negative")) == "loses more than 2 points, no number"
    assert paper_number(claim(neutral=-2, unit="decades")) == "above -2 decades, no number"
    assert paper_number(claim(neutral=1, margin=0.1, unit="times")) == "above 1 time, no number"
    assert paper_number(claim(target=1, size="about", tolerance=0.25, margin=0.5)) == "about 1 point"
    for kind in ("control", "question", "identity"):
        assert paper_number(claim(kind=kind)) == "expected: above 0 points"


@pytest.mark.parametrize(("stated", "text"), [
    ({}, "counts from ±1 point"), ({"margin": 0.5}, "counts from ±0.5 points"),
    ({"neutral": -1, "margin": 0}, "counts from -1 point"),
    ({"neutral": 1, "margin": 0.1, "unit": "times"}, "counts from 1 ± 0.1 times"),
    ({"expects": "equivalent", "margin": 3}, "counts as equal within ±3 points"),
    ({"expects": "equivalent", "neutral": 1, "margin": 0.2, "unit": "times"}, "counts as equal within 1 ± 0.2 times"),
])  # fmt: skip
def test_from_where_on_an_effect_counts(stated: dict, text: str) -> None:
    assert counts_from(claim(**stated)) == text


def judged(given: list, **stated: object) -> ClaimResult:
    entry = claim(**stated)
    found = judge(entry, given, "full")
    same = {"gap": None, "holm_verdict": found.verdict, "alone": found.verdict}
    return ClaimResult(claim=entry, samples=tuple(given), **found._asdict(), **same)


SHARE = {"samples": "share", "unit": "%", "neutral": 50}
NUMBER = {"kind": "identity", "samples": "exact"}


@pytest.mark.parametrize(("found", "text", "basis"), [
    (judged([]), "–", "no value"),
    (judged([2.0]), "2 points", "1 seed"),
    (judged([1.0, 1.2, 1.4, 1.6, 1.8, 2.0]), "1.50 [1.11, 1.89] points", "6 seeds"),
    (judged([2.0] * 8), "2 points in 8 seeds", "8 seeds"),
    (judged([9.0], **NUMBER), "9 points", "exact number"),
    (judged([(50, 50)] * 8, **SHARE), "100.0 [99.1, 100.0] %", "400 of 400 in 8 seeds"),
])  # fmt: skip
def test_what_was_measured_and_what_it_rests_on(found: ClaimResult, text: str, basis: str) -> None:
    assert (measured(found), sampling(found)) == (text, basis)


def test_a_gap_has_its_sign_its_unit_and_the_digits_of_the_mean() -> None:
    found = judged([1.0, 1.2, 1.4, 1.6, 1.8, 2.0])
    assert gap(found) == "–"
    assert gap(found.model_copy(update={"gap": -18.5})) == "-18.50 points"
    assert gap(found.model_copy(update={"gap": 1.0, "interval": None})) == "+1 point"


def test_equal_values_stand_together_and_many_as_their_range() -> None:
    assert values([1.0, 4.155, 1.0, 1.0], "times") == "1 time in 3 seeds, 4.16 in 1"
    assert values([-2.0, 1000.0, -2.0]) == "-2 in 2 seeds, 1,000 in 1"
    assert values([0.5]) == "0.500 in 1 seed"
    assert values([0.1 * n for n in range(9)], "points") == "from 0 to 0.800 points"


@given(st.floats(min_value=0, max_value=1e6))
def test_a_duration_adds_up(seconds: float) -> None:
    sizes = {"h": 3600, "min": 60, "s": 1}
    parts = re.findall(r"(\d+) (h|min|s)", duration(seconds))
    exact = seconds if seconds < 3600 else seconds - 30
    assert sum(int(n) * sizes[unit] for n, unit in parts) == pytest.approx(exact, abs=31 if seconds >= 3600 else 1)
