"""The page on speed shows what the record of the benchmarks says."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def speed(extension: Callable[[str], ModuleType]) -> ModuleType:
    return extension("edgebook_speed")


@pytest.fixture(scope="module")
def plot(extension: Callable[[str], ModuleType]) -> ModuleType:
    return extension("edgebook_speed_plot")


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    found = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in rows]
    return [[re.sub(r"<.*?>", "", cell.replace("<small>", " | ")) for cell in row] for row in found]


def table(unit: str, **rows: list[float]) -> dict:
    return {"unit": unit, "smallest and median": rows}


def test_a_family_has_a_line_for_each_size_and_compares_with_its_first_contender(speed: ModuleType) -> None:
    tables = {
        "race, 1 x 2": table("ms", hare=[2.0, 4.0], tortoise=[5.0, 1200.0]),
        "race, far": table("ms", hare=[0.01, 0.34], tortoise=[12_000.0, 368.87]),
        "race, alone": table("ms", hare=[1.0, 1.0]),
        "memory of the race": table("MB", hare=[1.0, 1.0]),
    }
    head, near, far, alone = cells(speed.table_html(tables, "race"))
    assert head == ["", "hare", "tortoise"]
    assert near == ["1\u00a0x\u00a02", "2.0 ms | median 4.0 ms", "5.0 ms, 2.50 times | median 1,200 ms, 300 times"]
    # What cannot be told from nothing is not divided by, and no ratio has more digits than it carries.
    assert far == ["far", "under 0.1 ms | median 0.3 ms", "12.0 s | median 369 ms, 1,080 times"]
    assert alone == ["alone", "1.0 ms", ""]
    assert cells(speed.table_html(tables, "memory"))[1] == ["of the race", "1.0 MB"]
    assert cells(speed.shares_html(tables, "race, 1 x 2"))[1:] == [
        ["hare", "2.0 ms", "29 %"],
        ["tortoise", "5.0 ms", "71 %"],
    ]


def test_where_contenders_are_many_each_has_a_line(speed: ModuleType) -> None:
    names = {f"contender {i}": [float(i), float(i)] for i in range(1, 8)}
    tables = {"race, near": table("ms", **names), "race, far": table("ms", **names)}
    head, *rows = cells(speed.table_html(tables, "race"))
    assert head == ["", "near", "far"]
    assert [row[0] for row in rows] == list(names)
    assert rows[2] == ["contender 3", "3.0 ms, 3.00 times", "3.0 ms, 3.00 times"]


def test_memory_kept_is_a_family_of_its_own(speed: ModuleType) -> None:
    tables = {f"step, T = {t}{kept}": table("ms", hare=[t, t]) for t in (5.0, 7.0) for kept in ("", ", memory kept")}
    assert len(cells(speed.table_html(tables, "step"))) == 3
    assert [row[0] for row in cells(speed.table_html(tables, "step, memory kept"))] == [
        "",
        "T\u00a0=\u00a05.0",
        "T\u00a0=\u00a07.0",
    ]


def test_ratios_divide_the_named_rows(speed: ModuleType) -> None:
    rows = {name: [float(i), 10.0 * i] for i, name in enumerate({n for _, *pair in speed._RATIOS for n in pair}, 1)}
    tables = {"training step, T = 5": table("ms", **rows), "training step, T = 7, memory kept": table("ms", **rows)}
    tables["other"] = {}
    head, *drawn = cells(speed.ratios_html(tables))
    assert head == ["", "T\u00a0=\u00a05"]
    assert cells(speed.ratios_html(tables, kept=True)) == [["", "T\u00a0=\u00a07"], *drawn]
    wanted = [(label, rows[above][0] / rows[below][0]) for label, above, below in speed._RATIOS]
    assert drawn == [[label, f"{ratio:.2f} ({ratio:.2f})"] for label, ratio in wanted]


def test_the_record_has_everything_that_the_page_shows(speed: ModuleType, root: Path) -> None:
    page = (root / "book" / "speed.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{speed\} (.+)$", page, flags=re.MULTILINE)
    assert len(shown) == len(set(shown)) > 5
    record = speed.load_benchmarks(root)
    for what in shown:
        drawn = speed.drawn_for(what, record)
        where = what.partition(": ")[0]
        source = record[where] if where in ("gpu", "papers") else record
        if what.endswith("machine"):
            assert source["machine"]["torch"] in drawn
        elif what != "plot":
            assert len(cells(drawn)) > 1 and cells(drawn)[1][0], what
            assert not re.search(r"\b0\.0 (ms|MB)|\d{3,}\.\d|-\d", re.sub("<.*?>", " ", drawn)), what
    assert record["gpu"]["machine"]["GPU"] in speed.drawn_for("gpu: machine", record)
    with pytest.raises(ValueError, match="No benchmark begins with 'x'; there are"):
        speed.drawn_for("x", record)


def test_every_benchmark_is_on_the_page(speed: ModuleType, root: Path) -> None:
    page = (root / "book" / "speed.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^```\{speed\} (.+)$", page, flags=re.MULTILINE))
    record = speed.load_benchmarks(root)
    for prefix, tables in (("", record["benchmarks"]), ("gpu: ", record["gpu"]["benchmarks"])):
        families = [what.removeprefix(prefix) for what in shown if what.startswith(prefix)]
        lost = [title for title in tables if not any(title.startswith(one.split(": ")[-1]) for one in families)]
        told = ("memory of the public task", "accepted in decoding")  # those of the GPU are those of the processor
        assert [title for title in lost if not title.startswith((*told, "profile"))] == []


def test_every_dot_lies_where_its_ratio_is(plot: ModuleType, speed: ModuleType, root: Path) -> None:
    record = speed.load_benchmarks(root)
    drawn = plot.plot_html(record["benchmarks"], record["gpu"]["benchmarks"])
    wide, narrow = re.findall(r'<svg class="eb-plot-(?:wide|narrow)".*?</svg>', drawn)
    assert re.findall("<title>.*?</title>", wide) == re.findall("<title>.*?</title>", narrow)
    drawn = wide
    groups = re.findall(r'<g class="eb-plot-(cpu|gpu)"><title>(.*?)</title>(.*?)</g>', drawn)
    assert len(groups) == int(re.search(r"Dot plot of (\d+) ratios", drawn)[1]) > 60
    for kind, says, marks in groups:
        title, fastest, median = re.fullmatch(r"(.*?): ([\d.,]+) times, medians ([\d.,]+)", unescape(says)).groups()
        tables = (record["gpu"] if kind == "gpu" else record)["benchmarks"]
        assert title.removesuffix(", GPU") in tables
        low, high = re.search(r'<line x1="([\d.]+)" x2="([\d.]+)"', marks).groups()
        for ratio, at in ((fastest, low), (median, high)):
            value = float(ratio.replace(",", ""))
            assert plot.LOW < value < plot.HIGH, says  # or it would stand at the edge, where it does not belong
            assert abs(plot.place(plot._WIDE, value) - float(at)) < 2.5  # of the digits that the words leave out
    aims = [line.aim for group in plot.LINES.values() for line in group if line.aim]
    assert drawn.count('class="eb-plot-aim"') == len(aims)
    assert {kind for kind, *_ in groups} == {"cpu", "gpu"}


def test_every_line_of_the_plot_has_a_dot_and_says_what_it_divides(
    plot: ModuleType, speed: ModuleType, root: Path
) -> None:
    record = speed.load_benchmarks(root)
    tables = record["benchmarks"], record["gpu"]["benchmarks"]
    assert [line.label for group in plot.LINES.values() for line in group if not plot.dots_of(line, *tables)] == []
    neuron = record["benchmarks"]["neuron alone, 5 x 32 x 8192"]["smallest and median"]
    dot = plot.dots_of(plot.LINES["The neuron alone"][0], *tables)[0]
    assert dot.fastest == neuron["snnTorch"][0] / neuron["edgebook"][0]
    assert dot.median == neuron["snnTorch"][1] / neuron["edgebook"][1]


def test_the_count_of_aims_is_that_of_the_dots(plot: ModuleType) -> None:
    processor = {"neuron alone, a": table("ms", edgebook=[1.0, 1.0], snnTorch=[4.0, 3.0], SpikingJelly=[2.0, 2.6])}
    assert "Of 2 results there that have one, 1 reach it in the fastest rounds and 1 in" in plot.aims_html(processor)
