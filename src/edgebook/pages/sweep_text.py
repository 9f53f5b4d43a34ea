"""The claims of a finished sweep as small tables for a terminal."""

from __future__ import annotations

from edgebook.ledger.wording import estimate
from edgebook.pages.sweep_figures import arrange, label_of
from edgebook.sweeps.points import points_of
from edgebook.sweeps.sweep_file import load
from edgebook.sweeps.table import Row, rows_of

_MOST_CLAIMS = 6  # that are shown where the sweep does not say which


def pivots(name: str) -> str:
    """Return a table for each claim that a sweep shows: its parameter with most values along, the others down.

    Nothing where a point has not been run yet; a claim without a value at any point is left out.
    """
    sweep, rows = load(name), rows_of(name)
    if {row["point"] for row in rows} != {point.id for point in points_of(name)}:
        return ""
    claims = sweep.shows or list(dict.fromkeys(row["claim"] for row in rows if row["claim"]))[:_MOST_CLAIMS]
    measured = {claim: [row for row in rows if row["claim"] == claim and row["value"] is not None] for claim in claims}
    return "\n\n".join(_pivot(claim, found, sweep.varied) for claim, found in measured.items() if found)


def _pivot(claim: str, rows: list[Row], varied: list[str]) -> str:
    panel, unit = arrange(rows, varied), rows[0]["unit"]
    head = [label_of({panel.along: place}, [panel.along]) for place in panel.places]
    lines = {label: [_cell(line.get(place)) for place in panel.places] for label, line in panel.lines.items()}
    table = [["", *head], *([label, *cells] for label, cells in lines.items())]
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    drawn = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in table]
    return "\n".join([f"{claim}{f', {unit}' if unit else ''}", *(f"  {line}" for line in drawn)])


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    interval = None if row["low"] is None else (row["low"], row["high"])
    return f"{estimate(row['value'], interval)} {row['verdict'] or ''}".rstrip()
