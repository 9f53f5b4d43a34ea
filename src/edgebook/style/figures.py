"""The shared look of figures: legible on a light page, a dark page and a phone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes

from edgebook.ledger.evidence import MINIMUM_SEEDS
from edgebook.style.tables import with_minus

# Okabe and Ito's palette, ordered by contrast on white; distinguishable with any common colour blindness.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#AA3377", "#56B4E9", "#B22222", "#E69F00", "#6B6B6B",
)  # fmt: skip
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, GREY)
INK = "#2b2b2b"
FEWEST = MINIMUM_SEEDS  # samples below which an interval tells more of their number than of the effect

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


def effects(
    ax: Axes, rows: Mapping[str, Sequence[float]], *, margin: float, neutral: float = 0.0, unit: str = "points"
) -> None:
    """Draw paired effects: a dot per seed, the mean with its 95 % interval, and the margin as a band.

    Parameters
    ----------
    ax : matplotlib Axes
    rows : mapping of label to samples
        Drawn from top to bottom; with fewer than five samples no interval is drawn.
    margin, neutral : float
        The band around the value of no effect in which an effect is too small to count.
    unit : str
        Unit on the horizontal axis.
    """
    ax.axvspan(neutral - margin, neutral + margin, color="#efefef", zorder=0, label="within the margin")
    ax.axvline(neutral, color="#9a9a9a", linewidth=1, zorder=1)
    for y, samples in enumerate(rows.values()):
        ax.plot(samples, [y + 0.22] * len(samples), "o", color=SKY, markersize=4, alpha=0.9)
        mean = sum(samples) / len(samples)
        low, high = _ends(samples, mean)
        ax.errorbar([mean], [y], xerr=[[mean - low], [high - mean]], fmt="D", color=BLUE, capsize=4)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(unit)


def means(
    ax: Axes, x: Sequence[float], values: Sequence[Sequence[float]], *, label: str, marker: str, **options: object
) -> None:
    """Draw a line of means over seeds, with their 95 % intervals from five seeds on.

    Parameters
    ----------
    ax : matplotlib Axes
    x : sequence of numbers
        Places along the line.
    values : sequence of samples
        A sequence of values, one for each seed, at each place.
    label, marker : str
        Name in the legend and sign of the means.
    **options
        Passed on to `Axes.errorbar`.
    """
    centres = [sum(samples) / len(samples) for samples in values]
    half = [_ends(samples, mean)[1] - mean for samples, mean in zip(values, centres, strict=True)]
    ax.errorbar(x, centres, half, marker=marker, capsize=3, label=label, **options)


def _ends(samples: Sequence[float], mean: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the mean; the mean itself with too few samples for one."""
    if len(samples) < FEWEST:
        return mean, mean
    from edgebook.ledger.statistics import mean_interval  # comes with PyTorch, which takes long to load

    return mean_interval(samples)


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
