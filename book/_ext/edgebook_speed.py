"""HTML of the page on speed, from the recorded benchmarks alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Tables = Mapping[str, Mapping[str, Any]]

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


def load_benchmarks(root: Path) -> dict[str, Any]:
    """Read the records that `EDGEBOOK_BENCH` makes: that of a processor, and in it under "gpu" that of a GPU."""
    processor, gpu = (
        json.loads((root / "results" / f"benchmarks{where}.json").read_text(encoding="utf-8")) for where in ("", "-gpu")
    )
    return processor | {"gpu": gpu}


def table_html(tables: Tables, title: str) -> str:
    """Draw one benchmark: a row per contender, with its share of the first one's figure."""
    if title not in tables:
        raise ValueError(f"There is no benchmark {title!r}; there are {', '.join(map(repr, tables))}.")
    found = tables[title]["smallest and median"]
    (first, median), unit = next(iter(found.values())), tables[title]["unit"]
    rows = [
        (name, f"{_short(low)} {unit}", f"{_short(middle)} {unit}", f"{low / first:.2f}", f"{middle / median:.2f}")
        for name, (low, middle) in found.items()
    ]
    return _drawn(("", "Smallest", "Median", "Ratio", "Of medians"), rows)


def shares_html(tables: Tables, title: str) -> str:
    """Draw where the time of one step goes: a row per part, with its share of the whole."""
    found = tables[title]["smallest and median"]
    whole = sum(time for time, _ in found.values())
    unit = tables[title]["unit"]
    rows = [(name, f"{_short(time)} {unit}", f"{100 * time / whole:.0f} %") for name, (time, _) in found.items()]
    return _drawn(("", "Time", "Share"), rows)


def ratios_html(tables: Tables, *, kept: bool = False) -> str:
    """Draw the ratios of all training steps, of those with memory kept or without: fastest rounds (and medians)."""
    sizes: dict[str, Mapping[str, Any]] = {}
    for title, table in tables.items():
        size = title.removeprefix("training step, ")
        if size != title and size.endswith(_KEPT) == kept:
            sizes[size.removesuffix(_KEPT)] = table
    rows = [(name, *(_ratio(table, above, below) for table in sizes.values())) for name, above, below in _RATIOS]
    return _drawn(("", *map(_unbroken, sizes)), rows)


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
    """Draw what the page names: `ratios` or `ratios, memory kept`, `machine`, `shares: TITLE`, or a title.

    `gpu: ` before any of these draws it from the GPU's record.
    """
    if kind.startswith("gpu: "):
        return drawn_for(kind.removeprefix("gpu: "), record["gpu"])
    whole: dict[str, Callable[[], str]] = {
        "ratios": lambda: ratios_html(record["benchmarks"]),
        "ratios, memory kept": lambda: ratios_html(record["benchmarks"], kept=True),
        "machine": lambda: machine_html(record["machine"]),
    }
    if kind in whole:
        return whole[kind]()
    if kind.startswith("shares: "):
        return shares_html(record["benchmarks"], kind.removeprefix("shares: "))
    return table_html(record["benchmarks"], kind)


def _ratio(table: Mapping[str, Any], above: str, below: str) -> str:
    (fast, middle), (own, own_middle) = (table["smallest and median"][name] for name in (above, below))
    return f"{fast / own:.2f} ({middle / own_middle:.2f})"


def _unbroken(size: str) -> str:
    """Keep what belongs together on one line of a narrow head."""
    return size.replace(" x ", "\u00a0x\u00a0").replace("T = ", "T\u00a0=\u00a0")


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _drawn(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f'<td data-label="{escape(n)}">{escape(v)}</td>' for n, v in zip(head[1:], row[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="eb-speed"><table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>'
