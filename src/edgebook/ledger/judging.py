"""From samples to a verdict: the only way in which a claim gets one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgebook import notebooks
from edgebook.ledger.claims import Claim, Verdict
from edgebook.ledger.statistics import Interval, equivalence_p_value, holm, lies_above, mean_exceeds, mean_interval

MINIMUM_SEEDS = 5
CONFIDENCE = 0.95
_DECIDED = (Verdict.REPRODUCED, Verdict.DIRECTION_ONLY, Verdict.CONTRADICTED)


class Judgement(NamedTuple):
    """A verdict with the numbers that it rests on.

    ``p_value`` belongs to the one-sided test behind a decided verdict (level 0.025, the tail of the
    95 % interval); it is None where nothing was tested. ``reason`` says in a clause what decided.
    """

    mean: float | None
    interval: Interval | None
    verdict: Verdict
    p_value: float | None
    reason: str


def judge(claim: Claim, samples: Sequence[float], tier: str) -> Judgement:
    """Judge one claim from the samples of one run: a paired value per seed, or a count where the claim is ``exact``.

    With `s` the sign of the expectation and the effect `e = s (mean - neutral)`: *reproduced* when the
    interval of `e` lies beyond the margin and reaches the target, *direction only* when it stops short
    of the target, *contradicted* when it lies beyond the margin on the other side. A claim of
    equivalence is reproduced when the interval lies within the margin, contradicted when it lies outside.
    Tier quick is never judged. An unknown tier, or a sample that is not finite, is a `ValueError`.
    """
    if tier not in notebooks.TIERS:
        raise ValueError(f"tier must be one of {', '.join(notebooks.TIERS)}, got {tier!r}.")
    values = [float(value) for value in samples]
    if not all(map(math.isfinite, values)):
        raise ValueError(f"Samples of {claim.id} must be finite, got {values}.")
    mean, interval = _summary(claim, values)
    if tier == "quick":
        return Judgement(mean, interval, Verdict.NOT_JUDGED, None, "tier quick only shows that the page works")
    if claim.needs and tier != "paper":
        return Judgement(mean, interval, Verdict.NOT_TESTABLE, None, f"needs {', '.join(claim.needs)}")
    if interval is None or (len(values) < MINIMUM_SEEDS and not claim.exact):
        reason = f"{len(values)} of at least {MINIMUM_SEEDS} seeds"
        return Judgement(mean, interval, Verdict.INCONCLUSIVE, None, reason)
    verdict, reason = _equivalence(claim, interval) if claim.sign == 0 else _direction(claim, interval)
    return Judgement(mean, interval, verdict, _p_value(claim, values, verdict), reason)


def holm_verdicts(judgements: Sequence[Judgement]) -> list[Verdict]:
    """Verdicts that remain when the decided ones share one error rate by Holm's correction.

    A decided verdict whose adjusted p-value exceeds 0.025 becomes inconclusive; counts without
    sampling, which have no p-value, stay as they are.
    """
    tested = [i for i, judgement in enumerate(judgements) if judgement.p_value is not None]
    verdicts = [judgement.verdict for judgement in judgements]
    if not tested:
        return verdicts
    adjusted = holm([judgements[i].p_value for i in tested])
    for i, p_value in zip(tested, adjusted, strict=True):
        if p_value > (1 - CONFIDENCE) / 2:
            verdicts[i] = Verdict.INCONCLUSIVE
    return verdicts


def _summary(claim: Claim, values: list[float]) -> tuple[float | None, Interval | None]:
    if not values:
        return None, None
    mean = sum(values) / len(values)
    if not claim.exact and len(values) < MINIMUM_SEEDS:
        return mean, None
    return mean, Interval(mean, mean) if len(values) == 1 else mean_interval(values, CONFIDENCE)


def _direction(claim: Claim, interval: Interval) -> tuple[Verdict, str]:
    low, high = sorted(claim.sign * (end - claim.neutral) for end in interval)
    if lies_above(low, claim.margin):
        if claim.target is not None and lies_above(claim.sign * (claim.target - claim.neutral), high):
            return Verdict.DIRECTION_ONLY, "beyond the margin, short of the target"
        return Verdict.REPRODUCED, "beyond the margin" + (" and reaches the target" if claim.target is not None else "")
    if lies_above(-claim.margin, high):
        return Verdict.CONTRADICTED, "beyond the margin on the other side"
    if lies_above(low, -claim.margin) and lies_above(claim.margin, high):
        return Verdict.INCONCLUSIVE, "no effect as large as the margin, either way"
    if lies_above(claim.margin, high):
        return Verdict.INCONCLUSIVE, "no effect as large as the margin in the expected direction"
    return Verdict.INCONCLUSIVE, "the interval spans the margin"


def _equivalence(claim: Claim, interval: Interval) -> tuple[Verdict, str]:
    low, high = (end - claim.neutral for end in interval)
    if lies_above(low, -claim.margin) and lies_above(claim.margin, high):
        return Verdict.REPRODUCED, "within the margin"
    if lies_above(low, claim.margin) or lies_above(-claim.margin, high):
        return Verdict.CONTRADICTED, "outside the margin"
    return Verdict.INCONCLUSIVE, "the interval spans the margin"


def _p_value(claim: Claim, values: list[float], verdict: Verdict) -> float | None:
    """P-value of the one-sided test that a decided verdict rejects; equivalence takes both sides (TOST)."""
    if verdict not in _DECIDED or len(values) < 2:
        return None
    effects = [(claim.sign or 1) * (value - claim.neutral) for value in values]
    mirrored = [-effect for effect in effects]
    if claim.sign == 0:
        if verdict is Verdict.REPRODUCED:
            return equivalence_p_value(effects, claim.margin)
        return min(mean_exceeds(effects, claim.margin), mean_exceeds(mirrored, claim.margin))
    return mean_exceeds(mirrored if verdict is Verdict.CONTRADICTED else effects, claim.margin)
