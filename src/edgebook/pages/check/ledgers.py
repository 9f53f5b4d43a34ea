"""Papers, ledgers, notebooks, tiers, sweeps and recorded runs belong together."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgebook import notebooks
from edgebook.ledger.claims import Ledger, load_ledger
from edgebook.ledger.papers import load_papers
from edgebook.ledger.record import full_measured, load_record, records_in
from edgebook.ledger.rule import Kind
from edgebook.ledger.scoreboard import why_stale
from edgebook.notebooks.files import parse_python


def refusal(function: Callable[..., object], *arguments: object) -> list[str]:
    """Return what a loader says of a file that it refuses, or nothing."""
    return read(function, *arguments)[1]


def read(function: Callable[..., Any], *arguments: object) -> tuple[Any, list[str]]:
    """Return what a loader returns, or None with what it says of a file that it refuses."""
    try:
        return function(*arguments), []
    except (ValueError, FileNotFoundError) as error:
        return None, [str(error)]


def papers(root: Path) -> Iterator[str]:
    """Yield what is wrong where notebooks, ledgers and papers.yml name each other, and each claim its card."""
    names = notebooks.paper_names()
    catalogue, refused = read(load_papers, root)
    yield from refused
    known = {paper.name: paper for paper in catalogue.papers} if catalogue else {}
    for path in root.glob("book/claims/*.yaml"):
        yield f"book/claims/{path.name} must end in .yml."
    for name in sorted({*names, *_ledger_names(root)}):
        ledger, refused = read(load_ledger, name, root)
        yield from refused
        if name not in names:
            yield f"book/claims/{name}.yml has no notebook notebooks/{name}.ipynb."
            continue
        if catalogue and name not in known:
            yield f"book/papers.yml does not know '{name}'; {notebooks.nearest(name, known)}"
        if ledger is None:
            continue
        yield from _sections(root, name, [claim.id for claim in ledger.claims])
        for field in ("title", "cite") if name in known else ():
            if getattr(known[name], field) != getattr(ledger, field):
                yield f"The {field} of '{name}' differs between book/papers.yml and book/claims/{name}.yml."


def across_papers(root: Path) -> Iterator[str]:
    """Yield ledgers without a claim of their paper's, and ids of claims that two papers share."""
    owners: dict[str, str] = {}
    for name, ledger in _ledgers(root):
        if not any(claim.kind is Kind.CLAIM for claim in ledger.claims):
            yield f"book/claims/{name}.yml has no claim, only statements of other kinds."
        for claim in ledger.claims:
            owner = owners.setdefault(claim.id.lower(), name)
            if owner != name:
                yield f"book/claims/{name}.yml has a claim {claim.id}, and so has book/claims/{owner}.yml."


def records(root: Path) -> Iterator[str]:
    """Yield what is no verdict-grade record, or no longer belongs to a notebook and its claims."""
    ledgers = dict(_ledgers(root))
    known = records_in(root / "results" / "full")
    for path in sorted(root.glob("results/full/*")):
        if path not in known:
            name = path.name.removesuffix(".measured.json")
            beside = path.with_name(f"{name}.json") in known and name != path.name
            yield from refusal(full_measured, name, root) if beside else [f"results/full/{path.name} is no record."]
    for path in known:
        record, refused = read(load_record, path)
        yield from refused
        if record is None:
            continue
        if (record.notebook, record.tier) != (path.stem, "full"):
            yield f"results/full/{path.name} is a record of '{record.notebook}' at tier {record.tier}."
        known = {claim.id for claim in ledgers[path.stem].claims} if path.stem in ledgers else set()
        for result in record.results:
            if result.claim.id not in known:
                yield f"results/full/{path.name} has a claim {result.claim.id}, which no ledger of that name has."


def extent(root: Path) -> str:
    """Say how much there is to check: claims of all kinds, ledgers and records."""
    ledgers = dict(_ledgers(root))
    sizes = {
        "claim": sum(len(ledger.claims) for ledger in ledgers.values()), "ledger": len(ledgers),
        "record": len(records_in(root / "results" / "full")),
    }  # fmt: skip
    claims, *rest = (f"{count} {what}{'s' * (count != 1)}" for what, count in sizes.items())
    return f"{claims} in {', '.join(rest)}"


def stale(root: Path) -> Iterator[str]:
    """Yield the records that no longer speak for the checkout, with the reasons; that is no inconsistency."""
    for path in records_in(root / "results" / "full"):
        record, _ = read(load_record, path)
        reasons = why_stale(record, root) if record else ()
        if reasons:
            yield f"stale: {path.stem} ({'; '.join(reasons)})"


def tier_file(root: Path) -> Iterator[str]:
    """Yield values of the tier file that do not fit their parameter, and papers without values for a tier."""
    refused = refusal(notebooks.read_tiers)
    yield from refused
    if refused:
        return
    for name in [*notebooks.paper_names(), *notebooks.page_names()]:
        if not refusal(notebooks.parameters, notebooks.find(name)):
            for tier in notebooks.TIERS:
                yield from refusal(notebooks.overrides, name, tier)


def sweeps(root: Path) -> Iterator[str]:
    """Yield sweeps that ask for a notebook, tier, parameter, value or claim that there is not."""
    from edgebook.sweeps.points import points_of
    from edgebook.sweeps.sweep_file import sweep_names

    for name in sweep_names():
        yield from refusal(points_of, name)


def _ledger_names(root: Path) -> list[str]:
    return sorted(path.stem for path in root.glob("book/claims/*.yml"))


def _ledgers(root: Path) -> Iterator[tuple[str, Ledger]]:
    """Yield the ledgers that can be read."""
    for name in _ledger_names(root):
        ledger, _ = read(load_ledger, name, root)
        if ledger is not None:
            yield name, ledger


def _sections(root: Path, name: str, claims: list[str]) -> Iterator[str]:
    """Yield the claims that have not exactly one card on their page, and cards of what is no claim."""
    cells, _ = read(notebooks.cells, root / "notebooks" / f"{name}.ipynb")  # the form of notebooks is checked elsewhere
    cards = [card for cell in cells or () if cell["cell_type"] == "code" for card in _cards(cell["source"])]
    for claim in claims:
        if cards.count(claim) != 1:
            yield f"notebooks/{name}.ipynb has {cards.count(claim)} cards of {claim}; it must have one."
    for card in sorted({*cards} - {*claims}):
        yield f"notebooks/{name}.ipynb has a card of {card} but its ledger has no such claim."


def _cards(source: str) -> Iterator[str]:
    """Yield the ids of the claims whose cards a cell shows; those are written out, one by one."""
    try:
        calls = [node for node in ast.walk(parse_python(source)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return
    for call in calls:
        if ast.unparse(call.func) == "ledger.cards":
            yield from (str(one.value) for one in call.args[1:] if isinstance(one, ast.Constant))
