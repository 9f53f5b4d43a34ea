r"""How much the prediction after the first steps depends on the weights: the trace of the Fisher information.

A network gives logits :math:`o_1, \dots, o_T`, one per step, and is read out after `t` steps by their mean
:math:`z_t = \frac{1}{t} \sum_{i \le t} o_i`, not by the logit of step `t` alone.
With :math:`p_t = \mathrm{softmax}(z_t)`, the gradient of :math:`-\log p_t(y)` by the logits is :math:`p_t - e_y`, so
that one forward pass per sample serves every horizon and every label.

Source: Kim et al., *Exploring Temporal Information Dynamics in Spiking Neural Networks*, arXiv 2211.14406.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgebook.measure.arguments import whole
from edgebook.spiking.gradients import Method, batch_squared_norms, check, squared_norms


def empirical_fisher(
    network: nn.Module, images: Tensor, labels: Tensor, *, chunk: int = 32, method: Method = "auto"
) -> Tensor:
    r"""Trace of the empirical Fisher information at every horizon: the labels are those of the data.

    .. math:: I_t = \frac{1}{N} \sum_n \lVert \nabla_\theta \log p_t(y_n \mid x_n) \rVert^2

    It vanishes where the network fits its labels, on training images sooner than on others.

    Parameters
    ----------
    network : torch.nn.Module
        Images (B, ...) to logits (T, B, classes), in evaluation mode, each sample on its own and without memory from
        one call to the next; all its parameters that require a gradient count.
    images : Tensor, (N, ...), at least one image, on the device of the network
    labels : Tensor, (N,), integers from 0 up
    chunk : int, samples whose gradients are in memory together; the result does not depend on it
    method : {"auto", "vmap", "loop"}
        One gradient mapped over a chunk, or sample by sample, with the same result; "auto" maps where PyTorch can.

    Returns
    -------
    Tensor, (T,), :math:`I_1, \dots, I_T` in float64

    Raises
    ------
    ValueError
        A network in training mode or with nothing to learn, outputs or labels that do not fit, or an empty chunk.
    """
    check(network, images, labels)
    return squared_norms(network, images, labels.to(images.device), _given, chunk, method).mean(0)


def true_fisher(
    network: nn.Module,
    images: Tensor,
    generator: torch.Generator | None,
    *,
    draws: int = 1,
    chunk: int = 32,
    method: Method = "auto",
) -> Tensor:
    r"""Trace of the true Fisher information at every horizon: the labels are those that the network expects.

    .. math:: I_t = \frac{1}{N} \sum_n \mathrm{E}_{y \sim p_t(\cdot \mid x_n)}
        \lVert \nabla_\theta \log p_t(y \mid x_n) \rVert^2

    Labels of one draw share one random number over all horizons, so that curves vary less. A confident network rarely
    draws the labels that matter; the exact expectation costs as many backward passes as there are classes.

    Parameters
    ----------
    network, images, chunk, method : as in `empirical_fisher`
    generator : torch.Generator or None, where the labels come from; None for the exact expectation over all labels
    draws : int, labels drawn per image and horizon, at least 1; without meaning for the exact expectation

    Returns
    -------
    Tensor, (T,), :math:`I_1, \dots, I_T` in float64

    Raises
    ------
    ValueError
        As in `empirical_fisher`, or fewer than one draw.
    """
    check(network, images)
    draws = whole("draws", draws)
    if generator is None:
        nothing = images.new_empty(len(images), 0)
        return squared_norms(network, images, nothing, _expected, chunk, method).mean(0)
    shape, device = (len(images), draws), generator.device
    chances = torch.rand(shape, generator=generator, device=device, dtype=torch.float64).to(images.device)
    return squared_norms(network, images, chances, _drawn, chunk, method).mean(0)


def batch_squared_fisher(network: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 16) -> Tensor:
    r"""Squared norm of the mean gradient of a mini-batch: a biased shortcut, for comparison only.

    .. math:: \frac{1}{M} \sum_m \Big\lVert \frac{1}{|B_m|} \sum_{n \in B_m}
        \nabla_\theta \log p_t(y_n \mid x_n) \Big\rVert^2

    This is what the released code of the paper computes, with batches of 16. Gradients cancel before they are squared:
    it lies below `empirical_fisher` by a factor from 1, where they agree, to about the batch size, where they point
    every way, and that factor changes with the horizon.

    Parameters
    ----------
    network, images, labels : as in `empirical_fisher`
    batch_size : int, images per mini-batch, taken in the order given; it must divide their number

    Returns
    -------
    Tensor, (T,), the mean over mini-batches in float64

    Raises
    ------
    ValueError
        As in `empirical_fisher`, or a batch size that does not divide the number of images.
    """
    check(network, images, labels)
    batch_size = whole("batch_size", batch_size, None)
    if batch_size < 1 or len(images) % batch_size:
        raise ValueError(f"batch_size must divide the number of images, got {batch_size} for {len(images)}.")
    batches = zip(images.split(batch_size), labels.to(images.device).split(batch_size), strict=True)
    return torch.stack([batch_squared_norms(network, x, y, _given) for x, y in batches]).mean(0)


def information_centroid(traces: Tensor) -> float:
    r"""Step around which the information lies, :math:`\sum_t t I_t / \sum_t I_t`.

    Parameters
    ----------
    traces : Tensor, (T,), Fisher traces per horizon, none below zero

    Returns
    -------
    float, between 1, all information in the first step, and T; a flat profile gives (T + 1) / 2

    Raises
    ------
    ValueError
        Traces of another shape, not finite, below zero, or all zero.

    Examples
    --------
    >>> information_centroid(torch.tensor([3.0, 1.0]))
    1.25
    """
    if traces.ndim != 1 or not len(traces):
        raise ValueError(f"traces need one axis of at least one step, got the shape {tuple(traces.shape)}.")
    values = traces.detach().double()
    if not bool((values.isfinite() & (values >= 0)).all()):
        raise ValueError("traces must be finite and not below 0.")
    largest = values.max()
    if largest == 0:
        raise ValueError("Traces that are all zero have no centroid.")
    shares = values / largest  # neither overflows nor underflows
    steps = torch.arange(1, len(values) + 1, dtype=torch.float64, device=values.device)
    return float((steps * shares).sum() / shares.sum())


def _residual(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of -log p(label) by the logits; in float64, for 1 - p of a confident network is small."""
    return logits.double().softmax(-1) - nn.functional.one_hot(labels.long(), logits.shape[-1])


def _given(logits: Tensor, labels: Tensor) -> Tensor:
    """For the labels of the data, (1, T, ..., classes)."""
    return _residual(logits, labels).unsqueeze(0).to(logits.dtype)


def _drawn(logits: Tensor, chances: Tensor) -> Tensor:
    """For labels drawn at every horizon, each weighted alike: (draws, T, classes)."""
    edges = logits.double().softmax(-1).cumsum(-1)[..., :-1]  # the last class takes what rounding leaves
    labels = (chances[:, None, None] >= edges).sum(-1)  # (draws, T): a chance serves all horizons
    return (_residual(logits, labels) / len(chances) ** 0.5).to(logits.dtype)


def _expected(logits: Tensor, _: Tensor) -> Tensor:
    """For every label, weighted by its probability: (classes, T, classes)."""
    p = logits.double().softmax(-1)
    labels = torch.arange(p.shape[-1], device=p.device).unsqueeze(-1)  # (classes, 1), against all T
    return (p.T.sqrt().unsqueeze(-1) * _residual(logits, labels)).to(logits.dtype)
