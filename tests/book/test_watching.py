"""A figure draws its marks whole, and says what it hides: data outside its axes, data beneath a legend."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from edgebook import style
from edgebook.style.watching import covered, outside

Draw = Callable[[Axes], object]


@pytest.fixture
def ax() -> Iterator[Axes]:
    with mpl.rc_context({"backend": "agg"}):
        style.use()
        figure, axes = plt.subplots()
        yield axes
        plt.close(figure)


def said(ax: Axes) -> list[str]:
    """Draw a figure as a notebook does and return its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ax.get_figure().savefig(io.BytesIO(), format="svg", bbox_inches="tight")
    return [str(one.message) for one in caught]


HIDDEN: dict[str, tuple[Draw, str]] = {
    "a point above": (lambda ax: (ax.plot([1, 2], [3, 5], "o", label="a"), ax.set_ylim(0, 4)), "'a' has 1 of 2"),
    "a line to the right": (lambda ax: (ax.plot([1, 2, 9], [3] * 3, label="a"), ax.set_xlim(0, 8)), "'a' has 1 of 3"),
    "a reference": (lambda ax: (ax.plot([1], [1]), ax.set_ylim(0, 4), style.reference(ax, 9, "chance")), "'chance'"),
    "a bar": (lambda ax: (ax.bar([1, 2], [3, 4]), ax.set_ylim(0, 3.5)), "a Rectangle has 1 of 1"),
    "a bar below": (lambda ax: (ax.bar([1, 2], [3, -4]), ax.set_ylim(-3, 5)), "a Rectangle has 1 of 1"),
    "an interval": (lambda ax: (ax.errorbar([1, 2], [3, 4], [1, 2]), ax.set_ylim(0, 5)), "a LineCollection"),
    "scattered": (lambda ax: (ax.scatter([1, 2], [3, 4]), ax.set_xlim(0, 1.5)), "a PathCollection has 1 of 2"),
    "on a twin": (lambda ax: ax.twinx().set_ylim(3.5, 5) and ax.get_figure().axes[1].plot([1, 2], [3, 4], "s"), "1 of"),
    "a legend on a line": (
        lambda ax: (ax.plot([0, 1], [0, 1], label="up"), ax.legend(loc="center")),
        "A legend hides data: one stands on 'up'",
    ),
    "a legend on a reference": (
        lambda ax: (ax.plot([0, 1], [0, 1]), style.reference(ax, 0.93, "greedy"), ax.legend(loc="upper left")),
        "A legend hides data: one stands on 'greedy'",
    ),
    "a legend on bars": (lambda ax: (ax.bar([0, 1], [5, 5], label="b"), ax.legend(loc="lower left")), "one stands on"),
}  # fmt: skip

SEEN: dict[str, Draw] = {
    "points": lambda ax: ax.plot([1, 2], [3, 4], "o-"),
    "marks on the edge": lambda ax: (ax.plot([1, 2], [3, 4], "o", label="a"), ax.set_ylim(0, 4)),
    "a line along the edge": lambda ax: (ax.plot([1, 2], [3, 4]), ax.set_ylim(0, 4)),
    "what is missing": lambda ax: ax.plot([1, 2, 3], [3, float("nan"), 4], "o"),
    "an interval that is missing": lambda ax: ax.errorbar([1, 2, 3], [3, float("nan"), 4], [1, 1, float("nan")]),
    "words along an axis": lambda ax: ax.plot(["direct", "rate"], [3, 4], "o"),
    "no data": lambda ax: (ax.plot([], [], "o", label="a"), ax.errorbar([], [], []), ax.scatter([], [])),
    "a wide band": lambda ax: (ax.plot([1, 2], [3, 4]), ax.axvspan(-10, 10), ax.set_xlim(0, 3)),
    "bars on a logarithmic axis": lambda ax: (ax.bar([1, 2], [3, 4]), ax.set_yscale("log")),
    "drawn beyond the axes on purpose": lambda ax: (ax.plot([1, 5], [1, 1], "o", clip_on=False), ax.set_xlim(0, 4)),
    "what is not drawn": lambda ax: (ax.plot([1, 5], [1, 1], "o", visible=False), ax.set_xlim(0, 4)),
    "a legend below": lambda ax: (ax.plot([0, 1], [0, 1], label="a"), style.legend_below(ax)),
    "a legend in a free corner": lambda ax: (ax.plot([0, 1], [0, 1], label="a"), ax.legend(loc="upper left")),
    "effects": lambda ax: style.effects(ax, {"a": [1, 2, 3], "b": [-4.0, 5, 6, 7, 8]}, margin=20),
    "means": lambda ax: style.means(ax, [1, 2], [[1, 2, 3, 4, 5], [2, 3, 4, 5, 6]], label="m", marker="o"),
    "a heat map": lambda ax: style.heat(ax, [[1, -2.5], [float("nan"), 3]], rows="ab", columns=[1, 2]),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_a_figure_hides_becomes_a_warning(ax: Axes, name: str) -> None:
    draw, wanted = HIDDEN[name]
    draw(ax)
    (warning,) = said(ax)
    assert warning.startswith(("A figure shows only a part of its data: ", "A legend hides data: "))
    assert wanted in warning


@pytest.mark.parametrize("name", SEEN)
def test_a_figure_that_hides_nothing_is_quiet(ax: Axes, name: str) -> None:
    SEEN[name](ax)
    assert said(ax) == []


def test_a_figure_is_looked_at_once_and_both_kinds_are_told(ax: Axes) -> None:
    ax.plot([0, 1, 1.5], [0, 1, 1.5], "o-", label="a")
    ax.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    ax.legend(loc="center")
    cut, covered_by = said(ax)
    assert "outside its axes" in cut and "one stands on 'a'" in covered_by
    assert said(ax) == []


def test_what_is_hidden_can_be_asked_for(ax: Axes) -> None:
    ax.plot([1, 2], [3, 5], "o", label="a")
    ax.set_ylim(0, 4)
    with pytest.warns(UserWarning, match="only a part"):
        ax.get_figure().draw_without_rendering()
    assert outside(ax.get_figure()) == ["'a' has 1 of 2 points outside its axes"]
    assert covered(ax.get_figure()) == []


def test_marks_on_the_edge_of_their_axes_are_drawn_whole_and_those_beyond_it_are_not(ax: Axes) -> None:
    (edge,) = ax.plot([1, 2], [0, 4], "o-", label="edge")
    (beyond,) = ax.plot([1, 2], [3, 5], "o", label="beyond")
    (bare,) = ax.plot([1, 2], [0, 4], label="bare")
    spread = ax.scatter([1, 2], [0, 4])
    ax.set_ylim(0, 4)
    (warning,) = said(ax)
    assert "'beyond' has 1 of 2" in warning
    assert [one.get_clip_on() for one in (edge, beyond, bare, spread)] == [False, True, True, False]
