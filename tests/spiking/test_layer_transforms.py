"""Layers, norms and networks inside PyTorch's own tools: each cell against the same layer run plainly."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgebook.spiking import CodedNetwork, SpikingNetwork, spiking_resnet, spiking_vgg, without_spikes
from edgebook.spiking.layers import Folded, ResidualBlock, SpikingLayer
from edgebook.spiking.normalization import StepBatchNorm, TemporalBatchNorm, ThresholdBatchNorm

STEPS, BATCH, CHANNELS = 3, 4, 2
COMMON: dict[str, Any] = {"in_channels": CHANNELS, "classes": 5, "steps": STEPS, "beta": 0.5, "xavier_gain": 3.0}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


SEQUENCE, IMAGE = drawn(STEPS, BATCH, CHANNELS, 8, 8), drawn(BATCH, CHANNELS, 8, 8)


class Row(NamedTuple):
    """A layer and what it takes."""

    make: Callable[[], nn.Module]
    x: Tensor


def convolution(norm: nn.Module) -> SpikingLayer:
    return SpikingLayer(spiking_vgg((3,), seed=1, **COMMON).first.weights, norm, nn.Identity())


def network(norm: str, **options: Any) -> SpikingNetwork:
    return spiking_vgg((3, "M", 4), hidden=(5,), size=8, norm=norm, **COMMON, **options)


def residual() -> ResidualBlock:
    return spiking_resnet((CHANNELS, (3, 1, 2)), **COMMON).features[0]


def coded(coding: Any) -> CodedNetwork:
    return CodedNetwork(network("batch"), coding, STEPS, mean=0.1, std=0.5, generator=torch.Generator().manual_seed(2))


WITHOUT_NEURONS = {
    "StepBatchNorm": Row(lambda: StepBatchNorm(CHANNELS), SEQUENCE),
    "StepBatchNorm, cumulative": Row(lambda: StepBatchNorm(CHANNELS, momentum=None), SEQUENCE),
    "ThresholdBatchNorm": Row(lambda: ThresholdBatchNorm(CHANNELS, 0.5), SEQUENCE),
    "TemporalBatchNorm": Row(lambda: TemporalBatchNorm(CHANNELS, STEPS), SEQUENCE),
    "pool": Row(lambda: Folded(nn.AvgPool2d(2)), SEQUENCE),
    "convolution and norm": Row(lambda: convolution(StepBatchNorm(3)), SEQUENCE),
    "convolution and norm per step": Row(lambda: convolution(TemporalBatchNorm(3, STEPS)), SEQUENCE),
    "network without spikes": Row(lambda: without_spikes(network("batch")), IMAGE),
}
WITH_NEURONS = {
    "residual block": Row(residual, SEQUENCE),
    "network": Row(lambda: network("batch"), IMAGE),
    "network, threshold norm": Row(lambda: network("td"), SEQUENCE),
    "network, norm per step": Row(lambda: network("bntt"), SEQUENCE),
    "network of rates": Row(lambda: coded("expected"), IMAGE),
}
DRAWING = {"network of spikes": Row(lambda: coded("rate"), IMAGE)}  # other spikes at every call
ROWS = WITHOUT_NEURONS | WITH_NEURONS


class Run(NamedTuple):
    """What a call leaves: outputs, the gradient of the inputs, and those of the parameters."""

    outputs: Tensor
    inputs: Tensor
    parameters: list[Tensor]


def run(layer: Callable[[Tensor], Tensor], x: Tensor, parameters: list[nn.Parameter]) -> Run:
    leaf = x.detach().clone().requires_grad_()
    outputs = layer(leaf)
    weights = drawn(*outputs.shape, seed=3).to(outputs.dtype)
    found, *rest = torch.autograd.grad(outputs, [leaf, *parameters], weights)
    return Run(outputs.detach(), found, rest)


def plainly(row: Row, training: bool) -> tuple[nn.Module, Run]:
    """Return a layer whose statistics are those of one batch, and what it gives."""
    layer = row.make().train()
    layer(row.x.flip(0))
    layer.train(training)
    alike = copy.deepcopy(layer)
    return layer, run(alike, row.x, list(alike.parameters()))


def same(have: Run, wanted: Run, **tolerance: float) -> None:
    for a, b in zip((*have[:2], *have[2]), (*wanted[:2], *wanted[2]), strict=True):
        torch.testing.assert_close(a, b, **(tolerance or {"rtol": 0, "atol": 0}))


modes = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
# Cells that a neuron decides are those of the neuron's own table.
pure = pytest.mark.parametrize("row", WITHOUT_NEURONS.values(), ids=WITHOUT_NEURONS)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@modes
@pure
def test_compile(row: Row, training: bool, backend: str) -> None:
    layer, wanted = plainly(row, training)
    reads = training and getattr(layer, "momentum", 0) is None  # a mean over batches reads their number, as PyTorch's
    torch.compiler.reset()
    compiled = torch.compile(layer, backend=backend, fullgraph=not reads)
    same(run(compiled, row.x, list(layer.parameters())), wanted, rtol=1e-5, atol=1e-5)


@pure
def test_export(row: Row) -> None:
    layer, wanted = plainly(row, False)
    torch.testing.assert_close(torch.export.export(layer, (row.x,)).module()(row.x), wanted.outputs)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pure
def test_trace(row: Row) -> None:
    layer, wanted = plainly(row, False)
    assert torch.equal(torch.jit.trace(layer, row.x)(row.x), wanted.outputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@modes
@pure
def test_autocast(row: Row, training: bool, dtype: torch.dtype) -> None:
    layer, wanted = plainly(row, training)
    with torch.autocast("cpu", dtype):
        have = layer(row.x)
    torch.testing.assert_close(have.float(), wanted.outputs, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@modes
@pure
def test_half(row: Row, training: bool, dtype: torch.dtype) -> None:
    layer, wanted = plainly(row, training)
    torch.testing.assert_close(layer.to(dtype)(row.x.to(dtype)).float(), wanted.outputs, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("row", WITH_NEURONS.values(), ids=WITH_NEURONS)
def test_half_is_refused_by_neurons(row: Row, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="currents must be float32 or float64, got"):
        row.make().to(dtype)(row.x.to(dtype))


@modes
@rows
def test_double(row: Row, training: bool) -> None:
    layer, wanted = plainly(row, training)
    have = layer.double()(row.x.double())
    assert have.dtype == torch.float64
    torch.testing.assert_close(have.float(), wanted.outputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reentrant", [False, True], ids=["saved", "reentrant"])
@modes
@rows
def test_checkpoint(row: Row, training: bool, reentrant: bool) -> None:
    layer, wanted = plainly(row, training)
    leaf = row.x.clone().requires_grad_()
    outputs = checkpoint(layer, leaf, use_reentrant=reentrant)
    outputs.backward(drawn(*outputs.shape, seed=3))
    same(Run(outputs.detach(), leaf.grad, [p.grad for p in layer.parameters()]), wanted)


def by_state(layer: nn.Module, row: Row) -> nn.Module:
    fresh = row.make().train(layer.training)
    fresh.load_state_dict(layer.state_dict(), strict=True)
    return fresh


def by_file(layer: nn.Module, row: Row) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES: dict[str, Callable[[nn.Module, Row], nn.Module]] = {
    "state_dict": by_state,
    "deepcopy": lambda layer, _: copy.deepcopy(layer),
    "pickle": lambda layer, _: pickle.loads(pickle.dumps(layer)),
    "torch.save": by_file,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@modes
@rows
def test_copies(row: Row, training: bool, copied: Callable[[nn.Module, Row], nn.Module]) -> None:
    layer, wanted = plainly(row, training)
    other = copied(layer, row)
    same(run(other, row.x, list(other.parameters())), wanted)
    layer(row.x)
    state = other.state_dict()
    assert all(torch.equal(value, state.pop(name)) for name, value in layer.state_dict().items()) and not state


@pytest.mark.parametrize("copied", list(COPIES.values())[1:], ids=list(COPIES)[1:])
@pytest.mark.parametrize("row", DRAWING.values(), ids=DRAWING)
def test_copies_draw_what_the_layer_would(row: Row, copied: Callable[[nn.Module, Row], nn.Module]) -> None:
    layer = row.make().eval()
    layer(row.x)
    other = copied(layer, row)
    assert torch.equal(other(row.x), layer(row.x)) and not torch.equal(other(row.x), other(row.x))


@rows
def test_vmap(row: Row) -> None:
    """A map over a further axis, in evaluation, against one call after the other."""
    layer, _ = plainly(row, False)
    many = torch.stack([row.x, row.x.flip(0), 0.5 * row.x])
    torch.testing.assert_close(torch.func.vmap(layer)(many), torch.stack([layer(x) for x in many]))


@modes
@rows
def test_functional_call(row: Row, training: bool) -> None:
    layer, wanted = plainly(row, training)
    empty = copy.deepcopy(layer).apply(lambda m: [p.data.zero_() for p in m.parameters()])
    state = {name: value.clone() for name, value in (*layer.named_parameters(), *layer.named_buffers())}
    assert torch.equal(torch.func.functional_call(empty, state, (row.x,)), wanted.outputs)


@modes
@rows
def test_data_parallel(row: Row, training: bool) -> None:
    layer, wanted = plainly(row, training)
    same(run(nn.DataParallel(layer), row.x, list(layer.parameters())), wanted)


@rows
def test_inference_mode_and_inputs_left_alone(row: Row) -> None:
    layer, wanted = plainly(row, False)
    x = row.x.clone()
    with torch.inference_mode():
        assert torch.equal(layer(x), wanted.outputs)
    assert torch.equal(x, row.x)
