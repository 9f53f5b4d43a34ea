"""What a sweep asks for: ``notebooks/sweeps/<name>.yml``, read and checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgebook import notebooks
from edgebook.notebooks.files import read_model
from edgebook.notebooks.paths import project_root

RESERVED = (
    "sweep", "notebook", "point", "kind", "claim", "unit", "samples", "value", "low", "high", "verdict", "reason",
    "seconds", "commit", "dirty", "fingerprint",
)  # fmt: skip
"""Names of the table's own columns, which no parameter may bear."""


class Sweep(BaseModel):
    """A notebook, a tier, values for all points, and either a grid or a list of points.

    ``base`` goes before the tier's values, and the values of a point before both. ``seeds`` is how many paired
    repetitions each point has, ``limit`` how many seconds a point may take, by default as many as its tier. ``shows``
    names the claims to look at first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str = Field(min_length=1)
    notebook: str
    tier: str
    base: dict[str, Any] = {}
    seeds: int | None = Field(None, ge=1, strict=True)
    limit: float | None = Field(None, gt=0)
    grid: dict[str, list[Any]] | None = None
    listed: list[dict[str, Any]] | None = Field(None, alias="list")
    shows: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_points(self) -> Self:
        if (self.grid is None) == (self.listed is None):
            raise ValueError("either 'grid' or 'list' must say what the points are, and not both")
        if self.grid == {} or self.listed == []:
            raise ValueError("the grid is empty" if self.grid == {} else "the list is empty")
        for name, values in (self.grid or {}).items():
            if not values:
                raise ValueError(f"the grid is empty: '{name}' has no value")
        return self

    @model_validator(mode="after")
    def _each_parameter_is_set_in_one_place(self) -> Self:
        if self.seeds is not None and "seeds" in self.base:
            raise ValueError("'seeds' is set twice, as a key of the sweep and in 'base'")
        for name in self.varied:
            if name in self.fixed:
                raise ValueError(f"'{name}' varies from point to point and is set for all points too")
        return self

    @property
    def fixed(self) -> dict[str, Any]:
        """Values that all points share, ``seeds`` among them."""
        return self.base | ({} if self.seeds is None else {"seeds": self.seeds})

    @property
    def varied(self) -> list[str]:
        """Names of the parameters that differ between points, in the order of the file."""
        return list(dict.fromkeys(name for place in (self.grid, *(self.listed or ())) for name in place or ()))


def sweep_folder() -> Path:
    return project_root() / "notebooks" / "sweeps"


def sweep_names() -> list[str]:
    """Return the names of all sweeps, sorted."""
    return sorted(path.stem for path in sweep_folder().glob("*.yml"))


def load(name: str) -> Sweep:
    """Read and validate ``notebooks/sweeps/<name>.yml``; its parameter values are checked by `points.points_of`."""
    notebooks.require("sweep", name, sweep_names())
    return read_model(sweep_folder() / f"{name}.yml", Sweep, f"notebooks/sweeps/{name}.yml")
