"""The layout of tensors in memory decides how fast networks are, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.spiking import lif, spiking_resnet, spiking_vgg
from edgebook.spiking.normalization import StepBatchNorm, TemporalBatchNorm, ThresholdBatchNorm

COMMON: dict[str, Any] = {"in_channels": 2, "classes": 5, "steps": 4, "beta": 0.5, "xavier_gain": 2.0}
BUILDERS = {
    "vgg": lambda **options: spiking_vgg((6, "M", 8, 8), size=8, **{"hidden": (7,), **COMMON, **options}),
    "max": lambda **options: spiking_vgg((6, "M", 8), pool="max", **COMMON, **options),
    "resnet": lambda **options: spiking_resnet((6, (6, 1, 1), (8, 1, 2)), **COMMON, **options),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def laid(x: Tensor, order: list[int]) -> Tensor:
    """The same values, with axes that follow one another in memory in another order."""
    back = sorted(range(x.ndim), key=order.__getitem__)
    return x.permute(order).contiguous().permute(back)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    orders=st.tuples(*3 * [st.permutations(range(4))]),
    steps=st.integers(1, 4),
    membranes=st.booleans(),
    backend=st.sampled_from(["numba", "torch"]),
)
def test_neurons_in_any_layout(
    shape: list[int], orders: tuple[list[int], ...], steps: int, membranes: bool, backend: Any
) -> None:
    tensors = [drawn(steps, *shape, seed=seed) for seed in range(3)]
    found = []
    for currents, *grads in (tensors, [laid(x, order) for x, order in zip(tensors, orders, strict=True)]):
        x = currents.detach().requires_grad_()
        outputs = lif(x, 0.7, 0.5, membranes=True, detach_reset=False, backend=backend)
        used = 2 if membranes else 1
        found.append((*outputs, *torch.autograd.grad(outputs[:used], x, grads[:used])))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_neurons_keep_a_channels_last_layout(backend: Any) -> None:
    currents = laid(drawn(3, 2, 5, 4, 4), [0, 1, 3, 4, 2]).requires_grad_()
    spikes = lif(currents, 0.5, backend=backend)
    spikes.backward(torch.ones_like(spikes))
    assert not currents.is_contiguous() and spikes.stride() == currents.stride()
    assert currents.grad is not None and currents.grad.stride() == currents.stride()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", [StepBatchNorm, ThresholdBatchNorm, TemporalBatchNorm])
def test_norms_in_channels_last(kind: Any, batch: int, steps: int, training: bool) -> None:
    """One sample is a case of its own: the stride of its first axis may be anything."""
    x, grads = (drawn(steps, batch, 6, 4, 4, seed=seed) for seed in range(2))
    odd = laid(x, [0, 1, 3, 4, 2])
    odd = odd.as_strided(odd.shape, (odd.stride(0), 6 if batch == 1 else odd.stride(1), *odd.stride()[2:]))
    odd = odd.as_strided(odd.shape, (6 if steps == 1 else odd.stride(0), *odd.stride()[1:]))
    found = []
    for values in (x, odd):
        norm = (kind(6, steps) if kind is TemporalBatchNorm else kind(6)).double().train(training)
        norm.running_mean.copy_(drawn(*norm.running_mean.shape, seed=2))
        norm.running_var.copy_(drawn(*norm.running_var.shape, seed=3).square() + 0.5)
        leaf = values.detach().requires_grad_()
        y = norm(leaf)
        found.append((y.detach(), *torch.autograd.grad(y, [leaf, *norm.parameters()], grads), norm.running_var))
    for have, wanted in zip(*found, strict=True):
        torch.testing.assert_close(have, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("norm", ["batch", "td", "bntt", "none"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("coding", ["image", "sequence"])
def test_a_network_is_the_same_in_either_layout(build: str, norm: Any, training: bool, batch: int, coding: str) -> None:
    x = drawn(batch, 2, 8, 8) if coding == "image" else drawn(4, batch, 2, 8, 8)
    found = []
    one = {"hidden": ()} if build == "vgg" and batch == 1 else {}  # the norm of one vector has no variance
    for layout in (torch.channels_last, torch.contiguous_format):
        net = BUILDERS[build](norm=norm, **one).double().to(memory_format=layout).train(training)
        logits = net(x)
        F.cross_entropy(logits.mean(dim=0), torch.arange(batch)).backward()
        found.append([logits.detach(), *(p.grad for p in net.parameters())])
    assert any(float(grad.abs().max()) > 1e-3 for grad in found[0][1:3]), "gradients of zero compare nothing"
    for have, wanted in zip(*found, strict=True):
        torch.testing.assert_close(have, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("build", ["vgg", "resnet"])
def test_networks_are_built_channels_last(build: str) -> None:
    net = BUILDERS[build]()
    layouts: list[bool] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
        if type(module).__name__ == "LIF":
            module.register_forward_hook(lambda _, __, out: layouts.append(out.ndim == 5 and not out.is_contiguous()))
    net(drawn(3, 2, 8, 8).float())
    assert layouts.count(True) >= 3
