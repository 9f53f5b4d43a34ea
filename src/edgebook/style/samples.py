"""What several seeds gave: a dot for each, their mean, and its interval where there are enough of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from edgebook.ledger.evidence import MINIMUM_SEEDS
from edgebook.style.figures import BLUE, SKY

FEWEST = MINIMUM_SEEDS  # samples below which an interval tells more of their number than of the effect


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

    low, high = mean_interval(samples)
    return min(low, mean), max(high, mean)  # of equal values the means differ by rounding
