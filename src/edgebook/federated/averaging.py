"""What a server does with the models of a round: average them, perhaps after their updates have become noisy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgebook.federated.checks import finite
from edgebook.federated.randomness import derived_rng
from edgebook.federated.records import Arrays, mismatch
from edgebook.federated.replies import EXAMPLES, Update, uncounted

Weighting = Literal["uniform", "samples"]
NoiseScale = Literal["relative", "absolute"]

# Running statistics are averaged, but get no noise and no step of an optimiser: a variance must not become negative.
STATISTICS = ("running_mean", "running_var")


def client_weights(updates: Sequence[Update], weighting: Weighting) -> list[float]:
    r"""Return the share of each client in the average.

    .. math:: w_k = \frac{1}{m} \quad\text{or}\quad w_k = \frac{n_k}{\sum_j n_j}

    Source: McMahan et al., arXiv 1602.05629, weigh by samples; the code of Venkatesha et al., arXiv 2106.06579,
    weighs all clients alike. An unknown weighting, no update, and numbers of examples that are missing, not above
    zero or too large to be counted are ValueErrors.
    """
    if weighting not in get_args(Weighting):
        raise ValueError(f"weighting must be one of {', '.join(get_args(Weighting))}, got {weighting!r}.")
    if not updates:
        raise ValueError("An average needs at least one client.")
    if weighting == "uniform":
        return [1 / len(updates)] * len(updates)
    for update in updates:
        if problem := uncounted(update.metrics):
            raise ValueError(f"Client {update.client} {problem}.")
    counts = [update.metrics[EXAMPLES] for update in updates]
    return [float(count) / sum(counts) for count in counts]


def average(models: Sequence[Arrays], weights: Sequence[float], current: Arrays) -> Arrays:
    r"""Average models array by array, in double precision and in the order given.

    .. math:: \bar\theta = \sum_k w_k \theta_k

    Parameters
    ----------
    models, weights : sequence of dict of str to ndarray, sequence of float
        Of the same names and shapes; one weight each.
    current : dict of str to ndarray
        The server's model: its integer arrays, such as counters of batches, stay as they are, and its types are kept.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        No model, another number of weights, or a model with other names, shapes or types than the current one, or
        with other integers in an array with axes.
    """
    if not models or len(models) != len(weights):
        raise ValueError(f"An average needs models with one weight each, got {len(models)} and {len(weights)}.")
    for number, model in enumerate(models):
        if problem := mismatch(model, current):
            raise ValueError(f"Model {number} is no version of the current one: {problem}.")

    def mean(name: str, array: NDArray) -> NDArray:
        total = np.zeros(array.shape, np.complex128 if array.dtype.kind == "c" else np.float64)
        for w, model in zip(weights, models, strict=True):
            total += w * model[name].astype(total.dtype)
        return total.astype(array.dtype)

    return {name: mean(name, array) if array.dtype.kind in "fc" else array.copy() for name, array in current.items()}


def average_metrics(updates: Sequence[Update], weights: Sequence[float]) -> dict[str, float]:
    """Average the numbers that all clients report, but for the number of examples, which is added up."""
    reports = [update.metrics for update in updates]
    shared = [name for name in reports[0] if all(isinstance(one.get(name), int | float) for one in reports)]
    means = {name: float(sum(w * one[name] for w, one in zip(weights, reports, strict=True))) for name in shared}
    if EXAMPLES in means:
        means[EXAMPLES] = float(sum(one[EXAMPLES] for one in reports))
    return means


def noisy_updates(
    updates: Sequence[Update],
    current: Arrays,
    sigma: float,
    *,
    seed: int,
    server_round: int,
    scale: NoiseScale = "relative",
) -> list[Update]:
    r"""Add Gaussian noise to what each client sends, running statistics excepted.

    .. math:: \tilde\theta_k = \theta_k + \sigma\, s_k\, \varepsilon, \qquad
        s_k = \tfrac{1}{d} \lVert \theta_k - \theta \rVert_1 \ \text{(relative)} \quad\text{or}\quad s_k = 1

    with :math:`d` the number of values of each array, one :math:`s_k` for each array.
    Source: the code of Venkatesha et al., arXiv 2106.06579, which has the relative scale and spares nothing.

    Here :math:`\theta` is the model that was sent. A sigma of 0 changes nothing; a negative one, an unknown scale and
    complex arrays, whose noise would need a convention, are ValueErrors. Each client has its own noise.
    """
    if finite("The noise of updates", sigma) < 0:
        raise ValueError(f"The noise of updates must be at least 0, got {sigma}.")
    if scale not in get_args(NoiseScale):
        raise ValueError(f"The scale of noise must be one of {', '.join(get_args(NoiseScale))}, got {scale!r}.")
    if sigma == 0:
        return list(updates)
    noisy = []
    for update in updates:
        rng = derived_rng(seed, "noise", server_round, update.client)
        arrays = {}
        for name, array in update.arrays.items():
            if array.dtype.kind == "c":
                raise ValueError(f"Noise is added to real arrays alone, and '{name}' is {array.dtype}.")
            if array.dtype.kind == "f" and array.size and not name.endswith(STATISTICS):
                unit = np.abs(array - current[name]).mean() if scale == "relative" else 1.0
                array = (array + sigma * float(unit) * rng.standard_normal(array.shape)).astype(array.dtype)
            arrays[name] = array
        noisy.append(update._replace(arrays=arrays))
    return noisy
