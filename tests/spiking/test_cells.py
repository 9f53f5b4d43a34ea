"""Cells against graphs of another library, and their networks against one that walks through time as the paper says."""

from __future__ import annotations

import copy
import itertools
import math
import re
from functools import cache
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure import count_parameters
from edgebook.spiking import (
    LIF,
    Cell,
    SpikingNetwork,
    cell_network,
    feedback_cut,
    measure_activity,
    random_cell,
    repaired,
    turned_forward,
    without_feedback,
    without_spikes,
)
from edgebook.spiking.cell_networks import CellLayer
from edgebook.spiking.layers import Recipe
from edgebook.spiking.normalization import StepBatchNorm

BEST = Cell("0303 0030 2002 0200")  # the paper's on CIFAR-10
PAIRS = list(itertools.combinations(range(4), 2))
SMALL: dict[str, Any] = {"in_channels": 2, "classes": 3, "size": 6, "width": 3, "steps": 4}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cell(codes: dict[tuple[int, int], int]) -> Cell:
    return Cell([[codes.get((i, j), 0) for j in range(4)] for i in range(4)])  # type: ignore[arg-type]


@cache
def on_walks(edges: frozenset[tuple[int, int]]) -> set[int]:
    """Return the nodes on a walk from input to output, as networkx finds them."""
    graph = nx.DiGraph([*edges])
    graph.add_nodes_from(range(4))
    return {node for node in graph if nx.has_path(graph, 0, node) and nx.has_path(graph, node, 3)}


def compare(codes: dict[tuple[int, int], int]) -> None:
    edges = {edge: code for edge, code in codes.items() if code}
    alive, found = on_walks(frozenset(edges)), repaired(cell(edges))
    if (0, 3) not in edges:
        assert found is None
    else:
        assert found is not None and found.edges == {(i, j): c for (i, j), c in edges.items() if {i, j} <= alive}


def test_repair_of_all_forward_matrices() -> None:
    for codes in itertools.product(range(5), repeat=6):
        compare(dict(zip(PAIRS, codes, strict=True)))


def test_repair_of_cells_with_edges_both_ways() -> None:
    """All 729 ways in which six pairs have a forward, a backward or no edge, with five choices of operations each."""
    chance = torch.Generator().manual_seed(0)
    for ways in itertools.product((-1, 0, 1), repeat=6):
        for codes in torch.randint(1, 5, (5, 6), generator=chance).tolist():
            pairs = (pair[::way] if way else pair for pair, way in zip(PAIRS, ways, strict=True))
            compare({pair: code * abs(way) for pair, code, way in zip(pairs, codes, ways, strict=True)})


@cache
def space() -> tuple[float, float]:
    """Return, of all that the backward sampler may accept, the share without feedback and the mean number of edges."""
    weights, silent, edges = 0.0, 0.0, 0.0
    for ways in itertools.product((-1, 0, 1), repeat=6):  # 4 of 5 operations are an edge, and a coin turns it round
        found = frozenset(p[::way] for p, way in zip(PAIRS, ways, strict=True) if way)
        weight = math.prod(0.4 if way else 0.2 for way in ways) * ((0, 3) in found)
        kept = [edge for edge in found if {*edge} <= on_walks(found)]
        weights += weight
        silent += weight * all(i < j for i, j in kept)
        edges += weight * len(kept)
    return silent / weights, edges / weights


def test_what_the_sampler_draws() -> None:
    """Against the exact shares of its space: 54 % without feedback, 3.1 edges."""
    chance = torch.Generator().manual_seed(1)
    drawn = [random_cell(chance, backward=True) for _ in range(1000)]
    silent, edges = space()
    assert (silent, edges) == (pytest.approx(0.54432), pytest.approx(3.0992))
    assert sum(not one.feedback for one in drawn) / 1000 == pytest.approx(silent, abs=0.06)  # four deviations
    assert sum(len(one.edges) for one in drawn) / 1000 == pytest.approx(edges, abs=0.25)
    assert all(repaired(one) == one for one in drawn)
    forward = [random_cell(chance, backward=False) for _ in range(100)]
    assert not any(one.feedback for one in forward)
    assert {code for one in forward for code in one.edges.values()} == {1, 2, 3, 4}
    assert min(random_cell(chance, backward=True, feedback=3).feedback for _ in range(10)) >= 3
    again = torch.Generator().manual_seed(1)
    assert [random_cell(again, backward=True) for _ in range(5)] == drawn[:5]


cells = st.integers(0, 10**6).map(
    lambda seed: random_cell(torch.Generator().manual_seed(seed), backward=bool(seed % 4), feedback=int(seed % 4 > 1))
)


@given(cells)
@settings(max_examples=40)
def test_twins(one: Cell) -> None:
    assert Cell(str(one)) == one and hash(Cell(str(one))) == hash(one)
    assert Cell(torch.tensor(one.rows)) == one  # type: ignore[arg-type]
    cut, turned = without_feedback(one), turned_forward(one)
    assert cut.feedback == turned.feedback == 0 and repaired(cut) == cut and repaired(turned) == turned
    assert cut.edges.items() <= {edge: code for edge, code in one.edges.items() if edge[0] < edge[1]}.items()
    assert turned.edges.items() <= {tuple(sorted(edge)): code for edge, code in one.edges.items()}.items()
    if not one.feedback:
        assert cut == turned == one


def test_a_turned_cell_has_as_many_parameters() -> None:
    cells = (BEST, turned_forward(BEST), without_feedback(BEST))
    whole, turned, cut = (count_parameters(cell_network(one, **SMALL)) for one in cells)
    assert turned == whole > cut


# The network once more, as the paper and its code say: one image after the other step, everything else by hand.


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / (1 + (math.pi * ctx.saved_tensors[0]) ** 2)


class ByHand:
    """Runs the weights of a network that `cell_network` built; `blind` sets its feedback to zero."""

    def __init__(self, net: SpikingNetwork, blind: bool = False) -> None:
        self.net, self.blind, self.membranes = net, blind, {}

    def fire(self, key: object, x: Tensor) -> Tensor:
        v = self.membranes.get(key, 0)
        v = v + (x - v) / (4 / 3)
        spikes = Spike.apply(v - 1)
        self.membranes[key] = v * (1 - spikes.detach())
        return spikes

    def norm(self, norm: Any, x: Tensor) -> Tensor:
        mean, var, training = norm.running_mean, norm.running_var, norm.training
        return F.batch_norm(x, mean, var, norm.weight, norm.bias, training, 0.1, 1e-5)

    def along(self, layer: CellLayer, i: int, j: int, x: Tensor) -> Tensor:
        code = layer.cell.rows[i][j]
        if code == 0:
            return 0 * x
        if code in (1, 4):
            return x if code == 1 else F.avg_pool2d(x, 3, 1, 1)
        part = layer.edges[f"{i}{j}"].convolution
        spikes = self.fire((id(layer), i, j), x)
        return self.norm(part.norm, F.conv2d(spikes, part.weights.weight, padding=code - 2))

    def cell(self, layer: CellLayer, x: Tensor, fed: list[Tensor | float]) -> Tensor:
        y = [x + fed[0], 0.0, 0.0, 0.0]
        for j in (1, 2, 3):
            y[j] = sum(self.along(layer, i, j, y[i]) for i in range(j)) + fed[j]
        for j in range(3):
            back = sum(self.along(layer, i, j, y[i]) for i in range(j + 1, 4))
            fed[j] = 0.0 if self.blind else back
        return y[3]

    def __call__(self, x: Tensor, steps: int) -> Tensor:
        first, second = [m for m in self.net.modules() if isinstance(m, CellLayer)]
        _, before, _, reduction, _, _, after, *_ = self.net.features
        stem = self.norm(self.net.first.norm, F.conv2d(x, self.net.first.weights.weight, padding=1))
        states: list[list[Tensor | float]] = [[0.0] * 4, [0.0] * 4]
        logits = 0
        for _ in range(steps):
            y = self.fire("reduction", self.norm(before, self.cell(first, stem, states[0])))
            y = self.norm(reduction.norm, F.conv2d(y, reduction.weights.weight, padding=1))
            y = self.cell(second, F.avg_pool2d(y, 2), states[1])
            y = F.avg_pool2d(self.fire("after", self.norm(after, y)), 2).flatten(1)
            logits = logits + self.net.linear(y)
        return logits / steps


def run(call: Any, net: nn.Module, x: Tensor) -> list[Tensor]:
    leaf = x.clone().requires_grad_()
    logits = call(leaf)
    grads = torch.autograd.grad(logits, [leaf, *net.parameters()], draw(*logits.shape, seed=1), allow_unused=True)
    statistics = [buffer for buffer in net.buffers() if buffer.is_floating_point()]
    return [logits, *(torch.zeros(()) if grad is None else grad for grad in grads), *statistics]


def same(have: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(have, wanted, strict=True):
        torch.testing.assert_close(one, other.expand(one.shape).to(one), rtol=1e-8, atol=1e-9)


def warm(one: Cell) -> SpikingNetwork:
    """Return a network in evaluation whose running statistics are those of a batch, so that neurons fire."""
    net = cell_network(one, **SMALL).double().train()
    norms = [module for module in net.modules() if isinstance(module, StepBatchNorm)]
    for momentum in (1.0, 0.1):
        for norm in norms:
            norm.momentum = momentum
        net(draw(5, 2, 6, 6, seed=2))
    return net.eval()


def check(one: Cell, training: bool, blind: bool = False) -> Tensor:
    net = warm(one).train(training)
    twin, x = copy.deepcopy(net), draw(4, 2, 6, 6)
    if blind:
        with feedback_cut(net):
            have = run(net, net, x)
    else:
        have = run(net, net, x)
    same(have, run(lambda x: ByHand(twin, blind)(x, 4), twin, x))
    return have[0]


@given(cells, st.booleans())
@settings(max_examples=6)
def test_networks_of_any_cell(one: Cell, training: bool) -> None:
    check(one, training)


@pytest.mark.parametrize("training", [False, True])
def test_the_best_cell_and_its_feedback(training: bool) -> None:
    whole = check(BEST, training)
    if not training:  # in training a norm would also take the statistics of what is thrown away
        assert not torch.allclose(whole, check(BEST, training, blind=True))


def layer(one: Cell) -> CellLayer:
    recipe = Recipe(4, 0.25, 1.0, "zero", cell_network(BEST, **SMALL).features[2].convention.surrogate, "batch", False,
                    True, {"scale_input": True, "strict": False})  # fmt: skip
    return CellLayer(one, recipe, 1).eval()


def test_feedback_by_hand() -> None:
    """Node 1 has what the output was one step before, and hands it on by way of node 2: 1, 2, 3."""
    steps = torch.ones(3, 1, 1, 1, 1)
    adding = layer(Cell("0001 0010 0001 0100"))
    assert adding(steps).flatten().tolist() == [1, 2, 3]
    assert adding(steps).flatten().tolist() == [1, 2, 3]  # nothing is left of the call before
    with feedback_cut(adding):
        assert adding(steps).flatten().tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="half-way"), feedback_cut(adding):
        raise RuntimeError("half-way")
    assert adding.feedback


def test_feedback_by_way_of_a_neuron_by_hand() -> None:
    """The output 1.4 makes 0.75 x 1.4 = 1.05, which fires; its weight of 2 arrives at the next step, twice by hand."""
    firing = layer(Cell("0001 0010 0001 0200"))
    part = firing.edges["31"].convolution
    nn.init.constant_(part.weights.weight, 2.0)
    x = torch.tensor([1.4, 1.4]).view(2, 1, 1, 1, 1).requires_grad_()
    outputs = firing(x)
    scale = 2 / math.sqrt(1 + 1e-5)  # the norm's, of a running variance of 1
    torch.testing.assert_close(outputs.flatten(), torch.tensor([1.4, 1.4 + scale]))
    outputs[1].sum().backward()
    slope = 1 / (1 + (math.pi * 0.05) ** 2)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.flatten(), torch.tensor([scale * slope * 0.75, 1.0]))


def test_steps_are_counted_and_spikes_too() -> None:
    net, seen, x = warm(BEST), {}, draw(5, 2, 6, 6)
    for name, module in net.named_modules():
        if isinstance(module, LIF):
            seen[name] = []
            module.register_forward_hook(lambda m, i, y, spikes=seen[name]: spikes.append(float(y.detach().sum())))
    net(x, steps=3)
    found = measure_activity(net, x)
    assert len(found.neurons) == 14 and {one.steps for one in found.neurons.values()} == {4}
    for spikes in seen.values():
        spikes.clear()
    net(x)
    counted = {name: one.spikes for name, one in found.neurons.items()}
    assert counted == pytest.approx({name: sum(spikes) / 5 for name, spikes in seen.items()}) and counted["features.7"]


def test_one_step_knows_no_feedback_and_batches_do_not_mix() -> None:
    net, x = warm(BEST), draw(4, 2, 6, 6)
    with feedback_cut(net):
        blind = net(x, steps=1)
    torch.testing.assert_close(net(x, steps=1), blind)
    torch.testing.assert_close(net(x)[1:3], net(x[1:3]))
    x[2, 0, 1, 1] = math.inf
    assert net(x).isnan().all(1).tolist() == [False, False, True, False]


def test_a_twin_without_spikes_has_feedback_too() -> None:
    net, x = without_spikes(warm(BEST)), draw(4, 2, 6, 6)
    with feedback_cut(net):
        blind = net(x)
    assert not torch.allclose(net(x), blind)


def test_the_head_of_the_paper() -> None:
    net = cell_network(BEST, **SMALL, hidden=400).double()
    dense, linear = net.features[-1].weights, net.linear
    for weight in (dense.weight, linear.weight):
        assert weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert dense.bias is None and not linear.bias.any()
    dropped = net.features[-2]
    seen = dropped.train()(torch.ones(4, 2, 50, 3, 3))
    assert torch.equal(seen, seen[:1].expand_as(seen)) and {*seen.unique().tolist()} == {0, 2}
    assert torch.equal(dropped.eval()(seen), seen)
    assert net.eval()(draw(2, 2, 6, 6)).shape == (2, 3)


def test_weights_belong_to_their_seed() -> None:
    before = torch.get_rng_state()
    one, two, other = (cell_network(BEST, **SMALL, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one) and torch.equal(before, torch.get_rng_state())
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Cell("0303 0030 2002"), "A cell is 4 x 4 whole numbers from 0 to 4"),
        (lambda: Cell("0503 0030 2002 0200"), "got '0503 0030 2002 0200'."),
        (lambda: Cell("o303 0030 2002 0200"), "from 0 to 4"),
        (lambda: Cell(7), "got 7."),  # type: ignore[arg-type]
        (lambda: Cell([[0, 0.5, 0, 1]] + [[0] * 4] * 3), "from 0 to 4"),  # type: ignore[arg-type]
        (lambda: Cell("1003 0000 0000 0000"), "and a node none to itself"),
        (lambda: Cell("0103 1000 0000 0000"), "Two nodes of a cell have one edge between them"),
        (lambda: random_cell(torch.Generator(), backward=False, feedback=1), "feedback must be a whole number from 0"),
        (lambda: random_cell(torch.Generator(), backward=True, feedback=6), "from 0 to 5, got 6."),
        (lambda: cell_network(Cell("0300 0000 0000 0000"), **SMALL), "Nothing leads from the input of the cell 0300"),
        (lambda: cell_network(BEST, **{**SMALL, "size": 3}), "size must be at least 4, got 3."),
        (lambda: cell_network(BEST, **SMALL, pool=0), "pool must be at least 1, got 0."),
        (lambda: cell_network(BEST, **{**SMALL, "width": 0}), "must be positive integers"),
        (lambda: cell_network(BEST, **{**SMALL, "steps": 0}), "steps must be at least 1, got 0."),
        (lambda: cell_network(BEST, **SMALL)(torch.ones(1, 2, 5, 6)), "Inputs must be images (batch, 2, 6, 6)"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
