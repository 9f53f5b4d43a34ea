"""Neurons against an explicit loop in double precision, for every convention, and at the edges of their domain."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgebook import spiking
from edgebook.spiking import LIF, Surrogate, atan, beta_of, fast_sigmoid, integrate, spiking_vgg, triangular
from edgebook.spiking.neuron.recurrence import kernels

GPU = torch.cuda.is_available() and kernels("triton") is not None
FUSED = [
    "torch",
    pytest.param("numba", marks=pytest.mark.skipif(kernels() is None, reason="Numba is not installed")),
    pytest.param("triton", marks=pytest.mark.skipif(not GPU, reason="There is no GPU, or no Triton")),
]
BACKENDS = [*FUSED, "steps"]
CONVENTIONS = [
    dict(zip(("reset", "delay", "detach_reset", "strict", "scale_input"), values, strict=True))
    for values in itertools.product(["zero", "subtract", "none"], *[[False, True]] * 4)
]


def lif(currents: Tensor, *arguments: Any, backend: str = "auto", **options: Any) -> Tensor | tuple[Tensor, Tensor]:
    """Call the kernel where its backend works, and bring the result back."""
    if backend != "triton":
        return spiking.lif(currents, *arguments, backend=backend, **options)
    found = spiking.lif(currents.cuda(), *arguments, backend=backend, **options)
    return tuple(one.cpu() for one in found) if isinstance(found, tuple) else found.cpu()


class Step(torch.autograd.Function):
    """A spike with a given derivative, nothing else: what the reference is built on."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, derivative: Tensor, strict: bool) -> Tensor:
        ctx.save_for_backward(derivative)
        return (distance > 0 if strict else distance >= 0).double()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None


def bump(surrogate: Surrogate, x: Tensor) -> Tensor:
    """Write the surrogates once more, from the formulas of the papers and of snnTorch at their default parameters."""
    if surrogate == atan():
        return 1 / (1 + (math.pi * x) ** 2)
    if surrogate == fast_sigmoid():
        return 1 / (1 + 25 * abs(x)) ** 2
    assert surrogate == triangular()
    return 0.3 * torch.relu(1 - abs(x))


def reference(
    currents: Tensor,
    beta: float,
    theta: float,
    *,
    reset: str,
    delay: bool,
    detach_reset: bool,
    strict: bool,
    scale_input: bool,
    relative: bool,
    surrogate: Surrogate,
) -> tuple[Tensor, Tensor]:
    """Walk through time one step after the other, with the graph that autograd makes of it."""
    spikes, membranes = [], []
    h = s = torch.zeros_like(currents[0])
    for t, current in enumerate(currents):
        if scale_input:
            current = (1 - beta) * current
        fired = s.detach() if detach_reset else s
        if t == 0:
            h = current
        elif reset == "zero":
            h = beta * (1 - fired) * h + current
        elif reset == "none":
            h = beta * h + current
        elif delay:
            h = beta * h + current - theta * fired
        else:
            h = beta * (h - theta * fired) + current
        x = (h / theta - 1) if relative else (h - theta)
        s = Step.apply(x, bump(surrogate, x).detach(), strict)
        spikes.append(s)
        membranes.append(h)
    return torch.stack(spikes), torch.stack(membranes)


def draw(*shape: int, seed: int = 0, scale: float = 1.5, dtype: torch.dtype = torch.float64) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def compare(currents: Tensor, beta: float, theta: float, backend: str, **convention: Any) -> None:
    """Hold spikes, membranes and the gradients of both against the reference."""
    want_in, have_in = (currents.clone().requires_grad_() for _ in range(2))
    wanted = reference(want_in, beta, theta, **convention)
    have = lif(have_in, beta, theta, membranes=True, backend=backend, **convention)
    assert isinstance(have, tuple)
    torch.testing.assert_close(have[0], wanted[0], rtol=0, atol=0)
    torch.testing.assert_close(have[1], wanted[1], rtol=1e-12, atol=1e-12)
    weights = [draw(*currents.shape, seed=seed) for seed in (1, 2)]
    torch.autograd.backward(wanted, weights)
    torch.autograd.backward(have, weights)
    torch.testing.assert_close(have_in.grad, want_in.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("surrogate", [atan(), fast_sigmoid(), triangular()], ids=lambda s: s.kind)
@pytest.mark.parametrize("relative", [False, True])
def test_every_convention_equals_the_step_by_step_reference(backend: str, surrogate: Surrogate, relative: bool) -> None:
    currents = draw(7, 3, 11)
    for convention in CONVENTIONS:
        for beta, theta in [(0.5, 1.0), (0.95, 0.7), (1.0, 1.3), (0.0, 1.0)]:
            compare(currents, beta, theta, backend, relative=relative, surrogate=surrogate, **convention)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_convention_where_membranes_meet_the_threshold(backend: str) -> None:
    """Halves and quarters are exact, so that many of these membranes lie at the threshold itself."""
    currents = (draw(6, 400, scale=1.0) * 2).round() / 2
    held = lif(currents, 0.5, membranes=True)[1]
    assert (held == 1).sum() > 100
    for convention in CONVENTIONS:
        compare(currents, 0.5, 1.0, backend, relative=False, surrogate=atan(), **convention)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(1, 4), (3,), (9, 2, 3, 5, 5), (4, 1, 5000), (1000, 2, 170)], ids=str)
def test_shapes_from_one_neuron_to_several_blocks(backend: str, shape: tuple[int, ...]) -> None:
    convention: dict[str, Any] = {**CONVENTIONS[0], "relative": False, "surrogate": atan()}
    compare(draw(*shape), 0.8, 1.0, backend, **convention)


@pytest.mark.parametrize("backend", BACKENDS)
def test_membranes_at_the_threshold(backend: str) -> None:
    currents = torch.tensor([[0.5, 1.0, 0.75]] * 2, dtype=torch.float64)
    for strict, wanted in [(True, [[0, 0, 0], [0, 1, 1]]), (False, [[0, 1, 0], [1, 1, 1]])]:
        spikes = lif(currents, 1.0, strict=strict, backend=backend)
        assert spikes.tolist() == wanted
    nearly = torch.full((1,), 1.1, dtype=torch.float32)
    assert lif(nearly, 0.5, 1.1, strict=True, backend=backend).item() == 0
    assert lif(nearly, 0.5, 1.1, strict=False, backend=backend).item() == 1
    below = torch.nextafter(nearly, torch.zeros(1))
    assert lif(below, 0.5, 1.1, strict=False, backend=backend).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_backends_spike_alike_to_the_last_bit(dtype: torch.dtype) -> None:
    currents = draw(20, 4, 50, dtype=dtype)
    for convention in CONVENTIONS:
        wanted = lif(currents, 0.9, 0.8, membranes=True, backend="steps", **convention)
        for backend in ["auto", "torch", *(["triton"] if GPU else [])]:
            have = lif(currents, 0.9, 0.8, membranes=True, backend=backend, **convention)
            assert have[0].dtype == have[1].dtype == dtype
            assert torch.equal(have[0], wanted[0]) and torch.equal(have[1], wanted[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_single_precision_gradients(backend: str) -> None:
    convention: dict[str, Any] = {"reset": "subtract", "detach_reset": False, "surrogate": triangular()}
    grads = []
    for dtype, where in [(torch.float64, "steps"), (torch.float32, backend)]:
        currents = draw(6, 5, 9, dtype=torch.float32).to(dtype).requires_grad_()
        lif(currents, 0.5, backend=where, **convention).backward(draw(6, 5, 9, dtype=torch.float32, seed=3).to(dtype))
        assert currents.grad is not None and currents.grad.dtype == dtype
        grads.append(currents.grad.double())
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layouts_of_currents_and_gradients_do_not_matter(backend: str) -> None:
    plain = draw(5, 2, 3, 4, 4)
    weights = draw(5, 2, 3, 4, 4, seed=1)

    def gradient(currents: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        leaf = currents.detach().requires_grad_()
        spikes = lif(leaf, 0.7, backend=backend)
        return spikes, torch.autograd.grad(spikes, leaf, weights)[0]

    wanted = gradient(plain, weights)
    last = plain.flatten(0, 1).contiguous(memory_format=torch.channels_last).view_as(plain)
    every_other = torch.stack([plain, -plain], dim=1)[:, 0]
    from_the_end = torch.cat([weights, weights])[5:]
    for currents, grads in [
        (last, weights),
        (every_other, from_the_end),
        (plain, weights.transpose(3, 4).contiguous().mT),
    ]:
        have = gradient(currents, grads)
        assert all(torch.equal(a, b) for a, b in zip(have, wanted, strict=True))

    repeated, one = plain[:1].expand(5, -1, -1, -1, -1), weights[0].expand(5, -1, -1, -1, -1)
    have, wanted = gradient(repeated, one), gradient(repeated.contiguous(), one.contiguous())
    assert all(torch.equal(a, b) for a, b in zip(have, wanted, strict=True))
    scalar = torch.tensor(1.0, dtype=torch.float64).expand(plain.shape)  # what .sum() hands back
    assert torch.equal(gradient(plain, scalar)[1], gradient(plain, scalar.contiguous())[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_either_output_alone_can_be_differentiated(backend: str) -> None:
    weights = draw(4, 6, seed=1)
    for used in (0, 1):
        leaf = draw(4, 6).requires_grad_()
        zeros = [torch.zeros(4, 6, dtype=torch.float64), weights]
        outputs = lif(leaf, 0.6, membranes=True, backend=backend)
        alone = torch.autograd.grad(outputs[used], leaf, weights, retain_graph=True)[0]
        both = torch.autograd.grad(outputs, leaf, zeros if used else zeros[::-1])[0]
        assert torch.equal(alone, both)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_per_sample(backend: str) -> None:
    """Map the gradient of a small network over samples, and take them one by one."""
    weight, images = draw(8, 5, seed=1), draw(6, 5)

    def loss(weight: Tensor, image: Tensor) -> Tensor:
        currents = (weight @ image).expand(4, -1)
        spikes, membranes = lif(currents * torch.arange(1.0, 5.0)[:, None], 0.5, membranes=True, backend=backend)
        return (spikes.mean(0) + membranes[-1]).square().sum()

    mapped = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, images)
    single = torch.stack([torch.autograd.functional.vjp(lambda w, i=i: loss(w, i), weight)[1] for i in images])
    torch.testing.assert_close(mapped, single, rtol=1e-12, atol=1e-12)
    assert torch.count_nonzero(single)


@pytest.mark.parametrize("backend", FUSED)
def test_second_derivatives_only_step_by_step(backend: str) -> None:
    leaf = draw(4, 6).requires_grad_()

    def slope_of_the_slope(backend: str) -> Tensor:
        grad = torch.autograd.grad(lif(leaf, 0.9, backend=backend).sum(), leaf, create_graph=True)[0]
        return torch.autograd.grad(grad.square().sum(), leaf)[0]

    with pytest.raises(RuntimeError, match="use backend='steps'"):
        slope_of_the_slope(backend)
    assert torch.count_nonzero(slope_of_the_slope("steps"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_currents_that_change_after_the_spikes_spoil_no_gradient(backend: str) -> None:
    """What was kept is either a copy, or watched by autograd."""
    leaf = draw(4, 6).requires_grad_()
    wanted = torch.autograd.grad(lif(leaf, 0.5, backend="steps").sum(), leaf)[0]
    currents = leaf * 1
    spikes = lif(currents, 0.5, backend=backend)
    currents.add_(1)
    if backend == "numba":
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            spikes.sum().backward()
    else:
        torch.testing.assert_close(torch.autograd.grad(spikes.sum(), leaf)[0], wanted, rtol=1e-12, atol=1e-12)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("reset", "current", "spikes", "membranes"), [
    ("zero", NAN, [1, 0, NAN, NAN], [1.5, 0.5, NAN, NAN]),
    ("zero", INF, [1, 0, 1, NAN], [1.5, 0.5, INF, NAN]),  # infinity times zero is no number
    ("zero", -INF, [1, 0, 0, 0], [1.5, 0.5, -INF, -INF]),
    ("subtract", NAN, [1, 0, NAN, NAN], [1.5, 0.75, NAN, NAN]),
    ("subtract", INF, [1, 0, 1, 1], [1.5, 0.75, INF, INF]),
    ("none", NAN, [1, 1, NAN, NAN], [1.5, 1.25, NAN, NAN]),
    ("none", -INF, [1, 1, 0, 0], [1.5, 1.25, -INF, -INF]),
])  # fmt: skip
def test_what_is_not_finite_is_not_hidden_and_never_reaches_the_past(
    backend: str, reset: str, current: float, spikes: list[float], membranes: list[float]
) -> None:
    currents = torch.tensor([1.5, 0.5, current, 0.5])
    found = lif(currents, 0.5, 1.0, reset, membranes=True, backend=backend)
    for have, want in zip(found, (spikes, membranes), strict=True):
        wanted = torch.tensor(want, dtype=torch.float32)
        torch.testing.assert_close(have, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("backend", FUSED)
@pytest.mark.parametrize("surrogate", [atan(), fast_sigmoid(), triangular()], ids=lambda s: s.kind)
def test_back_ends_agree_on_what_is_not_finite(backend: str, surrogate: Surrogate) -> None:
    """A column for each step and each value; also of gradients, the pattern of NaN and all numbers beside it."""
    currents = draw(6).repeat(3 * 6, 1).T.contiguous()
    for column, (step, value) in enumerate(itertools.product(range(6), (NAN, INF, -INF))):
        currents[step, column] = value
    weights = [draw(*currents.shape, seed=seed) for seed in (1, 2)]
    for convention in CONVENTIONS:
        found = []
        for where in (backend, "steps"):
            leaf = currents.clone().requires_grad_()
            outputs = lif(leaf, 0.5, 0.8, surrogate=surrogate, membranes=True, backend=where, **convention)
            torch.autograd.backward(outputs, weights)
            found.append([*outputs, leaf.grad])
        for have, want in zip(*found, strict=True):
            torch.testing.assert_close(have, want, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_own_their_memory(backend: str) -> None:
    """What is done to them in place reaches neither the currents nor one another, in any layout."""
    plain = draw(5, 2, 3, 4, 4)
    last = plain.flatten(0, 1).contiguous(memory_format=torch.channels_last).view_as(plain)
    for currents in (plain, last, plain[:1].expand(5, -1, -1, -1, -1), plain.transpose(0, 1)[:, :2]):
        before, leaf = currents.clone(), currents.detach().requires_grad_()
        outputs = lif(leaf, 0.5, membranes=True, backend=backend)
        grad = torch.autograd.grad(outputs[0].sum(), leaf, retain_graph=True)[0]
        assert all(y._base is None and y.storage_offset() == 0 for y in (*outputs, grad))
        outputs[0].fill_(7)
        grad.fill_(7)
        assert torch.equal(currents, before) and bool((outputs[1] != 7).all())


def test_a_backward_pass_needs_no_more_than_a_sequence_beside_its_gradient() -> None:
    """Measured in a process of its own, which starts without the memory that other tests have had."""
    pytest.importorskip("resource")
    code = """
import resource, sys, torch
from edgebook.spiking import lif
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform == "darwin" else 1024)
lif(torch.ones(3, 1, requires_grad=True), 0.9).sum().backward()
for shape in ((2_000_000, 1), (40_000, 50)):
    spikes = lif(torch.ones(shape, requires_grad=True), 0.9)
    before = peak()
    spikes.sum().backward()
    assert peak() - before < 4 * 8_000, (shape, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wrong", [[0.5, 0.7], np.ones(3, np.float32), 0.5, None], ids=lambda w: type(w).__name__)
def test_what_is_no_tensor(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"currents must be a tensor, got a {type(wrong).__name__}"):
        lif(wrong, 0.5)


def test_what_has_no_step_under_a_map() -> None:
    with pytest.raises(ValueError, match=r"at least one step, got the shape \(\)"):
        torch.func.vmap(LIF(0.5))(torch.ones(3))


resets = st.sampled_from(["zero", "subtract", "none"])
betas = st.floats(0, 1)
backends = st.sampled_from(["auto", "torch", "steps"])


@given(betas, st.floats(0.01, 10), resets, st.booleans(), st.booleans(), backends)
def test_silence_stays_silent(beta: float, theta: float, reset: str, delay: bool, strict: bool, backend: str) -> None:
    spikes, membranes = lif(
        torch.zeros(5, 3), beta, theta, reset, delay=delay, strict=strict, membranes=True, backend=backend
    )
    assert not spikes.any() and not membranes.any()


@given(betas, resets, st.floats(2.01, 1e6), backends)
def test_saturating_currents_fire_at_every_step(beta: float, reset: str, current: float, backend: str) -> None:
    assert lif(torch.full((6, 2), current), beta, 1.0, reset, backend=backend).all()


@given(betas, st.floats(-3, 3), resets, st.booleans())
def test_a_single_step_is_a_threshold(beta: float, current: float, reset: str, delay: bool) -> None:
    spike, membrane = lif(torch.tensor([current]), beta, 1.0, reset, delay=delay, membranes=True)
    assert membrane.item() == torch.tensor(current).item()
    assert spike.item() == (membrane.item() > 1)


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=30), st.floats(0.25, 4), st.booleans())
def test_subtraction_conserves_charge_without_leak(currents: list[float], theta: float, delay: bool) -> None:
    x = torch.tensor(currents, dtype=torch.float64)
    spikes, membranes = lif(x, 1.0, theta, "subtract", delay=delay, membranes=True)
    left = membranes[-1] - theta * spikes[-1]
    torch.testing.assert_close(left + theta * spikes.sum(), x.sum(), rtol=1e-12, atol=1e-12)


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=20), betas, st.sampled_from([0.25, 0.5, 2.0, 8.0]), resets)
def test_currents_and_threshold_scale_together(currents: list[float], beta: float, by: float, reset: str) -> None:
    x = torch.tensor(currents, dtype=torch.float64)
    assert torch.equal(lif(x, beta, 1.0, reset), lif(by * x, beta, by, reset))


@given(st.lists(st.floats(-4, 4), min_size=2, max_size=20), betas, resets, st.booleans())
def test_the_future_does_not_reach_the_past(currents: list[float], beta: float, reset: str, delay: bool) -> None:
    x = torch.tensor(currents, dtype=torch.float64)
    half = len(x) // 2
    assert torch.equal(lif(x, beta, 1.0, reset, delay=delay)[:half], lif(x[:half], beta, 1.0, reset, delay=delay))


@pytest.mark.parametrize("reset", ["zero", "none"])
def test_a_delay_matters_for_subtraction_alone(reset: str) -> None:
    currents = draw(20, 50)
    assert torch.equal(lif(currents, 0.7, 1.0, reset), lif(currents, 0.7, 1.0, reset, delay=True))
    assert not torch.equal(lif(currents, 0.7, 1.0, "subtract"), lif(currents, 0.7, 1.0, "subtract", delay=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_batch(backend: str) -> None:
    currents = torch.empty(3, 0, 4, requires_grad=True)
    spikes, membranes = lif(currents, 0.5, membranes=True, backend=backend)
    assert spikes.shape == membranes.shape == (3, 0, 4)
    spikes.sum().backward()
    assert currents.grad is not None and currents.grad.shape == (3, 0, 4)


@pytest.mark.parametrize(("words", "arguments"), [
    ("beta must lie between 0 and 1, got 1.5", {"beta": 1.5}),
    ("beta must lie between 0 and 1, got nan", {"beta": math.nan}),
    ("threshold must be a finite number above 0, got 0", {"threshold": 0}),
    ("threshold must be a finite number above 0, got -1", {"threshold": -1.0}),
    ("threshold must be a finite number above 0, got inf", {"threshold": math.inf}),
    ("beta must be a number, got a Parameter", {"beta": torch.nn.Parameter(torch.tensor(0.5))}),
    ("threshold must be a number, got a Tensor", {"threshold": torch.ones(3)}),
    ("Did you mean 'subtract'", {"reset": "substract"}),
    ("backend must be one of", {"backend": "cuda"}),
    ("surrogate must come from", {"surrogate": torch.relu}),
    ("float32 or float64, got int64", {"currents": torch.ones(3, dtype=torch.int64)}),
    ("float32 or float64, got bfloat16", {"currents": torch.ones(3, dtype=torch.bfloat16)}),
    ("float32 or float64, got complex64", {"currents": torch.ones(3, dtype=torch.complex64)}),
    ("float32 or float64, got sparse_coo", {"currents": torch.ones(3, 2).to_sparse()}),
    ("strict must be True or False, got 'no'", {"strict": "no"}),
    ("at least one step", {"currents": torch.ones(0, 3)}),
    ("at least one step", {"currents": torch.tensor(1.0)}),
])  # fmt: skip
def test_what_a_neuron_refuses(words: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words):
        lif(**{"currents": torch.ones(2, 2), "beta": 0.5, **arguments})


def test_numba_is_missed_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebook.spiking.neuron.recurrence.kernels", lambda package="numba": None)
    currents = draw(3, 4)
    assert torch.equal(lif(currents, 0.5), lif(currents, 0.5, backend="torch"))
    with pytest.raises(ValueError, match="needs the package numba"):
        lif(currents, 0.5, backend="numba")


@pytest.mark.skipif(not GPU, reason="There is no GPU, or no Triton")
def test_on_a_gpu_the_layout_is_kept_and_repeated_steps_are_not_written_out() -> None:
    plain = draw(5, 2, 3, 4, 4).cuda()
    last = plain.flatten(0, 1).contiguous(memory_format=torch.channels_last).view_as(plain)
    spikes = spiking.lif(last, 0.5)
    assert spikes.stride() == last.stride() and torch.equal(spikes, spiking.lif(plain, 0.5))
    leaf = plain[:1].clone().requires_grad_()
    one, two = (
        torch.autograd.grad(spiking.lif(currents, 0.5).mean(), leaf)[0]
        for currents in (leaf.expand(5, -1, -1, -1, -1), leaf.repeat(5, 1, 1, 1, 1))
    )
    torch.testing.assert_close(one, two)


def test_the_layer_is_the_function() -> None:
    options: dict[str, Any] = {"reset": "subtract", "scale_input": True, "strict": False, "surrogate": triangular()}
    layer, currents = LIF(0.5, 0.8, **options), draw(4, 2, 3)
    assert torch.equal(layer(currents), lif(currents, 0.5, 0.8, **options))
    assert torch.equal(layer(currents, membranes=True)[1], lif(currents, 0.5, 0.8, membranes=True, **options)[1])
    assert str(layer) == "LIF(beta=0.5, threshold=0.8, reset='subtract', surrogate=triangular)"
    with pytest.raises(ValueError, match="threshold"):
        LIF(0.5, 0.0)


def test_a_time_constant_is_a_leak_with_scaled_input() -> None:
    currents, v = draw(10, 5), torch.zeros(5, dtype=torch.float64)
    for tau in (4 / 3, 2.0, 1.0, 10.0):
        held, v = [], torch.zeros(5, dtype=torch.float64)
        for current in currents:
            h = v + (current - v) / tau
            v = torch.where(h >= 1, 0, h)
            held.append(h)
        membranes = lif(currents, beta_of(tau), strict=False, scale_input=True, membranes=True)[1]
        torch.testing.assert_close(membranes, torch.stack(held), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="tau must be at least 1"):
        beta_of(0.5)


@pytest.mark.parametrize("convention", CONVENTIONS[::5], ids=str)
def test_another_device_is_served_by_tensor_operations_alone(convention: dict[str, Any]) -> None:
    """The meta device has no memory: whatever would reach for it, as NumPy does, fails."""
    currents = torch.empty(3, 2, 5, device="meta", requires_grad=True)
    spikes, membranes = lif(currents, 0.5, 0.8, membranes=True, relative=True, **convention)
    assert spikes.device == membranes.device == currents.device
    (spikes.mean() + membranes.mean()).backward()
    assert currents.grad is not None and currents.grad.shape == currents.shape
    with pytest.raises(ValueError, match=r"the currents lie on meta|needs the package numba"):
        lif(currents, 0.5, backend="numba")


def test_a_layer_can_be_copied_and_has_no_state() -> None:
    layer = LIF(0.5, 0.8, "subtract", surrogate=triangular())
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.convention == layer.convention
        assert torch.equal(twin(draw(4, 3)), layer(draw(4, 3)))
    assert not layer.state_dict()


def network(**options: Any) -> nn.Module:
    return spiking_vgg((4,), in_channels=1, classes=2, steps=2, **{"beta": 0.5, "seed": 1, **options})


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("other", [
    {"beta": 0.6}, {"threshold": 2.0}, {"reset": "subtract"}, {"strict": False}, {"scale_input": True},
    {"surrogate": triangular()}, {"delay": True, "reset": "subtract"},
], ids=str)  # fmt: skip
def test_the_state_of_another_neuron_is_refused(other: dict[str, Any], strict: bool, tmp_path: Path) -> None:
    torch.save(nn.DataParallel(network()).state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    name = next(iter(other))
    with pytest.raises(RuntimeError, match=rf"module.first.neuron: the state is of a neuron with .*{name}="):
        nn.DataParallel(network(**other)).load_state_dict(state, strict=strict)
    same = nn.DataParallel(network(seed=2))
    same.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), network().parameters(), strict=True))


def test_a_state_that_knows_no_neuron_is_loaded_as_before() -> None:
    """From before there was such a mark, or carried on as a plain dictionary of tensors."""
    state = {name: value.clone() for name, value in network().state_dict().items()}
    assert all(isinstance(value, Tensor) for value in state.values())
    twin = network(beta=0.9, seed=2)
    assert not any(twin.load_state_dict(state))
    assert torch.equal(twin.first.weights.weight, network().first.weights.weight)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [False, True])
def test_integration_is_a_sum_that_fades(backend: str, dtype: torch.dtype, scale: bool) -> None:
    """Against the closed form, a product with the powers of the leak, and its gradient, and its impulse response."""
    x = draw(30, 4, dtype=dtype)
    age = torch.arange(30.0)[:, None] - torch.arange(30.0)
    for beta in (0.0, 0.5, 0.9, 1.0):
        powers = torch.where(age >= 0, beta ** age.clamp(min=0).double(), 0) * (1 - beta if scale else 1)
        run = lambda y, b=beta: integrated(y, b, scale_input=scale, backend=backend)  # noqa: E731
        leaf = x.clone().requires_grad_()
        found = run(leaf)
        found.backward(draw(30, 4, seed=1, dtype=dtype))
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(found.double(), powers @ x.double(), rtol=tolerance, atol=tolerance)
        wanted = powers.T @ draw(30, 4, seed=1, dtype=dtype).double()
        torch.testing.assert_close(leaf.grad.double(), wanted, rtol=tolerance, atol=tolerance)
        response = run(torch.eye(30, dtype=dtype))
        assert not response.triu(1).any(), "before the impulse"


def integrated(currents: Tensor, *arguments: Any, backend: str, **options: Any) -> Tensor:
    on_gpu = backend == "triton"
    return integrate(currents.cuda() if on_gpu else currents, *arguments, backend=backend, **options).cpu()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_integral_overflows_from_its_step_on(backend: str) -> None:
    x = torch.tensor([1.0, 1.0, 1.0, math.inf, 1.0])
    assert integrated(x, 0.5, backend=backend).tolist() == [1, 1.5, 1.75, math.inf, math.inf]


def test_an_integral_is_differentiated_twice_step_by_step() -> None:
    assert torch.autograd.gradgradcheck(lambda x: integrate(x, 0.9, backend="steps"), draw(4, 2).requires_grad_())
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="beta must lie between 0 and 1"):
            integrate(draw(2, 2), wrong)
    with pytest.raises(ValueError, match="float32 or float64, got bfloat16"):
        integrate(draw(2, 2).bfloat16())


def test_kernels_compile_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    compiled = kernels()
    assert compiled is not None

    def njit(*, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled._compiled(compiled._slope.py_func)(0.5, 0, 3.0, 2.0, 1.0) == 1.5
