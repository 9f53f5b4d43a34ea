"""A training step with weights and activations of 4 bits: this package, brevitas, PyTorch's own modules, and none.

A VGG-like network of six convolutions with batch norm takes 64 images forward and back. All round weights between
their smallest and largest value, and activations between zero and the largest of the batch. The others make zero a
level, so the weights here are such that it is one anyway; what is rounded is compared first.

Needs brevitas and what it imports, as benchmarks/requirements.txt says. On an otherwise idle core, pinned where the
system can: `OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_quantization.py`
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgebook.compression import quantize_network
from edgebook.networks import initialised, vgg_architecture

PLAN: tuple[int | str, ...] = (16, 16, "M", 32, 32, "M", 64, 64)
BATCH, BITS, ROUNDS = 64, 4, {16: 60, 32: 20}
FAMILY = vgg_architecture(PLAN)
OURS, NONE, TORCH, BREVITAS = "edgebook", "not quantised", "torch.ao", "brevitas"


def plain() -> nn.Module:
    """Draw weights of which the smallest and the largest are -7 and 8 steps, so that zero is a level."""
    net = initialised(FAMILY.build, FAMILY.widths, 0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            step = float(module.weight.abs().max()) / 8
            module.weight.data.clamp_(-7 * step, 8 * step)
            module.weight.data[0, :2, 0, 0] = torch.tensor([-7 * step, 8 * step])
    return net


def replaced(conv: Callable[[nn.Conv2d], nn.Module], relu: Callable[[], nn.Module]) -> nn.Module:
    net = plain()
    for unit in net.features:
        if hasattr(unit, "conv"):
            unit.conv, unit.relu = conv(unit.conv), relu()
    return net


def with_brevitas() -> nn.Module:
    from brevitas import nn as layers
    from brevitas import quant
    from brevitas.inject.enum import ScalingImplType, StatsOp

    class LargestOfBatch(quant.Uint8ActPerTensorFloat):
        scaling_impl_type = ScalingImplType.STATS
        scaling_stats_op = StatsOp.MAX

    def conv(old: nn.Conv2d) -> nn.Module:
        options = {"weight_quant": quant.ShiftedUint8WeightPerTensorFloat, "weight_bit_width": BITS}
        new = layers.QuantConv2d(old.in_channels, old.out_channels, 3, padding=1, bias=False, **options)
        new.weight = nn.Parameter(old.weight.detach().clone(memory_format=torch.preserve_format))
        return new

    return replaced(conv, lambda: layers.QuantReLU(bit_width=BITS, act_quant=LargestOfBatch))


def with_torch() -> nn.Module:
    from torch.ao.quantization import FakeQuantize, MinMaxObserver, MovingAverageMinMaxObserver

    def quantiser(observer: type) -> nn.Module:
        return FakeQuantize(observer, quant_min=0, quant_max=2**BITS - 1, dtype=torch.quint8)

    class Convolution(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return self._conv_forward(x, self.quantiser(self.weight), None)

    def conv(old: nn.Conv2d) -> nn.Module:
        new = copy.deepcopy(old)
        new.__class__, new.quantiser = Convolution, quantiser(MinMaxObserver)
        return new

    return replaced(conv, lambda: nn.Sequential(nn.ReLU(), quantiser(MovingAverageMinMaxObserver)))


def ours() -> nn.Module:
    groups = (*FAMILY.convolutions, *FAMILY.activations)
    return quantize_network(plain(), {name: BITS for names in groups for name in names})


def rounded(name: str, net: nn.Module) -> list[Tensor]:
    """Return the rounded weights of each convolution, and a batch that went through the activation after it."""
    weight = {
        OURS: lambda conv: conv.weight,
        BREVITAS: lambda conv: conv.quant_weight().value,
        TORCH: lambda conv: conv.quantiser(conv.weight),
    }[name]
    x = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    units = [unit for unit in copy.deepcopy(net).features if hasattr(unit, "conv")]
    return [part.detach() for unit in units for part in (weight(unit.conv), unit.relu(x))]


def step_of(net: nn.Module, x: Tensor, grads: Tensor) -> Callable[[], None]:
    def step() -> None:
        net.zero_grad()
        net(x).backward(grads)

    return step


@pytest.mark.filterwarnings("ignore")  # of deprecations in both libraries
@pytest.mark.parametrize("side", ROUNDS)
def test_training_step(contest: Any, side: int) -> None:
    pytest.importorskip("brevitas", reason="brevitas is not installed: see benchmarks/requirements.txt")
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 3, side, side, generator=chance).to(memory_format=torch.channels_last)
    grads = torch.randn(BATCH, 10, generator=chance)
    nets = {OURS: ours(), NONE: plain(), BREVITAS: with_brevitas(), TORCH: with_torch()}
    wanted = rounded(OURS, nets[OURS])
    for name in (BREVITAS, TORCH):
        for found, own in zip(rounded(name, nets[name]), wanted, strict=True):
            assert float(((found - own).abs() < 1e-5).float().mean()) > 0.999  # the rest are ties
    timed = {name: step_of(net, x, grads) for name, net in nets.items()}
    for step in timed.values():
        step()
    contest(f"quantised training step, {side} x {side}", timed, ROUNDS[side])
