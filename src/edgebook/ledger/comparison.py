"""What changed between two records: verdicts, values with their intervals, and what the runs were made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebook import notebooks
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
    """One claim in two records; None where a record does not have it.

    ``lower`` says that the second is of a lower tier, which can neither take a verdict away nor better it.
    """

    claim: str
    before: ClaimResult | None
    after: ClaimResult | None
    lower: bool = False

    @property
    def worse(self) -> bool:
        return not self.lower and worse(*self._verdicts)

    @property
    def better(self) -> bool:
        """Whether the verdict went up the order."""
        before, after = self._verdicts
        return not self.lower and after in RANK and before in RANK and worse(after, before)

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
    lower = _is_lower(before, after)
    return [Change(claim, first.get(claim), second.get(claim), lower) for claim in dict.fromkeys([*second, *first])]


def _is_lower(before: Record, after: Record) -> bool:
    order = list(notebooks.TIERS)
    return order.index(after.tier) < order.index(before.tier)


def as_text(before: Record, after: Record) -> str:
    """Write what changed between two records of a notebook: the runs, then each claim that is not the same."""
    found = changes(before, after)
    told = [change for change in found if not change.same]
    worse, better = (sum(getattr(change, way) for change in found) for way in ("worse", "better"))
    tier = f"  tier {after.tier} is below {before.tier}, and makes no verdict worse or better"
    return "\n".join([
        f"{after.notebook}, tier {after.tier}",
        *[tier] * _is_lower(before, after),
        *(f"  {name}: {one} -> {other}" for name, (one, other) in _circumstances(before, after).items()),
        *map(str, told),
        f"  claims: {worse} worse, {better} better, {len(told)} with other values, {len(found) - len(told)} the same",
    ])  # fmt: skip


def compare_paths(before: Path, after: Path) -> tuple[str, bool]:
    """Compare two records, or all of the same name in two folders; say what changed, and whether a verdict got worse.

    What only one folder has is named and not compared. A folder stands for its record of the notebook where the other
    path is a record. A `FileNotFoundError` names the path where there is nothing, and folders with nothing in common.
    """
    for path in (before, after):
        if not path.exists():
            raise FileNotFoundError(f"There is no record or folder at {path}.")
    pairs, alone = _pairs(before, after)
    loaded = [(load_record(one), load_record(other)) for one, other in pairs]
    told = [*(as_text(*pair) for pair in loaded), *alone]
    return "\n\n".join(told), any(change.worse for pair in loaded for change in changes(*pair))


def _pairs(before: Path, after: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return which records are to be compared, and a line for each folder that has others."""
    if before.is_file() or after.is_file():
        record = before if before.is_file() else after
        name = f"{load_record(record).notebook}.json" if before.is_dir() or after.is_dir() else ""
        return [(before / name if before.is_dir() else before, after / name if after.is_dir() else after)], []
    found = {folder: [path.name for path in records_in(folder)] for folder in (before, after)}
    for folder, names in found.items():
        if not names:
            raise FileNotFoundError(f"There is no record in {folder}.")
    shared = [name for name in found[before] if name in found[after]]
    if not shared:
        raise FileNotFoundError(f"No record in {before} has the name of one in {after}.")
    alone = {folder: [name for name in names if name not in shared] for folder, names in found.items()}
    lines = [f"Only in {folder}: {', '.join(names)}" for folder, names in alone.items() if names]
    return [(before / name, after / name) for name in shared], ["\n".join(lines)] * bool(lines)


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
