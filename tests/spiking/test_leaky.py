"""The fused neuron beside snnTorch's: equal where the two are the same neuron, and where they are not, by how much."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from edgebook.spiking import LIF, LeakyLoop, atan, fast_sigmoid, from_leaky, lif, to_leaky, triangular

snn = pytest.importorskip("snntorch")

STEPS = 12


def currents(dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return 1.5 * torch.randn(STEPS, 4, 25, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def answers(neuron: Callable[..., Any], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return spikes, membranes, and a gradient whose weights single precision holds, as snnTorch's spikes need."""
    leaf = x.detach().requires_grad_()
    spikes, membranes = neuron(leaf, membranes=True)
    weights = torch.randint(-8, 9, spikes.shape, generator=torch.Generator().manual_seed(1)).to(x.dtype) / 4
    return spikes.detach(), membranes.detach(), torch.autograd.grad(spikes, leaf, weights)[0]


SAME = [
    {"reset": "zero"},
    {"reset": "zero", "detach_reset": False},
    {"reset": "none"},
    {"reset": "subtract", "delay": True},
]


@pytest.mark.parametrize("options", SAME, ids=str)
@pytest.mark.parametrize("surrogate", [atan(), atan(3.0), fast_sigmoid(), fast_sigmoid(5.0), triangular()], ids=str)
def test_a_neuron_and_its_leaky_are_equal(options: dict[str, Any], surrogate: Any) -> None:
    for beta, theta in itertools.product([0.0, 0.5, 0.95, 1.0], [0.75, 1.0]):
        neuron = LIF(beta, theta, surrogate=surrogate, **options)
        have, wanted = answers(neuron, currents()), answers(LeakyLoop(to_leaky(neuron)), currents())
        assert torch.equal(have[0], wanted[0])
        if options.get("detach_reset", True):
            torch.testing.assert_close(have[1], wanted[1], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(have[2], wanted[2], rtol=1e-12, atol=1e-12)
        else:  # snnTorch then returns what the reset leaves, and its gradients pass through single precision
            torch.testing.assert_close(have[1] * (1 - have[0]), wanted[1], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(have[2], wanted[2], rtol=1e-5, atol=1e-5)


def test_without_a_leak_a_late_subtraction_is_an_early_one() -> None:
    neuron = LIF(1.0, 0.75, "subtract")
    have, wanted = answers(neuron, currents()), answers(LeakyLoop(to_leaky(neuron)), currents())
    assert torch.equal(have[0], wanted[0])
    torch.testing.assert_close(have[1], wanted[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(have[2], wanted[2], rtol=1e-12, atol=1e-12)


def test_with_a_leak_the_two_subtractions_differ_by_what_leaks_from_the_threshold() -> None:
    """Two steps: the papers keep beta (h - theta), snnTorch beta h - theta."""
    beta, theta, x = 0.5, 1.0, torch.tensor([[1.6], [0.9]], dtype=torch.float64)
    papers = lif(x, beta, theta, "subtract", membranes=True)[1]
    late = LeakyLoop(snn.Leaky(beta, theta))(x, membranes=True)[1]
    assert papers[1].item() == pytest.approx(beta * (1.6 - theta) + 0.9)
    assert (papers[1] - late[1]).item() == pytest.approx((1 - beta) * theta)
    assert lif(x, beta, theta, "subtract").tolist() == [[1], [1]]
    assert LeakyLoop(snn.Leaky(beta, theta))(x).tolist() == [[1], [0]]


def test_a_subtraction_without_delay_counts_twice_above_two_thresholds() -> None:
    """It tests the membrane that is left once more, and takes off another threshold before it fires."""
    x = torch.tensor([[2.5], [0.2]], dtype=torch.float64)
    loop = LeakyLoop(snn.Leaky(1.0, reset_delay=False))
    assert loop(x).tolist() == [[1], [0]]
    assert lif(x, 1.0, 1.0, "subtract").tolist() == [[1], [1]]  # 2.5 - 1 + 0.2 lies above the threshold
    with pytest.raises(ValueError, match="counts twice"):
        from_leaky(loop.leaky)


def test_a_membrane_at_the_threshold_is_silent_in_snntorch() -> None:
    x = torch.ones(1, 1)
    assert LeakyLoop(snn.Leaky(0.5))(x).item() == lif(x, 0.5).item() == 0
    assert lif(x, 0.5, strict=False).item() == 1


def test_the_triangle_of_snntorch_is_a_sign() -> None:
    """Its derivative is +threshold below and -threshold above, whatever the distance; ours is the papers' triangle."""
    x = torch.tensor([-3.0, -0.5, 0.5, 3.0], requires_grad=True)
    theirs = torch.autograd.grad(snn.surrogate.triangular()(x).sum(), x)[0]
    assert theirs.tolist() == [1, 1, -1, -1]
    assert triangular()(x).tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(triangular().slope(x.detach()), torch.tensor([0, 0.15, 0.15, 0]))


@pytest.mark.parametrize(("ours", "theirs"), [
    (atan(), snn.surrogate.atan()), (atan(5.0), snn.surrogate.atan(alpha=5.0)),
    (fast_sigmoid(), snn.surrogate.fast_sigmoid()), (fast_sigmoid(3.0), snn.surrogate.fast_sigmoid(slope=3.0)),
])  # fmt: skip
def test_surrogates_of_one_name_are_one(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]) -> None:
    x = torch.linspace(-2, 2, 401, dtype=torch.float64, requires_grad=True)
    assert torch.equal(ours(x), theirs(x).double())
    have, wanted = (torch.autograd.grad(f(x).sum(), x)[0] for f in (ours, theirs))
    torch.testing.assert_close(have, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("options", SAME, ids=str)
@pytest.mark.parametrize("surrogate", [atan(3.0), fast_sigmoid(5.0), triangular()], ids=str)
def test_there_and_back(options: dict[str, Any], surrogate: Any) -> None:
    neuron = LIF(0.9, 0.75, surrogate=surrogate, **options)
    back = from_leaky(to_leaky(neuron))
    if options["reset"] == "none":
        assert torch.equal(back(currents()), neuron(currents()))
    else:
        assert back.convention == neuron.convention


@pytest.mark.parametrize("leaky", [
    snn.Leaky(0.9),
    snn.Leaky(0.9, threshold=0.7, reset_mechanism="zero", spike_grad=snn.surrogate.fast_sigmoid(slope=10)),
    snn.Leaky(torch.tensor([0.8]), reset_mechanism="zero", reset_delay=False),
    snn.Leaky(1.5, reset_mechanism="none"),
])  # fmt: skip
def test_a_leaky_as_a_user_makes_it_converts(leaky: Any) -> None:
    x = currents(torch.float32)
    have, wanted = answers(from_leaky(leaky), x), answers(LeakyLoop(leaky), x)
    assert torch.equal(have[0], wanted[0])
    torch.testing.assert_close(have[2], wanted[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("words", "neuron"), [
    ("only a strict neuron", LIF(0.5, strict=False)),
    ("relative to a threshold", LIF(0.5, 0.5, relative=True)),
    ("after the leak", LIF(0.5, reset="subtract")),
    ("no gradient through a subtraction", LIF(0.5, reset="subtract", delay=True, detach_reset=False)),
])  # fmt: skip
def test_what_does_not_convert_to_snntorch(words: str, neuron: LIF) -> None:
    with pytest.raises(ValueError, match=words):
        to_leaky(neuron)


@pytest.mark.parametrize(("words", "arguments"), [
    ("learns its beta", {"learn_beta": True}),
    ("learns its threshold", {"learn_threshold": True}),
    ("3 values of beta", {"beta": torch.tensor([0.1, 0.2, 0.3])}),
    ("inhibition, quantised", {"state_quant": round}),
    ("inhibition, quantised", {"surrogate_disable": True}),
    ("graded spikes", {"graded_spikes_factor": 2.0}),
    ("counts twice", {"reset_delay": False}),
    ("Only the surrogates", {"spike_grad": snn.surrogate.sigmoid()}),
])  # fmt: skip
def test_what_does_not_convert_from_snntorch(words: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words):
        from_leaky(snn.Leaky(**{"beta": 0.5, **arguments}))


def test_a_loop_scales_the_input_and_refuses_a_hidden_membrane() -> None:
    neuron = LIF(0.5, scale_input=True)
    loop = LeakyLoop(to_leaky(neuron), neuron.convention.gain)
    assert torch.equal(loop(currents()), neuron(currents()))
    with pytest.raises(ValueError, match="init_hidden=False"):
        LeakyLoop(snn.Leaky(0.5, init_hidden=True))


class Deaf(snn.Leaky):
    """A subclass with another forward pass."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        spike, membrane = super().forward(*inputs)
        return 0 * spike, membrane


OTHERS = [
    Deaf(0.8),
    snn.RLeaky(0.8, linear_features=4),
    snn.Synaptic(0.9, 0.8),
    snn.Lapicque(0.8),
    snn.Alpha(0.9, 0.8),
    LIF(0.8),
]


@pytest.mark.parametrize("neuron", OTHERS, ids=lambda neuron: type(neuron).__name__)
def test_only_a_leaky_itself_is_one(neuron: Any) -> None:
    with pytest.raises(ValueError, match=rf"exactly a snntorch.Leaky, got \w+\.{type(neuron).__name__}\."):
        from_leaky(neuron)


@pytest.mark.parametrize("neuron", OTHERS[1:], ids=lambda neuron: type(neuron).__name__)
def test_a_loop_runs_no_neuron_that_hands_on_more(neuron: Any) -> None:
    with pytest.raises(ValueError, match=rf"takes a snntorch.Leaky, got \w+\.{type(neuron).__name__}\."):
        LeakyLoop(neuron)


def test_a_loop_runs_a_subclass_as_it_is() -> None:
    assert not LeakyLoop(Deaf(0.8))(currents()).any()


def test_a_leaky_with_a_life_of_its_own_does_not_convert() -> None:
    for options in ({"init_hidden": True}, {"output": True}, {"init_hidden": True, "output": True}):
        with pytest.raises(ValueError, match="init_hidden, output or hooks"):
            from_leaky(snn.Leaky(0.5, **options))
    watched = snn.Leaky(0.5)
    watched.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="init_hidden, output or hooks"):
        from_leaky(watched)


@pytest.mark.parametrize("name", ["beta", "threshold"])
def test_a_constant_that_wants_a_gradient_does_not_convert(name: str) -> None:
    leaky = snn.Leaky(0.5)
    setattr(leaky, name, torch.tensor(0.5, requires_grad=True))
    with pytest.raises(ValueError, match=f"learns its {name}"):
        from_leaky(leaky)


def test_inhibition_and_learned_grades_do_not_convert() -> None:
    with pytest.warns(UserWarning, match="unstable"):
        inhibited = snn.Leaky(0.5, inhibition=True)
    with pytest.raises(ValueError, match="inhibition"):
        from_leaky(inhibited)
    with pytest.raises(ValueError, match="graded spikes"):
        from_leaky(snn.Leaky(0.5, learn_graded_spikes_factor=True))


def test_a_reset_that_was_set_later_does_not_convert() -> None:
    """snnTorch chooses what it computes when the neuron is made, and then says something else of itself."""
    leaky, x = snn.Leaky(1.0), torch.tensor([[2.5], [0.2]])
    leaky.reset_mechanism = "zero"
    assert LeakyLoop(leaky)(x).tolist() == [[1], [1]]  # it still subtracts: 2.5 + 0.2 - 1 lies above the threshold
    with pytest.raises(ValueError, match="set later"):
        from_leaky(leaky)


def test_only_a_lif_itself_converts() -> None:
    class Mine(LIF):
        pass

    for neuron in (Mine(0.5), snn.Leaky(0.5)):
        with pytest.raises(ValueError, match="exactly a LIF, got"):
            to_leaky(neuron)


def test_a_loop_keeps_nothing_of_a_sequence() -> None:
    """What snnTorch remembers hangs on the graph, and could neither be copied nor forgotten."""
    loop = LeakyLoop(snn.Leaky(0.5))
    x = currents().requires_grad_()
    wanted = loop(x)
    assert not loop.leaky.mem.requires_grad
    assert torch.equal(copy.deepcopy(loop)(x), wanted) and torch.equal(loop(x), wanted)


def test_a_loop_needs_a_step() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        LeakyLoop(snn.Leaky(0.5))(torch.ones(0, 3))
