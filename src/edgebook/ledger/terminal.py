"""How the ledger looks in a terminal: words in colour where it has any, lines of its width, the verdicts of a run."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable
from typing import NamedTuple, TextIO

from edgebook.ledger.claims import Claim
from edgebook.ledger.record import ClaimResult, Record
from edgebook.ledger.rule import Verdict
from edgebook.ledger.wording import counts_from, measured, paper_number

_GREEN, _CYAN, _YELLOW, _RED = 32, 36, 33, 31  # of the terminal's own palette; the words carry the meaning
_COLOURS = {
    **dict.fromkeys((Verdict.REPRODUCED, Verdict.HELD, Verdict.AGREES), _GREEN),
    **dict.fromkeys((Verdict.DIRECTION_ONLY, Verdict.YES, Verdict.NO, Verdict.OTHER_WAY), _CYAN),
    **dict.fromkeys((Verdict.INCONCLUSIVE, Verdict.DEPENDS), _YELLOW),
    **dict.fromkeys((Verdict.NOT_REPRODUCED, Verdict.CONTRADICTED, Verdict.FAILED, Verdict.DISAGREES), _RED),
}
_WORD = max(map(len, Verdict))
_INDENT = 10  # of what stands beneath a claim's line
_ESTIMATE = 40  # the widest column of estimates; a longer one moves what follows it
_ASIDE = ("the same under ", "not judged under")  # clauses of a reason that are left out where words should be few


class Look(NamedTuple):
    """Whether words are coloured, and how many characters lines have; None where they are not to be broken."""

    colour: bool = False
    width: int | None = None

    def word(self, verdict: str, width: int = 0) -> str:
        """Return a verdict in its colour, padded to a width."""
        code = _COLOURS.get(verdict) if self.colour else None
        return f"\x1b[{code}m{verdict}\x1b[0m{'':{max(0, width - len(verdict))}}" if code else f"{verdict:<{width}}"

    def beneath(self, text: str, indent: int = _INDENT) -> list[str]:
        """Return a text as indented lines."""
        lines = textwrap.wrap(text, max(20, self.width - indent)) if self.width else [text]
        return [" " * indent + line for line in lines]

    def cut(self, line: str) -> str:
        """Return a line without colour, cut to the width."""
        return line if self.width is None or len(line) <= self.width else line[: self.width - 1] + "…"


PLAIN = Look()


def look_of(stream: TextIO) -> Look:
    """Return how lines are written to a stream: with colour and broken to a width on a terminal alone.

    ``NO_COLOR`` takes the colour away, and so does a terminal that calls itself dumb.
    """
    if not stream.isatty():
        return PLAIN
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Look(colour, shutil.get_terminal_size().columns)


def claim_lines(
    claim: Claim, verdict: str, result: ClaimResult | None, look: Look, notes: Iterable[str] = ()
) -> list[str]:
    """Write a claim with its word and estimate, and beneath it the sentence and what the paper gives."""
    told = f"  ({', '.join(notes)})" if [*notes] else ""
    first = f"  {claim.id:<7} {look.word(verdict, _WORD)}  {measured(result) if result else ''}".rstrip() + told
    number = paper_number(claim)
    paper = number if number.startswith("expected") else f"paper: {number}"
    return [first, *look.beneath(claim.says), *look.beneath(f"{paper}; {counts_from(claim)}; {claim.where}")]


def run_table(record: Record, look: Look) -> str:
    """Write a line for each claim of a run: its id, its word, the estimate, and in few words why.

    A reason that all share is said once.
    """
    seeds = f"{len(record.seeds)} seed{'s' * (len(record.seeds) != 1)}"
    lines = [f"{record.notebook}, {record.label}, {seeds}: {record.scale}"]
    estimates = [measured(one) for one in record.results]
    wide = min(_ESTIMATE, max(map(len, estimates)))
    shared = len({one.reason for one in record.results}) == 1 < len(record.results)
    for one, estimate in zip(record.results, estimates, strict=True):
        reason = "" if shared else _briefly(one.reason)
        plain = look.cut(f"  {one.claim.id:<7} {one.verdict:<{_WORD}}  {estimate:<{wide}}  {reason}".rstrip())
        lines.append(plain.replace(f"{one.verdict:<{_WORD}}", look.word(one.verdict, _WORD), 1))
    return "\n".join([*lines, *look.beneath(f"All: {record.results[0].reason}", 2)] if shared else lines)


def _briefly(reason: str) -> str:
    return "; ".join(clause for clause in reason.split("; ") if not clause.startswith(_ASIDE))
