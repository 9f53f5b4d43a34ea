"""A claim as a card: its sentence, where its interval lies, its word and why, what that depends on, how to cite it.

Cards are plain HTML: they can be read without a script and without the book's style sheet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape

from edgebook.ledger.display import badge, line, notes_on, results_of
from edgebook.ledger.export import AUTHORS, BOOK, bibtex, claim_json
from edgebook.ledger.history import Turn, turns, was
from edgebook.ledger.papers import Paper, find_paper
from edgebook.ledger.record import ClaimResult, Record
from edgebook.ledger.rule import Kind
from edgebook.ledger.strip import legend, strip
from edgebook.ledger.wording import counts_from, estimate, measured, paper_number, sampling, with_minus, word

_FRAME = "border:1px solid rgba(128,128,128,.35);border-radius:.4em;padding:.7em .9em;margin:0 0 .8em"
_HEAD = "display:flex;flex-wrap:wrap;gap:.3em .7em;align-items:center"


class Cards:
    """Claims of a record as HTML, one card each, and as a line each in a terminal."""

    def __init__(self, record: Record, results: Sequence[ClaimResult]) -> None:
        self._record, self._results = record, results

    def _repr_html_(self) -> str:
        record, paper = self._record, find_paper(self._record.notebook)
        known = _history(record.notebook, record.started) if record.tier == "full" else {}
        drawn = "".join(_card(one, record, paper, known.get(one.claim.id, [])) for one in self._results)
        return (
            f'<div class="claim-cards">{drawn}<p class="claim-legend"><small>{legend(self._results)}</small></p></div>'
        )

    def __str__(self) -> str:
        source = "recorded at tier full" if self._record.tier == "full" else f"this run, tier {self._record.tier}"
        return "\n".join(line(one, source) for one in self._results)

    __repr__ = __str__


def cards(record: Record, *claims: str) -> Cards:
    """Return the cards of some claims of a record, given by their ids, as the last value of a notebook's cell.

    A claim has one card on its page, and links to the claim lead there. A `ValueError` where the record has no claim
    with one of the ids.
    """
    return Cards(record, results_of(record, claims))


def _card(result: ClaimResult, record: Record, paper: Paper, known: list[Turn]) -> str:
    claim, anchor = result.claim, result.claim.id.lower()
    data = escape(json.dumps(claim_json(result, record, paper)))
    kind = "" if claim.kind is Kind.CLAIM else f'<span class="eb-kind">{claim.kind}</span>'
    name = f'<a class="claim-link" href="#{anchor}" title="Link to this claim"><strong>{escape(claim.id)}</strong></a>'
    rest = "".join(f"<dt>{head}</dt><dd>{said}</dd>" for head, said in _rest(result, known))
    return (
        f'<article class="claim-card" id="{anchor}" data-claim="{data}" style="{_FRAME}">'
        f'<p class="claim-head" style="{_HEAD}">{name} {kind} {badge(result.verdict, word(result))}</p>'
        f'<p class="claim-says">{escape(claim.says)}</p>{_found(result)}'
        f'<dl class="claim-rest">{rest}</dl>{_cite(result, record, paper)}</article>'
    )


def _found(result: ClaimResult) -> str:
    """Draw what was measured; where nothing was, there is nothing to draw."""
    if result.mean is None:
        return f'<p class="claim-found"><strong>Not measured</strong>: {_written(result.reason)}.</p>'
    told = f"<strong>{_written(measured(result))}</strong>, {escape(sampling(result))}: {_written(result.reason)}."
    return f'{strip(result)}<p class="claim-found">{told}</p>'


def _rest(result: ClaimResult, known: list[Turn]) -> Iterator[tuple[str, str]]:
    """Yield what else there is to say, as headings with their HTML."""
    claim, (_, *notes) = result.claim, notes_on(result)
    reach = f", give or take {claim.tolerance:g}" if claim.target is not None else ""
    size = f"; this size is {result.size}" if result.size else ""
    measures = claim.measures.replace(" - ", " \u2212 ")
    yield "Measure", f"{_written(measures)}; {_written(counts_from(claim))}"
    said = paper_number(claim)
    asked = _written(said.removeprefix("expected: ") + reach)
    yield ("Expected" if said.startswith("expected: ") else "Paper"), f"{asked} ({escape(claim.where)}){size}"
    if result.under:
        yield "Choices", _list(_choices(result))
    if result.holm_verdict != result.verdict:
        notes.append(f"with Holm's correction over the page: {result.holm_verdict}")
    if notes:
        yield "Notes", _list(map(_written, notes))
    if past := was(known):
        yield "Before", f"<details><summary>another word</summary>{_written(past)}</details>"


def _choices(result: ClaimResult) -> Iterator[str]:
    """Write what was measured as declared and under each choice of ours, with the word that each would have."""
    declared = ("as declared", result.mean, result.interval, result.alone)
    others = ((name, one.mean, one.interval, one.verdict) for name, one in result.under.items())
    for name, mean, interval, verdict in (declared, *others):
        told = _written(estimate(mean, interval, result.claim.unit))
        yield f'<span class="claim-choice">{escape(name)}</span> {badge(verdict)} {told}'


def _cite(result: ClaimResult, record: Record, paper: Paper) -> str:
    commit = f", commit {record.commit[:7]}" if record.commit else ""
    said = (
        f"{AUTHORS}, {BOOK}{commit}: {result.claim.id}, {result.verdict} ({measured(result)}, {sampling(result)}; "
        f"run of {record.started[:10]}), on {paper.title} ({paper.year})."
    )
    return (
        '<details class="claim-cite"><summary>Cite this verdict</summary>'
        f"<p>{_written(said)}</p><pre>{escape(bibtex(result, record, paper))}</pre></details>"
    )


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{one}</li>' for one in items)}</ul>"


def _written(text: str) -> str:
    return with_minus(escape(text))


@cache
def _history(notebook: str, _started: str) -> dict[str, list[Turn]]:
    """Ask git once for all cards of a page."""
    return turns(notebook)
