"""Layers, norms and networks inside PyTorch's own tools: each cell against the same layer run plainly."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from edgebook.spiking import (
    LIF,
    Cell,
    CodedNetwork,
    SpikingNetwork,
    cell_network,
    spiking_resnet,
    spiking_vgg,
    without_spikes,
)
from edgebook.spiking.layers import Folded, ResidualBlock, SpikingLayer
from edgebook.spiking.normalization import StepBatchNorm, TemporalBatchNorm, ThresholdBatchNorm

# What PyTorch says of its own end when it exports and pushes forward.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

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


def with_feedback() -> nn.Module:
    """Make a cell whose running statistics are those of one batch, without which its neurons were silent."""
    options = {"in_channels": 1, "classes": 2, "size": 8, "width": CHANNELS, "steps": 2}
    cell = cell_network(Cell("0001 0020 0001 0200"), **options).features[0]
    for part in cell.edges.values():
        if not isinstance(part, nn.Identity):
            part.convolution.norm.momentum = 1.0
    return cell


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
    "cell with feedback": Row(with_feedback, SEQUENCE[:2]),
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


def rows_of(kernel: str, table: Mapping[str, Row]) -> list[Any]:
    return [pytest.param(row, id=k, marks=pytest.mark.support(kernel=kernel, on=k)) for k, row in table.items()]


def feature(name: str, **refused: str) -> pytest.MarkDecorator:
    return pytest.mark.support(feature=name, **refused)


PURE, NEURAL = rows_of("spiking norms and layers", WITHOUT_NEURONS), rows_of("spiking networks", WITH_NEURONS)
modes = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
rows = pytest.mark.parametrize("row", PURE + NEURAL)
pure = pytest.mark.parametrize("row", PURE)
neural = pytest.mark.parametrize("row", NEURAL)
drawing = pytest.mark.parametrize("row", rows_of("rate-coded networks", DRAWING))
halves = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


@feature("torch.compile")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@modes
@pure
def test_compile(row: Row, training: bool, backend: str) -> None:
    layer, wanted = plainly(row, training)
    reads = training and getattr(layer, "momentum", 0) is None  # a mean over batches reads their number, as PyTorch's
    torch.compiler.reset()
    compiled = torch.compile(layer, backend=backend, fullgraph=not reads)
    same(run(compiled, row.x, list(layer.parameters())), wanted, rtol=1e-5, atol=1e-5)


def doubled(row: Row) -> Row:
    """In double precision no membrane is so near the threshold that another order of sums moves a spike."""
    return Row(lambda: row.make().double(), row.x.double())


@feature("torch.compile")
@neural
def test_compile_with_neurons(row: Row) -> None:
    layer, wanted = plainly(doubled(row), True)
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    same(run(compiled, row.x.double(), list(layer.parameters())), wanted, rtol=1e-9, atol=1e-9)


@feature("torch.export")
@rows
def test_export(row: Row) -> None:
    layer, wanted = plainly(row, False)
    torch.testing.assert_close(torch.export.export(layer, (row.x,)).module()(row.x), wanted.outputs)


@feature("make_fx")
@rows
def test_make_fx(row: Row) -> None:
    layer, wanted = plainly(row, False)
    assert torch.equal(make_fx(lambda x: layer(x))(torch.zeros_like(row.x))(row.x), wanted.outputs)


@feature("fake tensors, on the meta device")
@rows
def test_without_memory(row: Row) -> None:
    layer, wanted = plainly(row, False)
    outputs = layer.to("meta")(row.x.to("meta"))
    assert (outputs.shape, outputs.dtype) == (wanted.outputs.shape, wanted.outputs.dtype)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@feature("torch.jit.trace")
@rows
def test_trace(row: Row) -> None:
    layer, wanted = plainly(row, False)
    assert torch.equal(torch.jit.trace(layer, row.x)(row.x), wanted.outputs)


@feature("autocast")
@halves
@modes
@pure
def test_autocast(row: Row, training: bool, dtype: torch.dtype) -> None:
    layer, wanted = plainly(row, training)
    with torch.autocast("cpu", dtype):
        have = layer(row.x)
    torch.testing.assert_close(have.float(), wanted.outputs, rtol=0.05, atol=0.05)


def cast_by_hand(layer: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a layer whose products are of a half type, and whose neurons take single precision."""
    for module in layer.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype).register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype),))
        elif isinstance(module, LIF):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    return layer


@feature("autocast")
@halves
@modes
@neural
def test_autocast_casts_as_a_hand_would(row: Row, training: bool, dtype: torch.dtype) -> None:
    """A spike near the threshold may differ from single precision, so the comparison is with the same roundings."""
    layer, _ = plainly(row, training)
    by_hand = cast_by_hand(copy.deepcopy(layer), dtype)
    wanted = run(by_hand, row.x, list(by_hand.parameters()))
    with torch.autocast("cpu", dtype):
        have = run(layer, row.x, list(layer.parameters()))
    assert have.outputs.dtype == wanted.outputs.dtype
    same(have, wanted._replace(parameters=[p.to(torch.float32) for p in wanted.parameters]))


@feature("half types")
@halves
@modes
@pure
def test_half(row: Row, training: bool, dtype: torch.dtype) -> None:
    layer, wanted = plainly(row, training)
    torch.testing.assert_close(layer.to(dtype)(row.x.to(dtype)).float(), wanted.outputs, rtol=0.05, atol=0.05)


def halved(row: Row, dtype: torch.dtype) -> object:
    return row.make().to(dtype)(row.x.to(dtype))


def second_derivative(row: Row) -> None:
    x = row.x.clone().requires_grad_()
    (first,) = torch.autograd.grad(row.make()(x).square().sum(), x, create_graph=True)
    first.sum().backward()


def checkpointed(row: Row, reentrant: bool) -> None:
    checkpoint(row.make(), row.x.clone().requires_grad_(), use_reentrant=reentrant).sum().backward()


REDRAWN = (
    "A pass that is computed again for its gradient would draw other spikes: draw them before, outside of what is "
    "checkpointed."
)
# What is asked of layers with neurons, and of those that draw.
REFUSED: dict[str, tuple[Callable[[Row], object], type[Exception], str]] = {
    "half types, float16": (
        lambda row: halved(row, torch.float16), ValueError, "currents must be float32 or float64, got float16.",
    ),
    "half types, bfloat16": (
        lambda row: halved(row, torch.bfloat16), ValueError, "currents must be float32 or float64, got bfloat16.",
    ),
    "second derivatives, by two backward passes": (
        second_derivative, RuntimeError, "The fused neuron has no second derivative; use backend='steps' for that.",
    ),
}  # fmt: skip
REFUSED_TO_DRAWING: dict[str, tuple[Callable[[Row], object], type[Exception], str]] = {
    "checkpoint": (lambda row: checkpointed(row, False), ValueError, REDRAWN),
    "checkpoint, reentrant": (lambda row: checkpointed(row, True), ValueError, REDRAWN),
    "vmap": (
        lambda row: torch.func.vmap(row.make())(row.x[None]), RuntimeError,
        "vmap: called random operation while in randomness error mode.",
    ),
}  # fmt: skip


def refusals(table: Mapping[str, tuple[Callable[[Row], object], type[Exception], str]]) -> list[Any]:
    return [pytest.param(*line, id=name, marks=feature(name, refused=line[2])) for name, line in table.items()]


@pytest.mark.parametrize(("call", "error", "words"), refusals(REFUSED))
@neural
def test_neurons_refuse(row: Row, call: Callable[[Row], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call(row)


@pytest.mark.parametrize(("call", "error", "words"), refusals(REFUSED_TO_DRAWING))
@drawing
def test_draws_refuse(row: Row, call: Callable[[Row], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call(row)


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(lambda layer, x: torch.compile(layer, backend="eager"), id="c", marks=feature("torch.compile")),
        pytest.param(lambda layer, x: torch.export.export(layer, (x,)).module(), id="x", marks=feature("torch.export")),
        pytest.param(lambda layer, x: nn.DataParallel(layer), id="parallel", marks=feature("DataParallel")),
        pytest.param(lambda layer, x: torch.inference_mode()(layer), id="inf", marks=feature("inference_mode")),
    ],
)
@drawing
def test_draws_go_on_where_they_were(row: Row, transform: Callable[[nn.Module, Tensor], Any]) -> None:
    """Whatever a tracer drew, each call then draws what a plain one would from the same state."""
    layer = row.make().eval()
    torch.compiler.reset()
    transformed = transform(layer, row.x)
    other = copy.deepcopy(layer)
    for _ in range(2):
        assert torch.equal(transformed(row.x), other(row.x))


@feature("double precision")
@modes
@rows
def test_double(row: Row, training: bool) -> None:
    layer, wanted = plainly(row, training)
    have = layer.double()(row.x.double())
    assert have.dtype == torch.float64
    torch.testing.assert_close(have.float(), wanted.outputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "reentrant",
    [pytest.param(False, marks=feature("checkpoint")), pytest.param(True, marks=feature("checkpoint, reentrant"))],
    ids=["saved", "reentrant"],
)
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
    "pickle, by torch.save": by_file,
}
COPIED = [pytest.param(do, id=name, marks=feature(name)) for name, do in COPIES.items()]


@pytest.mark.parametrize("copied", COPIED)
@modes
@rows
def test_copies(row: Row, training: bool, copied: Callable[[nn.Module, Row], nn.Module]) -> None:
    layer, wanted = plainly(row, training)
    other = copied(layer, row)
    same(run(other, row.x, list(other.parameters())), wanted)
    layer(row.x)
    state = other.state_dict()
    assert all(torch.equal(value, state.pop(name)) for name, value in layer.state_dict().items()) and not state


@pytest.mark.parametrize("copied", COPIED[1:])
@drawing
def test_copies_draw_what_the_layer_would(row: Row, copied: Callable[[nn.Module, Row], nn.Module]) -> None:
    layer = row.make().eval()
    layer(row.x)
    other = copied(layer, row)
    assert torch.equal(other(row.x), layer(row.x)) and not torch.equal(other(row.x), other(row.x))


@feature("vmap")
@rows
def test_vmap(row: Row) -> None:
    """A map over a further axis, in evaluation, against one call after the other."""
    layer, _ = plainly(row, False)
    many = torch.stack([row.x, row.x.flip(0), 0.5 * row.x])
    torch.testing.assert_close(torch.func.vmap(layer)(many), torch.stack([layer(x) for x in many]))


@feature("torch.func.grad, under vmap")
@rows
def test_vmap_of_a_gradient(row: Row) -> None:
    layer, _ = plainly(row, False)
    slope = torch.func.grad(lambda x: layer(x).square().sum())
    many = torch.stack([row.x, 0.5 * row.x])
    wanted = []
    for x in many:
        leaf = x.clone().requires_grad_()
        wanted += torch.autograd.grad(layer(leaf).square().sum(), leaf)
    torch.testing.assert_close(torch.func.vmap(slope)(many), torch.stack(wanted))


@feature("forward mode")
@modes
@rows
def test_forward_mode(row: Row, training: bool) -> None:
    """Forwards and backwards are transposes of each other."""
    layer, wanted = plainly(doubled(row), training)
    along = drawn(*row.x.shape, seed=4).double()
    with forward_ad.dual_level():  # torch.func.jvp does not let a norm in training count its batches
        outputs, pushed = forward_ad.unpack_dual(layer(forward_ad.make_dual(row.x.double(), along)))
    if not training:
        torch.testing.assert_close(torch.func.jvp(layer, (row.x.double(),), (along,)), (outputs, pushed))
    torch.testing.assert_close(outputs.detach(), wanted.outputs)
    weights = drawn(*outputs.shape, seed=3).double()  # those of `run`
    torch.testing.assert_close((pushed * weights).sum(), (wanted.inputs * along).sum(), rtol=1e-9, atol=1e-9)


@feature("functional_call")
@modes
@rows
def test_functional_call(row: Row, training: bool) -> None:
    layer, wanted = plainly(row, training)
    empty = copy.deepcopy(layer).apply(lambda m: [p.data.zero_() for p in m.parameters()])
    state = {name: value.clone() for name, value in (*layer.named_parameters(), *layer.named_buffers())}
    assert torch.equal(torch.func.functional_call(empty, state, (row.x,)), wanted.outputs)


@feature("DataParallel")
@modes
@rows
def test_data_parallel(row: Row, training: bool) -> None:
    layer, wanted = plainly(row, training)
    same(run(nn.DataParallel(layer), row.x, list(layer.parameters())), wanted)


@feature("inference_mode")
@rows
def test_inference_mode_and_inputs_left_alone(row: Row) -> None:
    layer, wanted = plainly(row, False)
    x = row.x.clone()
    with torch.inference_mode():
        assert torch.equal(layer(x), wanted.outputs)
    assert torch.equal(x, row.x)
