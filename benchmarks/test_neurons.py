"""The neuron alone, forward and backward over a sequence, beside snnTorch's loop and SpikingJelly's multi-step mode.

All three compute the same spikes and gradients, which is checked first; what differs is the time.
On an otherwise idle core: `OMP_NUM_THREADS=1 python -m pytest benchmarks/test_neurons.py -s`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from edgebook.spiking import LIF, LeakyLoop, to_leaky

STEPS, BATCH, NEURONS, BETA = 5, 32, 8192, 0.5
ROUNDS = 60
LAYERS = ["edgebook", "edgebook in PyTorch", "edgebook step by step", "snnTorch", "SpikingJelly"]


def layer_named(name: str) -> Callable[[Tensor], Tensor]:
    """Make the same neuron in another library: leak 1/2, reset to zero without gradient, arctan."""
    if name == "snnTorch":
        pytest.importorskip("snntorch")
        return LeakyLoop(to_leaky(LIF(BETA)))
    if name == "SpikingJelly":
        pytest.importorskip("spikingjelly", exc_type=ImportError)
        from spikingjelly.activation_based import functional, neuron, surrogate

        node = neuron.LIFNode(
            tau=2.0, decay_input=False, detach_reset=True, surrogate_function=surrogate.ATan(), step_mode="m"
        )

        def run(currents: Tensor) -> Tensor:
            functional.reset_net(node)
            return node(currents)

        return run
    backend: Any = {"edgebook": "auto", "edgebook in PyTorch": "torch", "edgebook step by step": "steps"}[name]
    return LIF(BETA, backend=backend)


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    """Currents, and the gradient that comes back from the layer above."""
    chance = torch.Generator().manual_seed(0)
    currents, grads = (torch.randn(STEPS, BATCH, NEURONS, generator=chance) for _ in range(2))
    return currents.requires_grad_(), grads


@pytest.mark.filterwarnings("default")
def test_forward_and_backward(contest: Any, data: tuple[Tensor, Tensor]) -> None:
    layers, (currents, grads) = {name: layer_named(name) for name in LAYERS}, data
    wanted = LIF(BETA, backend="steps")(currents)
    (gradient,) = torch.autograd.grad(wanted, currents, grads)
    timed: dict[str, Callable[[], None]] = {}
    for name, layer in layers.items():

        def step(layer: Callable[[Tensor], Tensor] = layer) -> None:
            currents.grad = None
            layer(currents).backward(grads)

        step()
        torch.testing.assert_close(currents.grad, gradient, rtol=1e-5, atol=1e-6)
        assert torch.equal(layer(currents), wanted)
        timed[name] = step
    contest(f"neuron alone, {STEPS} x {BATCH} x {NEURONS}", timed, ROUNDS)
