"""HTML of the scoreboard and of the grid of papers, from rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from edgebook.ledger.display import COLUMNS, KINDS, badge, html_row, notes_on
from edgebook.ledger.papers import Catalogue, Paper
from edgebook.ledger.rule import Kind
from edgebook.ledger.scoreboard import (
    NOT_WRITTEN,
    Row,
    apart,
    by_paper,
    commit_mark,
    counted,
    counted_all,
    counts,
    hardware_line,
    placebo_line,
)
from edgebook.ledger.wording import duration

Linker = Callable[[str | None], str | None]


def scoreboard_html(rows: Sequence[Row], linked: Linker) -> str:
    """Draw all rows as one table, a body per paper, with the buttons that filter it."""
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    bodies = "".join(_paper_body(paper, group, linked) for paper, group in by_paper(rows))
    return (
        f'<div class="eb-scoreboard" data-total="{len(rows)}"><p class="eb-total">{escape(counted_all(rows))}.</p>'
        f"<p>{escape(placebo_line(rows))}.</p>"
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


def _anchor(text: str, target: str | None) -> str:
    return f'<a href="{escape(target)}">{text}</a>' if target else text


def _toolbar(rows: Sequence[Row]) -> str:
    # Hidden until the script is there: without it the whole table stands, and no dead buttons.
    groups = [("", [("", "all", len(rows))])]
    groups += [
        (title, [(_key(kind, word), word, n) for word, n in counts(rows, kind).items()])
        for kind, title in KINDS.items()
    ]
    drawn = "".join(_buttons(title, buttons) for title, buttons in groups if buttons)
    return (
        f'<div class="eb-toolbar" hidden>{drawn}'
        '<label class="eb-search">Containing <input type="search" autocomplete="off" spellcheck="false"></label>'
        '<p class="eb-shown" role="status" aria-live="polite"></p></div>'
    )


def _buttons(title: str, buttons: Sequence[tuple[str, str, int]]) -> str:
    """Draw the filters for the words of one kind; each is a key, what it is called, and how many rows it leaves."""
    drawn = "".join(
        f'<button type="button" class="eb-filter" data-verdict="{value}" '
        f'aria-pressed="{"false" if value else "true"}">{text} <span class="eb-count">{n}</span></button>'
        for value, text, n in buttons
    )
    label = f'<span class="eb-of">{title}</span>' if title else ""
    return f'<div role="group" aria-label="Show {title.lower() or "all rows"}" class="eb-filters">{label}{drawn}</div>'


def _key(kind: Kind, word: str) -> str:
    """Return what marks the rows of a kind with a word; that of claims is the word itself."""
    return word if kind is Kind.CLAIM else f"{kind}: {word}"


def _paper_body(paper: Paper, group: Sequence[Row], linked: Linker) -> str:
    name = _anchor(escape(paper.title), linked(f"notebooks/{paper.name}.html"))
    notes = "".join(f"<small>{line}</small>" for line in dict.fromkeys(map(_run, group)) if line)
    score = counted(group) if group[0].claim else ""
    head = (
        f'<tr class="eb-paper"><th scope="rowgroup" colspan="5">{name} <span class="eb-year">{paper.year}</span>'
        f'<span class="eb-paper-counts">{escape(score)}</span>{notes}</th></tr>'
    )
    lines = "".join(_claim_row(row, linked) for row in group)
    return f'<tbody id="paper-{paper.name}">{head}{lines}</tbody>'


def _claim_row(row: Row, linked: Linker) -> str:
    if row.claim is None:
        return (
            f'<tr class="eb-row" data-verdict="{row.verdict}">'
            f'<td data-label="Question" colspan="4">{escape(row.paper.question)}</td>'
            f'<td data-label="Verdict">{badge(row.verdict)}</td></tr>'
        )
    claim = row.claim
    start = f'<tr class="eb-row" data-verdict="{_key(claim.kind, row.verdict)}">'
    kind = "" if claim.kind is Kind.CLAIM else f'<span class="eb-kind">{claim.kind}</span> '
    name = f"{_anchor(f'<strong>{escape(claim.id)}</strong>', linked(row.link))} {kind}"
    name += escape(claim.says)
    notes = notes_on(row.result) if row.result else []
    notes += [f"with Holm's correction: {row.holm}"] * bool(row.holm)
    return f"{start}{html_row(claim, row.verdict, row.result, name=name, notes=notes)}</tr>"


def _run(row: Row) -> str:
    """Say where a row's numbers come from; one record serves all rows of a paper, so this stands at its head."""
    run = row.record
    if run is None:
        return ""
    commit, hardware = commit_mark(run.commit, run.dirty), hardware_line(run.hardware)
    parts = (f"Tier {run.tier}", run.scale, f"commit {commit}", hardware, duration(run.seconds))
    stale = f'<br><span class="eb-stale">Stale: {escape("; ".join(row.stale))}</span>' if row.stale else ""
    confirmed = f"<br>Confirmed {escape(row.confirmed)}" if row.confirmed else ""
    return escape(" · ".join(parts)) + stale + confirmed


def _card(paper: Paper, group: Sequence[Row], linked: Linker) -> str:
    found = counts(group)
    target = linked(f"notebooks/{paper.name}.html")
    badges = "".join(badge(name, name if name == NOT_WRITTEN else f"{n} {name}") for name, n in found.items())
    others = "".join(f"<small>{name}: {of}</small>" for name, of in apart(group).items())
    return (
        f'<li class="eb-card{"" if target else " eb-absent"}">'
        f'<p class="eb-card-title">{_anchor(escape(paper.short), target)} <span class="eb-year">{paper.year}</span></p>'
        f'<p class="eb-card-question">{escape(paper.question)}</p>'
        f'<p class="eb-card-paper">{escape(paper.title)}</p><p class="eb-card-counts">{badges}{others}</p></li>'
    )
