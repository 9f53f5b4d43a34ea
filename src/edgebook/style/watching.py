"""What a figure hides: data outside its axes, and data beneath a legend.

A figure made by pyplot is looked at when it is drawn, and what it hides becomes a warning that whoever changes a
parameter sees above it. The book, in which no cell may warn, does not build where data are cut off; where a legend
stands depends on the data of a run, so that a test of the built book looks for it instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import DrawEvent
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

OUTSIDE, COVERED = "A figure shows only a part of its data:", "A legend hides data:"
"""How the two warnings begin."""

_SLACK = 1.0  # pixels by which data may leave their axes
_NOTHING = ("None", "none", " ", "", None)  # as Matplotlib writes that there is no line, or no mark


def outside(figure: Figure) -> list[str]:
    """Say what is drawn outside its axes, and so is not seen, after the figure has been drawn once.

    Lines, marks, ends of intervals and bars count, and lines across the axes such as a reference; an artist whose
    clipping is switched off is seen wherever it lies.

    >>> figure = Figure()
    >>> axes = figure.add_subplot(ylim=(0, 1))
    >>> _ = axes.plot([1, 2, 3], [0.5, 0.8, 1.2], "o", label="spikes")
    >>> figure.draw_without_rendering()
    >>> outside(figure)
    ["'spikes' has 1 of 3 points outside its axes"]
    """
    return [said for axes in figure.axes for artist in _data(axes) if (said := _lost(axes, artist))]


def covered(figure: Figure) -> list[str]:
    """Say which data a legend stands on, after the figure has been drawn once."""
    children = [*figure.legends, *(child for axes in figure.axes for child in axes.get_children())]
    boxes = [one.get_window_extent() for one in children if isinstance(one, Legend) and one.get_visible()]
    data = [(axes, artist) for axes in figure.axes for artist in _data(axes)]
    return [f"one stands on {_name(artist)}" for box in boxes for axes, artist in data if _under(box, axes, artist)]


def watch(figure: Figure) -> None:
    """Have a new figure looked at once, when it is first drawn; `figure.hooks` of Matplotlib names this function."""

    def look(event: DrawEvent) -> None:
        figure.canvas.mpl_disconnect(number)
        _draw_marks_whole(figure)
        for kind, found in ((OUTSIDE, outside(figure)), (COVERED, covered(figure))):
            if found:
                warnings.warn(f"{kind} {'; '.join(found)}.", stacklevel=2)

    number = figure.canvas.mpl_connect("draw_event", look)


def _draw_marks_whole(figure: Figure) -> None:
    """Switch clipping off for marks that all lie within their axes, on its edge too, where it would cut them in half.

    A notebook draws a figure twice, for its size and for its picture, and looks at it after the first time.
    """
    for axes in figure.axes:
        for artist in _data(axes):
            if isinstance(artist, Line2D | PathCollection) and _marked(artist) and not _lost(axes, artist):
                artist.set_clip_on(False)


def _data(axes: Axes) -> Iterator[Artist]:
    """Yield what shows data: lines, collections, and patches that stand on the axes' own scale."""
    for artist in axes.get_children():
        if artist is axes.patch or not artist.get_visible() or not artist.get_clip_on():
            continue
        bar = isinstance(artist, Rectangle) and artist.get_data_transform() == axes.transData
        if bar or isinstance(artist, Line2D | LineCollection | PathCollection):
            yield artist


def _lost(axes: Axes, artist: Artist) -> str:
    places = _places(axes, artist)
    low, high = axes.get_window_extent().padded(_SLACK).get_points()
    gone = int(((places < low) | (places > high)).any(axis=1).sum())
    return f"{_name(artist)} has {gone} of {len(places)} points outside its axes" if gone else ""


def _places(axes: Axes, artist: Artist) -> np.ndarray:
    """Return where the points of an artist lie, in pixels (N, 2): of a bar the end that says its value."""
    if isinstance(artist, Line2D):
        points = artist.get_transform().transform(np.column_stack(artist.get_data(orig=False)).astype(float))
    elif isinstance(artist, LineCollection):
        ends = [np.reshape(one, (-1, 2)) for one in artist.get_segments()]  # one of a missing value is empty
        points = artist.get_transform().transform(np.concatenate([np.empty((0, 2)), *ends]))
    elif isinstance(artist, PathCollection):
        offsets = np.ma.filled(artist.get_offsets().astype(float), np.nan)
        points = artist.get_offset_transform().transform(offsets) if len(offsets) else np.empty((0, 2))
    else:
        points = axes.transData.transform([[artist.get_x() + artist.get_width(), artist.get_y() + artist.get_height()]])
    return points[np.isfinite(points).all(axis=1)]


def _under(box: Bbox, axes: Axes, artist: Artist) -> bool:
    """Tell whether a box hides a part of what an artist draws: between the points of a line too."""
    if isinstance(artist, Rectangle):
        return box.overlaps(artist.get_window_extent())
    places = _places(axes, artist)
    joined = isinstance(artist, Line2D) and artist.get_linestyle() not in _NOTHING
    if joined and len(places) > 1:
        steps = np.linspace(0, 1, 40, endpoint=False)[:, None, None]
        places = np.concatenate([(places[:-1] + steps * np.diff(places, axis=0)).reshape(-1, 2), places[-1:]])
    return bool(((places > box.min) & (places < box.max)).all(axis=1).any())


def _marked(artist: Line2D | PathCollection) -> bool:
    return isinstance(artist, PathCollection) or artist.get_marker() not in _NOTHING


def _name(artist: Artist) -> str:
    label = str(artist.get_label())
    return repr(label) if label and not label.startswith("_") else f"a {type(artist).__name__}"
