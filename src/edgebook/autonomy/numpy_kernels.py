"""What is computed most often, in NumPy: the ranges of all beams, and how far each place is from the nearest point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cast(position: Array, along: Array, centres: Array, radii: Array, size: float, reach: float) -> Array:
    """Return how far each beam (B, N, 2) of unit length gets, from positions (B, 2) among discs (B, K, 2)."""
    away = centres - position[:, None]  # (B, K, 2)
    ahead = along[:, :, None, 0] * away[:, None, :, 0] + along[:, :, None, 1] * away[:, None, :, 1]  # (B, N, K)
    # The part of a centre's distance that a beam goes, less half the chord; behind is what lies at negative distance.
    beyond = away[..., 0] * away[..., 0] + away[..., 1] * away[..., 1] - radii * radii  # (B, K), below 0 within a disc
    chord = ahead * ahead - beyond[:, None]
    meets = (chord >= 0) & ((ahead > 0) | (beyond[:, None] <= 0))
    discs = np.where(meets, ahead - np.sqrt(np.maximum(chord, 0.0)), reach).min(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = (np.where(along > 0, size, 0.0) - position[:, None]) / along
    walls = np.where(along == 0, reach, walls).min(axis=2)
    return np.clip(np.minimum(discs, walls), 0.0, reach)


def nearest(x: Array, y: Array, points: Array) -> Array:
    """Return the squared distance of each place, x and y (B, P), from the nearest point (B, N, 2); NaN is none."""
    found = np.full(x.shape, np.inf)
    for n in range(points.shape[1]):
        dx, dy = x - points[:, n, :1], y - points[:, n, 1:]
        found = np.fmin(found, dx * dx + dy * dy)
    return found
