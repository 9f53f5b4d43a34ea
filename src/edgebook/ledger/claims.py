"""The ledger: what each paper claims, written down before anything is run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgebook.notebooks.files import read_model
from edgebook.notebooks.paths import project_root


class Verdict(StrEnum):
    """What the samples say about a claim."""

    REPRODUCED = "reproduced"
    DIRECTION_ONLY = "direction only"
    INCONCLUSIVE = "inconclusive"
    CONTRADICTED = "contradicted"
    NOT_TESTABLE = "not testable here"
    NOT_JUDGED = "not judged at this tier"


class Strict(BaseModel):
    """Part of a file: unknown keys and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Claim(Strict):
    """One statement of a paper, with the effect that would count as seeing it.

    ``expects`` is the side of ``neutral`` on which the effect should lie; ``margin`` is the smallest
    effect of interest (for ``equivalent``: the largest difference that still counts as none), and
    ``target`` the size that counts as reproduced, where the paper gives one that is free of scale.
    """

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")
    says: str = Field(min_length=1)
    where: str = Field(min_length=1)
    paper: float | None = None
    measures: str = Field(min_length=1)
    unit: str
    expects: Literal["positive", "negative", "equivalent"]
    neutral: float = 0.0
    margin: float = Field(ge=0)
    target: float | None = None
    kind: Literal["claim", "control"] = "claim"
    exact: bool = False
    needs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _target_lies_beyond_the_margin(self) -> Self:
        if self.expects == "equivalent":
            if self.target is not None:
                raise ValueError(f"{self.id}: a claim of equivalence has a margin and no target")
            if self.margin == 0:
                raise ValueError(f"{self.id}: a claim of equivalence needs a margin above 0")
        elif self.target is not None and self.sign * (self.target - self.neutral) < self.margin:
            raise ValueError(f"{self.id}: target {self.target} lies short of the margin around {self.neutral}")
        return self

    @property
    def sign(self) -> int:
        """+1 where more is expected, -1 where less is, 0 for equivalence."""
        return {"positive": 1, "negative": -1, "equivalent": 0}[self.expects]


class Ledger(Strict):
    """All claims of one paper that one notebook tests."""

    title: str
    cite: str
    claims: tuple[Claim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [claim.id.lower() for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"claim ids stand more than once: {', '.join(twice)}")
        return self

    def claim(self, claim_id: str) -> Claim:
        """Return the claim with this id; a `ValueError` where the ledger has none."""
        known = {claim.id: claim for claim in self.claims}
        if claim_id not in known:
            raise ValueError(f"The ledger has no claim {claim_id!r}; it has {', '.join(known)}.")
        return known[claim_id]


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
