"""How numbers are written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.ledger.claims import Claim
from edgebook.ledger.wording import duration, estimate, number, paper_number, sampling

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
    ],
)
def test_estimates(mean: float | None, interval: tuple[float, float] | None, text: str) -> None:
    assert estimate(mean, interval, "x") == text


def test_the_paper_column_keeps_numbers_directions_and_controls_apart() -> None:
    assert paper_number(claim(paper=200.0)) == "200 points"
    assert paper_number(claim()) == "above 0 points, no number"
    assert paper_number(claim(expects="negative")) == "below 0 points, no number"
    assert paper_number(claim(expects="equivalent")) == "no difference"
    assert paper_number(claim(kind="control")) == "expected: above 0 points"


def test_what_an_estimate_rests_on() -> None:
    assert [sampling(claim(), n) for n in (0, 1, 8)] == ["no value", "1 seed", "8 seeds"]
    assert sampling(claim(exact=True), 1) == "exact count"


@given(st.floats(min_value=0, max_value=1e6))
def test_a_duration_adds_up(seconds: float) -> None:
    sizes = {"h": 3600, "min": 60, "s": 1}
    parts = re.findall(r"(\d+) (h|min|s)", duration(seconds))
    exact = seconds if seconds < 3600 else seconds - 30
    assert sum(int(n) * sizes[unit] for n, unit in parts) == pytest.approx(exact, abs=31 if seconds >= 3600 else 1)
