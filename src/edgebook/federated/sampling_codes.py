"""Which paths of a supernet each client gets: masks as words of a code, far apart or around a centre.

Masks are bool (K, N): one row for each client, one column for each path. Two masks are as far apart as the number of
paths in which they differ; between masks of equal weight, their number of paths, that is even.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import hadamard

from edgebook.federated.checks import finite
from edgebook.measure.arguments import whole

Masks = NDArray[np.bool_]
DistanceShape = Literal["linear", "cosine"]
TRIES = 50  # draws of a whole ball before the one whose masks are farthest apart is taken


def hadamard_masks(count: int, paths: int, *, seed: int) -> Masks:
    """Return rows of a Hadamard matrix: half of the paths each, any two half of all paths apart, or all of them.

    The row of ones is left out. The seed orders rows and paths and turns each row over or leaves it, since the matrix
    itself has its first path in all rows, and four paths that follow each other never one or three times; none of this
    changes a distance. Where rows do not suffice their complements follow, as far as can be from their own row.

    Parameters
    ----------
    count, paths, seed : int
        Masks, at most 2 (N - 1); paths N, a power of two.

    Returns
    -------
    ndarray of bool, (K, N)

    Raises
    ------
    ValueError
        A number of paths that is no power of two above 1, or more masks than there are.

    Examples
    --------
    >>> pairwise_distances(hadamard_masks(3, 8, seed=0))
    array([4, 4, 4])
    """
    paths = whole("paths", paths, least=2)
    if paths & (paths - 1):
        raise ValueError(f"Hadamard masks need a power of two of paths, got {paths}.")
    count = whole("count", count, 1, 2 * (paths - 1))
    rng = np.random.default_rng(whole("seed", seed, least=0))
    rows = rng.permutation(hadamard(paths)[1:] > 0)[:, rng.permutation(paths)]
    rows = rows ^ (rng.random((len(rows), 1)) < 0.5)
    return np.concatenate([rows, ~rows])[:count]


def path_masks(count: int, paths: int, weight: int, *, seed: int) -> Masks:
    """Draw masks of equal weight at random, independently.

    Parameters
    ----------
    count, paths, weight, seed : int
        Masks K, paths N, and how many of them each mask holds.

    Returns
    -------
    ndarray of bool, (K, N)

    Examples
    --------
    >>> path_masks(3, 8, 4, seed=0).sum(1)
    array([4, 4, 4])
    """
    count, paths, weight = _numbers(count, paths, weight)
    rng = np.random.default_rng(whole("seed", seed, least=0))
    return rng.random((count, paths)).argsort(1) < weight


def spread_masks(count: int, paths: int, weight: int, *, seed: int, candidates: int = 60) -> Masks:
    """Draw masks far apart: each is the farthest from those before it, by its nearest, of so many draws.

    Parameters
    ----------
    count, paths, weight, seed : int
        As in `path_masks`.
    candidates : int
        Draws for each mask.

    Returns
    -------
    ndarray of bool, (K, N)

    Examples
    --------
    >>> pairwise_distances(spread_masks(2, 8, 4, seed=0))
    array([6])
    """
    count, paths, weight = _numbers(count, paths, weight)
    drawn = path_masks(count * whole("candidates", candidates), paths, weight, seed=seed)
    chosen = drawn[:1]
    for tried in np.split(drawn, count)[1:]:
        nearest = (tried[:, None] != chosen).sum(2).min(1)
        chosen = np.concatenate([chosen, tried[[nearest.argmax()]]])
    return chosen


def ball_masks(centre: ArrayLike, distance: float, count: int, *, seed: int) -> Masks:
    """Draw masks around a centre, of its weight, so that two of them are about a distance apart.

    Each drops a quarter of the distance, rounded down, of the centre's paths and takes as many others, at most all;
    of 50 draws, the first is taken whose masks are at least three quarters of the distance apart, else the best.

    Parameters
    ----------
    centre : array of bool, (N,)
    distance : float
        At least 0; below 4 all masks are the centre.
    count, seed : int

    Returns
    -------
    ndarray of bool, (K, N)

    Examples
    --------
    >>> centre = np.arange(8) < 4
    >>> (ball_masks(centre, 4, 3, seed=0) != centre).sum(1)
    array([2, 2, 2])
    """
    middle, count = np.asarray(centre, bool), whole("count", count)
    if middle.ndim != 1 or finite("distance", distance) < 0:
        raise ValueError(f"A centre (N,) and a distance of at least 0 are needed, got {middle.shape} and {distance}.")
    rng = np.random.default_rng(whole("seed", seed, least=0))
    swaps = min(int(distance // 4), int(middle.sum()), int((~middle).sum()))
    best, best_apart = np.tile(middle, (count, 1)), -1
    for _ in range(TRIES if swaps else 0):
        places = rng.random((count, len(middle)))
        rank = [np.where(side, places, 2).argsort(1).argsort(1) for side in (middle, ~middle)]  # within each side
        masks = middle ^ ((rank[0] < swaps) & middle) ^ ((rank[1] < swaps) & ~middle)
        apart = int(pairwise_distances(masks).min(initial=len(middle)))
        if apart > best_apart:
            best, best_apart = masks, apart
        if apart >= 0.75 * distance:
            break
    return best


def path_credit(credit: ArrayLike, masks: ArrayLike, scores: ArrayLike, *, decay: float = 0.9) -> NDArray[np.float64]:
    """Move each path's credit towards the mean score of the masks that hold it; one that none holds keeps its own.

    Parameters
    ----------
    credit, masks, scores : array, (N,), (K, N) and (K,)
        NaN is the credit of a path that no mask has held so far: it takes its first mean whole.
    decay : float
        Share of the old credit, in [0, 1).

    Returns
    -------
    ndarray of float, (N,)

    Examples
    --------
    >>> path_credit([np.nan, 50.0, 50.0], [[True, True, False]], [60.0])
    array([60., 51., 50.])
    """
    old, held, told = np.asarray(credit, float), np.asarray(masks, bool), np.asarray(scores, float)
    if held.shape != told.shape + old.shape or not 0 <= finite("decay", decay) < 1:
        raise ValueError(
            f"Credit (N,), masks (K, N), scores (K,) and a decay from 0 to 1, 1 excluded, are needed, got {old.shape}, "
            f"{held.shape}, {told.shape} and {decay}."
        )
    times = held.sum(0)
    mean = np.divide(told @ held, times, out=np.full(old.shape, np.nan), where=times > 0)
    moved = np.where(np.isnan(old), mean, decay * old + (1 - decay) * mean)
    return np.where(times > 0, moved, old)


def centre_of(credit: ArrayLike, weight: int, cells: int) -> Masks:
    """Return the mask of the paths of most credit, at least one in each cell; equal and unknown ones by their place.

    Parameters
    ----------
    credit : array, (N,)
        Of each path, cell by cell; NaN where it is not known.
    weight, cells : int
        Paths of the mask, and cells that share the N paths equally.

    Returns
    -------
    ndarray of bool, (N,)

    Examples
    --------
    >>> centre_of([5.0, 4.0, 1.0, 2.0], 2, cells=2)
    array([ True, False, False,  True])
    """
    told = np.nan_to_num(np.asarray(credit, float), nan=-np.inf)
    cells, weight = whole("cells", cells), whole("weight", weight, cells, len(told))
    if len(told) % cells:
        raise ValueError(f"{len(told)} paths do not divide into {cells} cells.")
    best = told.reshape(cells, -1).argmax(1) + np.arange(cells) * (len(told) // cells)
    mask = np.zeros(len(told), bool)
    mask[best] = True
    others = [path for path in np.argsort(-told, kind="stable") if not mask[path]]
    mask[others[: weight - cells]] = True
    return mask


def distance_at(server_round: int, rounds: int, far: float, near: float, shape: DistanceShape = "linear") -> float:
    """Return how far apart masks are in a round: from the first, `far`, to the last, `near`, which may be farther.

    Parameters
    ----------
    server_round, rounds : int
        Number of the round, from 1, and of all rounds.
    far, near : float
        Distances in the first and in the last round.
    shape : {"linear", "cosine"}

    Returns
    -------
    float

    Examples
    --------
    >>> [distance_at(number, 5, far=8, near=0) for number in (1, 3, 5)]
    [8.0, 4.0, 0.0]
    """
    rounds = whole("rounds", rounds)
    done = (whole("server_round", server_round, 1, rounds) - 1) / max(rounds - 1, 1)
    if shape not in get_args(DistanceShape):
        raise ValueError(f"shape must be one of {', '.join(get_args(DistanceShape))}, got {shape!r}.")
    left = 1 - done if shape == "linear" else (1 + np.cos(np.pi * done)) / 2
    return float(near + (far - near) * left)


def pairwise_distances(masks: ArrayLike) -> NDArray[np.int64]:
    """Return the distances of all pairs of masks.

    Parameters
    ----------
    masks : array of bool, (K, N)

    Returns
    -------
    ndarray of int, (K (K - 1) / 2,)
    """
    held = np.asarray(masks, bool)
    first, second = np.triu_indices(len(held), 1)
    return (held[first] != held[second]).sum(1)


def plotkin_bound(count: int, paths: int) -> float:
    """Return what the mean distance of so many masks, and so the smallest, cannot exceed.

    Parameters
    ----------
    count, paths : int
        Masks, at least 2, and paths.

    Returns
    -------
    float

    Examples
    --------
    >>> plotkin_bound(8, 16)  # N K / (2 (K - 1)) for an even K
    9.142857142857142
    """
    count, paths = whole("count", count, least=2), whole("paths", paths)
    return paths * (count // 2) * ((count + 1) // 2) / (count * (count - 1) / 2)


def _numbers(count: int, paths: int, weight: int) -> tuple[int, int, int]:
    paths = whole("paths", paths)
    return whole("count", count), paths, whole("weight", weight, 0, paths)
