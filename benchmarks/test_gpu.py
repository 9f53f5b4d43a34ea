"""Comparisons of the other files on a GPU, and the crossbar solver there; skipped where PyTorch sees no GPU.

Each time ends when the GPU is done. SpikingJelly chooses among its fused kernels itself: without a build of its own,
as here, its Triton kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import test_decoding
import test_neurons
import test_public_task
import test_training_step
import torch
from torch import Tensor

from edgebook.crossbar import effective_conductance

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
    pytest.mark.filterwarnings("default"),
]
OHM = {"r_word": 5.0, "r_bit": 10.0, "r_source": 1000.0, "r_sense": 1000.0}


def timed(steps: Mapping[str, Callable[[], Any]]) -> dict[str, Callable[[], None]]:
    """Let each step end when the GPU is done, once everything is compiled."""

    def until_done(step: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            step()
            torch.cuda.synchronize()

        return run

    done = {name: until_done(step) for name, step in steps.items()}
    for step in done.values():
        for _ in range(3):
            step()
    return done


@pytest.mark.parametrize(("steps", "batch", "neurons"), [(5, 32, 8192), (10, 64, 65536)])
def test_neurons_alone(contest: Any, steps: int, batch: int, neurons: int) -> None:
    chance = torch.Generator("cuda").manual_seed(0)
    currents, grads = (torch.randn(steps, batch, neurons, generator=chance, device="cuda") for _ in range(2))
    currents.requires_grad_()
    layers = {name: test_neurons.layer_named(name) for name in test_neurons.LAYERS}
    wanted = layers["edgebook step by step"](currents)
    (gradient,) = torch.autograd.grad(wanted, currents, grads)

    def step(layer: Callable[[Tensor], Tensor]) -> None:
        currents.grad = None
        layer(currents).backward(grads)

    for layer in layers.values():
        step(layer)
        torch.testing.assert_close(currents.grad, gradient, rtol=1e-4, atol=1e-5)
        assert torch.equal(layer(currents), wanted)
    passes = {name: lambda layer=layer: step(layer) for name, layer in layers.items()}
    contest(f"neuron alone, {steps} x {batch} x {neurons}", timed(passes), 100)


@pytest.mark.parametrize(("steps", "side", "batch"), [(5, 16, 32), (10, 32, 32), (10, 32, 256)])
def test_training_steps(contest: Any, steps: int, side: int, batch: int) -> None:
    chance = torch.Generator("cuda").manual_seed(0)
    x = torch.rand(steps, batch, 3, side, side, generator=chance, device="cuda")
    grads = torch.randn(steps, batch, test_training_step.CLASSES, generator=chance, device="cuda")
    nets = {name: net.cuda() for name, net in test_training_step.contenders(steps).items()}
    passes = {name: test_training_step.step_of(net, x, grads) for name, net in nets.items()}
    contest(f"training step, T = {steps}, {side} x {side}, batch {batch}", timed(passes), 30)


@pytest.mark.parametrize("neurons", [512, 4096, 16384])
def test_public_tasks(contest: Any, report: Any, neurons: int) -> None:
    runs = {name: test_public_task.network(name) for name in test_public_task.NAMES}
    x, w = (part.detach().cuda() for part in test_public_task.data(neurons))
    w.requires_grad_()
    passes = {name: lambda run=run: test_public_task.step(run, x, w) for name, run in runs.items()}
    contest(f"public task, {neurons} neurons", timed(passes), 20)
    peaks = {}
    for name, step in passes.items():
        w.grad = None
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        peaks[name] = [(torch.cuda.max_memory_allocated() - before) / 2**20]
    report(f"memory of the public task, {neurons} neurons", "MB", peaks)


@pytest.mark.parametrize(("side", "tiles"), [(64, 1), (64, 16), (64, 256), (128, 1), (128, 16), (128, 64)])
def test_crossbars(contest: Any, side: int, tiles: int) -> None:
    chance = torch.Generator().manual_seed(0)
    drawn = 1e-6 + 5e-5 * torch.rand(tiles, side, side, generator=chance, dtype=torch.float64)
    places = {"GPU": drawn.cuda(), "one core of the same machine": drawn}
    wanted = effective_conductance(drawn, **OHM)
    torch.testing.assert_close(effective_conductance(places["GPU"], **OHM).cpu(), wanted, rtol=1e-10, atol=0)
    passes = {name: lambda g=g: effective_conductance(g, **OHM) for name, g in places.items()}
    contest(f"crossbar, {tiles} of {side} x {side}", timed(passes), 5)


@pytest.mark.parametrize("name", test_decoding.SIZES)
def test_decoding_loops(name: str, contest: Any, report: Any) -> None:
    target, draft = (model.cuda() for model in test_decoding.pair(*test_decoding.SIZES[name]))
    test_decoding.compare(name, target, draft, contest, report, timed)
