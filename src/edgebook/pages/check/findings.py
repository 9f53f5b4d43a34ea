"""What the catalogue says of a paper is what its record and its notebook say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgebook import notebooks
from edgebook.ledger.claims import ledger_path, load_ledger
from edgebook.ledger.papers import Paper, load_papers
from edgebook.ledger.record import full_record, stale_reasons
from edgebook.pages.check.ledgers import read, refusal


def findings(root: Path) -> Iterator[str]:
    """Yield findings that rest on other words than the record's, and sizes that name no parameter."""
    catalogue, _ = read(load_papers, root)  # what is wrong with it is said elsewhere
    for paper in catalogue.papers if catalogue else ():
        if paper.finding:
            yield from _rests(paper, root)
        if paper.scale and paper.name in notebooks.paper_names():
            yield from (
                f"book/papers.yml, {paper.name}: the size {one.here!r} cannot be written from its parameters."
                for one in paper.scale
                if refusal(_written, paper.name, one.here)
            )


def _written(name: str, here: str) -> str:
    try:
        return here.format_map(notebooks.resolve(name, "full"))
    except KeyError as error:
        raise ValueError(f"no parameter {error}") from None


def _rests(paper: Paper, root: Path) -> Iterator[str]:
    """A record that is stale may say other words, until it is made anew; a claim must be there all the same."""
    where = f"book/papers.yml: the finding of {paper.name}"
    ledger, _ = read(load_ledger, paper.name, root) if ledger_path(paper.name, root).is_file() else (None, [])
    record, _ = read(full_record, paper.name, root)
    if ledger is None or record is None:
        yield f"{where} has no {'record' if ledger else 'ledger'} to rest on."
        return
    known, found = {one.id for one in ledger.claims}, {one.claim.id: one.verdict for one in record.results}
    other = []
    for claim, word in paper.rests().items():
        if claim not in known:
            yield f"{where} rests on {claim}, which its ledger does not have."
        elif found.get(claim) != word:
            other.append(f"{where} rests on {claim} being '{word}', and its record says '{found.get(claim)}'.")
    if other and not stale_reasons(record, root):
        yield from other
