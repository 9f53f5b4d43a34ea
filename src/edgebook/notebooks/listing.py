"""What the command ``list`` says: the papers with their claims, and the parameters of one notebook.

It reads plain files and imports nothing heavy, so that it answers at once.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from edgebook.notebooks.catalogue import TIERS, find, page_names, paper_names, read_tiers
from edgebook.notebooks.cell import Parameter, parameters
from edgebook.notebooks.files import read_plain, require
from edgebook.notebooks.paths import project_root

_KINDS = {"claim": "claims", "question": "questions", "control": "controls", "identity": "identities"}
_WIDTH = 100
_FULL = "After 'full' stands what the recorded run at that tier took."


def overview() -> str:
    """Return the tiers, and a line for each paper: its claims by kind, and what its run at tier full took."""
    lines = [f"{name:6s} {tier.budget}: {tier.is_for}" for name, tier in TIERS.items()]
    written = paper_names()
    for wing, names in _wings(written).items():
        lines += ["", wing]
        lines += [f"  {name:32s} {_about(name) if name in written else 'not yet written'}" for name in names]
    lines += ["", "pages", *(f"  {name}" for name in page_names())]
    return "\n".join([*lines, "", _FULL, "The parameters of one notebook: python -m edgebook list <name>"])


def explained(name: str) -> str:
    """Return the parameters of a notebook: type, default and meaning of each, and its values at other tiers.

    A `ValueError` offers the nearest name where there is no such notebook, and says where it is not yet written.
    """
    paper = next((paper for paper in catalogued() if paper["name"] == name), {})
    written = [*paper_names(), *page_names()]
    if paper and name not in written:
        raise ValueError(f"The notebook of '{name}' is not yet written.")
    require("notebook", name, written)
    head = textwrap.wrap(f"{name}: {paper.get('title', '')}", _WIDTH, subsequent_indent="  ") if paper else [name]
    head += [f"{paper['wing']}; {_about(name)}"] if paper else []
    tiers = {tier: values for tier, values in read_tiers().get(name, {}).items() if tier != "book"}
    lines = [*head, "", "Parameters as tier book has them, and what other tiers set instead:"]
    for parameter in parameters(find(name)).values():
        lines += ["", *_of_parameter(parameter, {tier: tiers[tier] for tier in TIERS if tier in tiers})]
    return "\n".join([*lines, "", f"Set them with: python -m edgebook run {name} --tier TIER --set NAME=VALUE"])


def _of_parameter(parameter: Parameter, tiers: dict[str, dict[str, object]]) -> Iterator[str]:
    name = parameter.name
    yield f"  {name}: {parameter.type.__name__} = {parameter.default!r}"
    yield from textwrap.wrap(parameter.help, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    told = ", ".join(f"{tier} {values[name]!r}" for tier, values in tiers.items() if name in values)
    if told:
        yield from textwrap.wrap(f"[{told}]", _WIDTH, initial_indent="    ", subsequent_indent="     ")


def catalogued() -> list[dict[str, str]]:
    """Return the papers of the catalogue as they stand there; none without one."""
    return read_plain("book/papers.yml").get("papers", [])


def _wings(written: list[str]) -> dict[str, list[str]]:
    """Return the names of the papers of each wing; without a catalogue, the notebooks that there are."""
    wings: dict[str, list[str]] = {}
    for paper in catalogued():
        wings.setdefault(paper["wing"], []).append(paper["name"])
    known = {name for names in wings.values() for name in names}
    lost = [name for name in written if name not in known]
    return wings | ({"in no wing": lost} if lost else {})


def _about(name: str) -> str:
    """Say how many claims a paper has of each kind, and how long its recorded run took."""
    kinds = [claim.get("kind", "claim") for claim in read_plain(f"book/claims/{name}.yml").get("claims", [])]
    counts = {kind: kinds.count(kind) for kind in _KINDS if kind in kinds}
    told = ", ".join(f"{count} {kind if count == 1 else _KINDS[kind]}" for kind, count in counts.items())
    return (told or "no ledger") + _recorded(name)


def _recorded(name: str) -> str:
    try:
        text = (project_root() / "results" / "full" / f"{name}.json").read_text(encoding="utf-8")
        hours = float(json.loads(text)["seconds"]) / 3600
    except (OSError, ValueError, KeyError, TypeError):  # 'check' says what is wrong with a record
        return ""
    return f"; full {hours:.1f} h" if hours >= 1 else f"; full {hours * 60:.0f} min"
