"""The vocabulary of figures and tables: what is drawn is read back from Matplotlib's own objects."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from edgebook import style


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


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_reference_is_a_line_across_the_axes(ax: Axes, axis: str) -> None:
    style.reference(ax, 3.0, "chance", axis=axis)
    (line,) = ax.get_lines()
    fixed, free = (line.get_xdata(), line.get_ydata())[:: 1 if axis == "x" else -1]
    assert list(fixed) == [3.0, 3.0]
    assert list(free) == [0, 1]
    assert ax.get_legend_handles_labels()[1] == ["chance"]


def test_a_legend_below_covers_no_axes(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], label="one")
    style.legend_below(ax)
    figure = ax.get_figure()
    figure.canvas.draw()
    assert not figure.legends[0].get_window_extent().overlaps(ax.get_window_extent())


def test_a_heat_map_writes_its_values_and_leaves_blanks(ax: Axes) -> None:
    style.heat(ax, [[1.0, np.nan], [2.5, 4.0]], rows=["a", "b"], columns=[1, 2], label="points", vmin=0)
    assert sorted(text.get_text() for text in ax.texts) == ["1.00", "2.50", "4.00"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_figure().axes[1].get_ylabel() == "points"
    assert not any(line.get_visible() for line in ax.get_xgridlines() + ax.get_ygridlines())


def test_a_heat_map_without_a_label_has_no_bar(ax: Axes) -> None:
    style.heat(ax, [[1.0]], rows=["a"], columns=["b"], written="")
    assert len(ax.get_figure().axes) == 1
    assert not ax.texts


def test_a_table_shows_words_and_numbers_and_escapes_html() -> None:
    shown = style.table({"a <b>": {"count": 3, "share": 0.25}, "c": {"share": 10.0}}, corner="what", written=".2f")
    html = shown._repr_html_()
    for cell in ("<td>3</td>", "<td>0.25</td>", "<td>10.00</td>", "a &lt;b&gt;", "what"):
        assert cell in html
    assert str(shown).split() == ["what", "count", "share", "a", "<b>", "3", "0.25", "c", "10.00"]
