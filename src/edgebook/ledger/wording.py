"""How numbers are put into words: the same on the scoreboard, in a notebook and in a terminal."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from edgebook.ledger.claims import Claim
from edgebook.ledger.record import ClaimResult
from edgebook.ledger.rule import Kind, Verdict

NOTHING = "–"
_TINY = 1e-4  # below it a number is written with an exponent
_ROUNDING = 1e-12  # below it what is measured is nothing but rounding
_MOST_VALUES = 8  # that are listed one by one
_HYPHEN = re.compile(r"(?<![\w.)-])-(?=[\d.])")


def with_minus(text: str) -> str:
    """Put a minus sign in the place of each hyphen that stands for one.

    >>> with_minus("-0.3 to -1e-5, 2018-11 and RD-1")
    '−0.3 to −1e-5, 2018-11 and RD-1'
    """
    return _HYPHEN.sub("\u2212", text)


def number(value: float | None, decimals: int | None = None, sign: bool = False) -> str:
    """Write a number with three significant digits, or with so many decimals.

    >>> number(1234.5), number(0.01234), number(-1.5, 1, sign=True), number(2.5e-7)
    ('1,234', '0.0123', '-1.5', '2.50e-07')
    >>> number(-0.25, 0)
    '0'
    """
    if value is None:
        return NOTHING
    value = 0.0 if abs(value) < _ROUNDING else value
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
    if interval is None or interval[0] == interval[1] or max(abs(mean), *map(abs, interval)) < _ROUNDING:
        return with_unit(number(mean), unit)
    tail = f" {unit}" if unit else ""
    if max(abs(mean), *map(abs, interval)) < _TINY:
        return f"{mean:.2e} [{interval[0]:.2e}, {interval[1]:.2e}]{tail}"
    decimals = _decimals(mean, interval)
    low, high = (number(end, decimals) for end in interval)
    return f"{number(mean, decimals)} [{low}, {high}]{tail}"


def _decimals(mean: float, interval: tuple[float, float]) -> int:
    half = (interval[1] - interval[0]) / 2
    size = max(abs(mean), half)
    return max(0, min(6, 1 - math.floor(math.log10(half)), 3 - math.floor(math.log10(size))))


def with_unit(text: str, unit: str) -> str:
    """Write a unit behind a number, in the singular behind a 1.

    >>> with_unit("1", "times"), with_unit("-1", "points per step"), with_unit("1.0", "passes"), with_unit("0.5", "")
    ('1 time', '-1 point per step', '1.0 passes', '0.5')
    """
    first, gap, rest = unit.partition(" ")
    if text.lstrip("+-") == "1" and first.endswith("s"):
        unit = first.removesuffix("es" if first == "passes" else "s") + gap + rest
    return f"{text} {unit}".strip()


def values(samples: Sequence[float], unit: str = "") -> str:
    """Write samples that have no interval as they are, equal ones together.

    >>> values([1.0, 1.0, 4.155, 1.0], "times")
    '1 time in 3 seeds, 4.16 in 1'
    """
    found = sorted(Counter(map(number, sorted(samples))).items(), key=lambda one: float(one[0].replace(",", "")))
    if len(found) > _MOST_VALUES:
        return f"from {found[0][0]} to {found[-1][0]} {unit}".strip()
    (first, count), *others = found
    lead = with_unit(first, unit) + f" in {count} seed{'s' if count != 1 else ''}"
    return ", ".join([lead, *(f"{value} in {count}" for value, count in others)])


def measured(result: ClaimResult | None) -> str:
    """Write what a run measured for a claim: its estimate and interval, or the values where there is none."""
    if result is None:
        return NOTHING
    if result.method == "values":
        return values(result.samples, result.claim.unit)
    return estimate(result.mean, result.interval, result.claim.unit)


def word(result: ClaimResult) -> str:
    """Return the word of a verdict, with the choices on which it depends and the word as declared where it does."""
    others = [f"“{name}”" for name, one in result.under.items() if one.verdict != result.alone]
    if result.verdict is not Verdict.DEPENDS or not others:
        return str(result.verdict)
    *rest, last = others
    return f"{result.verdict} on {', '.join(rest)}{' and ' * bool(rest)}{last} ({result.alone} as declared)"


def gap(result: ClaimResult) -> str:
    """Write how far a mean lies above the paper's number, with its sign and as many digits as the mean has."""
    if result.gap is None:
        return NOTHING
    spread = result.interval is not None and result.interval[0] < result.interval[1]
    decimals = _decimals(result.mean, result.interval) if spread else None
    return with_unit(number(result.gap, decimals, sign=True), result.claim.unit)


def sampling(result: ClaimResult) -> str:
    """Say what an estimate rests on."""
    count = len(result.samples)
    if count == 0:
        return "no value"
    if result.claim.samples == "exact":
        return "exact number"
    seeds = f"{count} seed" + ("s" if count != 1 else "")
    if result.claim.samples == "share":
        hits, trials = (sum(sample[which] for sample in result.samples) for which in (0, 1))
        return f"{hits:,} of {trials:,} in {seeds}"
    return seeds


def counts_from(claim: Claim) -> str:
    """Say from where on an effect counts, or up to where a difference counts as none."""
    if claim.neutral == 0:
        reach = "±" + with_unit(f"{claim.margin:g}", claim.unit)
    elif claim.margin == 0:
        reach = with_unit(f"{claim.neutral:g}", claim.unit)
    else:
        reach = f"{claim.neutral:g} ± {claim.margin:g} {claim.unit}"
    return f"counts as equal within {reach}" if claim.expects == "equivalent" else f"counts from {reach}"


def paper_number(claim: Claim) -> str:
    """Write the paper's own number with its size, or which side is expected where it gives none or is not asked.

    A difference that may fall to some points below 0 is told as a loss.
    """
    if claim.target is not None:
        return f"{claim.size} {with_unit(f'{claim.target:,g}', claim.unit)}"
    if claim.paper is not None:
        return with_unit(number(claim.paper), claim.unit)
    neutral = with_unit(number(claim.neutral), claim.unit)
    sides = {"positive": f"above {neutral}", "negative": f"below {neutral}", "equivalent": f"equal to {neutral}"}
    if claim.neutral < 0 and claim.unit == "points":
        loss = with_unit(number(-claim.neutral), claim.unit)
        sides |= {"positive": f"loses less than {loss}", "negative": f"loses more than {loss}"}
    side = "no difference" if claim.expects == "equivalent" and claim.neutral == 0 else sides[claim.expects]
    if claim.kind is not Kind.CLAIM:
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
