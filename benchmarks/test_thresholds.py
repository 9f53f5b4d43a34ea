"""A layer of thresholds, forward and backward, and an epoch of a child of a frozen network.

Beside the layer stand the one that public code of Dynamic Sparse Training composes, a step with a gradient of its own
that multiplies the pre-activation, and `nn.ReLU` as the floor; outputs and gradients are compared first.
An epoch is that of a child with thresholds, with batch norms of its own, and of the whole network, on the same images.
On an otherwise idle core: `OMP_NUM_THREADS=1 python -m pytest benchmarks/test_thresholds.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgebook.compression import Thresholds, threshold_operator, with_thresholds
from edgebook.networks import fit, initialised, parse_plan, vgg_architecture

SHAPES = {(64, 16, 16, 16): 60, (64, 64, 4, 4): 100, (128, 64, 32, 32): 8}
FAMILY = vgg_architecture(parse_plan("16 16 M 32 32 M 64 64"), classes=10)
IMAGES = 512


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        z = ctx.saved_tensors[0].abs()
        return grad * torch.where(z <= 0.4, 2 - 4 * z, torch.where(z <= 1, 0.4, 0.0))


class Composed(nn.Module):
    """The same layer in operations of PyTorch."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.zeros(shape))

    def forward(self, y: Tensor) -> Tensor:
        return y * _Window.apply(y - self.t)


def there_and_back(layer: nn.Module, y: Tensor, grad: Tensor) -> list[Tensor]:
    out = layer(y)
    return [out.detach(), *torch.autograd.grad(out, [y, *layer.parameters()], grad)]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_layer(contest: Any, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    draws = torch.Generator().manual_seed(0)
    y, grad = (torch.randn(shape, generator=draws).contiguous(memory_format=torch.channels_last) for _ in range(2))
    y.requires_grad_()
    layers = {"edgebook": Thresholds(shape[1:]), "edgebook in PyTorch": Thresholds(shape[1:])}
    layers |= {"composed": Composed(shape[1:]), "ReLU": nn.ReLU()}
    kernels = threshold_operator._kernels
    timed: dict[str, Callable[[], None]] = {}
    for name, layer in layers.items():

        def step(layer: nn.Module = layer, name: str = name) -> None:
            y.grad = None
            layer.zero_grad()
            monkeypatch.setattr(threshold_operator, "_kernels", (lambda: None) if "PyTorch" in name else kernels)
            layer(y).backward(grad)

        step()
        if name != "ReLU":
            wanted = there_and_back(layers["composed"], y, grad)
            for have, want in zip(there_and_back(layer, y, grad), wanted, strict=True):
                torch.testing.assert_close(have, want, rtol=1e-5, atol=1e-5)
        timed[name] = step
    contest(f"threshold layer, {' x '.join(map(str, shape))}", timed, SHAPES[shape])


@pytest.mark.filterwarnings("default")
def test_an_epoch_of_a_child(contest: Any) -> None:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(IMAGES, 3, 16, 16, generator=draws).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(IMAGES) % 10
    parent = initialised(FAMILY.build, FAMILY.widths, 0)
    child = with_thresholds(parent, [name for names in FAMILY.activations for name in names], x[:1])
    norms, whole = copy.deepcopy(parent).requires_grad_(False), copy.deepcopy(parent)
    for module in norms.modules():
        module.requires_grad_(isinstance(module, nn.BatchNorm2d | nn.Linear))
    child.linear.requires_grad_()

    def epoch(net: nn.Module) -> None:
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        fit(net, x, labels, epochs=1, optimizer=torch.optim.Adam(trained, lr=0.01))

    nets = {"thresholds": child, "batch norm": norms, "all weights": whole}
    timed: dict[str, Callable[[], None]] = {name: (lambda net=net: epoch(net)) for name, net in nets.items()}
    for step in timed.values():
        step()
    contest(f"child epoch, {IMAGES} images 16 x 16", timed, 8)
