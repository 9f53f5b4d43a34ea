"""Scores of untrained networks against loops over bits, and against the formulas of both releases of the code."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgebook.spiking import (
    KINDS,
    LIF,
    Cell,
    LeakyLoop,
    Patterns,
    cell_network,
    diversity_score,
    pattern_distances,
    pattern_kernel,
    spiking_vgg,
    to_leaky,
    without_spikes,
)

BEST = Cell("0303 0030 2002 0200")
NETWORK: dict[str, Any] = {"in_channels": 2, "classes": 3, "size": 6, "width": 4, "steps": 3}
words = st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, 2**n - 1), min_size=2)))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def bernoulli(images: int, neurons: int, rate: float, seed: int = 0) -> Tensor:
    return (torch.rand(images, neurons, generator=torch.Generator().manual_seed(seed)) < rate).float()


@given(words, st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.bool, torch.uint8, torch.int64]))
@settings(max_examples=60)
def test_distances_count_bits(drawn: tuple[int, list[int]], dtype: torch.dtype) -> None:
    neurons, numbers = drawn
    patterns = torch.tensor([[number >> k & 1 for k in range(neurons)] for number in numbers]).to(dtype)
    wanted = [[(one ^ other).bit_count() for other in numbers] for one in numbers]
    assert pattern_distances(patterns).tolist() == wanted


def released(patterns: Tensor, kind: str) -> np.ndarray:
    """Write the matrices once more: two products for the distance, as the code has them, in double precision."""
    x = patterns.double().numpy()
    neurons = x.shape[1]
    distances = x @ (1 - x).T + (1 - x) @ x.T
    rate = x.mean(axis=1, keepdims=True)
    expected = rate @ (1 - rate).T + (1 - rate) @ rate.T
    if kind == "hd":
        return neurons - distances
    return neurons - 0.5 / ((neurons if kind == "sahd" else 1) * expected + 1e-3) * distances


@given(words, st.sampled_from(list(KINDS)))
@settings(max_examples=60)
def test_kernels_are_those_of_the_releases(drawn: tuple[int, list[int]], kind: str) -> None:
    """Also where images, or all of them, are silent."""
    neurons, numbers = drawn
    patterns = torch.tensor([[number >> k & 1 for k in range(neurons)] for number in numbers])
    found = pattern_kernel(patterns, kind)
    np.testing.assert_allclose(found.numpy(), released(patterns, kind), rtol=1e-12, atol=1e-12)
    assert (found.diagonal() == neurons).all()
    order = torch.randperm(neurons, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pattern_kernel(patterns[:, order], kind), found)  # neurons have no order


def test_where_single_precision_would_not_count_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = bernoulli(5, 300, 0.4)
    wanted = pattern_distances(patterns)
    monkeypatch.setattr("edgebook.spiking.search._EXACT", 299)
    assert torch.equal(pattern_distances(patterns), wanted)


def score(matrix: np.ndarray) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def test_the_final_score_through_the_determinant_lemma() -> None:
    """det(N J - a R) = det(-a R) (1 + N 1' (-a R)^-1 1), in which nothing large and small is added up."""
    patterns = bernoulli(24, 4000, 0.2)
    found = score(pattern_kernel(patterns, "sahd").numpy())
    ratio = (4000 - released(patterns, "sahd")) / 0.5
    small = -0.5 * ratio
    ones = np.ones(24)
    assert found == pytest.approx(
        score(small) + math.log(abs(1 + 4000 * ones @ np.linalg.solve(small, ones))), abs=1e-8
    )


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_independent_patterns(rate: float) -> None:
    """The final score is then (n - 1) log .5 + log (n N) at any rate, plain distances are not."""
    images, neurons = 32, 20000
    patterns = bernoulli(images, neurons, rate)
    wanted = (images - 1) * math.log(0.5) + math.log(images * neurons)
    assert score(pattern_kernel(patterns, "sahd").numpy()) == pytest.approx(wanted, abs=0.1)
    plain = [score(pattern_kernel(bernoulli(images, neurons, r), "hd").numpy()) for r in (rate, 0.5)]
    assert plain[1] - plain[0] > 5


def heard(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the patterns (n, N) of each call of a layer at each step, from a copy in training mode."""
    twin, found = copy.deepcopy(net).train(), []
    for module in twin.modules():
        if isinstance(module, LIF | LeakyLoop):
            module.register_forward_hook(lambda m, i, y: found.extend(y.flatten(2)))
    with torch.no_grad():
        twin(x)
    return found


def by_leaky() -> nn.Module:
    net = spiking_vgg((4, "M", 5), in_channels=2, classes=3, steps=3, beta=0.5)
    net.first.neuron = LeakyLoop(to_leaky(LIF(0.5)))
    return net


@pytest.mark.parametrize(
    ("make", "calls"),
    [
        (lambda: cell_network(BEST, **NETWORK), 14 * 3),
        (lambda: cell_network(Cell("0303 0030 0002 0000"), **NETWORK), 10 * 3),
        (by_leaky, 2 * 3),
    ],
    ids=["feedback", "forward", "plain"],
)  # fmt: skip
def test_scores_of_a_network(make: Any, calls: int) -> None:
    net, x = make().eval(), draw(12, 2, 6, 6)
    before = copy.deepcopy(net.state_dict())
    patterns = heard(net, x)
    assert len(patterns) == calls
    found = diversity_score(net, x)
    for kind in KINDS:
        mean = sum(released(one, kind) for one in patterns) / calls
        assert found.scores[kind] == pytest.approx(score(mean), rel=1e-9)
    assert not net.training and all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = diversity_score(net, x[order]).scores
    assert shuffled == pytest.approx(found.scores, rel=1e-6)  # images have no order, and a norm sums them in its own


def test_a_kind_of_ones_own() -> None:
    def rounded(found: Patterns) -> Tensor:
        return (2.0**18 - 0.5 * found.distances / (found.neurons * found.chance + 1e-3)).float().double()

    net, x = cell_network(BEST, **NETWORK), draw(8, 2, 6, 6)
    found = diversity_score(net, x, kinds={"sahd": KINDS["sahd"], "rounded": rounded}).scores
    assert list(found) == ["sahd", "rounded"] and found["rounded"] != found["sahd"]


class Silent(nn.Module):
    """Half of it never fires."""

    def __init__(self, loud: bool = True) -> None:
        super().__init__()
        self.quiet, self.loud = LIF(0.5), LIF(0.5) if loud else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # (n, N) -> (T, n, N)
        return self.quiet(-x.abs().expand(2, *x.shape)) + self.loud(2 * x.expand(2, *x.shape))


def test_silent_layers_are_told_and_where_no_score_is_left_it_is_refused() -> None:
    found = diversity_score(Silent(), draw(6, 40))
    assert found.silent == ("quiet",) and all(map(math.isfinite, found.scores.values()))
    with pytest.raises(
        ValueError, match=r"Images 0 and 1 give the same spikes everywhere, and no score; silent: quiet"
    ):
        diversity_score(Silent(loud=False), draw(6, 40))
    twice = draw(6, 2, 6, 6)
    twice[4] = twice[2]
    with pytest.raises(ValueError, match=r"Images 2 and 4 give the same spikes everywhere, and no score\."):
        diversity_score(cell_network(BEST, **NETWORK), twice)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: pattern_distances(torch.zeros(3)), "zeros and ones (images, neurons), got the shape (3,)."),
        (lambda: pattern_distances(torch.zeros(3, 0)), "got the shape (3, 0)."),
        (lambda: pattern_distances(torch.tensor([[0.5, 1.0]])), "zeros and ones (images, neurons), got other numbers."),
        (lambda: pattern_kernel(torch.tensor([[math.nan, 1.0]]), "hd"), "got other numbers."),
        (lambda: pattern_kernel(torch.zeros(2, 3), "sahd_v1"), "kind must be one of hd, sahd-first, sahd"),
        (lambda: diversity_score(without_spikes(cell_network(BEST, **NETWORK)), draw(4, 2, 6, 6)), "has no neurons"),
        (lambda: diversity_score(cell_network(BEST, **NETWORK), math.nan * draw(4, 2, 6, 6)), "Spikes are NaN"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        call()
