"""Spiking networks from plain tuples of widths.

Source of `VGG9`: the code of Kim et al., arXiv 2202.03133. Convolutions are built channels-last in memory, which is
faster on a CPU; images may come in either layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack, get_args

from torch import nn

from edgebook.measure.seeding import SeededDraws
from edgebook.networks.convolutional import POOL, parse_plan
from edgebook.spiking.assembly import Head, check_plan, check_widths, read_stages
from edgebook.spiking.classifier import Output, SpikingNetwork
from edgebook.spiking.layers import Folded, NeuronOptions, Norm, Recipe, ResidualBlock
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.convention import Reset
from edgebook.spiking.neuron.surrogates import Surrogate, atan

Pool = Literal["avg", "max"]

VGG9 = parse_plan("64 64 M 128 128 M 256 256 256 M")

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
    norm: Norm = "batch",
    pool: Pool = "avg",
    size: int | None = None,
    hidden: Sequence[int] = (),
    bias: bool = False,
    linear_bias: bool = True,
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
        also `VGG9`. Empty for a network of fully connected layers alone.
    in_channels, classes : int, channels of the image, number of logits
    steps : int, steps T of direct coding, and the number of steps that a norm of its own per step ("bntt") is made for
    beta, threshold, reset, surrogate : the neuron, as in `edgebook.spiking.lif`
    norm : {"batch", "td", "bntt", "none"}
        Between weights and neurons: the batch norm of each step, the threshold-dependent one of all steps (arXiv
        2011.05280), one with scales and statistics of its own for every step (arXiv 2010.01729), or nothing. Under
        direct coding, "batch" and "td" normalise the first layer's current once per image, so that the running
        statistics of "batch" move once per batch and not T times.
    pool : {"avg", "max"}, what "M" stands for
    size : int, optional, height and width of the images; features are then flattened, else averaged over positions
    hidden : sequence of int, widths of fully connected layers of neurons before the read-out, with norms too
    bias, linear_bias : bool, whether convolutions, and whether linear layers have a bias
    output : {"steps", "mean", "last"}, what a call returns: the logits of all steps, their mean, or the last of them
    xavier_gain : float, optional, gain of uniform Xavier weights, with biases of zero; without it, as PyTorch draws
    seed : int, decides the weights
    **options : `scale_input`, `relative`, `strict`, `detach_reset`, `delay` and `backend` of `edgebook.spiking.lif`

    Returns
    -------
    SpikingNetwork, images (B, in_channels, H, W) or a sequence of them to logits

    Raises
    ------
    ValueError
        A configuration, name or number that is not allowed.

    Examples
    --------
    >>> net = spiking_vgg((8, "M", 16), in_channels=3, classes=10, steps=4, beta=0.5)
    >>> net(torch.rand(2, 3, 16, 16)).shape
    torch.Size([4, 2, 10])
    """
    one_of("pool", pool, get_args(Pool))
    config, size = check_plan(config, hidden, size)
    in_channels, classes, *hidden = check_widths(in_channels, classes, *hidden)
    recipe = Recipe(steps, beta, threshold, reset, surrogate, norm, bias, linear_bias, options)
    with SeededDraws(seed):
        units: list[nn.Module] = []
        width = in_channels
        for entry in config:
            if entry == POOL:
                units.append(Folded(nn.AvgPool2d(2) if pool == "avg" else nn.MaxPool2d(2)))
            else:
                units.append(recipe.convolution(width, entry))
                width = entry
        side = 1 if size is None else size // 2 ** config.count(POOL)
        head = Head(in_channels, classes, tuple(hidden), size, output, xavier_gain)
        return head.on(recipe, units, width * side**2)  # features flattened, or averaged


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
    norm: Norm = "batch",
    hidden: Sequence[int] = (),
    bias: bool = False,
    linear_bias: bool = True,
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
        `(16, (16, 1, 1), (32, 1, 2))`. The ResNet19 of Kim et al., arXiv 2211.14406, is
        `(128, (256, 3, 2), (512, 3, 2), (512, 2, 2))`.
    in_channels, classes, steps, beta, threshold, reset, surrogate, norm : as in `spiking_vgg`
    hidden, bias, linear_bias, output, xavier_gain, seed, **options : as in `spiking_vgg`, with the same errors

    Returns
    -------
    SpikingNetwork, images (B, in_channels, H, W) or a sequence of them to logits

    Examples
    --------
    >>> net = spiking_resnet((8, (8, 1, 1), (16, 1, 2)), in_channels=3, classes=10, steps=4, beta=0.5)
    >>> net(torch.rand(2, 3, 16, 16)).shape
    torch.Size([4, 2, 10])
    """
    stem, stages = read_stages(config)
    in_channels, classes, *hidden = check_widths(in_channels, classes, *hidden)
    recipe = Recipe(steps, beta, threshold, reset, surrogate, norm, bias, linear_bias, options)
    with SeededDraws(seed):
        units: list[nn.Module] = [recipe.convolution(in_channels, stem)]
        inputs = stem
        for width, blocks, stride in stages:
            for block in range(blocks):
                units.append(ResidualBlock(recipe, inputs, width, stride if block == 0 else 1))
                inputs = width
        head = Head(in_channels, classes, tuple(hidden), None, output, xavier_gain)
        return head.on(recipe, units, inputs)
