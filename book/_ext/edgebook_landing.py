"""HTML of the landing page: the picture of all claims, and a sentence for each paper."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgebook_render import Linker, anchor, bar
from edgebook_words import written

from edgebook.ledger.display import KINDS
from edgebook.ledger.papers import Paper
from edgebook.ledger.rule import Kind
from edgebook.ledger.scoreboard import Row, apart, by_paper, counts
from edgebook.ledger.wording import measured, sampling
from edgebook.pages.picture import SIGNS, grouped, legend, told


def picture_html(rows: Sequence[Row], linked: Linker) -> str:
    """Draw a tile for each claim, by paper and kind; each leads to its claim and says what it is."""
    heads = "".join(f'<span class="eb-picture-kind">{title}</span>' for title in KINDS.values())
    lines = "".join(_line(paper, kinds, linked) for paper, kinds in grouped(rows))
    signs = "".join(_in_legend(kind, counted) for kind, counted in legend(rows).items())
    return (
        f'<figure class="eb-picture" aria-label="{escape(told(rows))}"><figcaption class="eb-legend">{signs}'
        f'</figcaption><div class="eb-picture-head"><span></span>{heads}</div>{lines}</figure>'
    )


def papers_html(rows: Sequence[Row], linked: Linker) -> str:
    """Write what each paper comes to, in a sentence; those that are planned follow in one line."""
    groups = by_paper(rows)
    items = "".join(_paper(paper, group, linked) for paper, group in groups if group[0].claim)
    planned = ", ".join(f"{escape(paper.short)} ({paper.year})" for paper, group in groups if not group[0].claim)
    tail = f'<p class="eb-planned"><strong>Planned:</strong> {planned}.</p>' if planned else ""
    return f'<ul class="eb-papers">{items}</ul>{tail}'


def _line(paper: Paper, kinds: dict[Kind, list[Row]], linked: Linker) -> str:
    name = anchor(escape(paper.short), linked(f"notebooks/{paper.name}.html"))
    groups = "".join(
        f'<span class="eb-tiles eb-of-{kind}" role="list" aria-label="{KINDS[kind]}">'
        f"{''.join(_tile(row, linked) for row in group)}</span>"
        for kind, group in kinds.items()
    )
    return f'<div class="eb-picture-line"><span class="eb-picture-paper">{name}</span>{groups}</div>'


def _tile(row: Row, linked: Linker) -> str:
    claim, sign = row.claim, SIGNS[row.verdict]
    kind = "" if claim.kind is Kind.CLAIM else f" ({claim.kind})"
    found = f"{measured(row.result)}, {sampling(row.result)}" if row.result else ""
    title = written(f"{claim.id}{kind}, {row.verdict}: {claim.says} {found}".strip())
    target = linked(row.link)
    link = f'<a href="{escape(target)}"' if target else "<span"
    return (
        f'<span role="listitem">{link} class="eb-tile eb-tile-{claim.kind} eb-tone-{sign.tone}" '
        f'title="{escape(title)}">{sign.letter}</{"a" if target else "span"}></span>'
    )


def _in_legend(kind: Kind, counted: dict[str, int]) -> str:
    """Draw a line of the legend: how often a kind met each word, with the tile that stands for it."""
    items = "".join(
        f'<span class="eb-legend-item"><span class="eb-tile eb-tile-{kind} eb-tone-{SIGNS[word].tone}" '
        f'aria-hidden="true">{SIGNS[word].letter}</span> {count} {escape(word)}</span>'
        for word, count in counted.items()
    )
    return f'<span class="eb-legend-kind">{KINDS[kind]}</span><span class="eb-legend-words">{items}</span>'


def _paper(paper: Paper, group: Sequence[Row], linked: Linker) -> str:
    found = counts(group)
    says = getattr(paper, "finding", None) or paper.question
    told = ", ".join(f"{n} {word}" for word, n in found.items())
    others = "; ".join(f"{name}: {of}" for name, of in apart(group).items())
    title = anchor(escape(paper.short), linked(f"notebooks/{paper.name}.html"))
    return (
        f'<li><p class="eb-paper-title">{title} <span class="eb-year">{escape(paper.title)}, {paper.year}</span></p>'
        f'<p class="eb-paper-says">{escape(says)}</p>'
        f'<p class="eb-paper-words">{bar(found)}<span>{escape(told)}</span><small>{escape(others)}</small></p></li>'
    )
