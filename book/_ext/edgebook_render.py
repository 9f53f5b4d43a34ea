"""HTML of the scoreboard and of the grid of papers, from rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from edgebook.ledger.papers import Catalogue, Paper
from edgebook.ledger.scoreboard import NOT_WRITTEN, Row, by_paper, counted, counted_all, counts
from edgebook.ledger.wording import NOTHING, duration, estimate, number, paper_number, sampling

Linker = Callable[[str | None], str | None]
_COLUMNS = ("Claim", "Paper", "Measured", "Gap", "Verdict")


def scoreboard_html(rows: Sequence[Row], linked: Linker) -> str:
    """Draw all rows as one table, a body per paper, with the buttons that filter it."""
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    bodies = "".join(_paper_body(paper, group, linked) for paper, group in by_paper(rows))
    return (
        f'<div class="eb-scoreboard" data-total="{len(rows)}"><p class="eb-total">{escape(counted_all(rows))}.</p>'
        f"{_toolbar(rows)}"
        f'<table class="eb-board"><thead><tr>{head}</tr></thead>{bodies}</table>'
        '<p class="eb-empty" hidden>No claim matches.</p></div>'
    )


def grid_html(catalogue: Catalogue, rows: Sequence[Row], linked: Linker) -> str:
    """Draw a card per paper under a heading per wing."""
    of_paper = {paper.name: group for paper, group in by_paper(rows)}
    parts = []
    for key, wing in catalogue.wings.items():
        papers = [paper for paper in catalogue.papers if paper.wing == key]
        cards = "".join(_card(paper, of_paper[paper.name], linked) for paper in papers)
        kind = "eb-wing eb-single" if len(papers) == 1 else "eb-wing"
        parts.append(
            f'<section class="{kind}"><h3 id="wing-{key}">{escape(wing.title)}</h3>'
            f'<p class="eb-wing-says">{escape(wing.says)}</p><ul class="eb-grid">{cards}</ul></section>'
        )
    return f'<div class="eb-wings">{"".join(parts)}</div>'


def _badge(verdict: str, text: str | None = None) -> str:
    return f'<span class="eb-badge eb-{verdict.replace(" ", "-")}">{escape(text or verdict)}</span>'


def _anchor(text: str, target: str | None) -> str:
    return f'<a href="{escape(target)}">{text}</a>' if target else text


def _toolbar(rows: Sequence[Row]) -> str:
    # Hidden until the script is there: without it the whole table stands, and no dead buttons.
    buttons = [("", "all", len(rows)), *((name, name, n) for name, n in counts(rows).items())]
    drawn = "".join(
        f'<button type="button" class="eb-filter" data-verdict="{value}" '
        f'aria-pressed="{"false" if value else "true"}">{text} <span class="eb-count">{n}</span></button>'
        for value, text, n in buttons
    )
    return (
        '<div class="eb-toolbar" hidden><div role="group" aria-label="Show claims with this verdict" '
        f'class="eb-filters">{drawn}</div>'
        '<label class="eb-search">Containing <input type="search" autocomplete="off" spellcheck="false"></label>'
        '<p class="eb-shown" role="status" aria-live="polite"></p></div>'
    )


def _paper_body(paper: Paper, group: Sequence[Row], linked: Linker) -> str:
    name = _anchor(escape(paper.title), linked(f"notebooks/{paper.name}.html"))
    notes = "".join(f"<small>{line}</small>" for line in dict.fromkeys(map(_run, group)) if line)
    score = counted(counts(group)) if group[0].claim else ""
    head = (
        f'<tr class="eb-paper"><th scope="rowgroup" colspan="5">{name} <span class="eb-year">{paper.year}</span>'
        f'<span class="eb-paper-counts">{escape(score)}</span>{notes}</th></tr>'
    )
    lines = "".join(_claim_row(row, linked) for row in group)
    return f'<tbody id="paper-{paper.name}">{head}{lines}</tbody>'


def _claim_row(row: Row, linked: Linker) -> str:
    start = f'<tr class="eb-row" data-verdict="{row.verdict}">'
    if row.claim is None:
        return (
            f'{start}<td data-label="Question" colspan="4">{escape(row.paper.question)}</td>'
            f'<td data-label="Verdict">{_badge(row.verdict)}</td></tr>'
        )
    claim = row.claim
    kind = '<span class="eb-kind">control</span> ' if claim.kind == "control" else ""
    says = claim.says.removeprefix("Control. ")
    cells = (
        f"{_anchor(f'<strong>{escape(claim.id)}</strong>', linked(row.link))} {kind}{escape(says)}",
        f"{escape(paper_number(claim))}{_small(claim.where)}",
        f"{escape(estimate(row.mean, row.interval, claim.unit)).replace(', ', ',&nbsp;')}{_small(_basis(row))}",
        escape(number(row.gap, sign=True) if row.gap is not None else NOTHING),
        f"{_badge(row.verdict)}{_small(row.reason)}{_notes(row)}",
    )
    drawn = "".join(f'<td data-label="{label}">{cell}</td>' for label, cell in zip(_COLUMNS, cells, strict=True))
    return f"{start}{drawn}</tr>"


def _basis(row: Row) -> str:
    return sampling(row.claim, row.samples) if row.claim and row.tier else ""


def _notes(row: Row) -> str:
    return _small(f"with Holm's correction: {row.holm}") if row.holm else ""


def _run(row: Row) -> str:
    """Say where a row's numbers come from; one record serves all rows of a paper, so this stands at its head."""
    if not row.tier:
        return ""
    parts = (f"Tier {row.tier}", row.scale, f"commit {row.commit}", row.hardware, duration(row.seconds))
    stale = f'<br><span class="eb-stale">Stale: {escape("; ".join(row.stale))}</span>' if row.stale else ""
    confirmed = f"<br>Confirmed {escape(row.confirmed)}" if row.confirmed else ""
    return escape(" · ".join(part for part in parts if part)) + stale + confirmed


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""


def _card(paper: Paper, group: Sequence[Row], linked: Linker) -> str:
    found = counts(group)
    target = linked(f"notebooks/{paper.name}.html")
    badges = "".join(_badge(name, name if name == NOT_WRITTEN else f"{n} {name}") for name, n in found.items())
    return (
        f'<li class="eb-card{"" if target else " eb-absent"}">'
        f'<p class="eb-card-title">{_anchor(escape(paper.short), target)} <span class="eb-year">{paper.year}</span></p>'
        f'<p class="eb-card-question">{escape(paper.question)}</p>'
        f'<p class="eb-card-paper">{escape(paper.title)}</p><p class="eb-card-counts">{badges}</p></li>'
    )
