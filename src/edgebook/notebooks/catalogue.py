"""The notebooks of the book: their names, and the parameter values that each tier gives them.

A tier is nothing but parameter values.
This module is the only reader of ``notebooks/tiers.yml``; it imports nothing heavy, so that the command line
answers at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from edgebook.notebooks.cell import Parameter, Value, coerce, parameters
from edgebook.notebooks.paths import project_root


def tiers() -> tuple[str, ...]:
    """Return the names of the tiers, cheapest first."""
    return ("quick", "book", "full", "paper")


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return the end of an error sentence: the nearest allowed name, or all of them where none is near.

    >>> nearest("ful", ["quick", "full"])
    "did you mean 'full'?"
    """
    names = list(allowed)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.4)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"allowed: {', '.join(names) or 'none'}."


def paper_names() -> list[str]:
    """Return the names of the paper notebooks, ``notebooks/*.ipynb``, sorted."""
    return sorted(path.stem for path in (project_root() / "notebooks").glob("*.ipynb"))


def page_names() -> list[str]:
    """Return the names of the pages that are notebooks but not papers, ``book/*.ipynb``, sorted."""
    return sorted(path.stem for path in (project_root() / "book").glob("*.ipynb"))


def find(name: str) -> Path:
    """Return the source file of a notebook.

    Raises
    ------
    ValueError
        No paper and no page has that name; the message offers the nearest one.
    """
    for folder, names in (("notebooks", paper_names()), ("book", page_names())):
        if name in names:
            return project_root() / folder / f"{name}.ipynb"
    raise ValueError(f"There is no notebook '{name}'; {nearest(name, [*paper_names(), *page_names()])}")


def tier_file() -> Path:
    """Return the path of the file that holds the parameter overrides of each tier."""
    return project_root() / "notebooks" / "tiers.yml"


def read_tiers() -> dict[str, dict[str, dict[str, Any]]]:
    """Read ``notebooks/tiers.yml``: notebook -> tier -> parameter -> value, as written; {} without the file.

    Raises
    ------
    ValueError
        The file is not nested like that, or names a notebook or tier that does not exist.
    """
    if not tier_file().exists():
        return {}
    stat = tier_file().stat()
    table = _tier_table(tier_file(), stat.st_mtime_ns, stat.st_size)
    names = [*paper_names(), *page_names()]
    if not isinstance(table, dict):
        raise ValueError("notebooks/tiers.yml must map notebooks to tiers.")
    for name, by_tier in table.items():
        if name not in names:
            raise ValueError(f"notebooks/tiers.yml names the notebook '{name}'; {nearest(str(name), names)}")
        if not isinstance(by_tier, dict):
            raise ValueError(f"notebooks/tiers.yml: '{name}' must map tiers to parameters.")
        for tier, values in by_tier.items():
            if tier not in tiers():
                near = nearest(str(tier), tiers())
                raise ValueError(f"notebooks/tiers.yml, {name}: there is no tier '{tier}'; {near}")
            if not isinstance(values, dict | None):
                raise ValueError(f"notebooks/tiers.yml, {name}, {tier}: must map parameters to values.")
    return {name: {tier: dict(v or {}) for tier, v in by_tier.items()} for name, by_tier in table.items()}


@lru_cache(maxsize=8)
def _tier_table(path: Path, _mtime: int, _size: int) -> Any:
    """Read the tier file once for all points of a sweep."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"notebooks/tiers.yml is not YAML: {' '.join(str(error).split())}.") from None


def overrides(name: str, tier: str) -> dict[str, Value]:
    """Return the parameter values that a tier sets for a notebook.

    A paper without an entry for tier ``book`` runs with its defaults there, and so does a page at every tier.

    Raises
    ------
    ValueError
        Unknown notebook, tier or parameter, a value of the wrong type, or a paper without an entry for a tier
        other than ``book`` (its defaults would pass for values of that tier).
    """
    path = find(name)
    _known_tier(tier)
    by_tier = read_tiers().get(name, {})
    if tier not in by_tier and tier != "book" and name in paper_names():
        raise ValueError(f"notebooks/tiers.yml has no entry for tier '{tier}' of '{name}'.")
    where = f"notebooks/tiers.yml, {name}, {tier}: "
    return _checked(name, parameters(path), by_tier.get(tier, {}), where)


def resolve(name: str, tier: str, settings: Mapping[str, object] | None = None) -> dict[str, Value]:
    """Return every parameter of a notebook: its defaults, under the tier's values, under ``settings``.

    Raises
    ------
    ValueError
        Unknown notebook, tier or parameter, or a value of the wrong type.
    """
    declared = parameters(find(name))
    if "tier" not in declared:
        raise ValueError(f"The parameters cell of '{name}' must begin with 'tier: str = \"book\"'.")
    values = {parameter.name: parameter.default for parameter in declared.values()}
    values |= overrides(name, tier)
    values |= _checked(name, declared, settings or {})
    return values | {"tier": tier}


def _known_tier(tier: str) -> None:
    if tier not in tiers():
        raise ValueError(f"There is no tier '{tier}'; {nearest(tier, tiers())}")


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
