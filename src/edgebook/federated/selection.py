"""Whom a server chooses of the clients that it has asked: those that lose most, gain most, or cover most heads."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from edgebook.measure.arguments import whole

Selection = Literal["loss", "gap", "cover"]


def choose(kind: Selection, told: ArrayLike, count: int) -> list[int]:
    r"""Choose clients by what they have told.

    "Cover" adds one client at a time, the one that raises :math:`\sum_h \max_{k \in S} I_{kh}` most, so that each
    important head has a client that finds it important; the sum is at least :math:`1 - 1/e` of the largest possible.
    Sources: Cho et al., *Power-of-Choice*, arXiv 2010.01243, for the loss; Nemhauser et al., *An Analysis of
    Approximations for Maximizing Submodular Set Functions*, 1978, for the bound.

    Parameters
    ----------
    kind : {"loss", "gap", "cover"}
        The greatest loss, the greatest gap between it and that after training, or importance of heads.
    told : array-like, (clients,) or for "cover" (clients, heads)
        Losses, gaps, or scores of at least 0, where NaN counts as 0.
    count : int
        How many are chosen.

    Returns
    -------
    list of int
        In the order in which they were chosen; of equal ones the first.

    Raises
    ------
    ValueError
        An unknown kind, what is told in another shape, NaN or negative scores, or more clients than there are.

    Examples
    --------
    >>> choose("loss", [0.2, 0.9, 0.5], 2)
    [1, 2]
    >>> choose("cover", [[0.9, 0.0], [0.8, 0.1], [0.0, 0.5]], 2)
    [0, 2]
    """
    values = np.asarray(told, np.float64)
    if kind not in get_args(Selection) or values.ndim != 1 + (kind == "cover"):
        raise ValueError(f"{', '.join(get_args(Selection))} can be asked, got {kind!r} with the shape {values.shape}.")
    count = whole("count", count, 0, len(values))
    if kind != "cover":
        if np.isnan(values).any():
            raise ValueError(f"A {kind} is a number, got {values.tolist()}.")
        return np.argsort(-values, kind="stable")[:count].tolist()
    scores = np.nan_to_num(values)
    if (scores < 0).any():
        raise ValueError("Scores of heads must be at least 0.")
    chosen: list[int] = []
    covered = np.zeros(scores.shape[1])
    for _ in range(count):
        gains = np.maximum(scores, covered).sum(1)  # (clients,)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, scores[chosen[-1]])
    return chosen
