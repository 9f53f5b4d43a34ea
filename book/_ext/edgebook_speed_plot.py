"""One picture of all comparisons of speed: a line for each peer, a dot for each size, and the aim as a tick on top."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from edgebook_speed_lines import LINES, Dot, Line, Tables, dots_of, times

LOW, HIGH = 0.2, 500
_TICKS = (0.3, 1, 3, 10, 30, 100, 300)
_TOP, _HEADING = 34, 30


class Frame(NamedTuple):
    """Where things stand: on a screen the labels beside the dots, on a phone above them."""

    kind: str
    width: int
    left: int  # of the axis
    right: int
    row: int  # from line to line
    label: tuple[float, float]  # of a line: right end or left, and height in its row
    dot: float  # height in the row


_WIDE = Frame("wide", 720, 268, 700, 19, (256, 13.5), 9.5)
_NARROW = Frame("narrow", 350, 8, 338, 33, (0, 12), 22)


def aims_html(processor: Tables) -> str:
    """Say in a sentence how many of the results on a processor that have an aim reach it."""
    lines = [line for group in LINES.values() for line in group if line.aim]
    aimed = [(dot, line.aim) for line in lines for dot in dots_of(line, processor, {})]
    fastest, median = (sum(getattr(dot, by) >= aim for dot, aim in aimed) for by in ("fastest", "median"))
    return (
        f"<p>The aims are for a processor. Of {len(aimed)} results there that have one, {fastest} reach it "
        f"in the fastest rounds and {median} in medians.</p>"
    )


def plot_html(processor: Tables, gpu: Tables) -> str:
    """Draw all lines on one logarithmic axis, as SVG that takes its colours from the page; twice, for two widths."""
    dots = {line: dots_of(line, processor, gpu) for lines in LINES.values() for line in lines}
    says = (
        f"Dot plot of {sum(map(len, dots.values()))} ratios on a logarithmic axis from {LOW} to {HIGH}, in {len(dots)} "
        f"lines under {len(LINES)} headings. The tables below have every number."
    )
    drawn = "".join(_svg(frame, dots, says) for frame in (_WIDE, _NARROW))
    return f'<figure class="eb-plot">{_legend()}{drawn}</figure>{aims_html(processor)}'


def place(frame: Frame, ratio: float) -> float:
    """Return where a ratio stands along the axis."""
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return frame.left + share * (frame.right - frame.left)


def _svg(frame: Frame, dots: Mapping[Line, Sequence[Dot]], says: str) -> str:
    parts, y = [], _TOP
    for group, lines in LINES.items():
        y += _HEADING
        parts.append(f'<text class="eb-plot-group" x="0" y="{y - 7}">{escape(group)}</text>')
        for line in lines:
            parts += _line(frame, line, dots[line], y)
            y += frame.row
    return (
        f'<svg class="eb-plot-{frame.kind}" viewBox="0 0 {frame.width} {y + 8}" role="img" aria-label="{says}">'
        f"{''.join(_axis(frame, y + 8))}{''.join(parts)}</svg>"
    )


def _axis(frame: Frame, height: float) -> Iterator[str]:
    name = f'<text class="eb-plot-tick" x="{frame.left}" y="12">times this package’s time or memory</text>'
    yield name
    for tick in _TICKS:
        x, kind = f"{place(frame, tick):.1f}", "even" if tick == 1 else "grid"
        yield f'<line class="eb-plot-{kind}" x1="{x}" x2="{x}" y1="{_TOP}" y2="{height}"/>'
        yield f'<text class="eb-plot-tick" x="{x}" y="{_TOP - 5}" text-anchor="middle">{tick:g}</text>'


def _line(frame: Frame, line: Line, dots: Sequence[Dot], y: float) -> Iterator[str]:
    (at, height), middle = frame.label, y + frame.dot
    anchor = ' text-anchor="end"' if frame is _WIDE else ""
    yield f'<text x="{at}" y="{y + height}"{anchor}>{escape(line.label)}</text>'
    for dot in dots:
        kind, (x, median) = (
            "gpu" if dot.gpu else "cpu",
            (f"{place(frame, one):.1f}" for one in (dot.fastest, dot.median)),
        )
        says = f"{dot.title}{', GPU' if dot.gpu else ''}: {times(dot.fastest)} times, medians {times(dot.median)}"
        yield f'<g class="eb-plot-{kind}"><title>{escape(says)}</title>'
        yield f'<line x1="{x}" x2="{median}" y1="{middle}" y2="{middle}"/>'
        yield f'<circle class="eb-plot-median" cx="{median}" cy="{middle}" r="3.4"/>'
        yield f"{_mark(frame, dot, middle)}</g>"
    if line.aim:
        x = f"{place(frame, line.aim):.1f}"
        yield f'<line class="eb-plot-aim" x1="{x}" x2="{x}" y1="{middle - 8.5}" y2="{middle + 8.5}">'
        yield f"<title>aim: {times(line.aim)} times</title></line>"


def _mark(frame: Frame, dot: Dot, middle: float) -> str:
    x = place(frame, dot.fastest)
    if dot.gpu:
        return f'<rect x="{x - 3.2:.1f}" y="{middle - 3.2:.1f}" width="6.4" height="6.4"/>'
    return f'<circle cx="{x:.1f}" cy="{middle}" r="3.6"/>'


def _legend() -> str:
    marks = (
        ('<circle class="eb-plot-cpu" cx="8" cy="8" r="4"/>', "processor, fastest round"),
        ('<rect class="eb-plot-gpu" x="4" y="4" width="8" height="8"/>', "GPU, fastest round"),
        ('<circle class="eb-plot-cpu eb-plot-median" cx="8" cy="8" r="4"/>', "median"),
        ('<line class="eb-plot-aim" x1="8" x2="8" y1="1" y2="15"/>', "aim, on a processor"),
    )
    drawn = (
        f'<span><svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{mark}</svg>{text}</span>'
        for mark, text in marks
    )
    return f'<figcaption class="eb-plot-legend">{"".join(drawn)}</figcaption>'
