"""The catalogue of papers: which there are, in which wing, and what each one asks."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgebook.notebooks.paths import project_root


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Wing(_Strict):
    """A group of papers on one subject."""

    title: str = Field(min_length=1)
    says: str = Field(min_length=1)


class Paper(_Strict):
    """One paper of the book; ``name`` is the name of its notebook, written or not."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    short: str = Field(min_length=1)
    title: str = Field(min_length=1)
    year: int = Field(ge=2000, le=2100)
    wing: str
    cite: str = Field(pattern=r"^[a-z0-9]+$")
    question: str = Field(pattern=r"\?$")


class Catalogue(_Strict):
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
    """Read and validate ``book/papers.yml``.

    Parameters
    ----------
    root : Path, optional
        The checkout; by default the one that `edgebook.notebooks.paths.project_root` finds.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The file is no valid catalogue; the message names the field.
    """
    path = (root or project_root()) / "book" / "papers.yml"
    if not path.is_file():
        raise FileNotFoundError("There is no catalogue of papers: book/papers.yml does not exist.")
    try:
        return Catalogue.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ValueError(f"book/papers.yml is no valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"book/papers.yml is no valid catalogue: {place or 'papers'}: {first['msg']}") from None
