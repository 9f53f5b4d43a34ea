"""What a sweep asks for: ``notebooks/sweeps/<name>.yml``, read and checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgebook import notebooks
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
        fixed = {*self.base, *(["seeds"] if self.seeds is not None else [])}
        if self.seeds is not None and "seeds" in self.base:
            raise ValueError("'seeds' is set twice, as a key of the sweep and in 'base'")
        for name in self.varied:
            if name in fixed:
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


class _OnceLoader(yaml.SafeLoader):
    """Reads YAML, but refuses a key that stands twice in one place: the second would replace the first unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = [key.value for key, _ in node.value]
        for key in seen:
            if seen.count(key) > 1:
                raise yaml.YAMLError(f"'{key}' stands twice in line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)


def sweep_folder() -> Path:
    """Return where the files of the sweeps are."""
    return project_root() / "notebooks" / "sweeps"


def sweep_names() -> list[str]:
    """Return the names of all sweeps, sorted."""
    return sorted(path.stem for path in sweep_folder().glob("*.yml"))


def load(name: str) -> Sweep:
    """Read and validate ``notebooks/sweeps/<name>.yml``; its parameter values are checked by `points.points_of`.

    Raises
    ------
    ValueError
        There is no such sweep, or its file is no valid one; the sentence names the file and the nearest valid name.
    """
    if name not in sweep_names():
        raise ValueError(f"There is no sweep '{name}'; {notebooks.nearest(name, sweep_names())}")
    where = f"notebooks/sweeps/{name}.yml"
    try:
        text = (sweep_folder() / f"{name}.yml").read_text(encoding="utf-8")
        return Sweep.model_validate(yaml.load(text, _OnceLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not YAML: {' '.join(str(error).split())}.") from None
    except ValidationError as error:
        raise ValueError(f"{where}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    """Put the first thing that is wrong into one sentence."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        allowed = [field.alias or name for name, field in Sweep.model_fields.items()]
        return f"there is no key '{place}'; {notebooks.nearest(place, allowed)}"
    if first["type"] == "model_type":
        return "it must map the keys of a sweep to values."
    said = first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}." if place else f"{said}."
