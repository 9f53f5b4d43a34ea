"""What a paper's notebook shows of its claims: a line beneath each figure, and the table at the end."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from edgebook.ledger.claims import Verdict
from edgebook.ledger.record import ClaimResult, Record, full_record, stale_reasons
from edgebook.ledger.wording import NOTHING, estimate, number, paper_number, sampling

HOLM_FROM = 6
_COLUMNS = ("Claim", "Paper", "Measured", "Gap", "Verdict")
# Mid tones that stand out on white and on near-black; the words beside them carry the meaning.
_COLOURS = {
    Verdict.REPRODUCED: "#2e8b57",
    Verdict.DIRECTION_ONLY: "#3b82c4",
    Verdict.INCONCLUSIVE: "#b7791f",
    Verdict.CONTRADICTED: "#c0504d",
}
_GREY = "#808890"
_CELL = "padding:.45em .7em;text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.3)"


class VerdictLines:
    """Verdicts on a few claims as HTML and as text: a line for the weightiest run, and beneath it this one."""

    def __init__(self, rows: list[list[tuple[str, ClaimResult]]]) -> None:
        self._rows = rows  # for each claim its (source, result), the weightiest first

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{_inline(*first)}{''.join(map(_beneath, rest))}</li>" for first, *rest in self._rows)
        return f'<ul class="eb-lines" style="list-style:none;padding-left:0">{lines}</ul>'

    def __str__(self) -> str:
        return "\n".join(
            f"{result.claim.id}: {result.verdict}, {_numbers(result)} ({source})"
            for row in self._rows
            for source, result in row
        )

    __repr__ = __str__


class _Line(NamedTuple):
    claim: str
    says: str
    where: str
    paper: str
    measured: str
    sampling: str
    gap: str
    verdict: Verdict
    reason: str


class ClaimsTable:
    """A record's claims, drawn as HTML in a notebook or the book, and as text elsewhere."""

    def __init__(self, record: Record) -> None:
        self._groups = {
            "Claims": [_line(result) for result in record.results if result.claim.kind == "claim"],
            "Controls": [_line(result) for result in record.results if result.claim.kind == "control"],
        }
        self._note = holm_note(record)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in _COLUMNS)
        bodies = "".join(_body(title, lines) for title, lines in self._groups.items() if lines)
        note = f'<p class="eb-note">{escape(self._note)}</p>' if self._note else ""
        return (
            '<div class="eb-claims" style="overflow-x:auto"><table class="eb-table" '
            'style="border-collapse:collapse;width:100%;font-size:.92em;line-height:1.45">'
            f"<thead><tr>{head}</tr></thead>{bodies}</table>{note}</div>"
        )

    def _repr_markdown_(self) -> str:
        lines = [f"| {' | '.join(_COLUMNS)} |", "|---|---|---|---|---|"]
        for title, group in self._groups.items():
            lines += [f"| *{title}* | | | | |"] * bool(group)
            lines += [f"| {' | '.join(_escape_pipe(cell) for cell in _cells(line))} |" for line in group]
        return "\n".join(lines) + (f"\n\n{self._note}\n" if self._note else "\n")

    def __str__(self) -> str:
        lines: list[str] = []
        for title, group in self._groups.items():
            lines += [title] * bool(group)
            for line in group:
                lines.append(f"  {line.claim:<7} {line.verdict:<24} {line.measured} ({line.sampling})")
                lines.append(f"          {line.says} Paper: {line.paper}.")
        return "\n".join([*lines, *[self._note] * bool(self._note)])


def claims_table(record: Record) -> ClaimsTable:
    """Return the table of a record, to be shown as the last value of a notebook's cell."""
    return ClaimsTable(record)


def verdict_lines(record: Record, *claims: str) -> VerdictLines:
    """Return what the recorded run at tier full says of some claims, and what this run says.

    Parameters
    ----------
    record : Record
        The record of this run.
    *claims : str
        Ids of claims, in the order in which they are shown.

    Raises
    ------
    ValueError
        The record has no claim with one of the ids.
    """
    sources = [(f"this run, tier {record.tier}", record)]
    full = full_record(record.notebook)
    if full is not None and record.tier != "full":
        sources.insert(0, ("recorded at tier full" + (", stale" if stale_reasons(full) else ""), full))
    known = [result.claim.id for result in record.results]
    for claim in claims:
        if claim not in known:
            raise ValueError(f"The record has no claim {claim!r}; it has {', '.join(known)}.")
    return VerdictLines(
        [
            [(name, result) for name, source in sources for result in source.results if result.claim.id == claim]
            for claim in claims
        ]
    )


def holm_note(record: Record) -> str:
    """Say which verdicts Holm's correction would change; empty on a page of five claims or fewer."""
    tested = sum(result.p_value is not None for result in record.results)
    if len(record.results) < HOLM_FROM or tested == 0:
        return ""
    changed = [result for result in record.results if result.holm_verdict != result.verdict]
    lead = f"Under Holm's correction over the {tested} verdicts that were decided by a test, "
    if not changed:
        return lead + "no verdict would change."
    changes = ", ".join(f"{result.claim.id} ({result.verdict} to {result.holm_verdict})" for result in changed)
    return f"{lead}{'these verdicts' if len(changed) > 1 else 'this verdict'} would change: {changes}."


def badge(verdict: str) -> str:
    """Return a verdict as an inline HTML label: its words, and a coloured edge as an aid."""
    colour = next((value for known, value in _COLOURS.items() if known == verdict), _GREY)
    return (
        f'<span class="eb-badge eb-{verdict.replace(" ", "-")}" style="display:inline-block;padding:0 .5em;'
        f'border:1px solid {colour};border-left-width:.4em;border-radius:.25em">{escape(verdict)}</span>'
    )


def _line(result: ClaimResult) -> _Line:
    claim = result.claim
    return _Line(
        claim=claim.id,
        says=claim.says,
        where=claim.where,
        paper=paper_number(claim),
        measured=estimate(result.mean, result.interval, claim.unit),
        sampling=sampling(claim, len(result.samples)),
        gap=number(result.gap, sign=True) if result.gap is not None else NOTHING,
        verdict=result.verdict,
        reason=result.reason,
    )


def _cells(line: _Line) -> tuple[str, str, str, str, str]:
    paper = f"{line.paper} ({line.where})"
    measured = f"{line.measured} ({line.sampling})"
    return f"**{line.claim}** {line.says}", paper, measured, line.gap, f"**{line.verdict}**: {line.reason}"


def _body(title: str, lines: list[_Line]) -> str:
    head = f'<tr class="eb-group"><th scope="colgroup" colspan="5" style="{_CELL}">{title}</th></tr>'
    return f"<tbody>{head}{''.join(_row(line) for line in lines)}</tbody>"


def _row(line: _Line) -> str:
    cells = (
        f"<strong>{escape(line.claim)}</strong> {escape(line.says)}",
        f"{escape(line.paper)}{_small(line.where)}",
        f"{escape(line.measured).replace(', ', ',&nbsp;')}{_small(line.sampling)}",
        escape(line.gap),
        f"{badge(line.verdict)}{_small(line.reason)}",
    )
    drawn = "".join(
        f'<td data-label="{name}" style="{_CELL}">{cell}</td>' for name, cell in zip(_COLUMNS, cells, strict=True)
    )
    return f"<tr>{drawn}</tr>"


def _small(text: str) -> str:
    return f'<br><small style="opacity:.8">{escape(text)}</small>'


def _escape_pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _inline(source: str, result: ClaimResult) -> str:
    return (
        f"<strong>{escape(result.claim.id)}</strong> {badge(result.verdict)} "
        f"{escape(_numbers(result))} <small>({escape(source)})</small>"
    )


def _beneath(row: tuple[str, ClaimResult]) -> str:
    source, result = row
    return f'<br><small style="opacity:.8">{escape(f"{source}: {result.verdict}, {_numbers(result)}")}</small>'


def _numbers(result: ClaimResult) -> str:
    claim = result.claim
    return (
        f"{estimate(result.mean, result.interval, claim.unit)}, {sampling(claim, len(result.samples))}: {result.reason}"
    )
