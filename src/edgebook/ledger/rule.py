r"""The rule of verdicts: from where an interval lies to a word.

Two questions are answered apart. With :math:`s` the sign of the expectation, the effect is :math:`e = s(x - x_0)`
around the value of no effect :math:`x_0`, and :math:`m` its margin:

==========  ==================================  ==========================================
effect      a claim with a direction            a claim of equivalence
==========  ==================================  ==========================================
shown       the interval of e lies above m      it lies between −m and m
ruled out   it lies below m                     does not occur
opposite    it lies below −m                    it lies above m, or below −m
open        otherwise                           otherwise
==========  ==================================  ==========================================

The size is asked where the paper gives a number that is free of scale: with :math:`t = s(x_t - x_0)` and the tolerance
:math:`d`, ``at least`` is reached above :math:`t - d`, ``about`` between :math:`t - d` and :math:`t + d`, and so is
``up to``, the most that the paper saw, by a best case that was declared: to pass it by far is another number than the
paper's. The whole interval must lie there: touching is not reaching, so that noise earns nothing and precision costs
nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from edgebook.ledger.statistics import lies_above


class Kind(StrEnum):
    """What a statement is."""

    CLAIM = "claim"  # a sentence that the authors are known to have written
    QUESTION = "question"  # ours, or one that they study without a known answer
    CONTROL = "control"  # what could show a claim to be empty
    IDENTITY = "identity"  # holds by definition or arithmetic


class Effect(StrEnum):
    """Where the interval lies relative to the margin."""

    SHOWN = "shown"
    RULED_OUT = "ruled out"
    OPPOSITE = "opposite"
    OPEN = "open"


class Size(StrEnum):
    """Where the interval lies relative to the paper's number and the tolerance."""

    REACHED = "reached"
    RULED_OUT = "ruled out"
    OPEN = "open"


class Verdict(StrEnum):
    """The word for what the samples say."""

    REPRODUCED = "reproduced"
    DIRECTION_ONLY = "direction only"
    NOT_REPRODUCED = "not reproduced"
    CONTRADICTED = "contradicted"
    YES = "yes"
    NO = "no"
    OTHER_WAY = "the other way round"
    HELD = "held"
    FAILED = "failed"
    AGREES = "agrees"
    DISAGREES = "does not agree"
    INCONCLUSIVE = "inconclusive"
    DEPENDS = "depends"
    NOT_TESTABLE = "not testable here"
    NOT_JUDGED = "not judged"


class Asked(Protocol):
    """What the rule reads of a claim."""

    @property
    def kind(self) -> Kind: ...
    @property
    def sign(self) -> int: ...
    @property
    def neutral(self) -> float: ...
    @property
    def margin(self) -> float: ...
    @property
    def target(self) -> float | None: ...
    @property
    def size(self) -> str | None: ...
    @property
    def tolerance(self) -> float | None: ...


_WORDS: dict[Kind, dict[Effect, Verdict]] = {
    Kind.QUESTION: {Effect.SHOWN: Verdict.YES, Effect.RULED_OUT: Verdict.NO, Effect.OPPOSITE: Verdict.OTHER_WAY},
    Kind.CONTROL: {Effect.SHOWN: Verdict.HELD, Effect.RULED_OUT: Verdict.FAILED, Effect.OPPOSITE: Verdict.FAILED},
    Kind.CLAIM: {Effect.RULED_OUT: Verdict.NOT_REPRODUCED, Effect.OPPOSITE: Verdict.CONTRADICTED},
    Kind.IDENTITY: {
        Effect.SHOWN: Verdict.AGREES,
        Effect.RULED_OUT: Verdict.DISAGREES,
        Effect.OPPOSITE: Verdict.DISAGREES,
    },
}


def effect_of(claim: Asked, low: float, high: float) -> Effect:
    """Say where an interval lies relative to the margin of a claim."""
    if claim.sign == 0:
        low, high = low - claim.neutral, high - claim.neutral
        if lies_above(low, -claim.margin) and lies_above(claim.margin, high):
            return Effect.SHOWN
        outside = lies_above(low, claim.margin) or lies_above(-claim.margin, high)
        return Effect.OPPOSITE if outside else Effect.OPEN
    low, high = _towards(claim, low, high)
    if lies_above(low, claim.margin):
        return Effect.SHOWN
    if lies_above(-claim.margin, high):
        return Effect.OPPOSITE
    return Effect.RULED_OUT if lies_above(claim.margin, high) else Effect.OPEN


def size_of(claim: Asked, low: float, high: float) -> Size | None:
    """Say where an interval lies relative to the paper's number, or None where it gives none that is free of scale."""
    if claim.target is None:
        return None
    low, high = _towards(claim, low, high)
    target = claim.sign * (claim.target - claim.neutral)
    least = target - claim.tolerance
    most = float("inf") if claim.size == "at least" else target + claim.tolerance
    if lies_above(least, high) or lies_above(low, most):
        return Size.RULED_OUT
    within = lies_above(low, least) and (claim.size == "at least" or lies_above(most, high))
    return Size.REACHED if within else Size.OPEN


def word_for(claim: Asked, effect: Effect, size: Size | None) -> Verdict:
    """Return the word for effect and size, in the terms of what kind of statement was asked."""
    kind = claim.kind
    if kind is Kind.QUESTION and claim.sign == 0 and effect is Effect.OPPOSITE:
        return Verdict.NO
    if effect is Effect.SHOWN and kind is Kind.CLAIM:
        return Verdict.REPRODUCED if size in (None, Size.REACHED) else Verdict.DIRECTION_ONLY
    if effect is Effect.OPEN and size is Size.RULED_OUT and kind is Kind.CLAIM:
        return Verdict.NOT_REPRODUCED
    if kind is Kind.IDENTITY and effect in (Effect.SHOWN, Effect.OPEN) and size is not None:
        return {Size.REACHED: Verdict.AGREES, Size.RULED_OUT: Verdict.DISAGREES, Size.OPEN: Verdict.INCONCLUSIVE}[size]
    return _WORDS[kind].get(effect, Verdict.INCONCLUSIVE)


def _towards(claim: Asked, low: float, high: float) -> tuple[float, float]:
    """Turn an interval so that what is expected lies above zero."""
    ends = sorted(claim.sign * (end - claim.neutral) for end in (low, high))
    return ends[0], ends[1]
