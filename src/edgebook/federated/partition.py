"""Who holds which samples: partitions of a labelled set among clients.

`iid` and `balanced_dirichlet` need nothing but NumPy; `flower_partition` puts any partitioner of Flower Datasets to
use, of which `dirichlet` and `shards` are the usual ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebook.federated.checks import classes, finite
from edgebook.measure.arguments import whole

if TYPE_CHECKING:
    from flwr_datasets.partitioner import Partitioner

Partition = list[NDArray[np.int64]]
TRIES = 1000


def iid(samples: int, clients: int, *, seed: int = 0) -> Partition:
    """Deal samples out at random, in equal shares up to one.

    Parameters
    ----------
    samples, clients, seed : int
        Numbers of both, and what decides who gets what.

    Returns
    -------
    list of ndarray of int
        For each client the sorted positions of its samples.

    Raises
    ------
    ValueError
        More clients than samples, or no client.
    """
    clients, _ = _check(samples, clients, 1, seed)
    return [np.sort(part) for part in np.array_split(np.random.default_rng(seed).permutation(samples), clients)]


def balanced_dirichlet(
    labels: ArrayLike, clients: int, alpha: float, *, seed: int = 0, at_least: int = 10
) -> Partition:
    r"""Skew the labels of clients, and keep their sizes about equal.

    Class by class, :math:`p \sim \mathrm{Dir}(\alpha \mathbf 1_K)`; clients that hold :math:`N / K` samples already
    get none, and the class is cut at the cumulative sums of what is left of :math:`p`, normalised again. All of it is
    repeated until each client has the smallest number.
    Source: the code of Venkatesha et al., arXiv 2106.06579.

    Parameters
    ----------
    labels : array, (N,)
        Class of each sample, whole numbers or words.
    clients, seed, at_least : int
        Number of clients K, what decides the draws, and the smallest number of samples of a client.
    alpha : float
        Concentration, above zero: small for few classes per client.

    Returns
    -------
    list of ndarray of int
        As for `iid`.

    Raises
    ------
    ValueError, TypeError
        Labels that are one-hot or fractions, numbers that allow no partition, or none was found in a thousand tries.
    """
    labels = classes(labels)
    clients, at_least = _check(len(labels), clients, at_least, seed)
    alpha = finite("alpha", alpha, above=0)
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        parts = _balanced_draw(labels, clients, alpha, rng)
        if min(map(len, parts)) >= at_least:
            return [np.sort(part) for part in parts]
    raise ValueError(
        f"No partition of {len(labels)} samples among {clients} clients with at least {at_least} each was found at "
        f"alpha = {alpha}; ask for fewer clients, fewer samples each or a larger alpha."
    )


def _balanced_draw(labels: NDArray, clients: int, alpha: float, rng: np.random.Generator) -> Partition:
    parts: list[NDArray] = [np.empty(0, np.int64)] * clients
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(clients, alpha))
        open_ = np.array([len(part) < len(labels) / clients for part in parts])
        shares = np.where(open_, shares, 0.0)
        # All of a tiny Dirichlet draw can fall on clients that are full.
        shares = shares / shares.sum() if shares.sum() > 0 else open_ / open_.sum()
        cuts = (np.cumsum(shares)[:-1] * len(members)).astype(int)
        parts = [np.concatenate(pair) for pair in zip(parts, np.split(members, cuts), strict=True)]
    return parts


def dirichlet(labels: ArrayLike, clients: int, alpha: float, *, seed: int = 0, at_least: int = 10) -> Partition:
    """Skew the labels of clients by Flower's Dirichlet partitioner, sizes as they come.

    Parameters
    ----------
    labels, clients, alpha, seed
        As for `balanced_dirichlet`.
    at_least : int
        Smallest number of samples of a client; Flower gives up after ten tries.

    Returns
    -------
    list of ndarray of int
        As for `iid`.

    Raises
    ------
    ValueError, TypeError
        As for `balanced_dirichlet`.

    Examples
    --------
    >>> parts = dirichlet([0, 1] * 50, 4, 1.0)
    >>> sum(map(len, parts))
    100
    """
    from flwr_datasets.partitioner import DirichletPartitioner

    clients, at_least = _check(len(labels := classes(labels)), clients, at_least, seed)
    alpha = finite("alpha", alpha, above=0)
    return flower_partition(labels, DirichletPartitioner(clients, "label", alpha, at_least, seed=int(seed)))


def shards(labels: ArrayLike, clients: int, shards_each: int, *, seed: int = 0) -> Partition:
    """Sort by label, cut into equal shards and deal them out, by Flower's shard partitioner.

    Source: McMahan et al., arXiv 1602.05629, with two shards each.

    Parameters
    ----------
    labels, clients, seed
        As for `balanced_dirichlet`.
    shards_each : int
        Shards of a client.

    Returns
    -------
    list of ndarray of int
        As for `iid`.

    Raises
    ------
    ValueError, TypeError
        Labels that are one-hot or fractions, or more shards than samples.

    Examples
    --------
    >>> [len(part) for part in shards([0, 1] * 50, 5, 2)]
    [20, 20, 20, 20, 20]
    """
    from flwr_datasets.partitioner import ShardPartitioner

    clients, shards_each = _check(len(labels := classes(labels)), clients, shards_each, seed)
    return flower_partition(labels, ShardPartitioner(clients, "label", shards_each, seed=int(seed)))


def flower_partition(labels: ArrayLike, partitioner: Partitioner) -> Partition:
    """Let a partitioner of Flower Datasets divide a set of labels.

    Parameters
    ----------
    labels : array, (N,)
        Class of each sample, whole numbers or words; the partitioner sees a column named "label".
    partitioner : flwr_datasets.partitioner.Partitioner
        Not yet given a set.

    Returns
    -------
    list of ndarray of int
        As for `iid`.

    Raises
    ------
    ValueError
        Labels that are one-hot or fractions.

    Examples
    --------
    >>> from flwr_datasets.partitioner import PathologicalPartitioner
    >>> parts = flower_partition([0, 1, 2, 3] * 5, PathologicalPartitioner(4, "label", num_classes_per_partition=1))
    >>> parts[0].tolist()  # all samples of one label
    [0, 4, 8, 12, 16]
    """
    import warnings

    from datasets import Dataset

    labels = classes(labels)
    partitioner.dataset = Dataset.from_dict({"label": labels.tolist(), "position": list(range(len(labels)))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Flower warns at each try; the last failure is an error
        parts = [partitioner.load_partition(k)["position"] for k in range(partitioner.num_partitions)]
    return [np.sort(np.asarray(part, np.int64)) for part in parts]


def _check(samples: int, clients: int, at_least: int, seed: int) -> tuple[int, int]:
    """Return clients and samples of each as Python's numbers, if so many samples can be shared among them."""
    whole("seed", seed, least=0)
    samples, clients, at_least = (
        whole(name, value, None) for name, value in (("samples", samples), ("clients", clients), ("at_least", at_least))
    )
    if clients < 1 or at_least < 0 or samples < clients * max(at_least, 1):
        raise ValueError(f"{clients} clients with at least {at_least} samples each cannot share {samples} samples.")
    return clients, at_least
