"""How a spiking network is put together behind its configuration, and what a configuration may say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from edgebook.measure.arguments import as_whole
from edgebook.networks.convolutional import POOL
from edgebook.spiking.classifier import Output, SpikingNetwork
from edgebook.spiking.layers import Recipe


class Head(NamedTuple):
    """What both kinds of network have in front and behind."""

    in_channels: int
    classes: int
    hidden: tuple[int, ...]
    size: int | None
    output: Output
    xavier_gain: float | None

    def on(self, recipe: Recipe, units: Sequence[nn.Module], width: int) -> SpikingNetwork:
        """Put the network together; `width` is what the units hand to the first linear layer."""
        widths = (width, *self.hidden)
        dense = [recipe.linear(inputs, outputs) for inputs, outputs in pairwise(widths)]
        readout = nn.Linear(widths[-1], self.classes, bias=recipe.linear_bias)
        first, *features = units or dense  # without convolutions a linear layer codes the image
        net = SpikingNetwork(
            first,
            nn.Sequential(*features if units else ()),
            nn.Sequential(*dense if units else features),
            readout,
            steps=recipe.steps,
            output=self.output,
            channels=self.in_channels,
            size=self.size,
        )
        if self.xavier_gain is not None:
            draw_xavier(net, self.xavier_gain)
        return net.to(memory_format=torch.channels_last)  # convolutions, norms and pools are faster so on a CPU


def draw_xavier(net: nn.Module, gain: float) -> None:
    """Draw all weights from uniform Xavier distributions of one gain, and set biases to zero."""
    if not gain > 0:
        raise ValueError(f"xavier_gain must be above 0, got {gain}.")
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _whole(value: object) -> int | None:
    """Return a whole number above zero, None for what is none."""
    number = as_whole(value)
    return number if number is not None and number > 0 else None


def check_widths(in_channels: int, classes: int, *hidden: int) -> list[int]:
    """Return numbers of channels, classes and neurons, or refuse one that is no number of them."""
    widths = [_whole(value) for value in (in_channels, classes, *hidden)]
    if None in widths:
        raise ValueError(
            f"in_channels, classes and hidden must be positive integers, got {in_channels}, {classes} and {hidden}."
        )
    return widths


def check_plan(
    config: Sequence[int | str], hidden: Sequence[int], size: int | None
) -> tuple[list[int | str], int | None]:
    """Return a VGG configuration and a size, or refuse those that give no network."""
    plan = [entry if isinstance(entry, str) and entry == POOL else _whole(entry) for entry in config]
    if None in plan or plan[:1] == [POOL]:
        raise ValueError(
            f"A configuration is positive widths and {POOL}, a width first, for example (24, 24, 'M', 48), "
            f"got {config!r}."
        )
    if not plan and (not len(hidden) or size is None):
        raise ValueError("A network without convolutions needs hidden widths, and the size of its images.")
    pools, side = plan.count(POOL), _whole(size)
    if size is not None and (side is None or side < 2**pools):
        raise ValueError(f"size must be an integer of at least {2**pools} for {pools} pools, got {size}.")
    return plan, side


def read_stages(config: Sequence[int | Sequence[int]]) -> tuple[int, list[tuple[int, ...]]]:
    """Return the width of the stem, and width, blocks and stride of each stage."""
    stem, *stages = [_whole_part(part) for part in config] or [None]
    if not isinstance(stem, int) or not stages or not all(map(_is_stage, stages)):
        raise ValueError(
            "A configuration is the width of the stem and for each stage its width, blocks and stride, for example "
            f"(16, (16, 1, 1), (32, 1, 2)), got {config!r}."
        )
    return stem, stages


def _whole_part(part: object) -> int | tuple[int | None, ...] | None:
    part = part.tolist() if hasattr(part, "tolist") else part  # a row of NumPy's or PyTorch's
    return tuple(map(_whole, part)) if isinstance(part, tuple | list) else _whole(part)


def _is_stage(stage: object) -> bool:
    return isinstance(stage, tuple) and len(stage) == 3 and None not in stage
