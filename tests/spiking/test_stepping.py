"""One step of a neuron, iterated, against the neuron over whole sequences, and as an operator of PyTorch."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgebook.spiking import LIF, atan, fast_sigmoid, lif, lif_step, triangular
from edgebook.spiking.neuron.recurrence import kernels
from edgebook.spiking.stepping import SteppedLIF

GPU = torch.cuda.is_available() and kernels("triton") is not None
BACKENDS = [
    "torch",
    "steps",
    pytest.param("numba", marks=pytest.mark.skipif(kernels() is None, reason="Numba is not installed")),
    pytest.param("triton", marks=pytest.mark.skipif(not GPU, reason="There is no GPU, or no Triton")),
]
SWITCHES = ("delay", "detach_reset", "strict", "scale_input")
CONVENTIONS: list[dict[str, Any]] = [
    {"reset": reset, "surrogate": surrogate, "relative": relative, **dict(zip(SWITCHES, switches, strict=True))}
    for (reset, *switches), surrogate, relative in zip(
        itertools.product(["zero", "subtract", "none"], *[[False, True]] * 4),
        itertools.cycle([atan(), triangular(), fast_sigmoid()]),
        itertools.cycle([False, False, True, True, True]),
        strict=False,
    )
]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return 1.5 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def stepped(currents: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """Walk through a sequence (T, ...) step by step."""
    spikes, carry = [], None
    for t in range(len(currents)):
        spike, carry = lif_step(currents[t], carry, *arguments, **options)
        spikes.append(spike)
    return torch.stack(spikes)


def there_and_back(call: Callable[[Tensor], Tensor], currents: Tensor) -> tuple[Tensor, Tensor]:
    leaf = currents.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    spikes = call(leaf)
    spikes.backward(draw(*spikes.shape, seed=1).to(spikes))
    assert leaf.grad is not None
    return spikes.detach(), leaf.grad


def alike(have: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    for one, other in zip(have, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_step_by_step_it_is_the_neuron_over_a_sequence_to_the_last_bit(backend: str) -> None:
    for place, convention in list(enumerate(CONVENTIONS))[:: 1 if backend == "numba" else 3]:
        beta, theta = [(0.5, 1.0), (0.95, 0.7), (1.0, 1.3), (0.0, 1.0), (0.25, 1.0)][place % 5]
        currents = draw(4, 2, 9, dtype=(torch.float32, torch.float64)[place // 2 % 2])
        currents = currents.to("cuda" if backend == "triton" else "cpu")
        options = {"beta": beta, "threshold": theta, "backend": backend, **convention}
        alike(*(there_and_back(partial(call, **options), currents) for call in (stepped, lif)))


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=12), st.floats(0, 1), st.floats(0.01, 4), st.booleans())
@settings(max_examples=30)
def test_any_currents_leak_and_threshold(currents: list[float], beta: float, theta: float, strict: bool) -> None:
    x = torch.tensor(currents, dtype=torch.float64)
    assert torch.equal(stepped(x, beta, theta, strict=strict), lif(x, beta, theta, strict=strict))


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_three_steps_by_hand(backend: str) -> None:
    """Leak 1/2, threshold 1: membranes 0.75, 1.375 and 0.5 with a reset to zero, which a quarter of a bump feeds."""
    x = torch.tensor([[0.75], [1.0], [0.5]], dtype=torch.float64, requires_grad=True)
    first, carry = lif_step(x[0], None, 0.5, surrogate=triangular(0.5, 2.0), backend=backend)
    second, after = lif_step(x[1], carry, 0.5, surrogate=triangular(0.5, 2.0), backend=backend)
    third, last = lif_step(x[2], after, 0.5, surrogate=triangular(0.5, 2.0), backend=backend)
    assert [y.item() for y in (first, carry, second, after, third, last)] == [0, 0.375, 1, 0, 0, 0.25]
    (second + last).backward()
    slope = 0.5 * (1 - 0.375 / 2)  # of the second spike, at a distance of 0.375 from the threshold
    assert x.grad is not None and x.grad.flatten().tolist() == [0.5 * slope, slope, 0.5]


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_layouts_and_memory(backend: str) -> None:
    plain, carried = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=2)
    last = torch.channels_last
    wanted = lif_step(plain, carried, 0.5, backend=backend)
    for current in (plain.contiguous(memory_format=last), torch.stack([plain, plain], dim=1)[:, 0]):
        for carry in (carried, carried.contiguous(memory_format=last), carried.mT.contiguous().mT):
            before = current.clone(), carry.clone()
            have = lif_step(current, carry, 0.5, backend=backend)
            alike(have, wanted)
            assert all(y._base is None for y in have) and len({y.data_ptr() for y in (*have, current, carry)}) == 4
            alike((current, carry), before)
    one = plain[:1].expand(2, -1, -1, -1)
    alike(lif_step(one, None, 0.5, backend=backend), lif_step(one.contiguous(), None, 0.5, backend=backend))
    if backend != "steps":
        laid = plain.contiguous(memory_format=last)
        assert all(y.stride() == laid.stride() for y in lif_step(laid, carried, 0.5, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_shapes_and_numbers_at_the_edges(backend: str) -> None:
    for shape in ((), (0, 3), (1, 1)):
        leaf = draw(*shape).requires_grad_()
        spikes, carry = lif_step(leaf, None, 0.5, backend=backend)
        (spikes.sum() + carry.sum()).backward()
        assert spikes.shape == carry.shape == leaf.grad.shape == shape
    odd = torch.tensor([[1.5, math.nan], [0.5, 0.5], [math.inf, 1.5], [0.5, 0.5]])
    alike((stepped(odd, 0.5, backend=backend),), (lif(odd, 0.5, backend=backend),))


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_either_output_alone_can_be_differentiated(backend: str) -> None:
    leaf, weights = draw(6).requires_grad_(), draw(6, seed=1)
    outputs = lif_step(leaf, draw(6, seed=2), 0.6, detach_reset=False, backend=backend)
    for used in (0, 1):
        zeros = [weights, torch.zeros(6)]
        alone = torch.autograd.grad(outputs[used], leaf, weights, retain_graph=True)
        alike(alone, torch.autograd.grad(outputs, leaf, zeros[::-1] if used else zeros, retain_graph=True))


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_what_is_handed_out_may_be_changed(backend: str) -> None:
    leaf = draw(6).requires_grad_()
    (wanted,) = torch.autograd.grad(lif_step(leaf, None, 0.6, backend="steps")[0].sum(), leaf)
    spikes, carry = lif_step(leaf, None, 0.6, backend=backend)
    with torch.no_grad():
        carry.zero_()
    alike(torch.autograd.grad(spikes.mul_(1).sum(), leaf), (wanted,))


# What PyTorch may do to a step, each beside an eager run.
Pair = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
OPTIONS: dict[str, Any] = {"reset": "subtract", "surrogate": triangular(), "detach_reset": False}


def walk(currents: Tensor, backend: str = "auto") -> Tensor:
    return stepped(currents, 0.8, 0.7, backend=backend, **OPTIONS)


def beside(call: Callable[[Tensor], Tensor], currents: Tensor) -> Pair:
    return there_and_back(call, currents), there_and_back(walk, currents)


def compiled(x: Tensor) -> Pair:
    torch._dynamo.reset()
    return beside(torch.compile(walk, fullgraph=True, backend="aot_eager"), x)


def exported(x: Tensor) -> Pair:
    layer = nn.Sequential()
    layer.forward = walk  # type: ignore[method-assign]
    return (torch.export.export(layer, (x,)).module()(x),), (walk(x),)


def mapped(x: Tensor) -> Pair:
    for axis in (1, 2):
        pair = beside(torch.func.vmap(walk, in_dims=axis, out_dims=axis), x)
        alike(*pair)
    return pair


def mapped_carry(x: Tensor) -> Pair:
    """Either the current or the carry is the same for all."""
    step = lambda current, carry: lif_step(current, carry, 0.8)[1]  # noqa: E731
    found = torch.func.vmap(step, in_dims=(None, 1), out_dims=1)(x[0, 0], x[1].T)
    other = torch.func.vmap(step, in_dims=(0, None))(x[0], x[1, 0])
    one, both = x[0, 0], x[1]
    return (found, other), (
        torch.stack([lif_step(one, carry, 0.8)[1] for carry in both], 1),
        torch.stack([lif_step(current, both[0], 0.8)[1] for current in x[0]]),
    )


def gradient_of_each(x: Tensor) -> Pair:
    slope = torch.func.grad(lambda currents, weights: (weights * walk(currents)).sum())
    found = torch.func.vmap(slope, in_dims=1, out_dims=1)(x, draw(*x.shape, seed=1))
    return (found,), there_and_back(walk, x)[1:]


def cast(x: Tensor) -> Pair:
    half = x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        spikes, grad = there_and_back(walk, half)
    wanted = there_and_back(walk, half.float())
    assert spikes.dtype == torch.float32
    return (spikes, grad), (wanted[0], wanted[1].bfloat16())


def pushed(x: Tensor) -> Pair:
    """A tangent is the Jacobian, row by row by plain backward passes, times what moves the currents."""
    x, moved = x[:, 0].double(), draw(*x[:, 0].shape, seed=1).double()
    rows = torch.autograd.functional.jacobian(walk, x)
    return (torch.func.jvp(walk, (x,), (moved,))[1],), (torch.tensordot(rows, moved, dims=2),)


def twice(x: Tensor) -> Pair:
    """Of one step alone the second derivative is that of the surrogate: of a triangle -a/w or a/w, or 0."""
    x = x[0, 0].double()
    found = torch.func.hessian(lambda y: walk(y[None], backend="steps").sum())(x)
    inside = (x - 0.7).abs() < 1
    return (found,), (torch.where(inside, -0.3 * (x - 0.7).sign(), 0).diag(),)


FEATURES: dict[str, Callable[[Tensor], Pair]] = {
    "torch.compile": compiled,
    "torch.export": exported,
    "torch.jit.trace": lambda x: beside(torch.jit.trace(walk, (torch.zeros_like(x),)), x),
    "make_fx": lambda x: beside(torch.fx.experimental.proxy_tensor.make_fx(lambda y: walk(y))(torch.zeros_like(x)), x),
    "autocast, bfloat16": cast,
    "checkpoint": lambda x: beside(lambda y: checkpoint(walk, y, use_reentrant=False), x),
    "checkpoint, reentrant": lambda x: beside(lambda y: checkpoint(walk, y, use_reentrant=True), x),
    "vmap": mapped,
    "vmap, of one of current and carry": mapped_carry,
    "torch.func.grad, under vmap": gradient_of_each,
    "forward mode": pushed,
    "second derivatives, by torch.func.hessian": twice,
    "inference_mode": lambda x: ((torch.inference_mode()(walk)(x),), (walk(x),)),
    "operations in place, on the spikes": lambda x: (
        there_and_back(lambda y: walk(y).mul_(2).add_(y), x), there_and_back(lambda y: walk(y) * 2 + y, x),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.support(kernel="one step of a neuron")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.support(feature=name)) for name in FEATURES])
def test_a_step_works_under(name: str) -> None:
    tolerance = 1e-12 if name in ("forward mode", "second derivatives, by torch.func.hessian") else 0
    for have, want in zip(*FEATURES[name](draw(4, 3, 5)), strict=True):
        torch.testing.assert_close(have, want, rtol=tolerance, atol=tolerance)


def twice_backward() -> None:
    x = draw(3).requires_grad_()
    (first,) = torch.autograd.grad(lif_step(x, None, 0.8)[0].sum(), x, create_graph=True)
    first.sum().backward()


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "half types, float16": (
        lambda: lif_step(draw(3).half(), None, 0.5), ValueError, "currents must be float32 or float64, got float16.",
    ),
    "second derivatives, by two backward passes": (
        twice_backward, RuntimeError, "The fused neuron has no second derivative; use backend='steps' for that.",
    ),
}  # fmt: skip


@pytest.mark.support(kernel="one step of a neuron")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [pytest.param(*row, marks=pytest.mark.support(feature=name, refused=row[2])) for name, row in REFUSED.items()],
    ids=REFUSED,
)
def test_a_step_refuses(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()


@pytest.mark.parametrize(
    ("carry", "options", "error", "words"),
    [
        (torch.zeros(4), {}, ValueError, "carry must be like the current, float32 (3,) on cpu, got float32 (4,) on"),
        (torch.zeros(3).double(), {}, ValueError, "like the current, float32 (3,) on cpu, got float64 (3,) on cpu."),
        (torch.zeros(()), {}, ValueError, "got float32 () on cpu."),
        (0.0, {}, TypeError, "carry must be a tensor, got a float."),
        (None, {"backend": "nunba"}, ValueError, "Did you mean 'numba'?"),
        (None, {"reset": "one"}, ValueError, "reset must be one of zero, subtract, none"),
    ],
    ids=str,
)
def test_what_is_refused(carry: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        lif_step(draw(3), carry, 0.5, **options)
    with pytest.raises(TypeError, match="current must be a tensor, got a list"):
        lif_step([0.5], None, 0.5)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS[::2])
def test_the_operator_is_registered_as_pytorch_asks(backend: str) -> None:
    """Its own check: schema, fake tensors, autograd, and graphs with symbolic shapes, here channels last."""
    current = draw(3, 2, 2, 2).contiguous(memory_format=torch.channels_last)
    inputs = (current.requires_grad_(), draw(3, 2, 2, 2, seed=1).requires_grad_())
    torch.library.opcheck(torch.ops.edgebook.lif_step.default, (*inputs, *LIF(0.5).convention.arguments, backend))


def test_a_layer_takes_whole_sequences_and_single_steps() -> None:
    layer, x, held = SteppedLIF(0.25, scale_input=True, strict=False), draw(4, 3, 5), {}
    whole = layer(x)
    assert torch.equal(whole, LIF(0.25, scale_input=True, strict=False)(x))
    assert torch.equal(torch.cat([layer(step, held=held) for step in x.split(1)]), whole)
    assert list(held) == [layer] and torch.equal(layer(x), whole)  # nothing stays in the layer
