"""The catalogue of papers: which there are, in which wing, and what each one asks."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from edgebook.ledger.claims import Id, Strict
from edgebook.ledger.rule import Verdict
from edgebook.notebooks.files import read_model, require
from edgebook.notebooks.paths import project_root

MOST_WORDS = 25  # of a finding


class Wing(Strict):
    """A group of papers on one subject."""

    title: str = Field(min_length=1)
    says: str = Field(min_length=1)


class Beside(Strict):
    """One measure of size, in the paper and here; ``here`` may name parameters, as in ``{train:,} images``."""

    what: str = Field(min_length=1)
    paper: str = Field(min_length=1)
    here: str = Field(min_length=1)


class Links(Strict):
    """Where a paper and its authors' code are."""

    arxiv: str | None = Field(default=None, pattern=r"^\d{4}\.\d{4,5}$")
    doi: str | None = Field(default=None, pattern=r"^10\.\d{4,}/\S+$")
    code: str | None = Field(default=None, pattern=r"^https://\S+$")


class Paper(Strict):
    """One paper of the book; ``name`` is the name of its notebook, written or not.

    ``finding`` is the answer in one sentence, and ``rests_on`` has the words of the claims that it rests on. ``read``
    says what was read of the paper, ``change`` what would change the answer.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    short: str = Field(min_length=1)
    title: str = Field(min_length=1)
    year: int = Field(ge=2000, le=2100)
    wing: str
    cite: str = Field(pattern=r"^[a-z0-9]+$")
    question: str = Field(pattern=r"\?$")
    finding: str | None = Field(default=None, min_length=1)
    rests_on: dict[Verdict, tuple[Id, ...]] = Field(default_factory=dict)
    read: str | None = Field(default=None, min_length=1)
    scale: tuple[Beside, ...] = ()
    links: Links = Links()
    change: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _finding_is_short_and_rests_on_verdicts(self) -> Self:
        words = len((self.finding or "").split())
        if words > MOST_WORDS:
            raise ValueError(f"the finding of {self.name} has {words} words; {MOST_WORDS} are the most")
        if self.finding and not any(self.rests_on.values()):
            raise ValueError(
                f"the finding of {self.name} rests on no verdict; rests_on has their claims by their words"
            )
        if self.rests_on and not self.finding:
            raise ValueError(f"{self.name} has rests_on without a finding")
        return self

    def rests(self) -> dict[str, Verdict]:
        """Return the word of each claim that the finding rests on."""
        return {claim: word for word, claims in self.rests_on.items() for claim in claims}


class Catalogue(Strict):
    """All wings and papers, in the order in which the book shows them."""

    wings: dict[str, Wing]
    papers: tuple[Paper, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _papers_fit_the_wings(self) -> Self:
        names = [paper.name for paper in self.papers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"papers stand more than once: {', '.join(twice)}")
        lost = [f"{paper.name} ({paper.wing})" for paper in self.papers if paper.wing not in self.wings]
        if lost:
            raise ValueError(f"papers of a wing that does not exist: {', '.join(lost)}")
        return self


def load_papers(root: Path | None = None) -> Catalogue:
    """Read and validate ``book/papers.yml``; a `ValueError` names the first field that is wrong."""
    path = (root or project_root()) / "book" / "papers.yml"
    if not path.is_file():
        raise FileNotFoundError("There is no catalogue of papers: book/papers.yml does not exist.")
    return read_model(path, Catalogue, "book/papers.yml", "catalogue")


def find_paper(name: str, root: Path | None = None) -> Paper:
    """Return the paper of a notebook; a `ValueError` offers the nearest name where the catalogue has none."""
    known = {paper.name: paper for paper in load_papers(root).papers}
    require("paper", name, known)
    return known[name]
