"""Pages of the book: one for each sweep that has a table, and a list of all sweeps."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgebook.ledger.claims import Claim, ledger_path, load_ledger
from edgebook.ledger.rule import Kind
from edgebook.ledger.wording import estimate
from edgebook.pages import sweep_figures
from edgebook.pages.sweep_figures import written
from edgebook.sweeps.points import points_of
from edgebook.sweeps.sweep_file import Sweep, load, sweep_names
from edgebook.sweeps.table import Row, read_table, shown_table

LIST = "book/sweeps"
"""Name of the page that lists all sweeps; their own pages lie in the folder of the same name."""

_INTRODUCTION = """# Sweeps

A sweep runs the notebook of a paper at many values of its parameters, to see how far a verdict carries.
Each says at which scale it was run.
"""


def write_pages(tree: Path) -> list[str]:
    """Write the pages of the sweeps, with their figures and tables, into the tree that Sphinx reads.

    Returned are their names: the list first, then a page for each sweep that has a table; none without any table.
    """
    done = [name for name in sweep_names() if shown_table(name)]
    if not done:
        return []
    folder = tree / LIST
    folder.mkdir(parents=True)
    for name in done:
        (folder / f"{name}.md").write_text(_page(name, folder), encoding="utf-8")
    lines = [_INTRODUCTION, *map(_entry, done), ""]
    (tree / f"{LIST}.md").write_text("\n".join(lines), encoding="utf-8")
    return [LIST, *(f"{LIST}/{name}" for name in done)]


def _entry(name: str) -> str:
    sweep = load(name)
    what = f"{len(points_of(name))} points of `{sweep.notebook}` at tier {sweep.tier}"
    return f"- [{name}](sweeps/{name}.md): {sweep.says} {what}."


def _page(name: str, folder: Path) -> str:
    """Write the figures of a sweep and its table into a folder; return the page."""
    table = shown_table(name)
    sweep, rows = load(name), read_table(table)
    parts = [f"# {name}", sweep.says, _scope(sweep, rows), *_state(name, rows)]
    parts.append(f"This runs what is missing, and nothing twice:\n\n```bash\nmake sweep NAME={name}\n```")
    text = table.with_suffix(".csv")
    if text.is_file():
        shutil.copy2(text, folder / text.name)
        parts.append(f"Every value of every statement and metric is in {{download}}`the table <{text.name}>`.")
    for claim in sweep.shows or _claims_in(rows):
        parts += _section(name, sweep, claim, [row for row in rows if row["claim"] == claim], folder)
    return "\n\n".join(parts) + "\n"


def _scope(sweep: Sweep, rows: Sequence[Row]) -> str:
    swept = {name: list(dict.fromkeys(written(row[name]) for row in rows)) for name in sweep.varied}
    values = "; ".join(f"`{name}` {', '.join(found)}" for name, found in swept.items())
    fixed = [f"`{name}` {written(value)}" for name, value in sweep.fixed.items()]
    shared = f" All points share {', '.join(fixed)}." if fixed else ""
    link = f"[{sweep.notebook}](../../notebooks/{sweep.notebook}.ipynb)"
    scale = "" if sweep.tier == "full" else " Verdicts on the page of the paper come from a larger run, at tier full."
    return f"What varies in the notebook {link}: {values}.{shared} All of it was run at tier {sweep.tier}.{scale}"


def _state(name: str, rows: Sequence[Row]) -> list[str]:
    """Say how many points the table holds, which failed, of which code they are, and what is missing or old."""
    there = {row["point"]: row for row in rows}
    failed = [row for row in there.values() if row["kind"] == "failure"]
    commits = sorted({(row["commit"] or "unknown")[:7] + " with changes" * bool(row["dirty"]) for row in rows})
    count = len(failed) or "none"
    found = [f"{len(there)} points were run, at commit {' and '.join(commits)}, and {count} of them failed."]
    found += [f"- {_code(row['reason'])}" for row in failed]
    now = {point.id for point in points_of(name)}
    old = len(set(there) - now)
    if old:
        found.append(f"{old} of these points are of an earlier notebook, kernel or sweep, and are not what runs today.")
    missing = len(now - set(there))
    if missing:
        found.append(f"{missing} of today's {len(now)} points are not in the table yet.")
    return found


def _claims_in(rows: Sequence[Row]) -> list[str]:
    """Return the statements of a table, or its metrics where it has no claim."""
    kinds = tuple(Kind) if any(row["kind"] == Kind.CLAIM for row in rows) else ("metric",)
    return list(dict.fromkeys(row["claim"] for row in rows if row["kind"] in kinds))


def _section(name: str, sweep: Sweep, claim: str, rows: Sequence[Row], folder: Path) -> list[str]:
    """Return what the page says of one claim or metric; its figure goes to the folder."""
    stated = _claim(sweep.notebook, claim)
    lines = [f"## {claim}"]
    if stated is not None:
        anchor = f"../../notebooks/{sweep.notebook}.html#{claim.lower()}"
        lines.append(f'{stated.says} <a href="{anchor}">The claim in its notebook</a>')
    measured = [row for row in rows if row["value"] is not None]
    if not measured:
        return [*lines, "No point has a value for it."]
    panel, unit = sweep_figures.arrange(measured, sweep.varied), measured[0]["unit"]
    sweep_figures.save(folder / f"{name}-{claim}.svg", panel, stated, unit)
    what = _plain(stated.measures) if stated is not None else claim
    samples = sorted({row["samples"] for row in measured})
    seeds = "one value" if samples == [1] else f"{' or '.join(map(str, samples))} values"
    around = ", with the 95 % interval" if any(row["low"] is not None for row in measured) else ""
    caption = f"{what[0].upper()}{what[1:]}: the mean of {seeds} at each point{around}. "
    caption += f"The values of `{panel.along}` stand at equal distances."
    alt = _plain(sweep_figures.in_words(panel, unit))
    figure = f"```{{figure}} {name}-{claim}.svg\n:alt: {alt}\n\n{caption}\n```"
    return [*lines, figure, _numbers(measured, sweep)]


def _numbers(rows: Sequence[Row], sweep: Sweep) -> str:
    """Return the values behind a figure as a table that opens on a click."""
    lines = ["````{dropdown} The numbers", f"| {' | '.join(sweep.varied)} | Mean | Verdict |"]
    lines.append("|---" * (len(sweep.varied) + 2) + "|")
    for row in rows:
        interval = None if row["low"] is None else (row["low"], row["high"])
        cells = [*(written(row[name]) for name in sweep.varied), estimate(row["value"], interval, row["unit"])]
        lines.append(f"| {' | '.join([*cells, row['verdict'] or ''])} |")
    return "\n".join([*lines, "````"])


def _claim(notebook: str, claim: str) -> Claim | None:
    """Return a claim of a notebook's ledger, None for a metric."""
    if not ledger_path(notebook).is_file():
        return None
    return {known.id: known for known in load_ledger(notebook).claims}.get(claim)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{_plain(text).replace('`', chr(39))}`"
