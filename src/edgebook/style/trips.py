"""Trips of robots through a room, to be played in the book: data for `episode.js`, which draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any


class Player:
    """Trips side by side with a slider; a sentence where there is no script. Nothing moves unless it is asked to."""

    def __init__(self, trips: Mapping[str, Mapping[str, Any]], size: float) -> None:
        self._trips, self._size = trips, size

    def _repr_html_(self) -> str:
        data = json.dumps({"size": self._size, "trips": self._trips}, separators=(",", ":")).replace("<", "\\u003c")
        return (
            f'<div class="episode"><script type="application/json">{data}</script>'
            f"<p>{escape(str(self))} In the book they can be played; "
            "the figure below shows the same without movement.</p></div>"
        )

    def __str__(self) -> str:
        ends = [f"{name}: {'arrives' if trip['success'] else 'does not arrive'}" for name, trip in self._trips.items()]
        return f"Trips through the same room. {'; '.join(ends).capitalize()}."

    __repr__ = __str__


def player(trips: Mapping[str, Mapping[str, Any]], *, size: float) -> Player:
    """Return trips to be played, as the last value of a notebook's cell.

    Parameters
    ----------
    trips : mapping of name to trip
        A trip has ``steps``, ``goal`` (x, y), ``success`` and ``joules``; a step ``pose`` (x, y, heading), ``discs``
        (x, y, radius), ``belief`` (a range for each beam, from the heading to the left) and ``fired`` (their numbers).
    size : float
        Side of the room, m.

    Returns
    -------
    Player
        Draws itself as HTML in a notebook and in the book, and as a sentence elsewhere.

    Examples
    --------
    >>> step = {"pose": [1, 1, 0], "discs": [[5, 5, 1]], "belief": [3.0, 2.0, 1.0, 2.0], "fired": [0]}
    >>> player({"one": {"steps": [step], "goal": [9, 9], "success": True, "joules": 1e-3}}, size=10.0)
    Trips through the same room. One: arrives.
    """
    return Player(trips, size)
