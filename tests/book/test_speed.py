"""The page on speed shows what the record of the benchmarks says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def speed(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("edgebook_speed", root / "book" / "_ext" / "edgebook_speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def test_a_table_compares_with_its_first_row(speed: ModuleType) -> None:
    tables = {"race": {"unit": "ms", "smallest and median": {"hare": [2.0, 4.0], "tortoise": [5.0, 1200.0]}}}
    head, hare, tortoise = cells(speed.table_html(tables, "race"))
    assert head == ["", "Smallest", "Median", "Ratio", "Of medians"]
    assert hare == ["hare", "2.0 ms", "4.0 ms", "1.00", "1.00"]
    assert tortoise == ["tortoise", "5.0 ms", "1,200 ms", "2.50", "300.00"]
    assert cells(speed.shares_html(tables, "race"))[1:] == [["hare", "2.0 ms", "29 %"], ["tortoise", "5.0 ms", "71 %"]]


def test_ratios_divide_the_named_rows(speed: ModuleType) -> None:
    rows = {name: [float(i), 10.0 * i] for i, name in enumerate({n for _, *pair in speed._RATIOS for n in pair}, 1)}
    table = {"unit": "ms", "smallest and median": rows}
    tables = {"training step, T = 5": table, "training step, T = 7, memory kept": table, "other": {}}
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
        source = record["gpu"] if what.startswith("gpu: ") else record
        assert source["machine"]["torch"] in drawn if what.endswith("machine") else len(cells(drawn)) > 2, what
    assert record["gpu"]["machine"]["GPU"] in speed.drawn_for("gpu: machine", record)
    with pytest.raises(ValueError, match="There is no benchmark 'x'; there are"):
        speed.drawn_for("x", record)
