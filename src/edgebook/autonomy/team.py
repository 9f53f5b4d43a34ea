"""Several robots that share what they see: who looks where, and how old what is known of each target has become."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgebook.autonomy.world import REACH
from edgebook.measure.arguments import whole

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def views(robots: Array, targets: Array, sectors: int, reach: float = REACH) -> Mask:
    """Return which looks would show which targets: a look is one sector of one robot.

    Parameters
    ----------
    robots : numpy.ndarray, (A, 3), x, y and heading
    targets : numpy.ndarray, (M, 2)
    sectors : int, S of equal width all around, the first one to the left of the heading
    reach : float, m

    Returns
    -------
    numpy.ndarray of bool, (A S, M), the looks of the first robot first

    Examples
    --------
    >>> views(np.zeros((1, 3)), np.array([[1.0, 1.0], [-50.0, 0.0]]), sectors=4).astype(int).tolist()
    [[1, 0], [0, 0], [0, 0], [0, 0]]
    """
    away = targets - robots[:, None, :2]  # (A, M, 2)
    angle = np.arctan2(away[..., 1], away[..., 0]) - robots[:, 2:]
    sector = np.floor(np.remainder(angle, 2 * np.pi) * whole("sectors", sectors) / (2 * np.pi)).astype(int) % sectors
    near = np.hypot(away[..., 0], away[..., 1]) <= reach
    return (near[:, None] & (sector[:, None] == np.arange(sectors)[:, None])).reshape(-1, len(targets))


def assign(views: Array | Mask, worth: Array, budget: int) -> list[int]:
    r"""Return which looks to take, one after the other the one that adds most.

    What looks are worth together, :math:`\sum_m w_m (1 - \prod (1 - p_{lm}))`, adds less the more there are, so that
    this reaches at least 1 - 1/e of the best (Nemhauser, Wolsey & Fisher, 1978).

    Parameters
    ----------
    views : numpy.ndarray, (L, M), the probability that a look shows a target, or whether it does
    worth : numpy.ndarray, (M,), at least 0, what it is worth to see each target, such as the age of what is known
    budget : int, looks that the team can pay

    Returns
    -------
    list of int, looks in the order of choice; fewer than the budget where none adds anything

    Examples
    --------
    >>> assign(np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]]), np.array([1.0, 1.0, 5.0]), budget=2)
    [1, 0]
    """
    views, left, chosen = np.array(views, np.float64), np.array(worth, np.float64), []
    for _ in range(whole("budget", budget, 0)):
        gains = views @ left
        if gains.max(initial=0.0) <= 0:
            break
        chosen.append(int(gains.argmax()))
        left = left * (1 - views[chosen[-1]])
        views[chosen[-1]] = 0.0  # the same look again would show what it has shown
    return chosen


def age_of_information(seen: Mask, delay: int = 0) -> NDArray[np.int64]:
    """Return how old the newest report of each target is that has arrived.

    Parameters
    ----------
    seen : numpy.ndarray of bool, (T, M), whether a report was made at a step that will arrive
    delay : int, steps that it takes

    Returns
    -------
    numpy.ndarray of int, (T, M), steps; before the first report counted from the step before the first

    Examples
    --------
    >>> age_of_information(np.array([[False], [True], [False], [False]]))[:, 0].tolist()
    [1, 0, 1, 2]
    >>> age_of_information(np.array([[False], [True], [False], [False]]), delay=1)[:, 0].tolist()
    [1, 2, 1, 2]
    """
    delay, steps = whole("delay", delay, 0), np.arange(len(seen))[:, None]
    made = np.maximum.accumulate(np.where(seen, steps, -1), axis=0)  # step of the newest report
    arrived = np.concatenate([np.full_like(made[:delay], -1), made])[: len(seen)]
    return steps - arrived
