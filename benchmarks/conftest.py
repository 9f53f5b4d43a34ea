"""How the contenders of one benchmark are timed: in turns, so that a machine that slows down slows them all.

Set `EDGEBOOK_BENCH` to the path of a JSON file to add the figures to it; the page `book/speed.md` shows such figures.
Those measured with `MALLOC_TRIM_THRESHOLD_`, by which a process keeps the memory that it frees, get names of their own.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch

Steps = Mapping[str, Callable[[], None]]  # contender -> one step
Contest = Callable[[str, Steps, int], dict[str, list[float]]]
TABLES: dict[str, dict[str, list[float]]] = {}  # benchmark -> contender -> smallest and median
UNITS: dict[str, str] = {}  # benchmark -> unit


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def contest(benchmark: Any, report: Any) -> Contest:
    """Time one step of each contender per round, each round beginning with another one; return all seconds."""

    def run(title: str, steps: Steps, rounds: int) -> dict[str, list[float]]:
        names, seconds = list(steps), {name: [] for name in steps}

        def one_round() -> None:
            for name in names:
                start = time.perf_counter()
                steps[name]()
                seconds[name].append(time.perf_counter() - start)
            names.append(names.pop(0))

        benchmark.pedantic(one_round, rounds=rounds, warmup_rounds=0)
        report(title, "ms", {name: [1e3 * second for second in kept] for name, kept in seconds.items()})
        for name, kept in seconds.items():
            benchmark.extra_info[name] = {"fastest": min(kept), "median": statistics.median(kept)}
        return seconds

    return run


@pytest.fixture
def report() -> Callable[[str, str, Mapping[str, list[float]]], None]:
    """Keep smallest and median of the values of each contender for the summary; a title may get more rows later."""

    def keep(title: str, unit: str, values: Mapping[str, list[float]]) -> None:
        title += ", memory kept" if "MALLOC_TRIM_THRESHOLD_" in os.environ else ""
        found = {name: [min(kept), statistics.median(kept)] for name, kept in values.items()}
        TABLES[title] = TABLES.get(title, {}) | found
        UNITS[title] = unit

    return keep


def machine() -> dict[str, str]:
    """Describe where the figures come from."""
    packages = ["torch", "numba", "triton", "numpy", "scipy", "snntorch", "spikingjelly", "badcrossbar"]
    packages += ["transformers", "peft", "flwr", "ray", "gymnasium", "vmas", "brevitas"]
    graphics = {"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "date": date.today().isoformat(),
        **graphics,
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": "1",
        "python": platform.python_version(),
        **{name: found for name in packages if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print smallest and median, and how many times the first contender's each is."""
    for title, table in TABLES.items():
        ours, unit = next(iter(table.values())), UNITS[title]
        terminalreporter.write_line(
            f"\n{title}\n{'':40}{'smallest':>12} {'median':>12} {'ratio':>7} {'of medians':>11}"
        )
        for name, (smallest, median) in table.items():
            ratios = f"{smallest / ours[0]:7.2f} {median / ours[1]:11.2f}"
            terminalreporter.write_line(f"{name:40}{smallest:9.2f} {unit} {median:9.2f} {unit} {ratios}")
    if TABLES and (target := os.environ.get("EDGEBOOK_BENCH")):
        path = Path(target)
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"benchmarks": {}}
        kept["machine"] = machine()
        for title, table in TABLES.items():
            rounded = {name: [round(value, 2) for value in values] for name, values in table.items()}
            kept["benchmarks"][title] = {"unit": UNITS[title], "smallest and median": rounded}
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
