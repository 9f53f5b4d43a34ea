"""The notebooks of the book: their names, and the parameter values that each tier gives them.

A tier is nothing but parameter values.
This module is the only reader of ``notebooks/tiers.yml``; it imports nothing heavy, so that the command line
answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from edgebook.notebooks.cell import Parameter, Value, coerce, parameters, parse
from edgebook.notebooks.files import nearest, read_yaml, require
from edgebook.notebooks.paths import project_root


class Tier(NamedTuple):
    """A scale at which notebooks are run; the parameter values are in ``notebooks/tiers.yml``."""

    budget: str  # of one notebook
    is_for: str
    limit: float | None  # wall-clock seconds of one notebook; None is no limit
    pages: bool  # whether the workflow makes a page of every notebook at it


TIERS: dict[str, Tier] = {
    "quick": Tier("20 s a notebook", "proves that the page works", 120.0, pages=True),
    "book": Tier("3 min a notebook", "what a reader executes", 900.0, pages=True),
    "full": Tier("30 min to 4 core-hours", "verdict-grade", 6 * 3600.0, pages=False),
    "paper": Tier("a GPU", "the paper's own data", None, pages=False),
}
"""The tiers, cheapest first."""


def paper_names() -> list[str]:
    """Return the names of the paper notebooks, ``notebooks/*.ipynb``, sorted."""
    return sorted(path.stem for path in (project_root() / "notebooks").glob("*.ipynb"))


def page_names() -> list[str]:
    """Return the names of the pages that are notebooks but not papers, ``book/*.ipynb``, sorted."""
    return sorted(path.stem for path in (project_root() / "book").glob("*.ipynb"))


def find(name: str) -> Path:
    """Return the source file of a paper or a page; a `ValueError` offers the nearest name where there is none."""
    papers, pages = paper_names(), page_names()
    require("notebook", name, [*papers, *pages])
    return project_root() / ("notebooks" if name in papers else "book") / f"{name}.ipynb"


def read_tiers() -> dict[str, dict[str, dict[str, Any]]]:
    """Read ``notebooks/tiers.yml``: notebook -> tier -> parameter -> value, as written; {} without the file.

    A `ValueError` where the file is not nested like that, or names a notebook or tier that does not exist.
    """
    file = project_root() / "notebooks" / "tiers.yml"
    if not file.exists():
        return {}
    stat = file.stat()
    table = _tier_table(file, stat.st_mtime_ns, stat.st_size)
    names = [*paper_names(), *page_names()]
    if not isinstance(table, dict):
        raise ValueError("notebooks/tiers.yml must map notebooks to tiers.")
    for name, by_tier in table.items():
        if name not in names:
            raise ValueError(f"notebooks/tiers.yml names the notebook '{name}'; {nearest(str(name), names)}")
        if not isinstance(by_tier, dict):
            raise ValueError(f"notebooks/tiers.yml: '{name}' must map tiers to parameters.")
        for tier, values in by_tier.items():
            if tier not in TIERS:
                raise ValueError(f"notebooks/tiers.yml, {name}: no tier '{tier}'; {nearest(str(tier), TIERS)}")
            if not isinstance(values, dict | None):
                raise ValueError(f"notebooks/tiers.yml, {name}, {tier}: must map parameters to values.")
    return {name: {tier: dict(v or {}) for tier, v in by_tier.items()} for name, by_tier in table.items()}


@lru_cache(maxsize=8)
def _tier_table(path: Path, _mtime: int, _size: int) -> Any:
    """Read the tier file once for all points of a sweep."""
    return read_yaml(path, "notebooks/tiers.yml") or {}


def overrides(name: str, tier: str) -> dict[str, Value]:
    """Return the parameter values that a tier sets for a notebook.

    A paper without an entry for tier ``book`` runs with its defaults there, and so does a page at every tier; for
    another tier that is a `ValueError`, since its defaults would pass for values of that tier. So is an unknown
    notebook, tier or parameter, and a value of the wrong type.
    """
    path = find(name)
    require("tier", tier, TIERS)
    by_tier = read_tiers().get(name, {})
    if tier not in by_tier and tier != "book" and name in paper_names():
        raise ValueError(f"notebooks/tiers.yml has no entry for tier '{tier}' of '{name}'.")
    return _checked(name, parameters(path), by_tier.get(tier, {}), f"notebooks/tiers.yml, {name}, {tier}: ")


def resolve(name: str, tier: str, settings: Mapping[str, object] | None = None) -> dict[str, Value]:
    """Return every parameter of a notebook: its defaults, under the tier's values, under ``settings``.

    A `ValueError` where one of the names is unknown, or a value has the wrong type.
    """
    declared = parameters(find(name))
    if "tier" not in declared:
        raise ValueError(f"The parameters cell of '{name}' must begin with 'tier: str = \"book\"'.")
    values = {parameter.name: parameter.default for parameter in declared.values()}
    values |= overrides(name, tier)
    values |= _checked(name, declared, settings or {})
    return values | {"tier": tier}


def settings_of(name: str, words: Sequence[str]) -> dict[str, Value]:
    """Read ``key=value`` words of a command line as values of a notebook's parameters.

    A `ValueError` where a word is none, a key stands twice or is unknown, or a value has the wrong type.
    """
    declared = parameters(find(name))
    settings: dict[str, Value] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value, not '{word}'.")
        if key in settings:
            raise ValueError(f"--set gives '{key}' twice.")
        if key in declared and key != "tier":
            settings[key] = parse(declared[key], text)
        else:
            _checked(name, declared, {key: text})  # which says what is wrong with the key
    return settings


def _checked(
    name: str, declared: Mapping[str, Parameter], values: Mapping[str, object], where: str = ""
) -> dict[str, Value]:
    """Return ``values`` coerced to the declared types; unknown names and ``tier`` are refused."""
    for key in values:
        if key == "tier":
            raise ValueError(f"{where}The parameter 'tier' is set by choosing a tier, not by a value.")
        if key not in declared:
            allowed = [parameter for parameter in declared if parameter != "tier"]
            raise ValueError(f"{where}'{name}' has no parameter '{key}'; {nearest(str(key), allowed)}")
    try:
        return {key: coerce(declared[key], value) for key, value in values.items()}
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None
