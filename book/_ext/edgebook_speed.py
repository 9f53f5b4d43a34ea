"""HTML of the page on speed, from the recorded benchmarks alone: tables that fold, and the sentence on the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from edgebook_speed_lines import Tables, times
from edgebook_speed_plot import plot_html

# Of a training step: what stands above the bar, and what below it.
_RATIOS = (
    ("snnTorch", "snnTorch, step loop", "edgebook, norm per step"),
    ("SpikingJelly", "SpikingJelly, multi-step", "edgebook, norm over steps"),
    ("snnTorch, channels last", "snnTorch, step loop, channels last", "edgebook, norm per step"),
    ("SpikingJelly, channels last", "SpikingJelly, multi-step, channels last", "edgebook, norm over steps"),
    (
        "the step over itself without neurons, norm per step",
        "edgebook, norm per step",
        "without neurons, norm per step",
    ),
    (
        "the step over itself without neurons, norm over steps",
        "edgebook, norm over steps",
        "without neurons, norm over steps",
    ),
)
_KEPT = ", memory kept"
_HARDWARE = ("date", "GPU", "processor", "cores", "threads")
_LEAST = 0.05  # below it an amount cannot be told from none, and is not divided by


def load_benchmarks(root: Path) -> dict[str, Any]:
    """Read the records that `EDGEBOOK_BENCH` makes: two of processors, taken together, and under "gpu" that of a GPU.

    The second is that of kernels of single papers, which was made on another machine: "papers" says on which.
    """
    processor, papers, gpu = (
        json.loads((root / "results" / f"benchmarks{where}.json").read_text(encoding="utf-8"))
        for where in ("", "-papers", "-gpu")
    )
    both = processor["benchmarks"] | papers["benchmarks"]
    return {"machine": processor["machine"], "benchmarks": both, "papers": papers, "gpu": gpu}


def table_html(tables: Tables, family: str) -> str:
    """Draw all benchmarks whose titles begin alike: a line for each and a column for each contender.

    A cell has the fastest round, and beneath it the median and what both are of the first contender's.
    Where there are more contenders than benchmarks, each of them has a line instead.
    """
    start, kept = family.removesuffix(_KEPT), family.endswith(_KEPT)
    found = {title: one for title, one in tables.items() if title.startswith(start) and title.endswith(_KEPT) == kept}
    if not found:
        raise ValueError(f"No benchmark begins with {family!r}; there are {', '.join(map(repr, tables))}.")
    cells = {
        (_size(title, family), name): _cell(pair, first, table["unit"], own=pair is first)
        for title, table in found.items()
        for first in [next(iter(table["smallest and median"].values()))]
        for name, pair in table["smallest and median"].items()
    }
    lines, columns = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    if len(columns) > len(lines):
        lines, columns, cells = columns, lines, {(name, size): cell for (size, name), cell in cells.items()}
    rows = [(line, *(cells.get((line, column), "") for column in columns)) for line in lines]
    return _folded(rows, ("", *columns))


def shares_html(tables: Tables, title: str) -> str:
    """Draw where the time of one step goes: a row per part, with its share of the whole."""
    found, unit = tables[title]["smallest and median"], tables[title]["unit"]
    whole = sum(time for time, _ in found.values())
    rows = [(name, amount(time, unit), f"{100 * time / whole:.0f} %") for name, (time, _) in found.items()]
    return _folded(rows, ("", "Time", "Share"))


def ratios_html(tables: Tables, *, kept: bool = False) -> str:
    """Draw the ratios of all training steps, of those with memory kept or without: fastest rounds (and medians)."""
    sizes: dict[str, Mapping[str, Any]] = {}
    for title, table in tables.items():
        size = title.removeprefix("training step, ")
        if size != title and size.endswith(_KEPT) == kept:
            sizes[size.removesuffix(_KEPT)] = table
    rows = [(name, *(_ratio(table, above, below) for table in sizes.values())) for name, above, below in _RATIOS]
    return _folded(rows, ("", *map(_unbroken, sizes)))


def machine_html(machine: Mapping[str, str]) -> str:
    """Say in one sentence where the figures come from."""
    rest = {name: value for name, value in machine.items() if name not in _HARDWARE}
    versions = ", ".join(f"{name} {value}" for name, value in rest.items())
    graphics = f"an {machine['GPU']} in " if "GPU" in machine else ""
    text = (
        f"Measured on {machine['date']} on {graphics}a machine with {machine['cores']} cores ({machine['processor']}), "
        f"threads: {machine['threads']}, with {versions}."
    )
    return f"<p>{escape(text)}</p>"


def drawn_for(kind: str, record: Mapping[str, Any]) -> str:
    """Draw what the page names: `plot`, `ratios`, `ratios, memory kept`, `machine`, `shares: TITLE`, or a family.

    `gpu: ` before any of these but the first draws it from the GPU's record, and `papers: ` from that of single papers.
    """
    for source in ("gpu", "papers"):
        if kind.startswith(f"{source}: "):
            return drawn_for(kind.removeprefix(f"{source}: "), record[source])
    if kind == "plot":
        return plot_html(record["benchmarks"], record["gpu"]["benchmarks"])
    if kind == "machine":
        return machine_html(record["machine"])
    if kind.startswith("ratios"):
        return ratios_html(record["benchmarks"], kept=kind.endswith(_KEPT))
    if kind.startswith("shares: "):
        return shares_html(record["benchmarks"], kind.removeprefix("shares: "))
    return table_html(record["benchmarks"], kind)


def amount(value: float, unit: str) -> str:
    """Write an amount with as many digits as it carries, long times in seconds.

    >>> amount(0.0, "ms"), amount(3.8, "ms"), amount(-2.94, "ms"), amount(579.09, "ms"), amount(37355.8, "ms")
    ('under 0.1 ms', '3.8 ms', '−2.9 ms', '579 ms', '37.4 s')
    """
    if unit == "tokens":
        return f"{value:,.0f} {unit}"
    if abs(value) < _LEAST:
        return f"under 0.1 {unit}"
    if unit == "ms" and value >= 10_000:
        return f"{value / 1000:.1f} s"
    written = f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{written} {unit}".replace("-", "\u2212")


def _cell(pair: Sequence[float], first: Sequence[float], unit: str, *, own: bool) -> str:
    """Write a fastest round and, a line beneath, its median; both with what they are of the first contender's."""
    lines = []
    for value, compared in zip(pair, first, strict=True):
        divided = not own and unit != "tokens" and min(value, compared) >= _LEAST
        lines.append(amount(value, unit) + f", {times(value / compared)} times" * divided)
    return lines[0] if lines[0] == lines[1] else f"{lines[0]}\nmedian {lines[1]}"


def _size(title: str, family: str) -> str:
    """Return what is left of a title behind the words that a family shares."""
    return _unbroken(title.removesuffix(_KEPT).removeprefix(family.removesuffix(_KEPT)).lstrip(", ") or title)


def _ratio(table: Mapping[str, Any], above: str, below: str) -> str:
    (fast, middle), (own, own_middle) = (table["smallest and median"][name] for name in (above, below))
    return f"{fast / own:.2f} ({middle / own_middle:.2f})"


def _unbroken(size: str) -> str:
    """Keep what belongs together on one line of a narrow head."""
    return size.replace(" x ", "\u00a0x\u00a0").replace("T = ", "T\u00a0=\u00a0")


def _folded(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Draw a table that opens on a click; the first line of a cell counts, the others stand small beneath it."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(f'<tr><th scope="row">{escape(row[0])}</th>{"".join(_drawn(row, head))}</tr>' for row in rows)
    return (
        f'<details class="eb-speed"><summary>The numbers</summary>'
        f'<div class="eb-scroll"><table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div></details>'
    )


def _drawn(row: Sequence[str], head: Sequence[str]) -> Iterator[str]:
    for name, cell in zip(head[1:], row[1:], strict=True):
        first, *rest = cell.split("\n")
        small = "".join(f"<small>{escape(line)}</small>" for line in rest)
        yield f'<td data-label="{escape(name)}"><span>{escape(first)}{small}</span></td>'
