r"""What a chip does to weights: how much of it is a gain, and how much no gain can undo.

All weights, each layer divided by its largest, are points (ideal, actual) in a plane. The second principal component of
that cloud carries the share PC2 of its variance. Points on a line, whatever its slope, have PC2 = 0; independent
relative noise :math:`\sigma` has :math:`\sigma^2 / (2 + \sigma^2)^2` and a little more.

Source: Bhattacharjee et al., arXiv 2305.18416, where batch norm alone is said to suffice up to about 0.01. The
definition is a reconstruction that gives the values reported there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgebook.crossbar.layers import crossbar_layers
from edgebook.crossbar.plain import weight_of


class Distortion(NamedTuple):
    """Actual against ideal weights: the line of least squares, and what lies off it."""

    slope: float
    intercept: float
    r_squared: float  #: share of the variance of the actual weights on that line, 0 to 1
    pc2: float  #: share of variance along the second principal component, 0 to 0.5


def weight_distortion(ideal: Sequence[Tensor], actual: Sequence[Tensor]) -> Distortion:
    """Compare the weights of one or several layers, each divided by the largest ideal weight of its layer.

    Parameters
    ----------
    ideal, actual : sequence of Tensor, one of each for every layer, of the same shape

    Returns
    -------
    Distortion

    Raises
    ------
    ValueError
        Layers that do not fit each other, a layer of zeros, weights without variance, complex or not finite.

    Examples
    --------
    >>> weight_distortion([torch.tensor([2.0, -2.0])], [torch.tensor([1.0, -1.0])])  # a gain, and nothing else
    Distortion(slope=0.5, intercept=0.0, r_squared=1.0, pc2=0.0)
    """
    if len(ideal) != len(actual) or not ideal or any(a.shape != b.shape for a, b in zip(ideal, actual, strict=True)):
        raise ValueError("Ideal and actual weights must be as many layers, at least one, of the same shapes.")
    for k, one in enumerate([*ideal, *actual]):
        if one.is_complex() or not torch.isfinite(one).all():
            raise ValueError(f"Layer {k % len(ideal)} has weights that are complex or not finite.")
    largest = [float(one.detach().abs().max()) if one.numel() else 0.0 for one in ideal]
    if min(largest) == 0:
        raise ValueError(f"Layer {largest.index(0.0)} has no ideal weight other than 0.")
    x, y = (
        torch.cat([one.detach().double().flatten() / most for one, most in zip(layers, largest, strict=True)])
        for layers in (ideal, actual)
    )
    x_mean, y_mean = x.mean(), y.mean()
    x, y = x - x_mean, y - y_mean
    xx, xy, yy = (float((a * b).mean()) for a, b in ((x, x), (x, y), (y, y)))
    if xx == 0:
        raise ValueError("Ideal weights that are all equal have no distortion that could be measured.")
    residual = float((y - x * (xy / xx)).square().mean())  # not yy - xy^2 / xx, which cancels where noise is small
    larger = (xx + yy + ((xx - yy) ** 2 + 4 * xy**2) ** 0.5) / 2
    smaller = xx * residual / larger  # the determinant is the product of both
    slope = xy / xx
    return Distortion(
        slope, float(y_mean - slope * x_mean), 1 - residual / yy if yy > 0 else 1.0, smaller / (larger + smaller)
    )


def weight_pairs(model: nn.Module, mapped: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Return ideal weights and those that one read of the chip finds, layer by layer.

    Parameters
    ----------
    model : torch.nn.Module, the plain network
    mapped : torch.nn.Module, the same on a chip; one read is used up

    Returns
    -------
    dict of str to (Tensor, Tensor), ideal and actual weight by name of the layer, without gradients

    Raises
    ------
    ValueError
        No layer is on a crossbar, or one has no counterpart of its shape.
    """
    plain, pairs = dict(model.named_modules()), {}
    for name, layer in crossbar_layers(mapped).items():
        ideal = weight_of(plain[name]) if name in plain else None
        if ideal is None or ideal.shape != layer.weight.shape:
            raise ValueError(f"The plain network has no counterpart of layer {name!r}.")
        pairs[name] = ideal, layer.read_weight().detach()
    if not pairs:
        raise ValueError("The mapped network has no layer on a crossbar.")
    return pairs
