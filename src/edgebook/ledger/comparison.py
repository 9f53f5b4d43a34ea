"""What changed between two records: verdicts, values with their intervals, and what the runs were made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebook.ledger.record import ClaimResult, Record, load_record, records_in
from edgebook.ledger.rule import Verdict
from edgebook.ledger.scoreboard import commit_mark, hardware_line
from edgebook.ledger.wording import duration, measured

RANK = {
    Verdict.REPRODUCED: 0, Verdict.DIRECTION_ONLY: 1, Verdict.DEPENDS: 2, Verdict.INCONCLUSIVE: 2,
    Verdict.NOT_REPRODUCED: 3, Verdict.CONTRADICTED: 4,
    Verdict.AGREES: 0, Verdict.DISAGREES: 4,
}  # fmt: skip
"""The order of words, the best first: of claims and of identities. Answers to questions and controls have none."""

_GONE = "no longer there"
_NEW = "not there"


def worse(before: Verdict | None, after: Verdict | None) -> bool:
    """Tell whether a verdict got worse: it went down the order, or its claim is gone or can no longer be tested.

    A first verdict is never worse than none, not even a contradiction: nothing was known before. A run that is not
    judged says nothing, and so is not worse. None stands for a record that does not have the claim.
    """
    if before not in RANK:
        return False
    return after in (None, Verdict.NOT_TESTABLE) or (after in RANK and RANK[after] > RANK[before])


@dataclass(frozen=True)
class Change:
    """One claim in two records; None where a record does not have it."""

    claim: str
    before: ClaimResult | None
    after: ClaimResult | None

    @property
    def worse(self) -> bool:
        return worse(*self._verdicts)

    @property
    def better(self) -> bool:
        """Whether the verdict went up the order."""
        before, after = self._verdicts
        return after in RANK and before in RANK and worse(after, before)

    @property
    def apart(self) -> bool:
        """Whether the two intervals do not touch; False where one of them has none."""
        spans = [one.interval for one in (self.before, self.after) if one and one.interval]
        return len(spans) == 2 and max(low for low, _ in spans) > min(high for _, high in spans)

    @property
    def same(self) -> bool:
        first, second = ((one.claim, one.samples, one.verdict) if one else None for one in (self.before, self.after))
        return first == second

    @property
    def _verdicts(self) -> tuple[Verdict | None, Verdict | None]:
        first, second = (one.verdict if one else None for one in (self.before, self.after))
        return first, second

    def __str__(self) -> str:
        first, second = self._verdicts
        words = str(first or _NEW) if first == second else f"{first or _NEW} -> {second or _GONE}"
        mark = "worse" if self.worse else "better" if self.better else "" if first == second else "changed"
        reworded = bool(self.before and self.after and self.before.claim != self.after.claim)
        notes = [mark] * bool(mark) + ["the intervals do not touch"] * self.apart
        notes += ["the claim itself has changed"] * reworded
        tail = f"  ({', '.join(notes)})" if notes else ""
        one, other = (measured(result) if result else _NEW for result in (self.before, self.after))
        return f"  {self.claim:<7} {words}{tail}\n          {one} -> {other}"


def changes(before: Record, after: Record) -> list[Change]:
    """Return every claim of either record, in the order of the second, then of the first."""
    if before.notebook != after.notebook:
        raise ValueError(f"One record is of '{before.notebook}', the other of '{after.notebook}'.")
    first, second = ({result.claim.id: result for result in record.results} for record in (before, after))
    return [Change(claim, first.get(claim), second.get(claim)) for claim in dict.fromkeys([*second, *first])]


def as_text(before: Record, after: Record) -> str:
    """Write what changed between two records of a notebook: the runs, then each claim that is not the same."""
    found = changes(before, after)
    told = [change for change in found if not change.same]
    worse, better = (sum(getattr(change, way) for change in found) for way in ("worse", "better"))
    return "\n".join([
        f"{after.notebook}, tier {after.tier}",
        *(f"  {name}: {one} -> {other}" for name, (one, other) in _circumstances(before, after).items()),
        *map(str, told),
        f"  claims: {worse} worse, {better} better, {len(told)} with other values, {len(found) - len(told)} the same",
    ])  # fmt: skip


def compare_paths(before: Path, after: Path) -> tuple[str, bool]:
    """Compare two records, or all of the same name in two folders; say what changed, and whether a verdict got worse.

    Records that only the second folder has are new and not compared; one that only the first has is an error.
    """
    pairs = [(load_record(one), load_record(other)) for one, other in _pairs(before, after)]
    told = "\n\n".join(as_text(*pair) for pair in pairs)
    return told, any(change.worse for pair in pairs for change in changes(*pair))


def _pairs(before: Path, after: Path) -> list[tuple[Path, Path]]:
    if not (before.is_dir() and after.is_dir()):
        return [(before, after)]
    names = [path.name for path in records_in(before)]
    if not names:
        raise FileNotFoundError(f"There is no record in {before}.")
    return [(before / name, after / name) for name in names]


def _circumstances(before: Record, after: Record) -> dict[str, tuple[str, str]]:
    first, second = _facts(before), _facts(after)
    pairs = {name: (first.get(name, _NEW), second.get(name, _GONE)) for name in first | second}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _facts(record: Record) -> Mapping[str, str]:
    parameters = {f"parameter {name}": str(value) for name, value in record.parameters.items() if name != "tier"}
    versions = {f"version of {name}": value for name, value in record.versions.items()}
    return {"tier": record.tier} | parameters | versions | {
        "seeds": " ".join(map(str, record.seeds)),
        "commit": commit_mark(record.commit, record.dirty),
        "fingerprint": record.fingerprint,
        "hardware": hardware_line(record.hardware),
        "time": duration(record.seconds),
    }  # fmt: skip
