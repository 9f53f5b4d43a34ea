"""What is believed of beams that were not fired, without learning: returns of earlier steps, or straight lines.

A memory keeps for each beam's sector the newest return as a point, and moves it against the robot's own motion.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgebook.autonomy.world import REACH, beam_angles

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Memory(NamedTuple):
    """The newest return that lies in each beam's sector now: where it was, in the robot's frame, and how old it is."""

    points: Array  # (B, N, 2), m, NaN where none is known
    age: Array  # (B, N), steps, infinite where none is known


def no_memory(worlds: int, beams: int) -> Memory:
    """Return a memory that knows nothing.

    Parameters
    ----------
    worlds, beams : int

    Returns
    -------
    Memory

    Examples
    --------
    >>> held(no_memory(1, 2)).tolist()
    [[10.0, 10.0]]
    """
    return Memory(np.full((worlds, beams, 2), np.nan), np.full((worlds, beams), np.inf))


def remember(memory: Memory, scan: Array, fired: Mask, moved: Array) -> Memory:
    """Carry the memory along with the robot, and take up what the fired beams return.

    Points keep their exact place however often the robot turns. Where two come to lie in one sector the newer stays.

    Parameters
    ----------
    memory : Memory, as of the step before
    scan : numpy.ndarray, (B, N), m; only fired beams count
    fired : numpy.ndarray of bool, (B, N)
    moved : numpy.ndarray, (B, 3), x, y and turn since then, in the robot's frame of then

    Returns
    -------
    Memory

    Examples
    --------
    >>> first = remember(no_memory(1, 4), np.full((1, 4), 2.0), np.ones((1, 4), bool), np.zeros((1, 3)))
    >>> held(remember(first, np.zeros((1, 4)), np.zeros((1, 4), bool), np.array([[0.5, 0.0, 0.0]]))).round(2).tolist()
    [[1.5, 2.06, 2.5, 2.06]]
    """
    worlds, beams = memory.age.shape
    scan, moved = (np.asarray(part, np.float64) for part in (scan, moved))
    x, y = np.moveaxis(memory.points - moved[:, None, :2], 2, 0)
    c, s = np.cos(moved[:, 2:]), np.sin(moved[:, 2:])
    points = np.stack([c * x + s * y, c * y - s * x], axis=-1)
    known = np.isfinite(memory.age)
    angle = np.where(known, np.arctan2(points[..., 1], points[..., 0]), 0.0)
    sector = np.rint(angle * beams / (2 * np.pi)).astype(np.int64) % beams
    # The newest of all points in a sector; among those of one age the first.
    rank = np.where(known, memory.age * beams + np.arange(beams), np.inf)
    newest = np.full(worlds * beams, np.inf)
    np.minimum.at(newest, (sector + beams * np.arange(worlds)[:, None]).ravel(), rank.ravel())
    newest = newest.reshape(worlds, beams)
    found = np.isfinite(newest)
    source = np.where(found, newest, 0.0).astype(np.int64) % beams
    points = np.where(found[..., None], np.take_along_axis(points, source[..., None], axis=1), np.nan)
    age = np.where(found, np.take_along_axis(memory.age, source, axis=1) + 1.0, np.inf)
    fired, along = np.asarray(fired, bool), beam_angles(beams)
    here = scan[..., None] * np.stack([np.cos(along), np.sin(along)], axis=-1)
    return Memory(np.where(fired[..., None], here, points), np.where(fired, 0.0, age))


def held(memory: Memory) -> Array:
    """Return what a memory says of each beam, and where it says nothing what it says of the nearest that it knows.

    Parameters
    ----------
    memory : Memory

    Returns
    -------
    numpy.ndarray, (B, N), m; of two equally near the shorter, 10 where nothing is known at all

    Examples
    --------
    >>> known = np.array([[[3.0, 0.0], [np.nan, np.nan], [-4.0, 0.0], [np.nan, np.nan]]])
    >>> held(Memory(known, np.array([[0.0, np.inf, 0.0, np.inf]]))).tolist()
    [[3.0, 3.0, 4.0, 3.0]]
    """
    ranges = np.hypot(memory.points[..., 0], memory.points[..., 1])
    found = ranges
    for off in range(1, ranges.shape[1] // 2 + 1):
        if not (missing := np.isnan(found)).any():
            break
        found = np.where(missing, np.fmin(np.roll(ranges, off, axis=1), np.roll(ranges, -off, axis=1)), found)
    return np.where(np.isnan(found), REACH, np.minimum(found, REACH))


def interpolate(scan: Array, fired: Mask) -> Array:
    """Return ranges between fired beams on straight lines over the angle, all around.

    Parameters
    ----------
    scan : numpy.ndarray, (B, N), m; only fired beams count
    fired : numpy.ndarray of bool, (B, N), at least one in each world

    Returns
    -------
    numpy.ndarray, (B, N), m

    Examples
    --------
    >>> interpolate(np.array([[1.0, 0.0, 3.0, 0.0]]), np.array([[True, False, True, False]])).tolist()
    [[1.0, 2.0, 3.0, 2.0]]
    """
    beams = np.arange(scan.shape[1])
    rows = zip(scan, np.broadcast_to(np.asarray(fired, bool), scan.shape), strict=True)
    return np.stack([np.interp(beams, beams[on], row[on], period=len(beams)) for row, on in rows])
