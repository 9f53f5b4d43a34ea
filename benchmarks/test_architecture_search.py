"""Scoring an untrained candidate, and one step of a neuron in a loop over time, beside SpikingJelly and snnTorch.

A candidate is two cells with stem, reduction and last neurons, without a read-out. SpikingJelly has the cells of this
paper (`activation_based.model.snas_net`); around them stands what its network has, with a hook on every neuron that
makes both distances of a step by two products, as the released search does. All weights are the same, and so are the
patterns and scores, which is checked first. This package makes three scores at once, the other way one.

Needs spikingjelly and loguru, as the page "Speed" says. On an otherwise idle core, pinned where the system can:
`OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_architecture_search.py`
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgebook.spiking import LIF, Cell, LeakyLoop, SpikingNetwork, cell_network, diversity_score, lif_step, to_leaky

STEPS, IMAGES, SIDE, BETA = 5, 64, 12, 0.5
CELLS = {"forward": Cell("0323 0032 0002 0000"), "with feedback": Cell("0303 0030 2002 0200")}
WIDTHS = {8: 20, 32: 10}  # and rounds


class Candidate(nn.Module):
    """The network of a cell as users of SpikingJelly write it: a loop over time around everything."""

    def __init__(self, cell: Cell, width: int, net: SpikingNetwork) -> None:
        super().__init__()
        snas_net = pytest.importorskip("spikingjelly.activation_based.model.snas_net", exc_type=ImportError)
        from spikingjelly.activation_based import neuron, surrogate

        def lif() -> nn.Module:
            return neuron.LIFNode(tau=4 / 3, v_reset=0.0, surrogate_function=surrogate.ATan(), detach_reset=True)

        kind = snas_net.Neuronal_Cell_backward if cell.feedback else snas_net.Neuronal_Cell
        options, matrix = Namespace(threshold=1.0, tau=4 / 3), torch.tensor(cell.rows)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cell1 = kind(options, width, width, matrix)
        self.reduction = nn.Sequential(
            nn.BatchNorm2d(width), lif(), nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width), nn.AvgPool2d(2),
        )  # fmt: skip
        self.cell2 = kind(options, 2 * width, 2 * width, matrix)
        self.last = nn.Sequential(nn.BatchNorm2d(2 * width), lif())
        self.neurons = [module for module in self.modules() if isinstance(module, neuron.LIFNode)]
        self._take(cell, net)

    def _take(self, cell: Cell, net: SpikingNetwork) -> None:
        """Take over the convolutions of a network of this package; norms are as they begin in both."""
        self.stem[0].weight.data.copy_(net.first.weights.weight)
        self.reduction[2].weight.data.copy_(net.features[3].weights.weight)
        for ours, theirs in ((net.features[0], self.cell1), (net.features[5], self.cell2)):
            ways = [(i, j) for j in range(1, 4) for i in range(j)]  # column by column
            parts = list(theirs.cell_architecture)
            if cell.feedback:
                ways += [(i, j) for j in range(3) for i in range(j + 1, 4)]
                parts += list(theirs.cell_architecture_back)
            for (i, j), part in zip(ways, parts, strict=True):
                if cell.rows[i][j] in (2, 3):
                    part[1].weight.data.copy_(ours.edges[f"{i}{j}"].convolution.weights.weight)

    def forward(self, x: Tensor) -> None:
        for layer in self.neurons:
            layer.reset()
        for cell in (self.cell1, self.cell2):
            cell.last_xin = cell.last_x1 = cell.last_x2 = 0.0
        current = self.stem(x)
        for _ in range(STEPS):
            self.last(self.cell2(self.reduction(self.cell1(current))))


def scored_by_hooks(net: Candidate, images: Tensor) -> float:
    """Return the final release's score, by a hook on each neuron and two products for each of its calls."""
    total, calls = torch.zeros(len(images), len(images), dtype=torch.float64), 0

    def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total, calls
        x = (output.flatten(1) > 0).to(images.dtype)
        rate = x.mean(dim=1, keepdim=True)
        expected = x.shape[1] * (rate @ (1 - rate).T + (1 - rate) @ rate.T)
        distances = x @ (1 - x).T + (1 - x) @ x.T
        total += (x.shape[1] - 0.5 / (expected.double() + 1e-3) * distances.double()).cpu()
        calls += 1

    handles = [layer.register_forward_hook(hook) for layer in net.neurons]
    with torch.no_grad():
        net(images)
    for handle in handles:
        handle.remove()
    return float(torch.linalg.slogdet(total / calls).logabsdet)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("width", WIDTHS)
def test_scoring_a_candidate(contest: Any, kind: str, width: int) -> None:
    cell, images = CELLS[kind], torch.randn(IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    net = cell_network(cell, in_channels=3, classes=10, size=SIDE, width=width, steps=STEPS)
    peer = Candidate(cell, width, net)
    exact = diversity_score(net.double(), images.double()).scores["sahd"]
    assert scored_by_hooks(peer.double(), images.double()) == pytest.approx(exact, abs=1e-6)
    net.float(), peer.float()
    timed: dict[str, Callable[[], Any]] = {
        "edgebook": lambda: diversity_score(net, images),
        "SpikingJelly, hooks": lambda: scored_by_hooks(peer, images),
        "edgebook, forward pass alone": lambda: net.train()(images),  # what no way of scoring can be faster than
    }
    with torch.no_grad():
        contest(f"scoring a candidate, {kind}, width {width}", timed, WIDTHS[width])


def stepped(currents: Tensor) -> Tensor:
    """Walk through time with the membrane handed in and out."""
    spikes, carry = [], None
    for current in currents:
        spike, carry = lif_step(current, carry, BETA)
        spikes.append(spike)
    return torch.stack(spikes)


def in_a_loop(name: str) -> Callable[[Tensor], Tensor]:
    """Make the same neuron in another library, one step at a time."""
    if name == "snnTorch":
        pytest.importorskip("snntorch")
        return LeakyLoop(to_leaky(LIF(BETA)))
    if name == "edgebook":
        return stepped
    if name == "edgebook, all steps at once":
        return LIF(BETA)
    pytest.importorskip("spikingjelly", exc_type=ImportError)
    from spikingjelly.activation_based import neuron, surrogate

    node = neuron.LIFNode(tau=2.0, decay_input=False, detach_reset=True, surrogate_function=surrogate.ATan())

    def run(currents: Tensor) -> Tensor:
        node.reset()
        return torch.stack([node(current) for current in currents])

    return run


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("neurons", [1152, 8192])
def test_steps_of_a_neuron(contest: Any, neurons: int) -> None:
    chance = torch.Generator().manual_seed(0)
    currents, grads = (torch.randn(STEPS, 50, neurons, generator=chance) for _ in range(2))
    currents.requires_grad_()
    wanted = LIF(BETA, backend="steps")(currents)
    (gradient,) = torch.autograd.grad(wanted, currents, grads)
    timed: dict[str, Callable[[], None]] = {}
    for name in ("edgebook", "snnTorch", "SpikingJelly", "edgebook, all steps at once"):
        try:
            layer = in_a_loop(name)
        except pytest.skip.Exception:  # the library is not installed, and its row is missing
            continue

        def step(layer: Callable[[Tensor], Tensor] = layer) -> None:
            currents.grad = None
            layer(currents).backward(grads)

        step()
        torch.testing.assert_close(currents.grad, gradient, rtol=1e-5, atol=1e-6)
        assert torch.equal(layer(currents), wanted)
        timed[name] = step
    contest(f"neuron step by step, {STEPS} x 50 x {neurons}", timed, 40)
