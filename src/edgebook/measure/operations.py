"""What a network costs: parameters, multiply-accumulates, and the training that led to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class LayerCost(NamedTuple):
    """Cost of one convolution or linear layer for one input."""

    macs: int  #: multiply-accumulates; biases and normalisation are not counted
    weights: int  #: without biases
    inputs: int  #: values read, channels times positions
    outputs: int  #: values written


def layer_costs(model: nn.Module, shape: Sequence[int]) -> dict[str, LayerCost]:
    """Count each convolution and linear layer of a network for one input.

    Parameters
    ----------
    model : torch.nn.Module, on any device; "meta" makes it free of arithmetic
    shape : sequence of int, shape (C, H, W) of one input

    Returns
    -------
    dict of str to LayerCost
        In the order of execution. For a convolution with kernel k, groups g and output (C_out, H, W):
        MACs = C_out H W C_in k^2 / g. A layer that is used twice counts twice.

    Examples
    --------
    >>> layer_costs(nn.Sequential(nn.Flatten(), nn.Linear(12, 10)), (3, 2, 2))
    {'1': LayerCost(macs=120, weights=120, inputs=12, outputs=10)}
    """
    found: dict[str, LayerCost] = {}

    def count(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.weight  # (C_out, C_in / g, k, k) or (out, in): MACs per output value = weight[0].numel()
        cost = LayerCost(output.numel() * weight[0].numel(), weight.numel(), inputs[0].numel(), output.numel())
        before = found.get(name)
        # Used again: only its work counts again.
        found[name] = cost if before is None else cost._replace(macs=before.macs + cost.macs)

    handles = [
        layer.register_forward_hook(lambda m, i, o, name=name: count(name, m, i, o))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    was_training = model.training
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *shape, device=device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return found


def count_macs(model: nn.Module, shape: Sequence[int]) -> int:
    """Count the multiply-accumulates of all convolutions and linear layers for one input.

    Parameters
    ----------
    model : torch.nn.Module
    shape : sequence of int, shape (C, H, W) of one input

    Returns
    -------
    int, MACs, the sum of `layer_costs`

    Examples
    --------
    >>> count_macs(nn.Conv2d(3, 8, 3), (3, 4, 4))  # 2 x 2 positions, 8 channels, 27 products each
    864
    """
    return sum(cost.macs for cost in layer_costs(model, shape).values())


def count_parameters(model: nn.Module) -> int:
    """Count the trainable values of a network, biases and normalisation included.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    int, parameters that require a gradient

    Examples
    --------
    >>> count_parameters(nn.Linear(12, 10))
    130
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class Phase(NamedTuple):
    """A stretch of training: the MACs of the network that was trained, and for how many epochs."""

    macs: float
    epochs: float


def training_complexity(phases: Sequence[Phase], baseline: Phase) -> float:
    r"""MAC-weighted epochs of a training, relative to a baseline.

    .. math:: \mathrm{TC} = \frac{\sum_i \mathrm{MAC}_i\, e_i}{\mathrm{MAC}_0\, e_0}

    A backward pass costs a fixed multiple of the forward pass, so it cancels. Source: arXiv 2002.02949 (as
    reconstructed from its abstract).

    Parameters
    ----------
    phases : sequence of Phase, the whole training, the last phase included
    baseline : Phase, the unpruned network and its epochs

    Returns
    -------
    float, TC; 1 is what the baseline costs

    Raises
    ------
    ValueError
        A negative count, or a baseline that costs nothing.

    Examples
    --------
    >>> training_complexity([Phase(1e6, 10), Phase(2e5, 50)], baseline=Phase(1e6, 100))
    0.2
    """
    if any(phase.macs < 0 or phase.epochs < 0 for phase in phases) or baseline.macs * baseline.epochs <= 0:
        raise ValueError("MACs and epochs must not be negative, and those of the baseline must be positive.")
    return sum(phase.macs * phase.epochs for phase in phases) / (baseline.macs * baseline.epochs)
