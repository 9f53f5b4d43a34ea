"""From samples to a verdict: the only way in which a claim gets one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgebook import notebooks
from edgebook.ledger.claims import Claim
from edgebook.ledger.evidence import LEVEL, MINIMUM_SEEDS, Evidence, Method, Sample, weigh
from edgebook.ledger.rule import Effect, Size, Verdict, effect_of, size_of, word_for
from edgebook.ledger.statistics import Interval, holm

DECIDED = frozenset(Verdict) - {Verdict.INCONCLUSIVE, Verdict.DEPENDS, Verdict.NOT_TESTABLE, Verdict.NOT_JUDGED}
_EFFECTS = {
    Effect.SHOWN: "beyond the margin",
    Effect.RULED_OUT: "an effect as large as the margin is ruled out",
    Effect.OPPOSITE: "beyond the margin on the other side",
}
_EQUIVALENCES = _EFFECTS | {Effect.SHOWN: "within the margin", Effect.OPPOSITE: "outside the margin"}
_OPEN = {"values": "the values span the margin", "exact": "the number lies on the margin"}
_SIZES = {
    Size.REACHED: "the paper's number is reached",
    Size.RULED_OUT: "the paper's number is ruled out",
    Size.OPEN: "the paper's number stays open",
}


class Judgement(NamedTuple):
    """A verdict with the numbers that it rests on.

    ``interval`` is None where the values themselves are shown (``method`` "values") and where there are too few.
    ``p_value`` is that of the one-sided tests behind the word, or for an open claim the smaller of the two at the
    margin; None where nothing was tested. ``reason`` says in a clause what decided.
    """

    mean: float | None
    interval: Interval | None
    method: Method
    effect: Effect | None
    size: Size | None
    verdict: Verdict
    p_value: float | None
    reason: str


def judge(claim: Claim, samples: Sequence[Sample], tier: str, unlearnt: str = "") -> Judgement:
    """Judge one claim from the samples of one run: a value or (successes, trials) for each seed, or one exact number.

    `weigh` finds the interval, and `edgebook.ledger.rule` the word. Tier quick is never judged, nor is a claim whose
    arms have not learnt (``unlearnt`` says which). An unknown tier is a `ValueError`, and so is what `weigh` refuses.
    """
    if tier not in notebooks.TIERS:
        raise ValueError(f"tier must be one of {', '.join(notebooks.TIERS)}, got {tier!r}.")
    evidence = weigh(claim, samples)
    if tier == "quick":
        return _undecided(evidence, Verdict.NOT_JUDGED, "tier quick only shows that the page works")
    if claim.needs and tier != "paper":
        return _undecided(evidence, Verdict.NOT_TESTABLE, f"needs {', '.join(claim.needs)}")
    if unlearnt:
        return _undecided(evidence, Verdict.NOT_JUDGED, f"nothing learnt: {unlearnt}")
    if evidence.span is None:
        least = MINIMUM_SEEDS + (evidence.method == "values")
        return _undecided(evidence, Verdict.INCONCLUSIVE, f"{len(samples)} of at least {least} seeds")
    effect, size = effect_of(claim, *evidence.span), size_of(claim, *evidence.span)
    words = (_EFFECTS if claim.sign else _EQUIVALENCES).get(effect) or _OPEN.get(
        evidence.method, "the interval spans the margin"
    )
    reason = words + (f"; {_SIZES[size]}" if size else "")
    if size is Size.RULED_OUT:
        reason += f", by {'more' if claim.sign * (evidence.estimate - claim.target) > 0 else 'less'} than it asks"
    verdict = word_for(claim, effect, size)
    p_value = _p_value(claim, evidence, effect, size if verdict is not Verdict.DIRECTION_ONLY else None)
    interval = None if evidence.method == "values" else evidence.span
    return Judgement(evidence.estimate, interval, evidence.method, effect, size, verdict, p_value, reason)


def under_all(alone: Judgement, others: Mapping[str, Judgement]) -> tuple[Verdict, str]:
    """Return the word that holds under every declared choice and the reason; else that it depends, and on what.

    A choice under which nothing was judged takes nothing away, and is named.
    """
    silent = [name for name, other in others.items() if other.verdict is Verdict.NOT_JUDGED]
    words = {name: other.verdict for name, other in others.items() if name not in silent}
    note = f"; not judged under: {', '.join(silent)}" if silent else ""
    if alone.verdict not in DECIDED | {Verdict.INCONCLUSIVE} or not words:
        return alone.verdict, alone.reason + note
    told = ", ".join(f"{name} ({word})" for name, word in words.items() if word is not alone.verdict)
    if told:
        return Verdict.DEPENDS, f"{alone.verdict} as declared; other words under: {told}{note}"
    return alone.verdict, f"{alone.reason}; the same under {', '.join(words)}{note}"


def holm_verdicts(judgements: Sequence[Judgement]) -> list[Verdict]:
    """Verdicts that remain when all sampled claims of a page share one error rate by Holm's correction.

    The family is every claim with a p-value, whether it was decided or not. A decided verdict whose adjusted p-value
    exceeds 0.025 becomes inconclusive; numbers without sampling, which have no p-value, stay as they are.
    """
    tested = [i for i, judgement in enumerate(judgements) if judgement.p_value is not None]
    verdicts = [judgement.verdict for judgement in judgements]
    if not tested:
        return verdicts
    adjusted = holm([judgements[i].p_value for i in tested])
    for i, p_value in zip(tested, adjusted, strict=True):
        if verdicts[i] in DECIDED and p_value > LEVEL:
            verdicts[i] = Verdict.INCONCLUSIVE
    return verdicts


def _undecided(evidence: Evidence, verdict: Verdict, reason: str) -> Judgement:
    interval = None if evidence.method == "values" else evidence.span
    return Judgement(evidence.estimate, interval, evidence.method, None, None, verdict, None, reason)


def _p_value(claim: Claim, evidence: Evidence, effect: Effect, size: Size | None) -> float | None:
    """P-value of what the word rests on: the largest where several tests must hold, the smallest where one suffices."""
    if evidence.above is None or evidence.below is None:
        return None
    if claim.sign == 0:
        low, high = claim.neutral - claim.margin, claim.neutral + claim.margin
        within = max(evidence.above(low), evidence.below(high))
        outside = min(evidence.above(high), evidence.below(low))
        return {Effect.SHOWN: within, Effect.OPPOSITE: outside}.get(effect, min(within, outside))

    def beyond(distance: float) -> float:
        bound = claim.neutral + claim.sign * distance
        return evidence.above(bound) if claim.sign > 0 else evidence.below(bound)

    def short(distance: float) -> float:
        bound = claim.neutral + claim.sign * distance
        return evidence.below(bound) if claim.sign > 0 else evidence.above(bound)

    target = None if claim.target is None else claim.sign * (claim.target - claim.neutral)
    if effect is Effect.SHOWN:
        tests = [beyond(claim.margin)]
        if size is Size.REACHED:
            tests += [beyond(target - claim.tolerance)]
            tests += [short(target + claim.tolerance)] * (claim.size != "at least")
        return max(tests)
    if effect is Effect.OPPOSITE:
        return short(-claim.margin)
    if effect is Effect.RULED_OUT:
        return short(claim.margin)
    tests = [beyond(claim.margin), short(claim.margin)]
    if size is Size.RULED_OUT:
        tests += [short(target - claim.tolerance)]
        tests += [beyond(target + claim.tolerance)] * (claim.size != "at least")
    return min(tests)
