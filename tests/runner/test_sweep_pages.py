"""Pages of sweeps: figures from a small table, the contents, and what is said of points that failed or are missing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from matplotlib.figure import Figure

from edgebook.ledger.claims import Claim
from edgebook.pages import render, sweep_figures
from edgebook.pages.sweeps import write_pages
from edgebook.sweeps import table
from edgebook.sweeps.points import points_of

SWEEP = "says: W?\nnotebook: toy\ntier: full\ngrid: {seeds: [6, 8, 9], rate: [0.5, 1.0]}\nshows: [T-1, T-2]\n"
LEDGER = """
title: Toys
cite: toy2020
statements: [{says: It is so., tested_by: [T-1]}]
claims:
  - {id: T-1, says: More., where: text, measures: a - b, unit: points, expects: positive, margin: 1}
  - {id: T-2, says: On CIFAR., where: text, measures: m, unit: points, expects: positive, margin: 1, needs: [cifar10]}
"""
TOC = {"format": "jb-book", "root": "book/intro", "parts": [{"caption": "P", "chapters": [{"file": "notebooks/toy"}]}]}


@pytest.fixture
def toy(checkout):
    """A checkout with a sweep of six points that has not been run."""
    checkout.notebook("notebooks/toy.ipynb", "1 + 1")
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}, full: {seeds: 6}}\n")
    checkout.write("book/claims/toy.yml", LEDGER)
    checkout.write("notebooks/sweeps/toy.yml", SWEEP)
    checkout.write("book/intro.md", "# Intro\n")
    checkout.write("_config.yml", "title: T\n")
    checkout.write("_toc.yml", yaml.safe_dump(TOC, sort_keys=False))
    return checkout


def measured(seeds, rate):
    """The made value of a point: no two are alike."""
    return 10 * rate + seeds


def make_table(monkeypatch, failed=(), changed=None):
    """Write the table of the sweep as if its points had been run."""

    def rows(sweep):
        for point in points_of(sweep):
            values = point.values | (changed or {})
            begins = {"sweep": sweep, "notebook": "toy", "point": point.id} | values
            ends = {"seconds": 1.0, "commit": "0123456789", "dirty": False, "fingerprint": "f"}
            if (values["seeds"], values["rate"]) in failed:
                yield begins | table._row("failure", verdict="failed", reason="toy: cell 3: no `x`") | ends
                continue
            value = measured(values["seeds"], values["rate"])
            samples = [value] * values["seeds"]
            around = (value - 2.0, value + 2.0)
            found = {"samples": samples, "value": value, "interval": around, "verdict": "reproduced"}
            yield begins | table._row("claim", "T-1", "points", **found) | ends
            yield begins | table._row("claim", "T-2", "points", verdict="not testable here") | ends

    monkeypatch.setattr(table, "rows_of", lambda sweep: list(rows(sweep)))
    table.write_table("toy")


def panel_of(name="toy", claim="T-1"):
    rows = [row for row in table.read_table(table.table_path(name)) if row["claim"] == claim]
    return sweep_figures.arrange(rows, ("seeds", "rate"))


def drawn(panel, claim=None):
    ax = Figure().add_subplot()
    sweep_figures.draw(ax, panel, claim, "points")
    return ax


def test_without_a_table_there_is_no_section(toy, tmp_path):
    assert write_pages(tmp_path / "tree") == []
    assert not (tmp_path / "tree").exists()


def test_a_committed_table_is_drawn_like_one_that_was_run_here(toy, tmp_path, monkeypatch):
    make_table(monkeypatch, failed={(8, 1.0)})
    assert write_pages(tmp_path / "here") == ["book/sweeps", "book/sweeps/toy"]
    toy.write("results/sweeps/toy.csv", table.table_path("toy", ".csv").read_text())
    run_here = table.read_table(table.table_path("toy"))
    table.table_path("toy").unlink()
    table.table_path("toy", ".csv").unlink()
    assert table.read_table(table.shown_table("toy")) == run_here
    assert write_pages(tmp_path / "there") == ["book/sweeps", "book/sweeps/toy"]
    for name in ("toy.md", "toy.csv", "toy-T-1.svg"):
        pair = [(tmp_path / tree / "book/sweeps" / name).read_bytes() for tree in ("here", "there")]
        assert pair[0] == pair[1], name


@pytest.mark.parametrize(("tier", "says"), [("full", False), ("quick", True)])
def test_a_page_says_at_what_scale_it_was_run(toy, tmp_path, monkeypatch, tier, says):
    toy.write("notebooks/sweeps/toy.yml", SWEEP.replace("tier: full", f"tier: {tier}"))
    make_table(monkeypatch)
    write_pages(tmp_path)
    page = (tmp_path / "book/sweeps/toy.md").read_text()
    assert f"All of it was run at tier {tier}." in page
    assert ("come from a larger run, at tier full" in page) is says


def test_a_book_without_sweeps_has_no_page_of_them(toy, tmp_path):
    (toy.root / "notebooks/sweeps/toy.yml").unlink()
    render.stage(toy.root / "_build/book", tmp_path / "stage")
    assert yaml.safe_load((tmp_path / "stage/_toc.yml").read_text()) == TOC
    assert not (tmp_path / "stage/book/sweeps.md").exists()


def test_the_stage_has_the_page_its_figure_its_table_and_the_contents(toy, tmp_path, monkeypatch):
    make_table(monkeypatch)
    stage = tmp_path / "stage"
    render.stage(toy.root / "_build/book", stage)
    contents = yaml.safe_load((stage / "_toc.yml").read_text())
    assert contents["parts"][1] == {
        "caption": "Sweeps",
        "chapters": [{"file": "book/sweeps", "sections": [{"file": "book/sweeps/toy"}]}],
    }
    assert "- [toy](sweeps/toy.md): W? 6 points of `toy` at tier full." in (stage / "book/sweeps.md").read_text()
    page = (stage / "book/sweeps/toy.md").read_text()
    assert "make sweep NAME=toy" in page and "`seeds` 6, 8, 9; `rate` 0.5, 1" in page
    assert "6 points were run, at commit 0123456, and none of them failed." in page
    assert "not what runs today" not in page and "not in the table" not in page
    assert 'More. <a href="../../notebooks/toy.html#t-1">' in page
    assert "| 8 | 0.5 | 13.0 [11.0, 15.0] points | reproduced |" in page
    assert "No point has a value for it." in page.split("## T-2")[1]
    (alt,) = re.findall(r":alt: (.*)", page)
    assert alt.endswith("the lowest is 11 points at seeds=6, rate=0.5, the highest 19 points at seeds=9, rate=1.")
    ElementTree.parse(stage / "book/sweeps/toy-T-1.svg")
    assert (stage / "book/sweeps/toy.csv").read_bytes() == table.table_path("toy", ".csv").read_bytes()


def test_statements_of_every_kind_have_a_section_where_the_file_names_none(toy, tmp_path, monkeypatch):
    toy.write("notebooks/sweeps/toy.yml", SWEEP.replace("shows: [T-1, T-2]\n", ""))
    one = next(iter(points_of("toy")))
    begins = {"sweep": "toy", "notebook": "toy", "point": one.id} | one.values
    ends = {"seconds": 1.0, "commit": "0123456789", "dirty": False, "fingerprint": "f"}
    kinds = ["claim", "question", "control", "identity", "metric"]
    rows = [begins | table._row(kind, kind.title(), samples=[1.0], value=1.0) | ends for kind in kinds]
    monkeypatch.setattr(table, "rows_of", lambda sweep: rows)
    table.write_table("toy")
    write_pages(tmp_path)
    sections = [line for line in (tmp_path / "book/sweeps/toy.md").read_text().splitlines() if line.startswith("## ")]
    assert sections == ["## Claim", "## Question", "## Control", "## Identity"]


def test_the_page_tells_what_failed_and_what_is_old(toy, tmp_path, monkeypatch):
    make_table(monkeypatch, failed={(8, 1.0)})
    toy.write("notebooks/sweeps/toy.yml", SWEEP.replace("[0.5, 1.0]", "[0.5, 1.0, 2.0]"))
    write_pages(tmp_path / "tree")
    page = (tmp_path / "tree/book/sweeps/toy.md").read_text()
    assert "6 points were run, at commit 0123456, and 1 of them failed." in page
    assert "- `toy: cell 3: no 'x'`" in page
    assert "3 of today's 9 points are not in the table yet." in page
    assert "are not what runs today" not in page
    toy.notebook("notebooks/toy.ipynb", "1 + 2")
    write_pages(tmp_path / "later")
    page = (tmp_path / "later/book/sweeps/toy.md").read_text()
    assert "6 of these points are of an earlier notebook, kernel or sweep, and are not what runs today." in page


def test_lines_are_the_means_with_their_intervals_and_a_gap_where_a_point_failed(toy, monkeypatch):
    make_table(monkeypatch, failed={(8, 1.0)})
    panel = panel_of()
    assert (panel.along, panel.others, panel.places) == ("seeds", ("rate",), (6, 8, 9))
    claim = Claim(id="T", says="s", where="w", measures="m", unit="u", expects="positive", margin=1, neutral=3)
    ax = drawn(panel, claim)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["6", "8", "9"]
    for rate, (line, caps, (bars,)) in zip((0.5, 1.0), ax.containers, strict=True):
        wanted = [None if (seeds, rate) == (8, 1.0) else measured(seeds, rate) for seeds in (6, 8, 9)]
        assert line.get_ydata().tolist() == pytest.approx(
            [float("nan") if w is None else w for w in wanted], nan_ok=True
        )
        assert [round(place) for place in line.get_xdata()] == [0, 1, 2]
        ends = [[end for _, end in segment] for segment in bars.get_segments() if len(segment)]
        assert [pair for pair in ends if pair[0] == pair[0]] == [[w - 2, w + 2] for w in wanted if w is not None]
        assert len(caps) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["within the margin", "rate=0.5", "rate=1"]
    band = ax.patches[0]
    assert (band.get_y(), band.get_y() + band.get_height()) == (2, 4)


def test_the_parameter_with_most_values_runs_along_the_axis_and_words_keep_their_order():
    rows = [
        {"code": code, "leak": leak, "value": 1.0, "low": None, "high": None, "samples": 1}
        for leak in (1.0, 0.5)
        for code in ("rate", "direct", "burst")
    ]
    panel = sweep_figures.arrange(rows, ("leak", "code"))
    assert (panel.along, panel.places, [*panel.lines]) == ("code", ("rate", "direct", "burst"), ["leak=0.5", "leak=1"])
    alone = sweep_figures.arrange(rows[:3], ("code",))
    assert (alone.others, [*alone.lines]) == ((), [""])
    assert drawn(alone).get_legend() is None
    without = Claim(id="T", says="s", where="w", measures="m", unit="u", expects="positive", margin=0)
    assert drawn(alone, without).get_legend() is None and not drawn(alone, without).patches, "there is no band to name"
    assert sweep_figures.in_words(alone, "points") == "Means against code; all of them are 1 points."


def test_the_same_rows_give_the_same_bytes(toy, tmp_path, monkeypatch):
    make_table(monkeypatch)
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in (first, second):
        sweep_figures.save(path, panel_of(), None, "points")
    assert first.read_bytes() == second.read_bytes()
