"""The catalogue of papers: which there are, in which wing, and what each one asks."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from edgebook.ledger.claims import Strict
from edgebook.notebooks.files import read_model
from edgebook.notebooks.paths import project_root


class Wing(Strict):
    """A group of papers on one subject."""

    title: str = Field(min_length=1)
    says: str = Field(min_length=1)


class Paper(Strict):
    """One paper of the book; ``name`` is the name of its notebook, written or not."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    short: str = Field(min_length=1)
    title: str = Field(min_length=1)
    year: int = Field(ge=2000, le=2100)
    wing: str
    cite: str = Field(pattern=r"^[a-z0-9]+$")
    question: str = Field(pattern=r"\?$")


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
