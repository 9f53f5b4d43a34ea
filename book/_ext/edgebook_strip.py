"""A claim's interval as a small picture: margin, paper's number, seeds, mean and interval on one line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from edgebook_words import written

from edgebook.ledger.claims import Claim
from edgebook.ledger.record import ClaimResult
from edgebook.ledger.wording import counts_from, measured, paper_number
from edgebook.pages.picture import SIGNS

_WIDTH, _HEIGHT, _EDGE = 160, 30, 5
_FAR = 20  # from this ratio on a positive scale is logarithmic


def strip(result: ClaimResult) -> str:
    """Draw one result as SVG; its words are in the title for those who do not see it or ask."""
    claim, at = result.claim, _Scale(_ends(result))
    asked = f", paper: {paper_number(claim)}" if claim.target is not None else ""
    title = f"{measured(result)}, {counts_from(claim)}{asked}"
    return (
        f'<svg class="eb-strip eb-tone-{SIGNS[result.verdict].tone}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img"><title>{escape(written(title))}</title>'
        f"{''.join(_parts(claim, result, at))}</svg>"
    )


class _Scale:
    """From values to places; logarithmic where ratios are far apart."""

    def __init__(self, ends: Sequence[float]) -> None:
        low, high = min(ends), max(ends)
        self.log = low > 0 and high / low >= _FAR
        if not self.log:
            room = 0.06 * (high - low) or abs(high) or 1.0
            low, high = low - room, high + room
        self.low, self.high = self._turned(low), self._turned(high)

    def _turned(self, value: float) -> float:
        return math.log(value) if self.log else value

    def __call__(self, value: float) -> float:
        share = (self._turned(value) - self.low) / (self.high - self.low)
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * min(1.0, max(0.0, share)), 1)


def _values(result: ClaimResult) -> list[float]:
    whole = 100.0 if result.claim.unit == "%" else 1.0
    return [whole * one[0] / one[1] if isinstance(one, Sequence) else one for one in result.samples]


def _ends(result: ClaimResult) -> list[float]:
    claim = result.claim
    ends = [claim.neutral, claim.neutral - claim.margin, claim.neutral + claim.margin, *_values(result)]
    return ends + [end for end in (claim.target, *(result.interval or ())) if end is not None]


def _parts(claim: Claim, result: ClaimResult, at: _Scale) -> Iterator[str]:
    low, high = at(claim.neutral - claim.margin), at(claim.neutral + claim.margin)
    yield f'<rect class="band" x="{low}" y="2" width="{max(0.8, high - low):.1f}" height="{_HEIGHT - 4}"/>'
    yield f'<path class="neutral" d="M{at(claim.neutral)} 2V{_HEIGHT - 2}"/>'
    if claim.target is not None:
        reach = (claim.target - claim.tolerance, claim.target + claim.tolerance)
        first, last = (at(min(max(end, math.exp(at.low)), math.exp(at.high)) if at.log else end) for end in reach)
        yield f'<path class="reach" d="M{first} {_HEIGHT - 3}H{last}"/>'
        yield f'<path class="target" d="M{at(claim.target)} 2V{_HEIGHT - 2}"/>'
    seeds = "".join(f"M{at(value)} {_HEIGHT - 10}v5" for value in _values(result))
    yield f'<path class="seeds" d="{seeds}"/>'
    if result.interval is not None:
        first, last = map(at, result.interval)
        yield f'<path class="interval" d="M{first} 11H{max(last, first + 0.8):.1f}"/>'
    if result.mean is not None:
        yield f'<circle class="mean" cx="{at(result.mean)}" cy="11" r="4"/>'
