"""Plain convolutional networks whose widths are free: the common ground of several wings.

An `Architecture` ties a flat tuple of widths to the network built from it: what decides widths need not know the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgebook.measure.arguments import whole
from edgebook.measure.seeding import SeededDraws

POOL = "M"


class Architecture(NamedTuple):
    """A family of networks that differ in their widths alone.

    Examples
    --------
    >>> family = vgg_architecture(parse_plan("8 M 16"))
    >>> family.widths, family.activations
    ((8, 16), (('features.0.relu',), ('features.2.relu',)))
    """

    widths: tuple[int, ...]  #: of the unpruned member
    build: Callable[[Sequence[int]], nn.Module]  #: widths to a freshly initialised network
    activations: tuple[tuple[str, ...], ...]  #: for each width, the ReLU modules whose output has that many channels
    convolutions: tuple[tuple[str, ...], ...]  #: those that produce them; several where a skip joins layers


class _Unit(nn.Module):
    """Convolution, batch norm (optional) and ReLU (optional), named so that hooks read well."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: bool, relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # (N, inputs, H, W) -> (N, outputs, H / stride, W / stride)
        return self.relu(self.norm(self.conv(x)))


class _Block(nn.Module):
    """Basic residual block; the skip is the identity where shapes allow, else a 1x1 convolution.

    A skip that halves the resolution picks its pixels before its convolution instead of striding in it: the same
    numbers, and oneDNN 3.12 writes past its buffers in the gradient of a strided 1x1 convolution of fewer than
    8 channels, channels-last, on processors with AVX2 and without AVX-512.
    """

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _Unit(inputs, inner, 3, stride, norm=True, relu=True)
        self.second = _Unit(inner, outputs, 3, 1, norm=True, relu=False)
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else _Unit(inputs, outputs, 1, 1, norm=True, relu=False)
        self.stride = stride
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.first(x)) + self.skip(x[..., :: self.stride, :: self.stride]))


class _Classifier(nn.Module):
    """Features, global average over positions, one linear layer."""

    def __init__(self, features: nn.Sequential, width: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, classes)
        return self.linear(self.features(x).mean(dim=(2, 3)))


def parse_plan(plan: str) -> tuple[int | str, ...]:
    """Read a VGG plan such as ``"24 24 M 48 48"``: widths, and M for a 2x2 max-pool.

    Parameters
    ----------
    plan : str, entries with blanks between them

    Returns
    -------
    tuple of int and str, in order

    Raises
    ------
    ValueError
        An entry is neither a positive integer nor M, or there is no width.

    Examples
    --------
    >>> parse_plan("24 24 M 48")
    (24, 24, 'M', 48)
    """
    entries = tuple(int(word) if word.isdecimal() else word for word in plan.split())
    if any(entry == 0 or (isinstance(entry, str) and entry != POOL) for entry in entries) or not any(
        isinstance(entry, int) for entry in entries
    ):
        raise ValueError(f"A plan is a list of positive widths and {POOL}, for example '24 24 M 48', got {plan!r}.")
    return entries


def vgg_architecture(
    plan: Sequence[int | str], *, in_channels: int = 3, classes: int = 10, batch_norm: bool = True
) -> Architecture:
    """Return the VGG-like family of a plan: 3x3 convolutions with ReLU, 2x2 max-pools, average, linear layer.

    Parameters
    ----------
    plan : sequence of int or "M", output channels of each convolution, with "M" for a max-pool
    in_channels, classes : int, channels of the image, number of logits
    batch_norm : bool, batch norm between convolution and ReLU (and then no bias)

    Returns
    -------
    Architecture, one width per convolution, in order; its networks take images (N, in_channels, H, W)

    Raises
    ------
    ValueError
        A width, or a number of channels or classes, that is no whole number above zero.
    """
    in_channels, classes = whole("in_channels", in_channels), whole("classes", classes)
    places = [i for i, entry in enumerate(plan) if entry != POOL]

    def build(widths: Sequence[int]) -> nn.Module:
        given = dict(zip(places, _whole_widths(widths), strict=True))  # place in the plan -> width
        units: list[nn.Module] = []
        width = in_channels
        for place in range(len(plan)):
            if place in given:
                units.append(_Unit(width, given[place], 3, 1, batch_norm, relu=True))
                width = given[place]
            else:
                units.append(nn.MaxPool2d(2))
        return _Classifier(nn.Sequential(*units), width, classes)

    return Architecture(
        widths=_whole_widths([plan[i] for i in places]),
        build=build,
        activations=tuple((f"features.{i}.relu",) for i in places),
        convolutions=tuple((f"features.{i}.conv",) for i in places),
    )


def resnet_architecture(
    stages: Sequence[int], *, blocks: int = 1, in_channels: int = 3, classes: int = 10
) -> Architecture:
    """Return a residual family: a 3x3 stem, then stages of basic blocks, each stage at half the resolution.

    All block outputs of a stage share one width, since identity skips add them up (the stem shares that of the first);
    the inner convolution of each block has its own. Widths go stage by stage: the shared one, then the inner ones.

    Parameters
    ----------
    stages : sequence of int, width of each stage
    blocks : int, basic blocks per stage
    in_channels, classes : int, channels of the image, number of logits

    Returns
    -------
    Architecture, one shared and `blocks` inner widths per stage

    Raises
    ------
    ValueError
        As in `vgg_architecture`, or a number of blocks that is none.
    """
    in_channels, classes, blocks = whole("in_channels", in_channels), whole("classes", classes), whole("blocks", blocks)
    per_stage = 1 + blocks

    def build(widths: Sequence[int]) -> nn.Module:
        widths = _whole_widths(widths)
        if len(widths) != per_stage * len(stages):
            raise ValueError(f"{per_stage * len(stages)} widths are needed, got {len(widths)}.")
        units: list[nn.Module] = [_Unit(in_channels, widths[0], 3, 1, norm=True, relu=True)]
        width = widths[0]
        for s in range(len(stages)):
            output, *inner = widths[s * per_stage : (s + 1) * per_stage]  # of this stage
            for b in range(blocks):
                units.append(_Block(width, inner[b], output, stride=2 if s > 0 and b == 0 else 1))
                width = output
        return _Classifier(nn.Sequential(*units), width, classes)

    activations: list[tuple[str, ...]] = []
    convolutions: list[tuple[str, ...]] = []
    for s in range(len(stages)):
        names = [f"features.{1 + s * blocks + b}" for b in range(blocks)]
        stem = ("features.0",) if s == 0 else ()
        skips = tuple(f"{name}.skip.conv" for name in names[:1] if s > 0)
        activations += [tuple(f"{name}.relu" for name in (*stem, *names)), *((f"{n}.first.relu",) for n in names)]
        convolutions += [
            (*(f"{name}.conv" for name in stem), *(f"{name}.second.conv" for name in names), *skips),
            *((f"{name}.first.conv",) for name in names),
        ]
    widths = [width for stage in stages for width in (stage,) * per_stage]  # (shared, inner ...) per stage
    return Architecture(_whole_widths(widths), build, tuple(activations), tuple(convolutions))


def _whole_widths(widths: Sequence[int]) -> tuple[int, ...]:
    return tuple(whole("A width", width) for width in widths)


def initialised(build: Callable[[Sequence[int]], nn.Module], widths: Sequence[int], seed: int) -> nn.Module:
    """Build a network from a seed and leave all global random states, a GPU's too, as they were.

    Its weights lie channels-last in memory, which makes narrow convolutions on a CPU faster when the images do too.

    Parameters
    ----------
    build : callable, widths to a network, as in an `Architecture`
    widths : sequence of int
    seed : int, decides the weights

    Returns
    -------
    torch.nn.Module, the network, on the CPU

    Examples
    --------
    >>> family = resnet_architecture((8, 16))
    >>> initialised(family.build, family.widths, seed=0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 10])
    """
    with SeededDraws(seed):
        return build(widths).to(memory_format=torch.channels_last)
