"""From the samples of a run to the results of all its claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgebook.ledger.claims import Claim, Ledger
from edgebook.ledger.evidence import Sample
from edgebook.ledger.judging import Judgement, holm_verdicts, judge, under_all
from edgebook.ledger.record import Alternative, ClaimResult
from edgebook.ledger.rule import Verdict

Samples = Mapping[str, Sequence[Sample]]  # for each claim's id
Levels = Mapping[str, Sequence[float]]  # for each arm what it reached of the floor's measure, by seed


def judge_all(
    ledger: Ledger,
    samples: Samples,
    tier: str,
    *,
    under: Mapping[str, Samples],
    placebo: Samples,
    levels: Levels,
    levels_under: Mapping[str, Levels] | None = None,
) -> tuple[ClaimResult, ...]:
    """Judge every claim of a ledger, the headlines also under each declared choice and for the placebo.

    ``samples`` has the samples of each claim, ``under`` for each declared choice those of the claims that it names,
    ``placebo`` those of each headline that a choice names, and ``levels`` for each arm that must have learnt a value of
    the floor's measure for each seed; ``levels_under`` has these under the choices that name a claim with such arms.
    What is missing, and what belongs to nothing in the ledger, is a `ValueError` that names it; a claim that this tier
    cannot test (``needs``) may be without samples and levels.
    """
    levels_under = levels_under or {}
    _all_there(ledger, samples, under, placebo, levels, levels_under)
    alone = [judge(claim, samples.get(claim.id, ()), tier, _unlearnt(ledger, claim, levels)) for claim in ledger.claims]
    found = zip(ledger.claims, alone, holm_verdicts(alone), strict=True)
    return tuple(
        _result(
            claim, samples.get(claim.id, ()), judgement, after_holm,
            {
                choice.name: _alternative(
                    claim, under[choice.name].get(claim.id, ()), tier,
                    _unlearnt(ledger, claim, levels_under.get(choice.name, {})),
                )
                for choice in ledger.choices if claim.id in choice.claims
            },
            _alternative(claim, placebo[claim.id], tier) if placebo.get(claim.id) else None,
        )
        for claim, judgement, after_holm in found
    )  # fmt: skip


def _result(
    claim: Claim,
    samples: Sequence[Sample],
    alone: Judgement,
    after_holm: Verdict,
    under: dict[str, tuple[Judgement, Alternative]],
    placebo: tuple[Judgement, Alternative] | None,
) -> ClaimResult:
    verdict, reason = under_all(alone, {name: judged for name, (judged, _) in under.items()})
    # A word that depends on a choice has nothing left for Holm's correction to take.
    after_holm = after_holm if verdict is alone.verdict else verdict
    return ClaimResult(
        claim=claim,
        samples=_plain(samples),
        gap=None if claim.paper is None or alone.mean is None else alone.mean - claim.paper,
        alone=alone.verdict,
        holm_verdict=after_holm,
        under={name: other for name, (_, other) in under.items()},
        placebo=placebo[1] if placebo else None,
        **alone._replace(verdict=verdict, reason=reason)._asdict(),
    )


def _alternative(
    claim: Claim, samples: Sequence[Sample], tier: str, unlearnt: str = ""
) -> tuple[Judgement, Alternative]:
    judged = judge(claim, samples, tier, unlearnt)
    kept = Alternative(
        samples=_plain(samples), mean=judged.mean, interval=judged.interval, verdict=judged.verdict,
        reason=judged.reason,
    )  # fmt: skip
    return judged, kept


def _plain(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    return tuple((int(one[0]), int(one[1])) if isinstance(one, Sequence) else float(one) for one in samples)


def _unlearnt(ledger: Ledger, claim: Claim, levels: Levels) -> str:
    """Say which of a claim's arms lie short of the floor, with what they reached; empty where all have learnt."""
    means = {arm: sum(levels[arm]) / len(levels[arm]) for arm in claim.learnt if levels.get(arm)}
    short = [f"{arm} {mean:.3g}" for arm, mean in means.items() if not ledger.floor.reached(mean)]
    floor = ledger.floor
    return f"{floor.measure} of {', '.join(short)}, where guessing gives {floor.chance:g}" if short else ""


def _all_there(
    ledger: Ledger,
    samples: Samples,
    under: Mapping[str, Samples],
    placebo: Samples,
    levels: Levels,
    levels_under: Mapping[str, Levels],
) -> None:
    """Refuse what is missing or belongs to nothing; claims with ``needs`` may be left out."""
    claims = {claim.id for claim in ledger.claims}
    free = {claim.id for claim in ledger.claims if claim.needs}
    choices = {choice.name: {*choice.claims} for choice in ledger.choices}
    named = {claim for ids in choices.values() for claim in ids}
    asked = [
        ("samples", claims, claims, {*samples}),
        ("choices", {*choices}, {*choices}, {*under}),
        *((f"samples under '{name}'", ids, ids, {*under.get(name, ())}) for name, ids in choices.items()),
        ("placebo samples", named, {claim.id for claim in ledger.headlines}, {*placebo}),
    ]
    for what, wanted, allowed, given in asked:
        missing, unknown = sorted(wanted - given - free), sorted(given - allowed)
        if missing or unknown:
            raise ValueError(f"Ledger and run differ in their {what}: missing {missing}, not in the ledger {unknown}.")
    learnt = {claim.id: {*claim.learnt} for claim in ledger.claims if claim.learnt and not claim.needs}
    places = [("", learnt, levels)]
    places += [(f" under '{name}'", learnt.keys() & ids, levels_under.get(name, {})) for name, ids in choices.items()]
    for where, ids, given in places:
        lost = sorted({arm for claim in ids for arm in learnt[claim]} - {*given})
        if lost:
            raise ValueError(
                f"The ledger asks whether {', '.join(lost)} have learnt{where}, and the run has no values."
            )
