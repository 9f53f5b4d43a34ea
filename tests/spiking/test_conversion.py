"""The twin without spikes, compared with the same layers run one by one, and the way from it to a network that spikes.

Thresholds are compared with a loop over steps and layers as the paper's code has it, and rates with a closed form.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgebook.measure.seeding import SeededDraws
from edgebook.spiking import (
    LIF,
    LeakyLoop,
    SpikingNetwork,
    balance_thresholds,
    lif,
    poisson_coding,
    rescaled_weights,
    spiking_vgg,
    to_leaky,
    without_spikes,
)


def test_the_twin_keeps_layers_and_weights_and_has_relu_for_neurons() -> None:
    made = {"in_channels": 1, "classes": 10, "steps": 1, "beta": 0.5, "norm": "none", "seed": 0}
    net = spiking_vgg((4, "M", 6), **made)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    twin = without_spikes(net)
    assert twin is net
    assert all(torch.equal(value, before[name]) for name, value in twin.state_dict().items() if name in before)
    neurons = [layer.neuron for layer in net.modules() if hasattr(layer, "neuron")]
    assert neurons and all(isinstance(neuron, nn.ReLU) for neuron in neurons)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    # Without spikes and norms a network without biases is homogeneous: twice the image, twice the logits.
    plain = without_spikes(spiking_vgg((4, "M", 6), **made | {"bias": False, "linear_bias": False}))
    torch.testing.assert_close(plain(2 * x), 2 * plain(x))


def test_a_network_without_neurons_is_refused() -> None:
    with pytest.raises(ValueError, match="no neuron"):
        without_spikes(nn.Linear(2, 2))


def test_neurons_are_found_wherever_they_are_and_keep_their_mode() -> None:
    pytest.importorskip("snntorch")
    shared = LIF(0.5)
    net = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared, LeakyLoop(to_leaky(LIF(0.5)))).eval()
    without_spikes(net)
    assert [type(layer).__name__ for layer in net] == ["Linear", "ReLU", "Linear", "ReLU", "ReLU"]
    assert not any(module.training for module in net.modules())


def test_a_neuron_with_hooks_is_refused() -> None:
    net = nn.Sequential(LIF(0.5), LIF(0.5))
    net[1].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="hooks would lose them"):
        without_spikes(net)
    assert all(isinstance(layer, LIF) for layer in net)


# From here on: neurons that keep all that they are given, so that they count.
COUNTING: dict[str, Any] = {"beta": 1.0, "reset": "subtract"}
VGG: dict[str, Any] = {"in_channels": 2, "classes": 5, "norm": "none", "size": 8, "hidden": (7,), "output": "mean"}
VGG |= COUNTING | {"bias": False, "linear_bias": False}


def network(**options: Any) -> SpikingNetwork:
    return spiking_vgg((4, "M", 6, "M"), steps=1, **VGG | options).double()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def spikes_of(images: Tensor, steps: int = 12) -> Tensor:
    return poisson_coding(images, steps, torch.Generator().manual_seed(3), signed=True)


def thresholds_of(net: nn.Module) -> list[float]:
    return [module.convention.threshold for module in net.modules() if isinstance(module, LIF)]


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 16), min_size=1, max_size=12), min_size=1, max_size=4), st.integers(16, 40))
def test_neurons_count_the_thresholds_in_what_they_get(rows: list[list[int]], units: int) -> None:
    """Whole eighths, so that all sums are exact; currents up to the threshold, so that none is left behind."""
    steps = min(map(len, rows))
    currents = torch.tensor([row[:steps] for row in rows], dtype=torch.float64).T / 8  # (T, B)
    fired = lif(currents, threshold=units / 8, strict=False, **COUNTING).sum(dim=0)
    assert fired.tolist() == [sum(row[:steps]) // units for row in rows]


@settings(max_examples=50)
@given(st.integers(-40, 80), st.integers(1, 40), st.integers(1, 30))
def test_a_constant_current_gives_its_rate_to_within_one_spike(current: int, units: int, steps: int) -> None:
    held = torch.full((steps, 1), current / 8, dtype=torch.float64)
    for strict in (True, False):
        fired = int(lif(held, threshold=units / 8, strict=strict, **COUNTING).sum())
        reached = max(0, steps * current)  # in eighths
        whole = max(0, -(-reached // units) - 1) if strict else reached // units  # silent where it has just reached one
        assert fired == (steps if current > units else min(steps, whole))
        assert abs(fired * units - min(reached, steps * units)) <= units  # the rate less clip(I / theta), times T theta


INPUTS = torch.tensor([1.0, 0.0, 1.0, 1.0]).reshape(4, 1, 1)  # (T, B, 1)


def by_hand() -> nn.Sequential:
    net = nn.Sequential(
        nn.Linear(1, 2, bias=False), LIF(**COUNTING), nn.Linear(2, 1, bias=False), LIF(**COUNTING), nn.Linear(1, 1)
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0], [1.0]]))
        net[2].weight.copy_(torch.tensor([[3.0, 5.0]]))
    return net


def test_two_layers_by_hand() -> None:
    """Input spikes 1, 0, 1, 1 and a weight of 2 give currents 2, 0, 2, 2, and so on: see the comments."""
    net = by_hand()
    # First layer, threshold 2: the first neuron holds 2, 2, 4, 4 and fires at the last two steps, for it must exceed 2;
    # the second holds 1, 1, 2, 3 and fires at the last.
    assert net[:2](INPUTS).sum() == 5  # at the threshold of 1 that they have before
    # Second layer: currents 0, 0, 3 and 3 + 5, so that its threshold is 8.
    assert balance_thresholds(net, INPUTS) == [2.0, 8.0]
    assert net[:2](INPUTS).flatten(1).tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    # It holds 0, 0, 3, 11 and fires once.
    assert net[:4](INPUTS).flatten().tolist() == [0.0, 0.0, 0.0, 1.0]


def as_released(net: SpikingNetwork, spikes: Tensor) -> list[float]:
    """Find one threshold after the other, each with a run of its own, step by step, as the paper's code does."""
    layers: list[nn.Module] = [net.first.weights]
    for part in net.features:
        layers.append(part.weights if hasattr(part, "weights") else part.module)
    layers += [nn.Flatten(), *(part.weights for part in net.hidden)]
    found: list[float] = []
    count = sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers)
    while len(found) < count:
        membranes: dict[int, Tensor | float] = {}
        largest = 0.0
        for step in spikes:
            x, seen = step, 0
            for layer in layers:
                x = layer(x)
                if not isinstance(layer, nn.Conv2d | nn.Linear):
                    continue
                if seen == len(found):
                    largest = max(largest, x.max().item())
                    break
                held = membranes.get(seen, 0.0) + x
                x = (held / found[seen] - 1 > 0).to(x.dtype)
                membranes[seen] = held - found[seen] * x
                seen += 1
        found.append(largest)
    return found


@torch.no_grad()
def test_thresholds_are_those_of_a_run_for_each_layer_step_by_step() -> None:
    net, spikes = network(seed=2), spikes_of(drawn(6, 2, 8, 8))
    wanted = as_released(net, spikes)
    found = balance_thresholds(net, spikes)
    assert found == thresholds_of(net)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert len(set(found)) == 3


@pytest.mark.parametrize(("percentile", "scale"), [(100.0, 0.7), (99.9, 1.0), (90.0, 2.0), (75.0, 1.0)])
def test_a_percentile_of_all_currents_and_a_scale(percentile: float, scale: float) -> None:
    with SeededDraws(0):
        net, x = nn.Sequential(nn.Linear(3, 5), LIF(**COUNTING)).double(), drawn(7, 11, 3)
    currents = net[0](x).detach().numpy()
    wanted = scale * np.percentile(currents, percentile, method="inverted_cdf")
    assert balance_thresholds(net, x, percentile=percentile, scale=scale) == [wanted]


@torch.no_grad()
def test_rates_approach_the_twin_like_one_over_the_steps() -> None:
    """A constant input, for which the thresholds are also found; the twin has the weights in thresholds."""
    x, net = drawn(8, 2, 8, 8, seed=5), network(seed=1, strict=False)
    plain = without_spikes(network(seed=1))
    held = x.expand(64, *x.shape)
    balance_thresholds(net, held)
    twin = without_spikes(network())
    twin.load_state_dict(rescaled_weights(net))
    wanted = twin(x)
    left = [steps * float((net(x, steps) - wanted).abs().max()) for steps in (10, 40, 160, 640)]
    assert max(left) < 1.5 * min(left) and left[-1] / 640 < 0.02 * float(wanted.abs().max())
    # Without biases the twin in thresholds is the plain one, smaller by their product.
    torch.testing.assert_close(math.prod(thresholds_of(net)) * wanted, plain(x))
    assert torch.equal(wanted.argmax(1), plain(x).argmax(1))


@torch.no_grad()
def test_rescaled_weights_with_biases_give_clipped_rates() -> None:
    net = network(seed=4, bias=True, linear_bias=True, strict=False)
    x = drawn(4, 2, 8, 8, seed=6)
    balance_thresholds(
        net, x.expand(30, *x.shape), percentile=90
    )  # a tenth of the neurons of each layer is to be cut off
    twin = without_spikes(network(bias=True, linear_bias=True))
    twin.load_state_dict(rescaled_weights(net))
    for layer in (twin.first, twin.features[1], twin.hidden[0]):
        layer.neuron = nn.Hardtanh(0, 1)
    assert float((twin.first(x[None]) == 1).double().mean()) > 0.05
    torch.testing.assert_close(net(x, 4000), twin(x), atol=0.02, rtol=0)


def test_a_network_is_left_as_it_was_but_for_its_thresholds() -> None:
    net = network(norm="batch", pool="max").train()
    net.first.norm.eval()
    before, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    grad = torch.is_grad_enabled()
    balance_thresholds(net, spikes_of(drawn(3, 2, 8, 8)))
    assert torch.is_grad_enabled() is grad and [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_pre_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def chain(*parts: nn.Module) -> nn.Sequential:
    with SeededDraws(0):
        return nn.Sequential(nn.Linear(3, 3), LIF(1.0), nn.Linear(3, 3), *parts)


class Idle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.left = LIF(1.0), LIF(1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


def twice() -> nn.Module:
    net = chain(LIF(1.0))
    net.append(net[1])
    return net


def dead() -> nn.Module:
    net = chain(LIF(1.0))
    nn.init.constant_(net[2].weight, -1.0)
    nn.init.zeros_(net[2].bias)
    return net


ONES = torch.ones(2, 3, 3)


@pytest.mark.parametrize(
    ("make", "inputs", "options", "words"),
    [
        (lambda: nn.Linear(3, 3), ONES, {}, "no neurons of the type LIF"),
        (twice, ONES, {}, "'1' run more than once in a pass"),
        (Idle, ONES, {}, "'left' did not run"),
        (dead, ONES, {}, "'3' need a finite current above 0 as their threshold, got -?0"),
        (dead, ONES * math.nan, {}, "'1' need a finite current above 0 as their threshold, got nan"),
        (
            dead,
            ONES * math.nan,
            {"percentile": 50.0},
            "'1' need a finite current above 0 as their threshold, got nan",
        ),
        (
            dead,
            torch.tensor([1.0, math.nan, 1.0]).expand(2, 3, 3).mT,
            {"percentile": 10.0},
            "finite current .* got nan",
        ),
        (dead, ONES[:, :0], {}, "'1' need a finite current"),
        (dead, ONES, {"percentile": 0.0}, "percentile must lie above 0"),
        (dead, ONES, {"percentile": 101.0}, "percentile must lie above 0"),
        (dead, ONES, {"scale": 0.0}, "scale must be a finite number above 0"),
        (dead, ONES, {"scale": math.nan}, "scale must be a finite number above 0"),
    ],
)
def test_what_cannot_be_balanced_is_refused_and_changes_nothing(
    make: Callable[[], nn.Module], inputs: Tensor, options: dict[str, float], words: str
) -> None:
    net = make()
    before = thresholds_of(net)
    with pytest.raises(ValueError, match=words):
        balance_thresholds(net, inputs, **options)
    assert thresholds_of(net) == before and not any(module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"norm": "batch"}, "those of 'features.1.neuron' are others"),
        ({"beta": 0.9}, "are others"),
        ({"reset": "zero"}, "are others"),
        ({"scale_input": True}, "are others"),
    ],
)
def test_weights_that_give_no_rates_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rescaled_weights(network(**options))
    with pytest.raises(ValueError, match="there is none"):
        rescaled_weights(without_spikes(nn.Sequential(LIF(1.0))))


def test_rescaled_weights_are_copies() -> None:
    net = network(threshold=2.0)
    for value in rescaled_weights(net).values():
        value.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in net.parameters())


def compiled_before(net: nn.Module, x: Tensor) -> nn.Module:
    torch.compiler.reset()
    other = torch.compile(net, backend="eager")
    other(x)
    return other


WRAPPED: dict[str, Callable[[nn.Module, Tensor], nn.Module]] = {
    "torch.compile, then thresholds balanced": compiled_before,
    "DataParallel, then thresholds balanced": lambda net, _: nn.DataParallel(net),
    "deepcopy, then thresholds balanced": lambda net, _: copy.deepcopy(net),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "wrap",
    [pytest.param(do, id=name, marks=pytest.mark.support(feature=name)) for name, do in WRAPPED.items()],
)
@pytest.mark.support(kernel="spiking networks", on="network")
@torch.no_grad()
def test_a_wrapped_network_is_balanced_as_a_plain_one_and_spikes_alike(
    wrap: Callable[[nn.Module, Tensor], nn.Module],
) -> None:
    spikes, plain = spikes_of(drawn(3, 2, 8, 8)), network(seed=2)
    other = wrap(network(seed=2), spikes)
    wanted = balance_thresholds(plain, spikes)
    assert balance_thresholds(other, spikes) == wanted == thresholds_of(other)
    torch.testing.assert_close(other(spikes), plain(spikes))


@pytest.mark.support(kernel="spiking networks", on="network", feature="inference_mode, thresholds balanced in it")
def test_thresholds_are_balanced_in_inference_mode() -> None:
    spikes = spikes_of(drawn(3, 2, 8, 8))
    with torch.inference_mode():
        found = balance_thresholds(network(seed=2), spikes)
    assert found == balance_thresholds(network(seed=2), spikes)


@pytest.mark.support(kernel="spiking networks", on="network", feature="autocast, thresholds balanced under it")
def test_thresholds_are_balanced_under_autocast() -> None:
    """Where the layers compute in half precision, so do the currents."""
    spikes = spikes_of(drawn(3, 2, 8, 8)).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = balance_thresholds(network(seed=2).float(), spikes)
    with torch.no_grad():
        half = network(seed=2).first.weights.bfloat16()(spikes.flatten(0, 1).bfloat16())  # (T B, C, H, W)
    assert found[0] == float(half.max())


STATE = (
    "the state is of a neuron with threshold=2.0, and this one has threshold=1.0; dict(state) holds the tensors alone."
)


@pytest.mark.support(
    kernel="spiking networks", on="network", feature="state_dict, of a network with other thresholds", refused=STATE
)
def test_a_state_with_other_thresholds_is_refused_and_its_tensors_alone_are_not() -> None:
    net, fresh = by_hand(), by_hand()
    balance_thresholds(net, INPUTS)
    with pytest.raises(RuntimeError, match=re.escape(f"1: {STATE}")):
        fresh.load_state_dict(net.state_dict())
    fresh.load_state_dict(dict(net.state_dict()))
    assert thresholds_of(fresh) == [1.0, 1.0]
    without_spikes(by_hand()).load_state_dict(net.state_dict())
