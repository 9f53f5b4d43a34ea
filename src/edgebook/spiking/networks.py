"""Spiking networks from plain tuples of widths.

Source of the paper-sized configurations: Kim et al., arXiv 2202.03133 (`VGG5`, `VGG9`), arXiv 2207.01382 (`VGG16`)
and arXiv 2211.14406 (`RESNET19`), from their code.

Convolutions are built channels-last in memory, which is faster on a CPU; images may come in either layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack, get_args

import torch
from torch import nn

from edgebook.networks.convolutional import POOL, parse_plan
from edgebook.spiking.assembly import Head, check_plan, check_widths, read_stages
from edgebook.spiking.classifier import Output, SpikingNetwork
from edgebook.spiking.layers import Folded, Neuron, NeuronOptions, Norm, Recipe, ResidualBlock, one_of
from edgebook.spiking.neuron.convention import Reset
from edgebook.spiking.neuron.surrogates import Surrogate, atan

Pool = Literal["avg", "max"]

VGG5 = parse_plan("64 M 128 128 M")
VGG9 = parse_plan("64 64 M 128 128 M 256 256 256 M")
VGG16 = parse_plan("64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M")
RESNET19 = (128, (256, 3, 2), (512, 3, 2), (512, 2, 2))

_ATAN = atan()


def spiking_vgg(
    config: Sequence[int | str],
    *,
    in_channels: int,
    classes: int,
    steps: int,
    beta: float,
    threshold: float = 1.0,
    reset: Reset = "zero",
    surrogate: Surrogate = _ATAN,
    neuron: Neuron = "fused",
    norm: Norm = "batch",
    pool: Pool = "avg",
    size: int | None = None,
    hidden: Sequence[int] = (),
    norm_hidden: bool = True,
    bias: bool = False,
    linear_bias: bool = True,
    readout_beta: float = 0.0,
    output: Output = "steps",
    xavier_gain: float | None = None,
    seed: int = 0,
    **options: Unpack[NeuronOptions],
) -> SpikingNetwork:
    """Build a VGG-like spiking network: 3x3 convolutions with neurons, 2x2 pools, and a read-out.

    Parameters
    ----------
    config : sequence of int or "M"
        Output channels of each convolution, with "M" for a pool, as `edgebook.networks.parse_plan` returns it;
        also `VGG5`, `VGG9` and `VGG16`. Empty for a network of fully connected layers alone.
    in_channels, classes : int
        Channels of the image, number of logits.
    steps : int
        Steps T of direct coding, and the number of steps that a norm of its own per step ("bntt") is made for.
    beta, threshold, reset, surrogate
        The neuron, as in `edgebook.spiking.lif`.
    neuron : {"fused", "snntorch"}
        Whether `LIF` computes it, or a loop over `snntorch.Leaky`, where that can be the same neuron.
        The weights are the same and load from one into the other.
    norm : {"batch", "td", "bntt", "none"}
        `StepBatchNorm`, `ThresholdBatchNorm`, `TemporalBatchNorm` or nothing between weights and neurons.
        Under direct coding, "batch" and "td" normalise the first layer's current once per image: its spikes are those
        of the repeated image, and the running statistics of "batch" move there once per batch and not T times.
    pool : {"avg", "max"}
        What "M" stands for.
    size : int, optional
        Height and width of the images: the features are then flattened. Without it, they are averaged over positions.
    hidden : sequence of int
        Widths of fully connected layers of neurons before the read-out.
    norm_hidden : bool
        Whether these have a norm too.
    bias, linear_bias : bool
        Whether convolutions, and whether linear layers have a bias.
    readout_beta : float
        Leak of the integrator behind the read-out: 0 makes the logits those of each step alone, 1 their running sum.
    output : {"steps", "mean", "last"}
        What a call returns: the logits of all steps, their mean, or the last of them.
    xavier_gain : float, optional
        Gain of uniform Xavier weights, and biases of zero; without it, weights are drawn as PyTorch does.
    seed : int
        Decides the weights.
    **options
        `scale_input`, `relative`, `strict`, `detach_reset`, `delay` and `backend` of `edgebook.spiking.lif`.

    Returns
    -------
    SpikingNetwork
        Images (B, in_channels, H, W) or a sequence of them to logits.

    Raises
    ------
    ValueError
        A configuration, name or number that is not allowed, or snnTorch where it is missing or has no such neuron.

    Examples
    --------
    >>> net = spiking_vgg((8, "M", 16), in_channels=3, classes=10, steps=4, beta=0.5)
    >>> net(torch.rand(2, 3, 16, 16)).shape
    torch.Size([4, 2, 10])
    """
    one_of("pool", pool, get_args(Pool))
    check_plan(config, hidden, size)
    check_widths(in_channels, classes, *hidden)
    recipe = Recipe(steps, beta, threshold, reset, surrogate, neuron, norm, bias, linear_bias, norm_hidden, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        units: list[nn.Module] = []
        width = in_channels
        for entry in config:
            if entry == POOL:
                units.append(Folded(nn.AvgPool2d(2) if pool == "avg" else nn.MaxPool2d(2)))
            else:
                units.append(recipe.convolution(width, int(entry)))
                width = int(entry)
        side = 1 if size is None else size // 2 ** list(config).count(POOL)
        head = Head(in_channels, classes, tuple(hidden), size, readout_beta, output, xavier_gain)
        return head.on(recipe, units, width * side**2)


def spiking_resnet(
    config: Sequence[int | Sequence[int]],
    *,
    in_channels: int,
    classes: int,
    steps: int,
    beta: float,
    threshold: float = 1.0,
    reset: Reset = "zero",
    surrogate: Surrogate = _ATAN,
    neuron: Neuron = "fused",
    norm: Norm = "batch",
    hidden: Sequence[int] = (),
    norm_hidden: bool = True,
    bias: bool = False,
    linear_bias: bool = True,
    readout_beta: float = 0.0,
    output: Output = "steps",
    xavier_gain: float | None = None,
    seed: int = 0,
    **options: Unpack[NeuronOptions],
) -> SpikingNetwork:
    r"""Build a residual spiking network: a 3x3 stem, stages of basic blocks, the average over positions, a read-out.

    A block adds its shortcut to the current of its last neurons, so that convolutions see spikes alone.
    The norm "td" scales each of the two branches by :math:`1 / \sqrt 2`.

    Parameters
    ----------
    config : sequence
        Width of the stem, then for each stage its width, its number of blocks and the stride of the first of them:
        `(16, (16, 1, 1), (32, 1, 2))`; also `RESNET19`.
    in_channels, classes, steps, beta, threshold, reset, surrogate, neuron, norm
        As in `spiking_vgg`.
    hidden, norm_hidden, bias, linear_bias, readout_beta, output, xavier_gain, seed, **options
        As in `spiking_vgg`.

    Returns
    -------
    SpikingNetwork
        Images (B, in_channels, H, W) or a sequence of them to logits.

    Raises
    ------
    ValueError
        As in `spiking_vgg`.
    """
    stem, stages = read_stages(config)
    check_widths(in_channels, classes, *hidden)
    recipe = Recipe(steps, beta, threshold, reset, surrogate, neuron, norm, bias, linear_bias, norm_hidden, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        units: list[nn.Module] = [recipe.convolution(in_channels, stem)]
        inputs = stem
        for width, blocks, stride in stages:
            for block in range(blocks):
                units.append(ResidualBlock(recipe, inputs, width, stride if block == 0 else 1))
                inputs = width
        head = Head(in_channels, classes, tuple(hidden), None, readout_beta, output, xavier_gain)
        return head.on(recipe, units, inputs)
