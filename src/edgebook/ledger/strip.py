"""Where a claim's interval lies, drawn as inline SVG: margin, target, mean, interval and seeds on one line.

Places are given in percent of the width and heights in pixels, so that a strip fits any column and its text keeps its
size on a phone; without a style sheet it takes the colour of the text around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from edgebook.ledger.claims import Claim
from edgebook.ledger.record import ClaimResult
from edgebook.ledger.wording import counts_from, measured, paper_number, with_minus

_LEGEND = "Diamond and bar: mean and 95\u00a0% interval. Small ticks: seeds. Grey band: within the margin."
_BLUE, _PURPLE = "#0072B2", "#AA3377"
_HEIGHT, _LINE, _FOOT = 54, 20, 36  # of the strip, the interval and the axis, in pixels from the top
_EDGE = 3.0  # percent of the width left free on either side
_TICKS = 4  # about so many numbers on the axis
_FAR = 20  # from this ratio on a positive scale is logarithmic


class Scale(NamedTuple):
    """What the axis reaches from and to; logarithmic where ratios are far apart."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Return where a value lies, in percent of the width."""
        low, high, at = map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return _EDGE + (100 - 2 * _EDGE) * (at - low) / (high - low)

    def ticks(self) -> list[float]:
        """Return a few round numbers along the axis."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            found = [one for one in found if self.low <= one <= self.high]
            return found[:: max(1, round(len(found) / _TICKS))]
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.99)
        first = math.ceil(self.low / step - 1e-9)
        return [step * count + 0.0 for count in range(first, math.floor(self.high / step + 1e-9) + 1)]


def per_seed(result: ClaimResult) -> list[float]:
    """Return a claim's samples as one number for each seed; those of a share in its own unit."""
    whole = 100.0 if result.claim.unit == "%" else 1.0
    return [whole * one[0] / one[1] if isinstance(one, Sequence) else float(one) for one in result.samples]


def legend(results: Iterable[ClaimResult]) -> str:
    """Say what is what in the strips of some results."""
    return _LEGEND + " Dashed: the paper's number." * any(one.claim.target is not None for one in results)


def scale_of(result: ClaimResult) -> Scale:
    """Return the axis on which all of a result can be seen."""
    claim = result.claim
    ends = [claim.neutral, claim.neutral - claim.margin, claim.neutral + claim.margin, *per_seed(result)]
    ends += [one for one in (claim.target, *(result.interval or ())) if one is not None]
    low, high = min(ends), max(ends)
    if low > 0 and claim.neutral > 0 and high / low >= _FAR:
        return Scale(low / 1.2, high * 1.2, True)
    room = 0.06 * (high - low) or abs(high) or 1.0
    return Scale(low - room, high + room, False)


def strip(result: ClaimResult) -> str:
    """Draw one result as SVG; its words are in the label for those who do not see it."""
    claim, scale = result.claim, scale_of(result)
    label = f"{claim.id}: {measured(result)}; {counts_from(claim)}; paper: {paper_number(claim)}; {result.verdict}"
    return (
        f'<svg class="claim-strip" role="img" aria-label="{escape(label)}" width="100%" height="{_HEIGHT}" '
        f'data-low="{scale.low!r}" data-high="{scale.high!r}" data-log="{str(scale.log).lower()}" '
        f'style="display:block;overflow:visible">{"".join(_parts(claim, result, scale))}</svg>'
    )


def _parts(claim: Claim, result: ClaimResult, scale: Scale) -> Iterator[str]:
    at = scale.place
    low, high = (max(scale.low, claim.neutral - claim.margin), min(scale.high, claim.neutral + claim.margin))
    yield (
        f'<rect class="strip-band" x="{at(low):.2f}%" y="4" width="{at(high) - at(low):.2f}%" height="{_FOOT - 4}" '
        'fill="currentColor" fill-opacity="0.12"/>'
    )
    yield _line("strip-neutral", at(claim.neutral), 4, _FOOT, 'stroke="currentColor" stroke-opacity="0.5"')
    axis = f'x1="{_EDGE}%" x2="{100 - _EDGE}%" y1="{_FOOT}" y2="{_FOOT}" stroke="currentColor" stroke-opacity="0.3"'
    yield f'<line class="strip-axis" {axis}/>'
    ticks = "".join(
        f'<text x="{at(tick):.2f}%" y="{_FOOT + 14}">{with_minus(f"{round(tick, 12):,g}")}</text>'
        for tick in scale.ticks()
    )
    yield f'<g font-size="11" text-anchor="middle" fill="currentColor">{ticks}</g>'
    if claim.target is not None:
        stroke = f'stroke="{_PURPLE}" stroke-width="2" stroke-dasharray="4 3"'
        yield _line("strip-target", at(claim.target), 0, _FOOT, stroke)
    seeds = "".join(_line("strip-seed", at(value), _FOOT - 8, _FOOT) for value in per_seed(result))
    yield f'<g stroke="currentColor" stroke-opacity="0.75">{seeds}</g>'
    if result.interval is not None:
        first, last = map(at, result.interval)
        ends = f'x1="{first:.2f}%" x2="{last:.2f}%" y1="{_LINE}" y2="{_LINE}"'
        yield f'<line class="strip-interval" {ends} stroke="{_BLUE}" stroke-width="3"/>'
    if result.mean is not None:
        diamond = f'<path class="strip-mean" d="M-5 0L0 -6L5 0L0 6Z" fill="{_BLUE}"/>'
        yield f'<svg x="{at(result.mean):.2f}%" y="{_LINE}" overflow="visible">{diamond}</svg>'


def _line(kind: str, at: float, top: int, foot: int, stroke: str = "") -> str:
    return f'<line class="{kind}" x1="{at:.2f}%" x2="{at:.2f}%" y1="{top}" y2="{foot}" {stroke}/>'
