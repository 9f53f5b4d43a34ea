"""A paper in one minute: what it asks, the answer, the figure behind the answer, the scale, and where all of it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from edgebook import notebooks
from edgebook.ledger.claims import load_ledger
from edgebook.ledger.display import badge
from edgebook.ledger.history import last_change
from edgebook.ledger.links import LEDGER, RECORD, addresses
from edgebook.ledger.papers import Paper, find_paper
from edgebook.ledger.record import ClaimResult, full_record, stale_reasons
from edgebook.ledger.run import Run
from edgebook.ledger.shown import Shown, shown
from edgebook.ledger.strip import legend, strip
from edgebook.ledger.wording import measured, with_minus, word
from edgebook.notebooks.paths import project_root

NO_RECORD = "No run at tier full has been recorded yet."
_ROW = "display:flex;flex-wrap:wrap;gap:.2em 1.2em;align-items:center;margin:.5em 0"
_SAID, _DRAWN = "flex:1 1 15em;margin:0", "flex:1 1 17em;min-width:0"


class Minute:
    """The top of a paper's page, as HTML in a notebook or the book, and as text elsewhere."""

    def __init__(self, paper: Paper, root: Path) -> None:
        self._paper, self._root = paper, root
        self._ledger = load_ledger(paper.name, root)
        self._record = full_record(paper.name, root)
        self._results = {one.claim.id: one for one in self._record.results} if self._record else {}

    def html(self, *, book: bool = False) -> str:
        """Draw it for the notebook in its checkout, or for a page of the rendered ``book``."""
        paper = self._paper
        parameters = notebooks.resolve(paper.name, "full") | (self._record.parameters if self._record else {})
        parts = (
            _said("asks", "The paper asks", paper.question),
            _said("answer", "The answer", self.answer),
            f'<p class="minute-run"><small>{escape(self.basis)}</small></p>',
            self._forest(),
            _scale(paper, parameters),
            _said("read", "Read of the paper", paper.read),
            self._statements(),
            _said("change", "What would change this", paper.change),
            f'<p class="minute-links">{" · ".join(self._links(book))}</p>',
        )
        return f'<section class="minute" aria-label="In one minute">{"".join(parts)}</section>'

    _repr_html_ = html

    def __str__(self) -> str:
        return f"{self._paper.question}\n{self.answer}\n{self.basis}"

    __repr__ = __str__

    @property
    def answer(self) -> str:
        """The finding; without one, the words of the headline claims."""
        if self._paper.finding or not self._record:
            return self._paper.finding or "not yet known."
        return f"{', '.join(f'{one.claim.id} {word(one)}' for one in self._headlines()) or 'see the claims'}."

    @property
    def basis(self) -> str:
        """Which run the answer rests on."""
        if self._record is None:
            return NO_RECORD
        reasons = stale_reasons(self._record, self._root)
        stale = f" It is stale: {'; '.join(reasons)}." if reasons else ""
        return f"{shown(self._record, (), {}, (), recorded=True).caption}{stale}"

    def _headlines(self) -> list[ClaimResult]:
        return [self._results[one.id] for one in self._ledger.headlines if one.id in self._results]

    def _forest(self) -> str:
        rows = "".join(
            f'<div class="minute-row" style="{_ROW}"><p style="{_SAID}">{_chip(one.claim.id, one, word(one))} '
            f"{escape(one.claim.says)} <small>{with_minus(escape(measured(one)))}</small></p>"
            f'<div style="{_DRAWN}">{strip(one)}</div></div>'
            for one in self._headlines()
        )
        caption = f"<figcaption><small>The headline claims. {legend(self._headlines())}</small></figcaption>"
        return f'<figure class="minute-forest" style="margin:.6em 0">{rows}{caption}</figure>' if rows else ""

    def _statements(self) -> str:
        """Draw what the abstract says, each statement with the words of the claims that test it."""
        lines = []
        for one in self._ledger.statements:
            chips = " ".join(_chip(claim, self._results.get(claim)) for claim in one.tested_by)
            why = f"<i>Not tested: {escape(one.untested)}.</i>" if one.untested else ""
            lines.append(f"<li>{escape(one.says)} {chips}{why}</li>")
        head = "What the abstract says, in our words, and what became of it"
        return f'<div class="minute-says"><p><b>{head}:</b></p><ul>{"".join(lines)}</ul></div>'

    def _links(self, book: bool) -> Iterator[str]:
        links = self._paper.links
        if links.arxiv:
            yield _link(f"https://arxiv.org/abs/{links.arxiv}", f"paper, arXiv:{links.arxiv}")
        if links.doi:
            yield _link(f"https://doi.org/{links.doi}", f"doi:{links.doi}")
        if links.code:
            yield _link(links.code, "the authors' code")
        changed = {"ledger": LEDGER, "record": RECORD}
        for what, address in addresses(self._paper.name, self._root, book=book).items():
            known = last_change(changed[what].format(self._paper.name), self._root) if what in changed else ""
            yield _link(address, what) + f" ({known})" * bool(known)


def in_one_minute(of: str | Run | Shown) -> Minute:
    """Return a paper in one minute, by the name of its notebook, as the last value of its first cell of code.

    All of it is drawn from the committed record, the ledger and the catalogue, whatever the notebook itself has run. A
    `ValueError` where there is no such paper.
    """
    name = of if isinstance(of, str) else of.record.notebook if isinstance(of, Shown) else of.notebook
    root = project_root()
    return Minute(find_paper(name, root), root)


def _said(kind: str, head: str, text: str | None) -> str:
    return f'<p class="minute-{kind}"><b>{head}:</b> {escape(text)}</p>' if text else ""


def _scale(paper: Paper, parameters: Mapping[str, Any]) -> str:
    """Draw the sizes of the paper's experiment beside those of the one here."""
    if not paper.scale:
        return ""
    found = [(one.what, one.paper, one.here.format_map(parameters)) for one in paper.scale]
    cells = "".join(
        f'<tr><th scope="row">{escape(what)}</th><td>{escape(there)}</td><td>{escape(here)}</td></tr>'
        for what, there, here in found
    )
    head = '<tr><th scope="col">Scale</th><th scope="col">the paper</th><th scope="col">here</th></tr>'
    return f'<table class="minute-scale"><thead>{head}</thead><tbody>{cells}</tbody></table>'


def _chip(claim: str, result: ClaimResult | None, said: str | None = None) -> str:
    """Draw a claim's id and word, or what is said of it, as a link to its card."""
    verdict = str(result.verdict) if result else "not run yet"
    return f'<a class="claim-chip" href="#{claim.lower()}">{badge(verdict, f"{claim} {said or verdict}")}</a>'


def _link(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'
