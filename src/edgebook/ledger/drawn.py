"""The numbers behind a picture: what a figure draws, kept beside it in the notebook, so that it can be compared.

A test reads them from the executed notebook and compares them with the record, number by number.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy import ma

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from edgebook.ledger.shown import Shown

KEY = "edgebook"  # of the metadata of an output
_SVG = "image/svg+xml"


def keep_drawn(shown: Shown) -> None:
    """Let every figure that the notebook shows from now on carry its numbers, and which run they are of.

    Nothing happens outside a notebook, or where its figures are no SVG.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    pictures = sys.modules.get("matplotlib.figure")
    formatter = shell.display_formatter.formatters.get(_SVG) if shell and pictures else None
    printer = formatter.for_type(pictures.Figure) if formatter else None
    if printer is None:
        return
    plain = getattr(printer, "plain", printer)  # a cell may be executed twice

    def with_numbers(figure: Figure) -> tuple[str, dict[str, Any]] | None:
        picture = plain(figure)
        about = {"started": shown.record.started, "recorded": shown.recorded, "axes": drawn(figure)}
        return picture and (picture, {KEY: about})

    with_numbers.plain = plain  # type: ignore[attr-defined]
    formatter.for_type(pictures.Figure, with_numbers)


def drawn(figure: Figure) -> list[list[dict[str, Any]]]:
    """Return for each axes of a figure its lines and clouds of points: ``x``, ``y``, and the name of their row.

    What is not finite is None.
    """
    return [[*_series(ax)] for ax in figure.axes]


def _series(ax: Axes) -> Iterator[dict[str, Any]]:
    rows = dict(zip(ax.get_yticks(), (label.get_text() for label in ax.get_yticklabels()), strict=False))
    places = [line.get_xydata() for line in ax.lines]
    places += [cloud.get_offsets() for cloud in ax.collections if len(cloud.get_offsets()) > 1]
    for pairs in places:
        x, y = ma.filled(ma.array(pairs, dtype=float), math.nan).T.tolist()
        beside = [at for at in rows if abs(at - y[0]) < 0.5] if len({*y}) == 1 else []
        yield {"row": rows[beside[0]] if len(beside) == 1 else ""} | {
            axis: [value if math.isfinite(value) else None for value in values] for axis, values in (("x", x), ("y", y))
        }
