"""The vocabulary of figures and tables: what is drawn is read back from Matplotlib's own objects."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from html import escape

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from edgebook import style
from edgebook.ledger.wording import with_minus


@pytest.fixture
def ax() -> Iterator[Axes]:
    with mpl.rc_context({"backend": "agg"}):
        style.use()
        figure, axes = plt.subplots()
        yield axes
        plt.close(figure)


def test_log_ticks_stand_where_they_are_asked_and_nowhere_else(ax: Axes) -> None:
    ax.plot([5, 10, 20], [1, 2, 3])
    style.log_ticks(ax, [5, 10, 20])
    ax.get_figure().canvas.draw()
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5", "10", "20"]
    assert len(ax.get_xticks(minor=True)) == 0


@pytest.mark.parametrize("value", [0.1, 1 / 3, -2.2, 1e9 / 7])
@pytest.mark.parametrize("seeds", [5, 7, 8, 24])
def test_seeds_that_all_gave_the_same_are_drawn_with_no_width(ax: Axes, value: float, seeds: int) -> None:
    style.effects(ax, {"same": [value] * seeds}, margin=1)
    style.means(ax, [1], [[value] * seeds], label="m", marker="o")


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_reference_is_a_line_across_the_axes(ax: Axes, axis: str) -> None:
    style.reference(ax, 3.0, "chance", axis=axis)
    (line,) = ax.get_lines()
    fixed, free = (line.get_xdata(), line.get_ydata())[:: 1 if axis == "x" else -1]
    assert list(fixed) == [3.0, 3.0]
    assert list(free) == [0, 1]
    assert ax.get_legend_handles_labels()[1] == ["chance"]


def test_an_axis_takes_in_a_value_and_keeps_growing_with_its_data_and_that_of_its_neighbours() -> None:
    with mpl.rc_context({"backend": "agg"}):
        style.use()
        figure, (left, right) = plt.subplots(1, 2, sharey=True)
        left.plot([1, 2], [0.2, 0.5], "o")
        style.include(left, 0, 1)
        style.include(left, 4, axis="x")
        low, high = left.get_ylim()
        assert low < 0 and 1 < high < 1.2
        assert left.get_xlim()[0] < 1 and 4 < left.get_xlim()[1] < 4.5
        right.plot([1, 2], [3, 7], "o")
        assert left.get_ylim()[1] > 7 and right.get_ylim()[0] < 0
        plt.close(figure)


def test_a_legend_below_covers_no_axes(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], label="one")
    style.legend_below(ax)
    figure = ax.get_figure()
    figure.canvas.draw()
    assert not figure.legends[0].get_window_extent().overlaps(ax.get_window_extent())


def test_a_legend_below_its_own_axes_leaves_the_others_theirs() -> None:
    with mpl.rc_context({"backend": "agg"}):
        style.use()
        figure, axes = plt.subplots(1, 2)
        for ax in axes:
            ax.plot([0, 1], [0, 1], label="one")
            style.legend_below(ax, 1, own=True)
        figure.draw_without_rendering()
        boxes = [ax.get_legend().get_window_extent() for ax in axes]
        assert not any(box.overlaps(ax.get_window_extent()) for box in boxes for ax in axes)
        assert boxes[0].x1 < boxes[1].x0
        plt.close(figure)


def test_a_heat_map_writes_its_values_and_leaves_blanks(ax: Axes) -> None:
    style.heat(ax, [[1.0, np.nan], [-2.5, 4.0]], rows=["a", "b"], columns=[1, 2], vmin=0)
    assert sorted(text.get_text() for text in ax.texts) == ["1.00", "4.00", "−2.50"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert not any(line.get_visible() for line in ax.get_xgridlines() + ax.get_ygridlines())


def test_a_heat_map_may_leave_its_values_out(ax: Axes) -> None:
    style.heat(ax, [[1.0]], rows=["a"], columns=["b"], written="")
    assert ax.get_figure().axes == [ax]  # and has no bar of colours
    assert not ax.texts


def test_a_table_shows_words_and_numbers_and_escapes_html() -> None:
    shown = style.table({"a <b>": {"count": 3, "share": 0.25}, "c": {"share": 10.0}}, corner="what", written=".2f")
    html = shown._repr_html_()
    for cell in ("<td>3</td>", "<td>0.25</td>", "<td>10.00</td>", "a &lt;b&gt;", "what"):
        assert cell in html
    assert str(shown).split() == ["what", "count", "share", "a", "<b>", "3", "0.25", "c", "10.00"]


def test_a_table_writes_a_minus_sign_and_sets_words_to_the_left() -> None:
    rows = {"a": {"gap": -0.25, "count": -3, "word": "not judged", "span": "-0.6 to 2.1"}, "b": {"gap": 1.0}}
    html = style.table(rows)._repr_html_()
    assert "<td>\u22120.2</td><td>\u22123</td>" in html
    assert '<td class="eb-words">not judged</td><td class="eb-words">\u22120.6 to 2.1</td>' in html
    assert html.count('<td class="eb-words"></td>') == 2


def test_a_number_that_was_written_before_stands_to_the_right_and_long_ones_have_commas() -> None:
    rows = {"a": {"rate": "0.03", "bytes": 23322, "interval": "0.5 [0.2, 0.8]"}, "b": {"rate": "1"}}
    html = style.table(rows)._repr_html_()
    assert "<td>0.03</td><td>23,322</td><td>0.5 [0.2, 0.8]</td>" in html


def test_a_dash_among_words_does_not_make_them_numbers() -> None:
    html = style.table({"a": {"why": "too few seeds"}, "b": {"why": "\u2013"}})._repr_html_()
    assert '<td class="eb-words">too few seeds</td><' in html and '<td class="eb-words">\u2013</td>' in html


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-0.3", "\u22120.3"),
        ("[-0.6, 2.1] points", "[\u22120.6, 2.1] points"),
        ("-.5 or -12", "\u2212.5 or \u221212"),
        ("RD-1, 1e-5, 2018-11, --tier", "RD-1, 1e-5, 2018-11, --tier"),
        ("3-5 points", "3-5 points"),
    ],
)
def test_a_hyphen_becomes_a_minus_where_it_stands_for_one(text: str, wanted: str) -> None:
    assert with_minus(text) == wanted


def test_text_of_figures_stays_text_in_fonts_of_the_same_width(ax: Axes) -> None:
    ax.set_title("Words that can be found")
    file = io.StringIO()
    ax.get_figure().savefig(file, format="svg")
    assert ">Words that can be found</text>" in file.getvalue()
    assert "'DejaVu Sans', 'Verdana', 'Geneva', sans-serif" in file.getvalue()


def test_a_player_carries_its_trips_and_a_sentence_for_readers_without_script() -> None:
    step = {"pose": [1.0, 1.0, 0.0], "discs": [[5.0, 5.0, 1.0]], "belief": [3.0, 2.0], "fired": [0]}
    trip = {"steps": [step], "goal": [9.0, 9.0], "success": False, "joules": 1e-3}
    shown = style.player({"a </script>": trip}, size=10.0)
    html = shown._repr_html_()
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', html)
    assert json.loads(data) == {"size": 10.0, "trips": {"a </script>": trip}}
    assert "does not arrive" in str(shown) and escape(str(shown)) in html
