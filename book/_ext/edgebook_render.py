"""HTML of the scoreboard, from rows alone: a plain table that a script can filter and sort."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from edgebook_strip import strip
from edgebook_words import written

from edgebook.ledger.display import KINDS, badge, notes_on, small
from edgebook.ledger.papers import Paper
from edgebook.ledger.rule import Kind
from edgebook.ledger.scoreboard import (
    VERDICTS,
    Row,
    by_paper,
    commit_mark,
    counted,
    counted_all,
    counts,
    hardware_line,
    placebo_line,
)
from edgebook.ledger.wording import counts_from, duration, gap, measured, paper_number, sampling
from edgebook.pages.picture import SIGNS

Linker = Callable[[str | None], str | None]
# Columns with the key by which the script sorts them.
COLUMNS = {
    "Claim": "id", "Paper": "number", "Measured": "mean", "Effect": "effect", "Gap": "gap", "Verdict": "word",
}  # fmt: skip
SOURCES = ("abstract", "elsewhere in the paper", "public note", "memory", "ours")
SIZES = ("reached", "open", "ruled out", "no size asked")
KEY = (
    "In each picture the dot and the bar are the mean and its 95 % interval, the ticks the seeds, the grey band what "
    "lies within the margin, and the dashed line the paper's number where it is to be reached."
)


def scoreboard_html(rows: Sequence[Row], linked: Linker, static: Callable[[str], str]) -> str:
    """Draw the claims among rows as one table, a body per paper, with what filters, sorts and downloads it."""
    claims = [row for row in rows if row.claim]
    planned = [row.paper for row in rows if not row.claim]
    run = sum(row.result is not None for row in claims)
    head = "".join(f'<th scope="col" data-key="{key}">{name}</th>' for name, key in COLUMNS.items())
    bodies = "".join(_paper_body(paper, group, linked) for paper, group in by_paper(claims))
    missing = ", ".join(f"{paper.short} ({paper.year})" for paper in planned)
    return (
        f'<div class="eb-scoreboard" data-total="{len(claims)}"><p class="eb-total">{escape(counted_all(claims))}. '
        f"{escape(placebo_line(rows))}.</p>{_toolbar(claims)}{_downloads(static, run)}"
        f'<table class="eb-board"><thead><tr>{head}</tr></thead>{bodies}</table>'
        '<p class="eb-empty" hidden>No claim matches.</p>'
        f'<p class="eb-key">{escape(KEY)}</p>'
        + (f'<p class="eb-planned">Not yet written: {escape(missing)}.</p>' if missing else "")
        + "</div>"
    )


def anchor(text: str, target: str | None) -> str:
    """Return text as a link where it leads somewhere."""
    return f'<a href="{escape(target)}">{text}</a>' if target else text


def bar(found: dict[str, int]) -> str:
    """Draw counts of words as one bar; the words and numbers stand beside it."""
    parts = "".join(f'<i class="eb-tone-{SIGNS[word].tone}" style="flex:{n}"></i>' for word, n in found.items())
    return f'<span class="eb-bar" aria-hidden="true">{parts}</span>' if found else ""


def source_of(where: str) -> str:
    """Return from where a claim is known, in a few words for all."""
    signs = {"abstract": ("abstract",), "ours": ("our ", "asked by", "property of"), "memory": ("memory",)}
    for source, starts in signs.items():
        if where.startswith(starts):
            return source
    return "public note" if "public note" in where else "elsewhere in the paper"


def _toolbar(rows: Sequence[Row]) -> str:
    # Hidden until the script is there: without it the whole table stands, and no dead buttons.
    groups = [("", [("", "all", len(rows))])]
    groups += [
        (title, [(_key(kind, word), word, n) for word, n in counts(rows, kind).items()])
        for kind, title in KINDS.items()
    ]
    drawn = "".join(_buttons(title, buttons) for title, buttons in groups if buttons)
    papers = {row.paper.name: row.paper.short for row in rows}
    years = {str(year): str(year) for year in sorted({row.paper.year for row in rows})}
    wings = dict.fromkeys(row.paper.wing for row in rows)
    met = {size: size for size in SIZES if size in map(_size, rows)}
    chosen = (
        _select("paper", "Paper", papers)
        + _select("year", "Year", years)
        + _select("wing", "Topic", {wing: wing for wing in wings})
        + _select("kind", "Kind", {str(kind): title.lower() for kind, title in KINDS.items()})
        + _select("source", "Source", {source: source for source in SOURCES})
        + _select("size", "Paper's size", met)
    )
    order = _select("sort", "Sort by", {key: name.lower() for name, key in COLUMNS.items()}, "as in the ledgers")
    return (
        f'<div class="eb-toolbar" hidden><details open><summary>Filters</summary><div class="eb-selects">{chosen}</div>'
        f'<div class="eb-words">{drawn}</div></details><div class="eb-selects"><label class="eb-search">Words '
        '<input type="search" autocomplete="off" spellcheck="false" placeholder="in any order"></label>'
        f'{order}<button type="button" class="eb-reset">Show all</button></div>'
        '<p class="eb-shown" role="status" aria-live="polite"></p></div>'
    )


def _select(name: str, label: str, options: dict[str, str], none: str = "any") -> str:
    drawn = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options.items())
    return f'<label>{label} <select data-filter="{name}"><option value="">{none}</option>{drawn}</select></label>'


def _downloads(static: Callable[[str], str], run: int) -> str:
    """Link the files of all verdicts; only what has been run has an entry in BibTeX, which the script counts anew."""
    links = " · ".join(
        f'<a class="eb-download" data-format="{suffix}" href="{static(f"verdicts.{suffix}")}" '
        f'download="verdicts.{suffix}">{name}</a>'
        for suffix, name in (("csv", "CSV"), ("json", "JSON"), ("bib", "BibTeX"))
    )
    what = '<span class="eb-what">all verdicts</span>'
    return f'<p class="eb-downloads">Download {what}: {links} (the <span class="eb-run">{run}</span> that were run)</p>'


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


def _size(row: Row) -> str:
    asked = row.claim is not None and row.claim.target is not None
    return str(row.result.size or "open") if asked and row.result else "open" if asked else "no size asked"


def _paper_body(paper: Paper, group: Sequence[Row], linked: Linker) -> str:
    name = anchor(escape(paper.title), linked(f"notebooks/{paper.name}.html"))
    notes = "".join(f"<small>{line}</small>" for line in dict.fromkeys(map(_run, group)) if line)
    finding = getattr(paper, "finding", None)
    finding = f'<span class="eb-finding">{escape(finding)}</span>' if finding else ""
    words = f"{bar(counts(group))}<span>{escape(counted(group))}</span>"
    head = (
        f'<tr class="eb-paper"><th scope="rowgroup" colspan="{len(COLUMNS)}">{name} '
        f'<span class="eb-year">{paper.year}</span> {_permalink(f"paper-{paper.name}", "these rows")}'
        f'{finding}<span class="eb-paper-counts">{words}</span>{notes}</th></tr>'
    )
    lines = "".join(_claim_row(row, linked) for row in group)
    return f'<tbody id="paper-{paper.name}" data-title="{escape(paper.title)} {paper.year}">{head}{lines}</tbody>'


def _permalink(target: str, what: str) -> str:
    return f'<a class="eb-permalink" href="#{target}" title="Link to {what}" aria-label="Link to {what}">#</a>'


def _claim_row(row: Row, linked: Linker) -> str:
    claim, result = row.claim, row.result
    sorts = {"number": claim.target if claim.target is not None else claim.paper, "mean": result and result.mean,
             "effect": _in_margins(row), "gap": result and result.gap, "word": VERDICTS.index(row.verdict)}  # fmt: skip
    data = {"verdict": _key(claim.kind, row.verdict), "paper": row.paper.name, "year": row.paper.year,
            "wing": row.paper.wing, "kind": claim.kind, "source": source_of(claim.where),
            "size": _size(row), "run": "yes" if result else "no"}  # fmt: skip
    data |= {f"sort-{key}": f"{value:.6g}" for key, value in sorts.items() if value is not None}
    marks = "".join(f' data-{name}="{escape(str(value))}"' for name, value in data.items())
    cells = "".join(
        f'<td data-label="{name}">{drawn}</td>'
        for name, drawn in zip(COLUMNS, _cells(row, linked), strict=True)
    )  # fmt: skip
    return f'<tr class="eb-row" id="{claim.id.lower()}"{marks}>{cells}</tr>'


def _cells(row: Row, linked: Linker) -> tuple[str, ...]:
    """Draw what stands in the columns of a row."""
    claim, result = row.claim, row.result
    kind = "" if claim.kind is Kind.CLAIM else f'<span class="eb-kind">{claim.kind}</span> '
    name = anchor(f"<strong>{escape(claim.id)}</strong>", linked(row.link))
    name += f" {_permalink(claim.id.lower(), f'the row of {claim.id}')} {kind}{escape(claim.says)}"
    name += f'<small class="eb-of-paper">{escape(row.paper.short)}, {row.paper.year}</small>'
    reach = written(f"give or take {claim.tolerance:g}") if claim.target is not None else ""
    notes = notes_on(result) if result else []
    notes += [f"with Holm's correction: {row.holm}"] * bool(row.holm)
    basis = f"{sampling(result)}; {counts_from(claim)}" if result else counts_from(claim)
    found = escape(written(measured(result)))
    return (
        name,
        escape(written(paper_number(claim))) + small(reach) + small(claim.where),
        (found.replace(", ", ",&nbsp;") if result and result.interval else found) + small(written(basis)),
        strip(result) if result and result.mean is not None else "",
        escape(written(gap(result))) if result and result.gap is not None else "",
        badge(row.verdict) + "".join(small(written(note)) for note in notes),
    )


def _in_margins(row: Row) -> float | None:
    """Return how far a mean lies on the expected side, in margins; for equivalence, how far from it on either."""
    if row.result is None or row.result.mean is None:
        return None
    claim, away = row.claim, row.result.mean - row.claim.neutral
    away = claim.sign * away if claim.sign else -abs(away)
    return away / claim.margin if claim.margin else math.copysign(1e9, away) * (away != 0)


def _run(row: Row) -> str:
    """Say where a row's numbers come from; one record serves all rows of a paper, so this stands at its head."""
    run = row.record
    if run is None:
        return ""
    commit, hardware = commit_mark(run.commit, run.dirty), hardware_line(run.hardware)
    parts = (f"Tier {run.tier}", run.scale, f"commit {commit}", run.started[:10], hardware, duration(run.seconds))
    stale = f'<br><span class="eb-stale">Stale: {escape("; ".join(row.stale))}</span>' if row.stale else ""
    confirmed = f"<br>Confirmed {escape(row.confirmed)}" if row.confirmed else ""
    return escape(" · ".join(parts)) + stale + confirmed
