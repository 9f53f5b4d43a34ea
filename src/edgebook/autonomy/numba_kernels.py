"""The same as `numpy_kernels` in Numba, equal to the last bit: loops over worlds, inner loops of a machine's lanes.

No fast-math: all is rounded as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
FARTHEST = 1e18  # no number is beyond it; NaN fails a comparison with it


def _compiled(function: Callable[..., Array]) -> Callable[..., Array]:
    """Compile on first use, and keep the result where one can be written."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # nowhere to write: compile once per process
        return njit(nogil=True, error_model="numpy")(function)


@_compiled
def cast(position: Array, along: Array, centres: Array, radii: Array, size: float, reach: float) -> Array:
    """Return how far each beam gets; a disc that lies out of reach is passed over."""
    found = np.empty(along.shape[:2])
    for b in range(found.shape[0]):
        px, py, here = position[b, 0], position[b, 1], found[b]
        for n in range(here.size):
            ux, uy = along[b, n, 0], along[b, n, 1]
            wall = reach
            if ux != 0.0:
                wall = min(wall, ((size if ux > 0.0 else 0.0) - px) / ux)
            if uy != 0.0:
                wall = min(wall, ((size if uy > 0.0 else 0.0) - py) / uy)
            here[n] = max(wall, 0.0)
        for k in range(radii.shape[1]):
            x, y, r = centres[b, k, 0] - px, centres[b, k, 1] - py, radii[b, k]
            square = x * x + y * y
            if square > (reach + r) * (reach + r):
                continue
            beyond = square - r * r
            inside = beyond <= 0.0
            for n in range(here.size):
                ahead = along[b, n, 0] * x + along[b, n, 1] * y
                chord = ahead * ahead - beyond
                range_ = max(ahead - math.sqrt(max(chord, 0.0)), 0.0)
                meets = (chord >= 0.0) & ((ahead > 0.0) | inside)
                here[n] = min(here[n], range_ if meets else reach)
    return found


@_compiled
def nearest(x: Array, y: Array, points: Array) -> Array:
    """Return the squared distance of each place from the nearest point; points are NaN where there is none."""
    found = np.full(x.shape, np.inf)
    for b in range(found.shape[0]):
        xs, ys, here = x[b], y[b], found[b]
        for n in range(points.shape[1]):
            px, py = points[b, n, 0], points[b, n, 1]
            if not abs(px) < FARTHEST:
                continue
            for p in range(here.size):  # over places and not over points, so that no lane waits for another
                dx, dy = xs[p] - px, ys[p] - py
                square = dx * dx + dy * dy
                here[p] = square if square < here[p] else here[p]
    return found
