"""One picture of all comparisons of speed: a line for each peer, a dot for each size, and the aim as a tick on top."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

Tables = Mapping[str, Mapping[str, Any]]


class Line(NamedTuple):
    """What is divided by what: a peer's time (or memory) over this package's, at all sizes of a benchmark."""

    label: str
    titles: str  # pattern of the benchmarks' titles
    above: str
    below: str = "edgebook"
    aim: float | None = None  # to be reached; where less than nothing can be gained, what may be lost


_PER_STEP, _OVER_STEPS = "edgebook, norm per step", "edgebook, norm over steps"
_STEP, _KEPT = r"training step, (?!.*memory kept).*", r"training step, .*memory kept"
_LOOP, _MULTI = "snnTorch, step loop", "SpikingJelly, multi-step"
_LOCAL, _RAY = "edgebook, engine local", "Flower's engine, Ray"

LINES: dict[str, tuple[Line, ...]] = {
    "The neuron alone": (
        Line("snnTorch", r"neuron alone, .*", "snnTorch", aim=3.5),
        Line("SpikingJelly", r"neuron alone, .*", "SpikingJelly", aim=2.5),
    ),
    "A training step": (
        Line("snnTorch", _STEP, _LOOP, _PER_STEP, 1.6),
        Line("SpikingJelly", _STEP, _MULTI, _OVER_STEPS, 1.35),
        Line("snnTorch, memory kept", _KEPT, _LOOP, _PER_STEP, 1.6),
        Line("SpikingJelly, memory kept", _KEPT, _MULTI, _OVER_STEPS, 1.35),
        Line("snnTorch, channels last", _STEP, f"{_LOOP}, channels last", _PER_STEP),
        Line("SpikingJelly, channels last", _STEP, f"{_MULTI}, channels last", _OVER_STEPS),
        Line("itself without neurons, norm per step", _STEP, "without neurons, norm per step", _PER_STEP, 1 / 1.1),
        Line("itself without neurons, over steps", _STEP, "without neurons, norm over steps", _OVER_STEPS, 1 / 1.1),
    ),
    "The public task": (
        Line("snnTorch, step loop", r"public task, .*", _LOOP),
        Line("snnTorch, linear layer at once", r"public task, .*", "snnTorch, linear layer at once"),
        Line("SpikingJelly", r"public task, .*", _MULTI),
    ),
    "The crossbar solver": (
        Line("badcrossbar, one tile of 16 and 32", r"crossbar, (16|32) x .*, one tile", "badcrossbar"),
        Line("badcrossbar, one tile of 64 and 128", r"crossbar, (64|128) x .*, one tile", "badcrossbar", aim=12),
        Line("badcrossbar, 16 tiles of 64 and 128", r"crossbar, (64|128) x .*, 16 tiles", "badcrossbar", aim=16),
        Line("sparse LU decomposition", r"crossbar, (64|128) x .*", "SciPy, sparse LU", aim=5),
        Line("the arithmetic alone, one tile", r"crossbar, (64|128) x .*, one tile", "the arithmetic alone", aim=1 / 3),
        Line("one core, on the GPU", r"crossbar, \d+ of .*", "one core of the same machine", "GPU"),
    ),
    "Speculative decoding": (
        Line("assisted generation", r"decoding, .*", "Transformers, assisted", aim=1.3),
        Line("the steps alone", r"decoding, .*", "steps alone", aim=1 / 1.1),
    ),
    "The federated engines": (
        Line("Ray, perceptron, 10 rounds", r"federation, perceptron, .*, 10 rounds", _RAY, _LOCAL, 12),
        Line("Ray, perceptron, 100 rounds", r"federation, perceptron, .*, 100 rounds", _RAY, _LOCAL, 5),
        Line("Ray, spiking network", r"federation, S-VGG5, .*", _RAY, _LOCAL),
        Line("the clients alone", r"federation, .*", "clients alone", _LOCAL),
    ),
    "Memory": (
        Line("public task, snnTorch, step loop", r"memory of the public task, .*", _LOOP),
        Line("public task, SpikingJelly", r"memory of the public task, .*", _MULTI),
        Line("crossbar, badcrossbar", r"memory of crossbar, .*", "badcrossbar"),
        Line("crossbar, sparse LU decomposition", r"memory of crossbar, .*", "SciPy, sparse LU"),
        Line("federation, Ray", r"memory of federation, .*", _RAY, _LOCAL),
    ),
}

WIDTH, LEFT, RIGHT, TOP, ROW, HEADING = 720, 268, 700, 34, 19, 30
LOW, HIGH = 0.2, 500
_TICKS = (0.3, 1, 3, 10, 30, 100, 300)


class Dot(NamedTuple):
    """One size of one benchmark on one machine, by fastest rounds and by medians."""

    title: str
    gpu: bool
    fastest: float
    median: float


def times(ratio: float) -> str:
    """Write a ratio with as many digits as it carries.

    >>> times(1.284), times(22.31), times(1084.91)
    ('1.28', '22', '1,080')
    """
    if ratio < 10:
        return f"{ratio:.2f}"
    return f"{ratio:.0f}" if ratio < 100 else f"{float(f'{ratio:.3g}'):,.0f}"


def dots_of(line: Line, processor: Tables, gpu: Tables) -> list[Dot]:
    """Return the ratios of a line, from both records."""
    found = []
    for on_gpu, tables in ((False, processor), (True, gpu)):
        for title, table in tables.items():
            measured = table["smallest and median"]
            if re.fullmatch(line.titles, title) and line.above in measured and line.below in measured:
                (above, above_middle), (below, below_middle) = measured[line.above], measured[line.below]
                found.append(Dot(title, on_gpu, above / below, above_middle / below_middle))
    return found


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
    """Draw all lines on one logarithmic axis, as SVG that takes its colours from the page."""
    parts, y = list(_axis()), TOP
    count = 0
    for group, lines in LINES.items():
        y += HEADING
        parts.append(f'<text class="eb-plot-group" x="0" y="{y - 7}">{escape(group)}</text>')
        for line in lines:
            dots = dots_of(line, processor, gpu)
            count += len(dots)
            parts += _line(line, dots, y)
            y += ROW
    height = y + 8
    grid = "".join(
        f'<line class="eb-plot-{"even" if tick == 1 else "grid"}" x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" '
        f'y1="{TOP}" y2="{height}"/>'
        for tick in _TICKS
    )
    says = (
        f"Dot plot of {count} ratios on a logarithmic axis from {LOW} to {HIGH}, in {sum(map(len, LINES.values()))} "
        f"lines under {len(LINES)} headings. The tables below have every number."
    )
    return (
        f'<figure class="eb-plot">{_legend()}<div class="eb-scroll"><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{says}">{grid}{"".join(parts)}</svg></div></figure>{aims_html(processor)}'
    )


def _x(ratio: float) -> float:
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + share * (RIGHT - LEFT)


def _axis() -> Iterator[str]:
    yield f'<text class="eb-plot-tick" x="{LEFT}" y="12" text-anchor="start">times this package’s time or memory</text>'
    for tick in _TICKS:
        yield f'<text class="eb-plot-tick" x="{_x(tick):.1f}" y="{TOP - 5}" text-anchor="middle">{tick:g}</text>'


def _line(line: Line, dots: Sequence[Dot], y: float) -> Iterator[str]:
    middle = y + ROW / 2
    yield f'<text x="{LEFT - 12}" y="{middle + 4:.1f}" text-anchor="end">{escape(line.label)}</text>'
    for dot in dots:
        kind = "eb-plot-gpu" if dot.gpu else "eb-plot-cpu"
        says = f"{dot.title}{', GPU' if dot.gpu else ''}: {times(dot.fastest)} times, medians {times(dot.median)}"
        yield f'<g class="{kind}"><title>{escape(says)}</title>'
        yield f'<line x1="{_x(dot.fastest):.1f}" x2="{_x(dot.median):.1f}" y1="{middle}" y2="{middle}"/>'
        yield f'<circle class="eb-plot-median" cx="{_x(dot.median):.1f}" cy="{middle}" r="3.4"/>'
        yield f"{_mark(dot, middle)}</g>"
    if line.aim:
        at = _x(line.aim)
        yield f'<line class="eb-plot-aim" x1="{at:.1f}" x2="{at:.1f}" y1="{y + 1}" y2="{y + ROW - 1}">'
        yield f"<title>aim: {times(line.aim)} times</title></line>"


def _mark(dot: Dot, middle: float) -> str:
    x = _x(dot.fastest)
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
