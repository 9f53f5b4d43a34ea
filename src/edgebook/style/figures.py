"""The shared look of figures: legible on a light page, a dark page and a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes

from edgebook.ledger.wording import with_minus

# Okabe and Ito's palette, ordered by contrast on white; distinguishable with any common colour blindness.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#AA3377", "#56B4E9", "#B22222", "#E69F00", "#6B6B6B",
)  # fmt: skip
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, GREY)
INK = "#2b2b2b"

_SETTINGS = {
    "figure.figsize": (6.4, 3.6),
    "figure.facecolor": "#ffffff",  # opaque, so that a dark page shows the figure as a light card
    "savefig.facecolor": "#ffffff",
    "figure.constrained_layout.use": True,
    "font.size": 11.5,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva"],  # as wide as each other, so that labels keep their places
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9a9a9a",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "svg.hashsalt": "edgebook",  # same data, same bytes
    "svg.fonttype": "none",  # text stays text: it can be searched, selected and read aloud
    "figure.hooks": ["edgebook.style.watching:watch"],
}


def use() -> None:
    """Apply the shared settings to Matplotlib, and draw SVG inside notebooks."""
    mpl.rcParams.update(_SETTINGS)
    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=CYCLE)
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")
    except (ImportError, AttributeError):  # outside a notebook there is nothing to set
        return


def log_ticks(ax: Axes, places: Sequence[float]) -> None:
    """Put the horizontal axis on a logarithmic scale with a tick at each place and nowhere else, written as it is.

    Parameters
    ----------
    ax : matplotlib Axes
    places : sequence of numbers
    """
    ax.set_xscale("log")
    ax.xaxis.set_ticks(list(places), [f"{place:g}" for place in places])
    ax.xaxis.set_ticks([], minor=True)


def reference(ax: Axes, value: float, label: str | None = None, axis: str = "y") -> None:
    """Draw a thin dashed line at a value to compare with, such as chance.

    Parameters
    ----------
    ax : matplotlib Axes
    value : float
    label : str, optional
        Name in the legend.
    axis : str
        "y" for a horizontal line at a value of the vertical axis, "x" for a vertical one.
    """
    draw = ax.axhline if axis == "y" else ax.axvline
    draw(value, color="#9a9a9a", linewidth=1, linestyle="--", label=label, zorder=1)


def include(ax: Axes, *values: float, axis: str = "y") -> None:
    """Let an axis take in these values too, such as 0 and 1 of a share, with room for marks that stand there.

    Unlike fixed limits it cuts nothing off: the axis still grows with its data, those of axes that share it among them.

    Parameters
    ----------
    ax : matplotlib Axes
    *values : float
        Values that the axis reaches.
    axis : str
        "x" or "y".
    """
    points = [(value, value) for value in values]
    ax.update_datalim(points, updatex=axis == "x", updatey=axis == "y")
    ax.autoscale_view()


def legend_below(ax: Axes, columns: int = 3, *, own: bool = False) -> None:
    """Put the legend of an axes beneath the figure's, where it hides no data.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes whose lines are named.
    columns : int
        Entries beside each other.
    own : bool
        Whether it stands beneath this axes alone, as where the others of the figure show other lines.
    """
    if own:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns, fontsize=9)
    else:
        ax.get_figure().legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def heat(
    ax: Axes,
    grid: Sequence[Sequence[float]],
    *,
    columns: Sequence[object],
    rows: Sequence[object],
    written: str = ".2f",
    **options: object,
) -> None:
    """Draw a heat map with its values written into the cells, by seaborn.

    Parameters
    ----------
    ax : matplotlib Axes
    grid : array-like, (rows, columns)
        Values; those that are not finite stay blank.
    columns, rows : sequence
        What stands along the horizontal and the vertical axis.
    written : str
        Format of the values; "" writes none.
    **options
        Passed on to `seaborn.heatmap`, such as ``cmap``, ``center``, ``vmin`` and ``vmax``.
    """
    import seaborn as sns  # slow to import

    values = [[float(value) for value in row] for row in grid]
    texts = [[with_minus(f"{value:{written}}") if math.isfinite(value) else "" for value in row] for row in values]
    drawn = {"cmap": "crest", "linewidths": 0.6, "linecolor": "white"} | options
    sns.heatmap(
        values, ax=ax, annot=texts if written else False, fmt="", xticklabels=list(columns), yticklabels=list(rows),
        cbar=False, **drawn,
    )  # fmt: skip
    ax.grid(visible=False)  # it would show through blank cells
    ax.tick_params(length=0)
    ax.set_yticklabels(ax.get_yticklabels(), rotation=0)
