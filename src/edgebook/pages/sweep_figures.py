"""Figures of a sweep: one claim against a parameter, a line for each value of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgebook import style
from edgebook.ledger.claims import Claim
from edgebook.ledger.wording import number
from edgebook.sweeps.table import Row

_MARKERS = "osD^vP*X"
_SPREAD = 0.3  # of the distance between two places: how far the lines are moved apart


class Panel(NamedTuple):
    """What one figure shows: rows of one claim or metric, by the place along the axis and by the line.

    ``others`` is empty where only one parameter varies; then there is one line, without a label.
    """

    along: str
    others: tuple[str, ...]
    places: tuple[Any, ...]  # the values of ``along``, ascending where they are numbers
    lines: dict[str, dict[Any, Row]]  # label -> place -> row

    @property
    def rows(self) -> list[Row]:
        """All rows, line by line."""
        return [line[place] for line in self.lines.values() for place in self.places if place in line]


def arrange(rows: Sequence[Row], varied: Sequence[str]) -> Panel:
    """Lay out the rows of one claim, all with a value: the parameter with most values runs along the axis.

    ``varied`` are the parameters that differ between points; the first among equals counts.
    """
    found = {name: _ordered(row[name] for row in rows) for name in varied}
    along = max(varied, key=lambda name: len(found[name]))
    others = tuple(name for name in varied if name != along)
    lines: dict[str, dict[Any, Row]] = {}
    for row in sorted(rows, key=lambda row: [found[name].index(row[name]) for name in others]):
        lines.setdefault(label_of(row, others), {})[row[along]] = row
    return Panel(along, others, tuple(found[along]), lines)


def draw(ax: Axes, panel: Panel, claim: Claim | None, unit: str) -> None:
    """Draw means with their 95 % intervals, and of a claim the margin as a band around no effect.

    The places stand at equal distances, whatever their values, and the lines a little beside each other.
    """
    if claim is not None:
        low, high = claim.neutral - claim.margin, claim.neutral + claim.margin
        if claim.margin:
            ax.axhspan(low, high, color="#efefef", zorder=0, label="within the margin")
        ax.axhline(claim.neutral, color="#9a9a9a", linewidth=1, zorder=1)
    for position, (label, line) in enumerate(panel.lines.items()):
        shift = _SPREAD * ((position + 0.5) / len(panel.lines) - 0.5)
        x = [place + shift for place in range(len(panel.places))]
        means, below, above = zip(*(_ends(line.get(place)) for place in panel.places), strict=True)
        marker = _MARKERS[position % len(_MARKERS)]
        ax.errorbar(x, means, [below, above], marker=marker, capsize=3, label=label)
    ax.set_xticks(range(len(panel.places)), [written(place) for place in panel.places])
    ax.set_xlim(-0.5, len(panel.places) - 0.5)
    ax.grid(visible=False, axis="x")
    ax.set(xlabel=panel.along, ylabel=unit)
    if panel.others or (claim is not None and claim.margin):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, fontsize="small")


def save(path: Path, panel: Panel, claim: Claim | None, unit: str) -> None:
    """Draw a panel as SVG; the same rows give the same bytes."""
    with mpl.rc_context():
        style.use()
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        draw(figure.add_subplot(), panel, claim, unit)
        figure.savefig(path, metadata={"Date": None})


def in_words(panel: Panel, unit: str) -> str:
    """Say in a sentence what a figure shows to those who do not see it: its axes, its lowest and highest mean."""
    low = min(panel.rows, key=lambda row: row["value"])
    high = max(panel.rows, key=lambda row: row["value"])
    lines = f", with {len(panel.lines)} lines, one for each {' and '.join(panel.others)}" if panel.others else ""
    names = (panel.along, *panel.others)
    ends = [f"{number(row['value'])}{f' {unit}' if unit else ''} at {label_of(row, names)}" for row in (low, high)]
    if low["value"] == high["value"]:
        return f"Means against {panel.along}{lines}; all of them are {ends[0].partition(' at ')[0]}."
    return f"Means against {panel.along}{lines}; the lowest is {ends[0]}, the highest {ends[1]}."


def label_of(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Write a row's values of some parameters, with their names.

    >>> label_of({"leak": 0.5, "steps": 4, "seeds": 8}, ["leak", "steps"])
    'leak=0.5, steps=4'
    """
    return ", ".join(f"{name}={written(row[name])}" for name in names)


def written(value: Any) -> str:
    """Write a parameter's value: numbers without needless digits, words as they are.

    >>> written(20000.0), written(0.005), written(True), written("6 M 8")
    ('20,000', '0.005', 'True', '6 M 8')
    """
    return f"{value:,.10g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _ordered(values: Any) -> list[Any]:
    """Return the different values: numbers ascending, words in their order."""
    found = list(dict.fromkeys(values))
    return found if any(isinstance(value, str) for value in found) else sorted(found)


def _ends(row: Row | None) -> tuple[float, float, float]:
    """Return mean and reach of the interval below and above it; a gap without a row, no reach with too few samples."""
    if row is None or row["low"] is None:
        return row["value"] if row else math.nan, 0.0, 0.0
    return row["value"], row["value"] - row["low"], row["high"] - row["value"]
