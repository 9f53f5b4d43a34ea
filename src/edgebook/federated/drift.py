"""Client drift, measured: how much the updates of a round cancel, where they point, and how far a model has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebook.federated.records import Arrays


def flat_updates(models: Sequence[Arrays], current: Arrays, names: Sequence[str]) -> NDArray[np.float64]:
    """Return by how much each client moved the named arrays, as one row each.

    Parameters
    ----------
    models : sequence of dict of str to ndarray
        What clients returned.
    current : dict of str to ndarray
        What they were sent.
    names : sequence of str
        Arrays that all of them hold.

    Returns
    -------
    ndarray of float, (clients, values)

    Examples
    --------
    >>> flat_updates([{"w": np.ones(2)}, {"w": np.zeros(2)}], {"w": np.zeros(2)}, ["w"])
    array([[1., 1.],
           [0., 0.]])
    """
    rows = [[(model[name].astype(np.float64) - current[name]).ravel() for name in names] for model in models]
    return np.stack([np.concatenate(row) for row in rows])


def dissimilarity(updates: ArrayLike, weights: ArrayLike) -> float:
    r"""Say how much updates cancel in their mean.

    .. math:: \sum_k w_k \lVert\Delta_k\rVert^2 \Big/ \Big\lVert\sum_k w_k \Delta_k\Big\rVert^2

    It is 1 where all are equal, n for n orthogonal ones of equal norm and weight, and infinite where they cancel.

    Parameters
    ----------
    updates, weights : array, (n, values) and (n,)
        The weights add up to 1.

    Returns
    -------
    float
        NaN where nobody moved.

    Raises
    ------
    ValueError
        Other shapes.

    Examples
    --------
    >>> dissimilarity([[1, 0], [0, 1]], [0.5, 0.5])
    2.0
    """
    rows, shares = _rows(updates), np.asarray(weights, np.float64)
    if shares.shape != rows.shape[:1]:
        raise ValueError(f"One weight for each of {len(rows)} updates is needed, got the shape {shares.shape}.")
    mean = shares @ rows
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(shares @ (rows * rows).sum(1) / (mean @ mean))


class Cosines(NamedTuple):
    """Mean cosines between the updates of two clients, NaN where there is no pair."""

    within: float  #: of the same group
    across: float  #: of two groups


def pairwise_cosines(updates: ArrayLike, groups: Sequence[object]) -> Cosines:
    """Compare the directions of updates by pairs, those within a group and those across groups apart.

    Parameters
    ----------
    updates : array, (n, values)
    groups : sequence of n
        For example the task that each client is at.

    Returns
    -------
    Cosines
        Pairs with a client that did not move are left out.

    Raises
    ------
    ValueError
        Other shapes, or another number of groups.

    Examples
    --------
    >>> pairwise_cosines([[1, 0], [2, 0], [0, 1]], "aab")
    Cosines(within=1.0, across=0.0)
    """
    rows = _rows(updates)
    if len(groups) != len(rows):
        raise ValueError(f"One group for each of {len(rows)} updates is needed, got {len(groups)}.")
    norms = np.linalg.norm(rows, axis=1)
    first, second = np.triu_indices(len(rows), 1)
    moved = (norms[first] > 0) & (norms[second] > 0)
    first, second = first[moved], second[moved]
    cosines = (rows @ rows.T)[first, second] / (norms[first] * norms[second])
    same = np.array([groups[i] == groups[j] for i, j in zip(first, second, strict=True)], bool)
    return Cosines(*(float(some.mean()) if len(some) else float("nan") for some in (cosines[same], cosines[~same])))


def model_deviation(model: Arrays, start: Arrays) -> float:
    r"""Return how far a model is from another.

    .. math:: \sum_a \frac{\lVert\theta_a - \theta^0_a\rVert}{1 + \lVert\theta^0_a\rVert}

    Source: the code of Venkatesha et al., arXiv 2106.06579. The start may hold more arrays; one that it does not hold
    is a KeyError.

    Parameters
    ----------
    model, start : dict of str to ndarray
        Of the same shapes.

    Returns
    -------
    float

    Examples
    --------
    >>> model_deviation({"w": np.array([3.0, 4.0])}, {"w": np.zeros(2)})
    5.0
    """
    norm = np.linalg.norm
    return float(sum(norm(array - start[name]) / (1 + norm(start[name])) for name, array in model.items()))


def _rows(updates: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(updates, np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"updates must have the shape (n, values), got {rows.shape}.")
    return rows
