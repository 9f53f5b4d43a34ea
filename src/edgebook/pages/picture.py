"""A picture of all claims: one tile for each, by paper and kind, with a letter and a colour for its word.

``python -m edgebook.pages.picture`` writes it to ``book/_static/claims.svg``, which needs neither script nor style
sheet and can be read on light and dark pages alike, and beside it the table of the README.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from edgebook.ledger.display import KINDS
from edgebook.ledger.papers import Paper
from edgebook.ledger.rule import Kind, Verdict
from edgebook.ledger.scoreboard import NOT_RUN, VERDICTS, Row, as_markdown, by_paper, counts, rows
from edgebook.notebooks.files import write_whole
from edgebook.notebooks.paths import project_root


class Sign(NamedTuple):
    """How a word is shown in a tile: a letter, and one of a few tones."""

    letter: str
    tone: str


SIGNS = {
    Verdict.REPRODUCED: Sign("R", "good"),
    Verdict.DIRECTION_ONLY: Sign("r", "part"),
    Verdict.NOT_REPRODUCED: Sign("N", "bad"),
    Verdict.CONTRADICTED: Sign("C", "bad"),
    Verdict.YES: Sign("Y", "part"),
    Verdict.NO: Sign("N", "part"),
    Verdict.OTHER_WAY: Sign("O", "part"),
    Verdict.HELD: Sign("H", "good"),
    Verdict.FAILED: Sign("F", "bad"),
    Verdict.AGREES: Sign("A", "good"),
    Verdict.DISAGREES: Sign("X", "bad"),
    Verdict.INCONCLUSIVE: Sign("I", "open"),
    Verdict.DEPENDS: Sign("D", "open"),
    Verdict.NOT_TESTABLE: Sign("T", "none"),
    Verdict.NOT_JUDGED: Sign("U", "none"),
    NOT_RUN: Sign("–", "none"),
}
# Okabe and Ito's colours on which dark letters can be read.
TONES = {"good": "#009E73", "part": "#56B4E9", "open": "#E69F00", "bad": "#D55E00", "none": "#9a9a9a"}
FILE = "book/_static/claims.svg"
TABLE = ("<!-- scoreboard -->", "<!-- scoreboard end -->")  # what the README's table stands between

_SIDE, _STEP, _GAP = 16, 19, 12  # of a tile, from one to the next, and between kinds, in pixels
_LEFT = 286
_INDENT = 96.0  # of the words in the legend
_WIDTH = {Kind.CLAIM: 16, Kind.QUESTION: 5, Kind.CONTROL: 8, Kind.IDENTITY: 6}  # tiles on a line
_STYLE = """
  .page{fill:#fff}.ink{fill:#2b2b2b}.quiet{fill:#59636d}.line{stroke:#d8dde2}.letter{fill:#16191c}.edge{fill:#fff}
  text{font-family:system-ui,sans-serif;font-size:13px}.letter,.hollow{font-size:11px;font-weight:700;text-anchor:middle}
  .hollow{fill:#2b2b2b}
  @media (prefers-color-scheme: dark){
    .page{fill:#14181d}.ink,.hollow{fill:#e6e9ec}.quiet{fill:#a4aeb8}.line{stroke:#3a424b}.edge{fill:#14181d}
  }
"""


def grouped(found: Sequence[Row]) -> list[tuple[Paper, dict[Kind, list[Row]]]]:
    """Return the rows of the papers that are written, by paper and kind, in the order of the ledgers."""
    papers = [(paper, [row for row in group if row.claim]) for paper, group in by_paper(found)]
    return [
        (paper, {kind: [row for row in group if row.claim.kind is kind] for kind in KINDS})
        for paper, group in papers if group
    ]  # fmt: skip


def words(found: Sequence[Row]) -> dict[str, int]:
    """Count how often each word stands in the picture, in the order of `VERDICTS`."""
    counted = Counter(row.verdict for row in found if row.claim)
    return {word: counted[word] for word in VERDICTS if counted[word]}


def legend(found: Sequence[Row]) -> dict[Kind, dict[str, int]]:
    """Count the words of each kind; a word that two kinds share is counted in both."""
    written = [row for row in found if row.claim]
    return {kind: counted for kind in KINDS if (counted := counts(written, kind))}


def svg(found: Sequence[Row]) -> str:
    """Draw the rows of a scoreboard as one SVG that stands by itself."""
    starts, at = {}, _LEFT
    for kind, count in _WIDTH.items():
        starts[kind], at = at, at + count * _STEP + _GAP
    width = at
    parts, y = _legend(legend(found), 12, width)
    for kind, start in starts.items():
        parts.append(f'<text class="quiet" x="{start}" y="{y + 8}">{KINDS[kind]}</text>')
    y += 22
    for paper, kinds in grouped(found):
        lines = max(-(-len(group) // _WIDTH[kind]) for kind, group in kinds.items())
        parts.append(f'<path class="line" d="M12 {y - 5.5}H{width - 12}"/>')
        parts.append(f'<text class="ink" x="14" y="{y + 12}">{escape(paper.short)}</text>')
        for kind, group in kinds.items():
            for place, row in enumerate(group):
                down, right = divmod(place, _WIDTH[kind])
                parts.append(_tile(row.verdict, kind, starts[kind] + right * _STEP, y + down * _STEP))
        y += lines * _STEP + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img">'
        f"<title>{escape(told(found))}</title><style>{_STYLE}</style>"
        f'<rect class="page" width="{width}" height="{y}" rx="8"/>{"".join(parts)}</svg>\n'
    )


def told(found: Sequence[Row]) -> str:
    """Say in a sentence what the picture shows."""
    total = sum(words(found).values())
    counted = ", ".join(f"{count} {word}" for word, count in words(found).items())
    return f"All {total} statements of {len(grouped(found))} papers: {counted}."


def _tile(word: str, kind: Kind, x: float, y: float) -> str:
    """Draw a tile: claims full squares, questions full circles, controls hollow squares, identities hollow circles."""
    sign = SIGNS[word]
    hollow, inset = kind in (Kind.CONTROL, Kind.IDENTITY), 1.25
    side, corner = (_SIDE - 2 * inset, 2.5) if hollow else (_SIDE, 3)
    corner = side / 2 if kind in (Kind.QUESTION, Kind.IDENTITY) else corner
    place = f'x="{x + inset}" y="{y + inset}"' if hollow else f'x="{x}" y="{y}"'
    colour = TONES[sign.tone]
    paint = f'class="edge" stroke="{colour}" stroke-width="2.5"' if hollow else f'fill="{colour}"'
    return (
        f'<rect {place} width="{side}" height="{side}" rx="{corner}" {paint}/>'
        f'<text class="{"hollow" if hollow else "letter"}" x="{x + _SIDE / 2}" y="{y + 12}">{sign.letter}</text>'
    )


def _legend(counted: dict[Kind, dict[str, int]], y: float, width: float) -> tuple[list[str], float]:
    """Draw a line for each kind, with how often it met each word, and return where the next thing may stand."""
    parts = []
    for kind, of in counted.items():
        x = _INDENT
        parts.append(f'<text class="quiet" x="14" y="{y + 12}">{KINDS[kind]}</text>')
        for word, count in of.items():
            room = 46 + 6.6 * len(f"{count} {word}")
            if x + room > width:
                x, y = _INDENT, y + 22
            parts.append(_tile(word, kind, x, y))
            parts.append(f'<text class="quiet" x="{x + 22}" y="{y + 12}">{count} {word}</text>')
            x += room
        y += 22
    return parts, y + 12


def write(root: Path | None = None) -> list[Path]:
    """Write the picture and the README's table of the committed records, and return where they are."""
    root = root or project_root()
    found = rows(root, executed=root / "_build" / "no records")
    readme = root / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(TABLE[0])
    after = rest.partition(TABLE[1])[2]
    table = f"{before}{TABLE[0]}\n{as_markdown(found)}\n{TABLE[1]}{after}"
    return [write_whole(root / FILE, svg(found)), write_whole(readme, table)]


if __name__ == "__main__":
    print(*write(), sep="\n")
