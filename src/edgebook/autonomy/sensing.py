"""Which beams to fire, and what that costs.

Masks are bool arrays (B, N), or (1, N) where they are the same in all worlds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgebook.autonomy.world import REACH, beam_angles
from edgebook.measure.arguments import whole

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def stride(beams: int, fired: int, step: int) -> Mask:
    """Return every so many-th beam, and at the next step others, so that all have had their turn after a round.

    Parameters
    ----------
    beams, fired : int, N and how many of them, a divisor
    step : int, at least 0; offsets are taken far from each other, 0, 4, 2, 6, 1, 5, 3, 7 of eight

    Returns
    -------
    numpy.ndarray of bool, (1, N)

    Raises
    ------
    ValueError
        A number that is not whole or out of its range, or no divisor.

    Examples
    --------
    >>> [stride(8, 2, step).nonzero()[1].tolist() for step in range(3)]
    [[0, 4], [2, 6], [1, 5]]
    """
    every, rest = divmod(whole("beams", beams), whole("fired", fired, 1, beams))
    if rest:
        raise ValueError(f"fired must divide the {beams} beams, got {fired}.")
    places = np.arange(every)
    bits = max(every - 1, 1).bit_length()
    turned = sum(((places >> bit) & 1) << (bits - 1 - bit) for bit in range(bits))  # bits in the other order
    offset = np.argsort(turned, kind="stable")[whole("step", step, 0) % every]
    return np.isin(np.arange(beams) % every, offset)[None]


def random_beams(beams: int, fired: int, rng: np.random.Generator, width: int = 1) -> Mask:
    """Return beams drawn at random, or whole sectors of neighbours.

    Parameters
    ----------
    beams, fired : int, N and how many of them
    rng : numpy.random.Generator
    width : int, beams of a sector, which begins at a multiple of it; divides both

    Returns
    -------
    numpy.ndarray of bool, (1, N)

    Raises
    ------
    ValueError
        Numbers that are not whole, out of their range or no multiples of the width.

    Examples
    --------
    >>> random_beams(8, 4, np.random.default_rng(0), width=4).astype(int).tolist()
    [[1, 1, 1, 1, 0, 0, 0, 0]]
    """
    if whole("beams", beams) % whole("width", width) or whole("fired", fired, 1, beams) % width:
        raise ValueError(f"width must divide {beams} beams and {fired} fired, got {width}.")
    order = rng.permutation(beams // width)
    return np.repeat(order < fired // width, width)[None]


def cone(direction: Array, beams: int, fired: int) -> Mask:
    """Return the beams that lie nearest to a direction.

    Parameters
    ----------
    direction : numpy.ndarray, (B,), rad from the heading to the left
    beams, fired : int, N and how many of them

    Returns
    -------
    numpy.ndarray of bool, (B, N)

    Examples
    --------
    >>> cone(np.array([0.0]), 8, 3).astype(int).tolist()
    [[1, 1, 0, 0, 0, 0, 0, 1]]
    """
    off = np.cos(beam_angles(beams) - np.asarray(direction)[:, None])
    return best_beams(np.round(off, 9), fired)


def best_beams(score: Array, fired: int) -> Mask:
    """Return the beams of the highest scores, the first ones where they are equal.

    Parameters
    ----------
    score : numpy.ndarray, (B, N), such as how uncertain each range is
    fired : int, how many beams

    Returns
    -------
    numpy.ndarray of bool, (B, N)

    Examples
    --------
    >>> best_beams(np.array([[0.1, 0.9, 0.5]]), 2).tolist()
    [[False, True, True]]
    """
    order = np.argsort(-score, axis=1, kind="stable")[:, : whole("fired", fired, 0, score.shape[1])]
    chosen = np.zeros(score.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


def sensing_energy(fired: Mask, gates: Array | float, e0: float, e1: float) -> Array:
    r"""Return what a scan costs, :math:`\sum_{fired} e_0 + e_1 (R / R_{max})^4`: the light that comes back falls so.

    Parameters
    ----------
    fired : numpy.ndarray of bool, (B, N)
    gates : numpy.ndarray or float, (B, N), m, how far each beam looks
    e0, e1 : float, J, of a beam whatever its range, and of its light at the longest range of 10 m

    Returns
    -------
    numpy.ndarray, (B,), J

    Examples
    --------
    >>> sensing_energy(np.array([[True, True, False]]), np.array([[10.0, 5.0, 10.0]]), 1.0, 16.0)
    array([19.])
    """
    return np.where(fired, e0 + e1 * (np.asarray(gates, np.float64) / REACH) ** 4, 0.0).sum(axis=1)
