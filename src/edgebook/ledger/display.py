"""How claims are shown: a line in a terminal, the table at the end of a page, a row of the scoreboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from edgebook.ledger.claims import Claim
from edgebook.ledger.history import Turn, turns, was
from edgebook.ledger.record import ClaimResult, Record
from edgebook.ledger.rule import Kind, Verdict
from edgebook.ledger.wording import counts_from, estimate, measured, number, paper_number, sampling, with_minus

HOLM_FROM = 6
COLUMNS = ("Claim", "Paper", "Measured", "Gap", "Verdict")
KINDS = {Kind.CLAIM: "Claims", Kind.QUESTION: "Questions", Kind.CONTROL: "Controls", Kind.IDENTITY: "Identities"}
"""What the statements of each kind are called, in the order in which they stand."""

# Mid tones that stand out on white and on near-black; the words beside them carry the meaning.
_GOOD, _PART, _OPEN, _BAD, _GREY = "#2e8b57", "#3b82c4", "#b7791f", "#c0504d", "#808890"
_COLOURS = {
    **dict.fromkeys((Verdict.REPRODUCED, Verdict.HELD, Verdict.AGREES), _GOOD),
    **dict.fromkeys((Verdict.DIRECTION_ONLY, Verdict.YES, Verdict.NO, Verdict.OTHER_WAY), _PART),
    **dict.fromkeys((Verdict.INCONCLUSIVE, Verdict.DEPENDS), _OPEN),
    **dict.fromkeys((Verdict.NOT_REPRODUCED, Verdict.CONTRADICTED, Verdict.FAILED, Verdict.DISAGREES), _BAD),
}
_CELL = ' style="padding:.45em .7em;text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.3)"'


class ClaimsTable:
    """A record's claims, grouped by kind, drawn as HTML in a notebook or the book, and as text elsewhere.

    Choices and earlier words are in the text alone: on a page they stand on the cards of the claims.
    """

    def __init__(self, record: Record, history: Mapping[str, list[Turn]], notes: Iterable[str] = ()) -> None:
        groups = {title: [one for one in record.results if one.claim.kind is kind] for kind, title in KINDS.items()}
        self._groups = {title: group for title, group in groups.items() if group}
        self._history = history
        self._notes_on_all = [*filter(None, [holm_note(record), *notes])]

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col"{_CELL}>{name}</th>' for name in COLUMNS)
        note = "".join(f'<p class="eb-note">{escape(one)}</p>' for one in self._notes_on_all)
        bodies = "".join(self._body(title, group) for title, group in self._groups.items())
        return (
            '<div class="eb-claims" style="overflow-x:auto"><table class="eb-table" '
            'style="border-collapse:collapse;width:100%;font-size:.92em;line-height:1.45">'
            f"<thead><tr>{head}</tr></thead>{bodies}</table>{note}</div>"
        )

    def __str__(self) -> str:
        lines: list[str] = []
        for title, group in self._groups.items():
            lines.append(title)
            for one in group:
                lines.append(text_line(one.claim, one.verdict, one) + f" ({sampling(one)})")
                lines.append(f"          {one.claim.says} Paper: {paper_number(one.claim)}.")
                lines += [f"          {note}" for note in self._notes(one)]
        return "\n".join([*lines, *self._notes_on_all])

    def _notes(self, result: ClaimResult) -> list[str]:
        return [*notes_on(result), *_grid(result), *filter(None, [was(self._history.get(result.claim.id, []))])]

    def _body(self, title: str, results: Iterable[ClaimResult]) -> str:
        head = f'<tr class="eb-group"><th scope="colgroup" colspan="5"{_CELL}>{title}</th></tr>'
        names = ((one, f"<strong>{escape(one.claim.id)}</strong> {escape(one.claim.says)}") for one in results)
        rows = (
            html_row(one.claim, one.verdict, one, name=name, notes=notes_on(one), cell=_CELL) for one, name in names
        )
        return f"<tbody>{head}{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody>"


def claims_table(record: Record | None, beside: Record | None = None) -> ClaimsTable | str:
    """Return the table of a record, to be shown as the last value of a notebook's cell; without one, a sentence.

    That of a run at tier full also says what the words in its committed records were before. Of the page's own run
    ``beside`` it there is one line.
    """
    if record is None:
        return "No run at tier full has been recorded yet."
    notes = [_own_run(beside)] if beside is not None and beside.started != record.started else []
    return ClaimsTable(record, turns(record.notebook) if record.tier == "full" else {}, notes)


def _own_run(record: Record) -> str:
    count = len(record.seeds)
    return (
        f"This page's own small run, {count} seed{'s' * (count != 1)} at tier {record.tier}, is not judged; "
        "it proves that the page runs."
    )


def results_of(record: Record, claims: Sequence[str]) -> list[ClaimResult]:
    """Return the results of some claims, in the order of their ids; a `ValueError` where the record lacks one."""
    known = {result.claim.id: result for result in record.results}
    for claim in claims:
        if claim not in known:
            raise ValueError(f"The record has no claim {claim!r}; it has {', '.join(known)}.")
    return [known[claim] for claim in claims]


def line(result: ClaimResult, source: str) -> str:
    """Write a verdict as one line for a terminal, with the run that it comes from."""
    return f"{result.claim.id}: {result.verdict}, {measured(result)}, {sampling(result)}: {result.reason} ({source})"


def holm_note(record: Record) -> str:
    """Say which verdicts Holm's correction would change; empty on a page of five claims or fewer."""
    tested = sum(result.p_value is not None for result in record.results)
    if len(record.results) < HOLM_FROM or tested == 0:
        return ""
    changed = [result for result in record.results if result.holm_verdict != result.verdict]
    lead = f"Under Holm's correction over all {tested} sampled statements of the page, "
    if not changed:
        return lead + "no verdict would change."
    changes = ", ".join(f"{result.claim.id} ({result.verdict} to {result.holm_verdict})" for result in changed)
    return f"{lead}{'these verdicts' if len(changed) > 1 else 'this verdict'} would change: {changes}."


def notes_on(result: ClaimResult) -> list[str]:
    """Return what stands beneath a verdict: what decided it, what it means for the paper, and what a placebo got."""
    claim, notes = result.claim, [result.reason]
    against = claim.speaks_against_the_paper
    if result.verdict == against:
        notes.append("speaks against the paper")
    elif against is not None and result.verdict is not Verdict.NOT_JUDGED:
        notes.append(f"would speak against the paper if it had {against}")
    if result.placebo is not None:
        told = estimate(result.placebo.mean, result.placebo.interval, claim.unit)
        notes.append(f"the placebo: {told}, {result.placebo.verdict}")
    return notes


def _grid(result: ClaimResult) -> list[str]:
    """Return for a headline claim what was measured as declared and under each choice, a line for each."""
    rows = [("as declared", measured(result), result.alone)] * bool(result.under)
    for name, one in result.under.items():
        rows.append((f"under {name}", estimate(one.mean, one.interval, result.claim.unit), one.verdict))
    return [f"{name}: {found}, {word}" for name, found, word in rows]


def text_line(claim: Claim, verdict: str, result: ClaimResult | None) -> str:
    """Write a claim's id, verdict and measured value as the beginning of a line for a terminal."""
    return f"  {claim.id:<7} {verdict:<19}" + (f"  {measured(result)}" if result else "")


def html_row(
    claim: Claim, verdict: str, result: ClaimResult | None, *, name: str, notes: Iterable[str], cell: str = ""
) -> str:
    """Draw the cells of a claim's row; ``name`` is the HTML of the first, and ``notes`` stand beneath the verdict."""
    basis = f"{sampling(result)}; {counts_from(claim)}" if result else counts_from(claim)
    reach = f"give or take {claim.tolerance:g}" if claim.target is not None else ""
    written = with_minus(escape(measured(result)))
    cells = (
        name,
        with_minus(escape(paper_number(claim))) + small(reach) + small(claim.where),
        (written.replace(", ", ",&nbsp;") if result and result.interval else written) + small(basis),
        with_minus(number(result.gap if result else None, sign=True)),
        badge(verdict) + "".join(map(small, notes)),
    )
    return "".join(f'<td data-label="{label}"{cell}>{drawn}</td>' for label, drawn in zip(COLUMNS, cells, strict=True))


def badge(verdict: str, text: str | None = None) -> str:
    """Return a verdict as an inline HTML label: its words, and a coloured edge as an aid."""
    colour = next((value for known, value in _COLOURS.items() if known == verdict), _GREY)
    return (
        f'<span class="eb-badge eb-{verdict.replace(" ", "-")}" style="display:inline-block;padding:0 .5em;'
        f'border:1px solid {colour};border-left-width:.4em;border-radius:.25em">{escape(text or verdict)}</span>'
    )


def small(text: str) -> str:
    """Return a line in small print; nothing for an empty text."""
    return f'<small style="display:block;opacity:.8">{with_minus(escape(text))}</small>' if text else ""
