"""The ledger: what each paper claims, written down before anything is run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgebook.ledger.rule import Effect, Kind, Size, effect_of, size_of
from edgebook.notebooks.files import read_model
from edgebook.notebooks.paths import project_root

Id = str


class Strict(BaseModel):
    """Part of a file: unknown keys and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Claim(Strict):
    """One statement, with the effect that would count as seeing it.

    ``expects`` is the side of ``neutral`` on which the effect should lie, and ``margin`` the smallest effect of
    interest (for ``equivalent``: the largest difference that still counts as none). ``target`` is a number of the
    paper that is free of scale, reached as ``size`` says, give or take ``tolerance``: ``up to`` is the most that the
    paper saw, which a best case declared beforehand must come to, and not pass. ``bounds`` are the ends that the
    measure cannot pass, None where it has none. ``samples`` says what the notebook hands over: a value for each seed, a
    share (successes and trials for each seed), or one exact number.
    """

    id: Id = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")
    says: str = Field(min_length=1)
    kind: Kind = Kind.CLAIM
    where: str = Field(min_length=1)
    paper: float | None = None
    measures: str = Field(min_length=1)
    unit: str
    samples: Literal["seeds", "share", "exact"] = "seeds"
    bounds: tuple[float | None, float | None] = (None, None)
    expects: Literal["positive", "negative", "equivalent"]
    neutral: float = 0.0
    margin: float = Field(ge=0)
    target: float | None = None
    size: Literal["at least", "about", "up to"] | None = None
    tolerance: float | None = Field(default=None, ge=0)
    speaks_against_the_paper: Literal["held", "failed"] | None = None
    learnt: tuple[str, ...] = ()
    headline: bool = False
    needs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _target_is_whole(self) -> Self:
        given = [self.target is not None, self.size is not None, self.tolerance is not None]
        if any(given) and not all(given):
            raise ValueError(f"{self.id}: target, size and tolerance stand together or not at all")
        if self.target is not None and self.kind not in (Kind.CLAIM, Kind.IDENTITY):
            raise ValueError(f"{self.id}: a target is a number of the paper, and a {self.kind} has none")
        if self.expects == "equivalent" and self.target is not None:
            raise ValueError(f"{self.id}: a claim of equivalence has a margin and no target")
        if self.expects == "equivalent" and self.margin == 0:
            raise ValueError(f"{self.id}: a claim of equivalence needs a margin above 0")
        if self.target is not None and self.sign * (self.target - self.neutral) - self.tolerance < self.margin:
            raise ValueError(
                f"{self.id}: target {self.target} less its tolerance lies short of the margin around {self.neutral}"
            )
        return self

    @model_validator(mode="after")
    def _fields_belong_to_the_kind(self) -> Self:
        if self.kind is Kind.CLAIM and self.where.startswith("our"):
            raise ValueError(f"{self.id}: a claim stands in the paper, and {self.where!r} is a question or a control")
        if self.speaks_against_the_paper is not None and self.kind is not Kind.CONTROL:
            raise ValueError(f"{self.id}: only a control says whether it speaks against the paper")
        if self.samples == "exact" and self.kind is not Kind.IDENTITY:
            raise ValueError(f"{self.id}: an exact number, the same for every seed, is an identity")
        if self.headline and self.kind not in (Kind.CLAIM, Kind.QUESTION):
            raise ValueError(f"{self.id}: a headline is a claim or a question, and this is a {self.kind}")
        if self.samples == "share" and self.unit not in ("%", "share"):
            raise ValueError(f"{self.id}: a share is measured in % or as a share, got the unit {self.unit!r}")
        return self

    @model_validator(mode="after")
    def _can_come_out_both_ways(self) -> Self:
        low, high = self.ends
        if low >= high:
            raise ValueError(f"{self.id}: bounds are a lower and an upper end, got {list(self.bounds)}")
        if not low <= self.neutral <= high:
            raise ValueError(f"{self.id}: neutral {self.neutral} lies outside the bounds {list(self.bounds)}")
        points = [low, high, self.neutral if self.expects == "equivalent" else self.target]
        seen = [self._seen_at(at) for at in points if at is not None and low <= at <= high]
        if True not in seen:
            raise ValueError(f"{self.id}: within {list(self.bounds)} nothing lies beyond the margin and at the target")
        if False not in seen:
            raise ValueError(f"{self.id}: within {list(self.bounds)} no value counts as missed, so it cannot be missed")
        return self

    def _seen_at(self, value: float) -> bool | None:
        """Tell whether a true value would count as seen; None where even it alone would decide nothing."""
        effect, size = effect_of(self, value, value), size_of(self, value, value)
        if effect in (Effect.RULED_OUT, Effect.OPPOSITE) or size is Size.RULED_OUT:
            return False
        return True if effect is Effect.SHOWN and size in (None, Size.REACHED) else None

    @property
    def ends(self) -> tuple[float, float]:
        """Between what the measure lies, infinite where it has no bound; a share lies between none and all."""
        least, most = (0.0, 100.0 if self.unit == "%" else 1.0) if self.samples == "share" else (-math.inf, math.inf)
        low, high = self.bounds
        return (least if low is None else low), (most if high is None else high)

    @property
    def sign(self) -> int:
        """+1 where more is expected, -1 where less is, 0 for equivalence."""
        return {"positive": 1, "negative": -1, "equivalent": 0}[self.expects]


class Statement(Strict):
    """A statement of the abstract in our words: the claims that test it, or why none does."""

    says: str = Field(min_length=1)
    tested_by: tuple[Id, ...] = ()
    untested: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _tested_or_not(self) -> Self:
        if bool(self.tested_by) == (self.untested is not None):
            raise ValueError(f"the statement {self.says!r} needs either tested_by or untested, and not both")
        return self


class Choice(Strict):
    """One choice of ours that might decide a headline claim, taken another way; declared before the run."""

    name: str = Field(min_length=1)
    says: str = Field(min_length=1)
    claims: tuple[Id, ...] = Field(min_length=1)


class Floor(Strict):
    """What counts as learnt on a page: an arm's mean ``measure`` must lie this far beyond what guessing gives."""

    measure: str = Field(min_length=1)
    chance: float
    beyond: float

    @model_validator(mode="after")
    def _floor_is_somewhere(self) -> Self:
        if self.beyond == 0:
            raise ValueError("beyond must not be 0: above 0 where more is better, below where less is")
        return self

    def reached(self, mean: float) -> bool:
        """Tell whether a mean lies as far beyond chance as it must."""
        side = 1 if self.beyond > 0 else -1
        return side * (mean - self.chance - self.beyond) >= 0


class Ledger(Strict):
    """All that one notebook tests of a paper, and what could change its answers."""

    title: str
    cite: str
    statements: tuple[Statement, ...] = Field(min_length=1)
    floor: Floor | None = None
    choices: tuple[Choice, ...] = ()
    claims: tuple[Claim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        for what, names in (("claim ids", [one.id.lower() for one in self.claims]),
                            ("names of choices", [one.name for one in self.choices])):  # fmt: skip
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} stand more than once: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        known = {claim.id for claim in self.claims}
        headlines = {claim.id for claim in self.claims if claim.headline}
        named = [(f"the statement {one.says!r}", one.tested_by, known) for one in self.statements]
        named += [(f"the choice {one.name!r}", one.claims, headlines) for one in self.choices]
        for who, ids, allowed in named:
            lost = [name for name in ids if name not in allowed]
            if lost:
                kind = "a claim" if allowed is known else "a headline claim"
                raise ValueError(f"{who} names {', '.join(lost)}, which is not {kind} of this ledger")
        free = sorted(headlines - {name for choice in self.choices for name in choice.claims})
        if self.choices and free:
            raise ValueError(f"there are choices, and none is named that might decide the headline {free[0]}")
        said = {name for statement in self.statements for name in statement.tested_by}
        unsaid = [claim.id for claim in self.claims if claim.where.startswith("abstract") and claim.id not in said]
        if unsaid:
            raise ValueError(f"{unsaid[0]} stands in the abstract, and none of its statements names it")
        bare = [claim.id for claim in self.claims if claim.learnt and self.floor is None]
        if bare:
            raise ValueError(f"{bare[0]} asks that arms have learnt, and the ledger has no floor")
        return self

    def claim(self, claim_id: str) -> Claim:
        """Return the claim with this id; a `ValueError` where the ledger has none."""
        known = {claim.id: claim for claim in self.claims}
        if claim_id not in known:
            raise ValueError(f"The ledger has no claim {claim_id!r}; it has {', '.join(known)}.")
        return known[claim_id]

    @property
    def headlines(self) -> tuple[Claim, ...]:
        """The claims that are judged again under each declared choice."""
        return tuple(claim for claim in self.claims if claim.headline)


def ledger_path(notebook: str, root: Path | None = None) -> Path:
    """Return where the ledger of a notebook lies, whether or not it exists."""
    return (root or project_root()) / "book" / "claims" / f"{notebook}.yml"


def load_ledger(notebook: str, root: Path | None = None) -> Ledger:
    """Read ``book/claims/<notebook>.yml``.

    A `FileNotFoundError` where the notebook has none; a `ValueError` names the first field that is wrong.
    """
    path = ledger_path(notebook, root)
    if not path.is_file():
        raise FileNotFoundError(f"There is no ledger for {notebook!r}: {path.name} is not in book/claims.")
    return read_model(path, Ledger, f"book/claims/{path.name}", "ledger")
