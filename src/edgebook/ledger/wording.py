"""How numbers are put into words: the same on the scoreboard, in a notebook and in a terminal."""

from __future__ import annotations

import math

from edgebook.ledger.claims import Claim
from edgebook.ledger.record import ClaimResult

NOTHING = "–"
_TINY = 1e-4  # below it a number is written with an exponent


def number(value: float | None, decimals: int | None = None, sign: bool = False) -> str:
    """Write a number with three significant digits, or with so many decimals.

    >>> number(1234.5), number(0.01234), number(-1.5, 1, sign=True), number(2.5e-7)
    ('1,234', '0.0123', '-1.5', '2.50e-07')
    >>> number(-0.25, 0)
    '0'
    """
    if value is None:
        return NOTHING
    if decimals is None and 0 < abs(value) < _TINY:
        return f"{value:{'+' if sign else ''}.2e}"
    if decimals is None:
        decimals = 0 if value == 0 else min(6, max(0, 2 - math.floor(math.log10(abs(value)))))
        decimals = 0 if float(value).is_integer() else decimals
    value = round(value, decimals) + 0.0  # no minus before a zero
    return f"{value:{'+' if sign else ''},.{decimals}f}"


def estimate(mean: float | None, interval: tuple[float, float] | None, unit: str = "") -> str:
    """Write a mean with its interval: two digits of the interval's width, but at most four of the mean.

    >>> estimate(1.23456, (1.1, 1.36), "points")
    '1.23 [1.10, 1.36] points'
    """
    if mean is None:
        return NOTHING
    tail = f" {unit}" if unit else ""
    if interval is None or interval[0] == interval[1]:
        return number(mean) + tail
    if max(abs(mean), *map(abs, interval)) < _TINY:
        return f"{mean:.2e} [{interval[0]:.2e}, {interval[1]:.2e}]{tail}"
    half = (interval[1] - interval[0]) / 2
    size = max(abs(mean), half)
    decimals = max(0, min(6, 1 - math.floor(math.log10(half)), 3 - math.floor(math.log10(size))))
    low, high = (number(end, decimals) for end in interval)
    return f"{number(mean, decimals)} [{low}, {high}]{tail}"


def measured(result: ClaimResult | None) -> str:
    """Write what a run measured for a claim."""
    return NOTHING if result is None else estimate(result.mean, result.interval, result.claim.unit)


def sampling(claim: Claim, samples: int) -> str:
    """Say how many values an estimate rests on."""
    if samples == 0:
        return "no value"
    if claim.exact and samples == 1:
        return "exact count"
    return f"{samples} seed" + ("s" if samples != 1 else "")


def paper_number(claim: Claim) -> str:
    """Write the paper's own number, or say that it gives only a direction, or none because it is our control."""
    if claim.paper is not None:
        return f"{number(claim.paper)} {claim.unit}".strip()
    neutral = f"{number(claim.neutral)} {claim.unit}".strip()
    sides = {"positive": f"above {neutral}", "negative": f"below {neutral}", "equivalent": "no difference"}
    side = sides[claim.expects]
    if claim.kind == "control":
        return f"expected: {side}"
    return side if claim.expects == "equivalent" else f"{side}, no number"


def duration(seconds: float | None) -> str:
    """Write a duration in the largest unit that keeps it readable.

    >>> duration(42.3), duration(125), duration(8000)
    ('42 s', '2 min 5 s', '2 h 13 min')
    """
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
