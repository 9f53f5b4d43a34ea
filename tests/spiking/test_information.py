"""Fisher traces against closed forms of softmax models and against plain autograd, sample by sample."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.spiking import (
    LIF,
    LeakyLoop,
    batch_squared_fisher,
    direct_coding,
    empirical_fisher,
    information_centroid,
    to_leaky,
    true_fisher,
)
from edgebook.spiking.information import _drawn
from edgebook.spiking.normalization import StepBatchNorm

STEPS, COUNT, CLASSES = 4, 6, 3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Softmax(nn.Module):
    """Logistic regression whose logits are scaled by another gain at every step."""

    def __init__(self, features: int, gains: list[float], seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, features, generator=generator(seed), dtype=dtype))
        self.bias = nn.Parameter(torch.randn(CLASSES, generator=generator(seed + 1), dtype=dtype))
        self.gains = torch.tensor(gains, dtype=dtype)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.gains[:, None, None] * F.linear(x, self.weight, self.bias)

    def closed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (T, N, classes) and what |x|^2 + 1 and the gain make of their error, (T, N)."""
        gains = torch.stack([self.gains[: t + 1].mean() for t in range(len(self.gains))])
        p = (gains[:, None, None] * F.linear(x, self.weight, self.bias)).softmax(-1).detach()
        return p, gains[:, None].square() * (x.square().sum(1) + 1)


class Spiking(nn.Module):
    """A small spiking network: convolution, batch norm, neurons, twice, and a linear read-out."""

    def __init__(self, neuron: nn.Module, steps: int = STEPS) -> None:
        super().__init__()
        self.steps, self.neuron = steps, neuron
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.Conv2d(4, 5, 3, stride=2, bias=False)
        self.norms = nn.ModuleList([StepBatchNorm(4), StepBatchNorm(5)])
        self.read = nn.Linear(5 * 4, CLASSES)
        self.double().eval()
        chance = generator(7)
        with torch.no_grad():
            for tensor in (*self.parameters(), *self.norms.buffers()):
                tensor.copy_(torch.rand(tensor.shape, generator=chance) + 0.2)
            for layer in (self.first, self.second, self.read):
                layer.weight -= 0.7

    def forward(self, x: Tensor) -> Tensor:
        h = self.neuron(self.norms[0](direct_coding(self.first(x), self.steps)))
        h = self.neuron(self.norms[1](self.second(h.flatten(0, 1)).unflatten(0, h.shape[:2])))
        return self.read(h.flatten(2))


class OldSpike(torch.autograd.Function):
    """A spike written as libraries do, which PyTorch cannot map; its slope is that of `atan`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / (1 + (math.pi * ctx.saved_tensors[0]).square())


class Loop(nn.Module):
    """The neuron of `fused`, step by step."""

    def forward(self, currents: Tensor) -> Tensor:
        carry, spikes = torch.zeros_like(currents[0]), []
        for current in currents:
            h = carry + 0.5 * current
            spikes.append(OldSpike.apply(h - 1))
            carry = 0.5 * h * (1 - spikes[-1].detach())
        return torch.stack(spikes)


def fused(steps: int = STEPS) -> Spiking:
    return Spiking(LIF(0.5, scale_input=True), steps)


def images(count: int = COUNT) -> Tensor:
    return 2 * torch.randn(count, 1, 6, 6, generator=generator(3), dtype=torch.float64)


def labels(count: int = COUNT) -> Tensor:
    return torch.arange(count) % CLASSES


def brute(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the squared norm of the gradient of the mean loss of a batch, one fresh forward pass per horizon."""
    steps, rows = len(network(x)), []
    for t in range(1, steps + 1):
        network.zero_grad()
        F.cross_entropy(network(x)[:t].mean(0), y).backward()
        rows.append(sum(p.grad.square().sum() for p in network.parameters() if p.grad is not None))
    network.zero_grad()
    return torch.stack(rows)


def close(have: Tensor, wanted: Tensor, tolerance: float = 1e-10) -> None:
    assert have.dtype == torch.float64 and not have.requires_grad
    torch.testing.assert_close(have, wanted.double(), rtol=tolerance, atol=tolerance)


@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=5),
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(0, 999),
    st.sampled_from(["vmap", "loop"]),
)
def test_softmax_model_is_the_closed_form(gains: list[float], count: int, chunk: int, seed: int, method: Any) -> None:
    network = Softmax(2, gains, seed)
    x, y = torch.randn(count, 2, generator=generator(seed), dtype=torch.float64), labels(count)
    p, size = network.closed(x)
    empirical = ((p - F.one_hot(y, CLASSES)).square().sum(-1) * size).mean(1)
    true = ((p * (1 - p)).sum(-1) * size).mean(1)
    close(empirical_fisher(network, x, y, chunk=chunk, method=method), empirical)
    close(true_fisher(network, x, None, chunk=chunk, method=method), true)


@pytest.mark.parametrize("method", ["auto", "vmap", "loop"])
def test_spiking_network_is_autograd_sample_by_sample(method: Any) -> None:
    network, x, y = fused(), images(), labels()
    each = [brute(network, x[i : i + 1], y[i : i + 1]) for i in range(COUNT)]
    wanted = torch.stack(each).mean(0)
    assert wanted.std() > 1e-3 * wanted.mean()  # the horizons differ
    for chunk in (1, 4, 32):
        close(empirical_fisher(network, x, y, chunk=chunk, method=method), wanted)


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_expectation_is_autograd_over_every_label(method: Any) -> None:
    network, x, wanted = fused(), images(2), torch.zeros(STEPS, dtype=torch.float64)
    for i in range(2):
        outputs = network(x[i : i + 1])[:, 0].detach()
        p = torch.stack([outputs[: t + 1].mean(0).softmax(0) for t in range(STEPS)])
        for label in range(CLASSES):
            wanted += p[:, label] * brute(network, x[i : i + 1], torch.tensor([label])) / 2
    close(true_fisher(network, x, None, method=method), wanted)


@pytest.mark.parametrize("neuron", ["old", "snntorch"])
def test_networks_that_cannot_be_mapped_give_the_same(neuron: str) -> None:
    if neuron == "snntorch":
        pytest.importorskip("snntorch")
        layer: nn.Module = LeakyLoop(to_leaky(LIF(0.5, scale_input=True)).double(), 0.5)
    else:
        layer = Loop()
    network, x, y = Spiking(layer), images(), labels()
    with pytest.raises(RuntimeError, match="setup_context"):
        empirical_fisher(network, x, y, method="vmap")
    tolerance = 1e-10 if neuron == "old" else 1e-6  # snnTorch's spikes are float32
    close(empirical_fisher(network, x, y), empirical_fisher(fused(), x, y, method="vmap"), tolerance)
    wanted = true_fisher(fused(), x, generator(), draws=2, method="vmap", chunk=4)
    close(true_fisher(network, x, generator(), draws=2), wanted, tolerance)


def test_what_a_network_remembers_stays_an_ordinary_tensor() -> None:
    class Recording(Softmax):
        def forward(self, x: Tensor) -> Tensor:
            self.last = super().forward(x)
            return self.last

    network, x = Recording(2, [1.0]), torch.ones(3, 2, dtype=torch.float64)
    empirical_fisher(network, x, labels(3), method="vmap")
    assert torch.equal(network.last, Softmax(2, [1.0])(x[:1]))


def test_a_branch_on_the_data_goes_through_the_loop() -> None:
    class Branch(Softmax):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (2 if x.sum().item() > 0 else 1)

    network, x = Branch(2, [1.0]), torch.tensor([[1.0, 0.5], [-1.0, 0.5]], dtype=torch.float64)
    each = [brute(network, x[i : i + 1], labels(2)[i : i + 1]) for i in range(2)]
    close(empirical_fisher(network, x, labels(2)), torch.stack(each).mean(0))


def test_a_network_with_chance_or_without_copies_goes_through_the_loop() -> None:
    class Noisy(Softmax):
        def __init__(self) -> None:
            super().__init__(2, [1.0, 0.5])
            self.chance = generator()

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.rand(x.shape, generator=self.chance, dtype=x.dtype))

    x, noisy, locked = torch.ones(3, 2, dtype=torch.float64), [Noisy(), Noisy()], Softmax(2, [1.0])
    close(*[empirical_fisher(n, x, labels(3), method=m) for n, m in zip(noisy, ("auto", "loop"), strict=True)])
    locked.lock = threading.Lock()
    close(empirical_fisher(locked, x, labels(3)), empirical_fisher(Softmax(2, [1.0]), x, labels(3)))


def test_a_fault_of_the_network_is_not_hidden() -> None:
    class Faulty(Softmax):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 2:
                raise RuntimeError("broken wire")
            return super().forward(x)

    with pytest.raises(RuntimeError, match="broken wire"):
        empirical_fisher(Faulty(2, [1.0]), torch.ones(5, 2, dtype=torch.float64), labels(5), chunk=1)


def test_horizons_are_shorter_runs_and_the_last_is_the_whole_network() -> None:
    x, y = images(), labels()
    whole, true = empirical_fisher(fused(), x, y), true_fisher(fused(), x, None)
    for steps in range(1, STEPS + 1):
        close(empirical_fisher(fused(steps), x, y)[-1], whole[steps - 1])
        close(true_fisher(fused(steps), x, None)[-1], true[steps - 1])


def test_a_silent_network_is_flat() -> None:
    """No spike reaches the output: only its bias learns, and the trace is |p - y|^2 at every horizon."""
    network, x, y = fused(), images(), labels()
    with torch.no_grad():
        network.norms[1].weight.zero_(), network.norms[1].bias.fill_(-100)
    error = network.read.bias.softmax(0).detach() - F.one_hot(y, CLASSES)
    traces = empirical_fisher(network, x, y)
    torch.testing.assert_close(traces, error.square().sum(1).mean().expand(STEPS), rtol=1e-4, atol=0)
    assert information_centroid(traces) == pytest.approx((STEPS + 1) / 2, abs=1e-3)


def test_drawn_labels_converge_to_the_expectation() -> None:
    """Within five standard errors, where label c has the value |e_c - p|^2 (|x|^2 + 1) with the probability p_c."""
    network, x, draws = Softmax(2, [0.5, 1.0, -0.3]), torch.tensor([[0.4, -1.0], [2.0, 0.3]]).double(), 1000
    p, size = network.closed(x)
    values = (torch.eye(CLASSES) - p.unsqueeze(-2)).square().sum(-1) * size.unsqueeze(-1)  # (T, N, label)
    mean = (p * values).sum(-1)
    variance = (p * values.square()).sum(-1) - mean.square()
    error = (variance.sum(1) / draws).sqrt() / len(x)
    assert (error > 0).all()
    have = true_fisher(network, x, generator(), draws=draws)
    assert ((have - mean.mean(1)).abs() <= 5 * error).all()
    assert ((have - mean.mean(1)).abs() > 0).all()


def test_draws_depend_on_the_generator_alone_and_are_shared_by_horizons() -> None:
    network, x, before = Softmax(2, [1.0] * 5), torch.randn(9, 2, generator=generator()).double(), torch.get_rng_state()
    first, again, other = (true_fisher(network, x, generator(s), chunk=c) for s, c in ((1, 32), (1, 2), (2, 32)))
    close(first, again)
    assert not torch.allclose(first, other)
    torch.testing.assert_close(first, first[0].expand(5))
    close(true_fisher(network, x, generator(1), method="loop"), first)
    true_fisher(network, x, None), batch_squared_fisher(network, x, labels(9), batch_size=3)
    assert torch.equal(before, torch.get_rng_state())


def test_confident_networks_keep_their_small_probabilities() -> None:
    """In float32, 1 - p of a confident network rounds to zero, and so would the trace."""
    network = Softmax(1, [1.0], dtype=torch.float32)
    with torch.no_grad():
        network.weight.zero_(), network.bias.copy_(torch.tensor([20.0, 0.0, -1.0]))
    x, y = torch.full((3, 1), 2.0), torch.zeros(3, dtype=torch.long)
    p = network.bias.detach().double().softmax(0)
    assert 0 < 1 - p[0] < torch.finfo(torch.float32).eps
    rest = p[1] + p[2]
    for method in ("vmap", "loop"):
        empirical = empirical_fisher(network, x, y, method=method)
        close(empirical / (5 * (rest**2 + p[1] ** 2 + p[2] ** 2)), torch.ones(1), 1e-5)
        true = true_fisher(network, x, None, method=method)
        close(true / (5 * (p[0] * rest + p[1] * (1 - p[1]) + p[2] * (1 - p[2]))), torch.ones(1), 1e-5)


def test_norms_are_summed_in_float64() -> None:
    """The squares of these gradients overflow float32."""
    network, y = Softmax(1, [1.0], dtype=torch.float32), labels(3)
    network.weight.data.zero_()
    x = torch.full((3, 1), 1e25)
    error = network.bias.detach().double().softmax(0) - F.one_hot(y, CLASSES)
    wanted = x[0].double().square() * error.square().sum(1).mean()
    for method in ("vmap", "loop"):
        close(empirical_fisher(network, x, y, method=method) / wanted, torch.ones(1), 1e-5)


def test_the_largest_chance_draws_the_last_class() -> None:
    """Also where the probabilities add up to less than one by rounding."""
    logits, largest = torch.randn(500, 7, generator=generator(), dtype=torch.float64), 1 - 2**-53
    assert (logits.softmax(-1).cumsum(-1)[:, -1] <= largest).any()
    drawn = _drawn(logits, torch.tensor([largest], dtype=torch.float64))
    assert (drawn[0, :, -1] < 0).all() and (drawn[0, :, :-1] > 0).all()


def test_order_and_repetition_of_images_change_nothing() -> None:
    network, x, y = fused(), images(), labels()
    order = torch.randperm(COUNT, generator=generator())
    wanted = empirical_fisher(network, x, y)
    close(empirical_fisher(network, x[order], y[order]), wanted)
    close(empirical_fisher(network, torch.cat([x, x]), torch.cat([y, y])), wanted)


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_parameters_frozen_shared_and_unused(method: Any) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.frozen, self.unused = (nn.Linear(CLASSES, CLASSES).double() for _ in range(4))
            self.b.weight = self.a.weight
            self.frozen.requires_grad_(False)
            self.eval()
            chance = generator(1)
            for p in self.parameters():
                p.data.copy_(torch.randn(p.shape, generator=chance))

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.frozen(self.a(x).tanh())).expand(2, len(x), CLASSES)

    network, x = Odd(), torch.randn(2, CLASSES, generator=generator(), dtype=torch.float64)
    each = [brute(network, x[i : i + 1], labels(2)[i : i + 1]) for i in range(2)]
    close(empirical_fisher(network, x, labels(2), method=method), torch.stack(each).mean(0))


def test_the_network_stays_as_it_was() -> None:
    network, x, y = fused(), images(), labels()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        silent = [empirical_fisher(network, x, y, method=m) for m in ("vmap", "loop")]
        silent.append(batch_squared_fisher(network, x, y, batch_size=1))
    for have in silent:
        close(have, empirical_fisher(network, x, y))
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("make", [fused, lambda: Spiking(Loop())], ids=["fused", "old"])
def test_squared_batches_are_autograd_of_the_mean_loss_and_lie_below(make: Any) -> None:
    network, x, y = make(), images(), labels()
    wanted = empirical_fisher(network, x, y)
    close(batch_squared_fisher(network, x, y, batch_size=1), wanted)
    for size in (2, 3, 6):
        batches = zip(x.split(size), y.split(size), strict=True)
        have = batch_squared_fisher(network, x, y, batch_size=size)
        close(have, torch.stack([brute(network, *batch) for batch in batches]).mean(0))
        assert (have < 0.99 * wanted).all()
    same = batch_squared_fisher(network, x[:1].expand(4, -1, -1, -1), y[:1].expand(4), batch_size=4)
    close(same, empirical_fisher(network, x[:1], y[:1]))  # gradients that agree do not cancel


def test_centroid_by_hand() -> None:
    assert information_centroid(torch.tensor([7.0])) == 1
    assert information_centroid(torch.tensor([1.0, 0.0, 3.0])) == pytest.approx(2.5)
    assert information_centroid(torch.full((8,), 1e300, dtype=torch.float64)) == 4.5
    assert information_centroid(torch.tensor([0.0, 5e-324], dtype=torch.float64)) == 2


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12).filter(lambda v: max(v) > 1e-3), st.floats(1e-3, 1e3))
def test_centroid_lies_within_the_steps(values: list[float], factor: float) -> None:
    traces = torch.tensor(values, dtype=torch.float64)
    centroid = information_centroid(traces)
    assert 1 <= centroid <= len(values) * (1 + 1e-12)
    assert information_centroid(factor * traces) == pytest.approx(centroid, rel=1e-9)
    assert information_centroid(traces.flip(0)) == pytest.approx(len(values) + 1 - centroid, rel=1e-9)


@pytest.mark.parametrize(
    ("traces", "words"),
    [
        ([], "at least one step"),
        ([[1.0]], "at least one step"),
        ([1.0, -1e-9], "not below 0"),
        ([math.nan, 1.0], "finite"),
        ([0.0, 0.0], "no centroid"),
    ],
)
def test_what_has_no_centroid(traces: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        information_centroid(torch.tensor(traces))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(2), StepBatchNorm(2), nn.Dropout()], ids=lambda m: type(m).__name__)
def test_training_mode_is_refused(norm: nn.Module) -> None:
    network = Softmax(2, [1.0])
    network.norm = norm.train()
    x, y = torch.ones(2, 2, dtype=torch.float64), labels(2)
    for call in (empirical_fisher, batch_squared_fisher, lambda n, x, _: true_fisher(n, x, None)):
        with pytest.raises(ValueError, match=rf"^{type(norm).__name__} 'norm' is in training mode.*network.eval\(\)"):
            call(network, x, y)
    network.eval()
    assert empirical_fisher(network, x, y).isfinite().all()
    network.norm = nn.BatchNorm1d(2, track_running_stats=False).eval()
    with pytest.raises(ValueError, match="no running statistics"):
        empirical_fisher(network, x, y)


def frozen() -> nn.Module:
    return Softmax(2, [1.0]).requires_grad_(False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": frozen()}, "no parameter that requires a gradient"),
        ({"network": nn.Linear(2, 3).double().eval()}, r"logits \(steps, batch, classes\), got \(1, 3\)"),
        ({"images": torch.ones(0, 2)}, "At least one image"),
        ({"labels": torch.zeros(2)}, "labels must be 2 integers, got torch.float32"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, r"labels must be 2 integers, .* shape \(3,\)"),
        ({"labels": torch.tensor([True, False])}, "labels must be 2 integers, got torch.bool"),
        ({"labels": torch.zeros(2, dtype=torch.complex64)}, "labels must be 2 integers, got torch.complex64"),
        ({"chunk": 2.0}, "chunk must be a whole number"),
        ({"call": true_fisher, "draws": True}, "draws must be a whole number"),
        ({"call": batch_squared_fisher, "batch_size": 2.0}, "batch_size must be a whole number"),
        ({"labels": torch.tensor([0, 3])}, "between 0 and 2"),
        ({"labels": torch.tensor([0, -1])}, "between 0 and 2"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"method": "vamp"}, "method must be one of auto, vmap, loop, got 'vamp'. Did you mean 'vmap'?"),
        ({"call": true_fisher, "draws": 0}, "draws must be at least 1"),
        ({"call": batch_squared_fisher, "batch_size": 0}, "batch_size must divide"),
        ({"call": batch_squared_fisher}, "batch_size must divide the number of images, got 16 for 2"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(changes: dict[str, Any], words: str) -> None:
    call = changes.pop("call", empirical_fisher)
    given = {"network": Softmax(2, [1.0]), "images": torch.ones(2, 2, dtype=torch.float64), "labels": labels(2)}
    if call is true_fisher:
        given["generator"] = generator()
        del given["labels"]
    with pytest.raises(ValueError, match=words):
        call(**given | changes)


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_an_image_that_is_not_finite_has_no_information(method: Any) -> None:
    """Of a spiking network, whose neurons would swallow it."""
    x = images(2)
    x[1] = math.nan
    assert empirical_fisher(fused(), x, labels(2), method=method).isnan().all()
    assert true_fisher(fused(), x, generator(), method=method).isnan().all()
    assert true_fisher(fused(), x, None, method=method).isnan().all()
