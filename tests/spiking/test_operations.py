"""Operation counts against sums over every spike and every connection, and against counts done by hand."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure import ENERGY_45NM, arithmetic_energy, layer_costs
from edgebook.spiking import (
    LIF,
    LeakyLoop,
    Operations,
    SpikingNetwork,
    measure_activity,
    poisson_coding,
    spiking_resnet,
    spiking_vgg,
    to_leaky,
)

STEPS, BATCH = 3, 4
COMMON: dict[str, Any] = {"in_channels": 2, "classes": 5, "steps": STEPS, "beta": 0.5, "threshold": 0.5}


def vgg(**options: Any) -> SpikingNetwork:
    return spiking_vgg((6, "M", 8, "M"), **{**COMMON, "hidden": (7,), "size": 8, "xavier_gain": 2.0, **options})


def resnet() -> SpikingNetwork:
    return spiking_resnet((6, (6, 1, 1), (8, 1, 2)), **COMMON, xavier_gain=2.0)


def images(seed: int = 0) -> Tensor:
    return torch.rand(BATCH, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


def inputs_of(net: SpikingNetwork, x: Tensor) -> dict[str, Tensor]:
    """What flows into each convolution and linear layer."""
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _, inputs, __, name=name: seen.update({name: inputs[0].detach()}))
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    net.eval()(x)
    for handle in handles:
        handle.remove()
    return seen


def with_ones(module: nn.Module, x: Tensor) -> float:
    """Send absolute spikes through a layer whose living weights are all 1: each arrival is one addition."""
    ones = (module.weight.detach() != 0).double()
    x = x.detach().double().abs()
    if isinstance(module, nn.Conv2d):
        return float(F.conv2d(x, ones, None, module.stride, module.padding).sum()) / BATCH
    return float((x.flatten(0, -2) @ ones.T).sum()) / BATCH


@pytest.mark.parametrize("build", [vgg, lambda: vgg(pool="max"), resnet, lambda: vgg(norm="bntt")])
def test_counts_are_those_of_every_spike_and_connection(build: Any) -> None:
    net, x = build(), images()
    activity, seen = measure_activity(net, x), inputs_of(net, x)
    modules, costs = dict(net.named_modules()), layer_costs(net, (2, 8, 8))
    assert list(activity.layers) == list(seen) and activity.steps == STEPS
    for name, layer in activity.layers.items():
        first = name == "first.weights"
        assert layer.analog is first
        assert layer.evaluations == (1 if first else STEPS)
        assert layer.macs * layer.evaluations == costs[name].macs
        assert layer.rate == pytest.approx(float(seen[name].abs().double().mean()), rel=1e-12)
        assert layer.events == pytest.approx(with_ones(modules[name], seen[name]), rel=1e-12)
        everywhere = with_ones(modules[name], torch.ones_like(seen[name]))
        assert layer.connections * layer.evaluations == everywhere
        counted = layer.operations()
        if first:
            assert counted == (layer.macs, 0) and layer.operations(exact=True) == (layer.connections, 0)
        else:
            assert counted.macs == 0 and layer.rate > 0.02
            assert counted.adds == pytest.approx(layer.macs * STEPS * float(seen[name].double().mean()), rel=1e-12)
            assert layer.operations(exact=True).adds == layer.events
            assert layer.connections <= layer.macs
            assert layer.events <= layer.macs * STEPS


def test_a_convolution_is_counted_as_loops_count_it() -> None:
    """One neuron layer, one padded and strided convolution, every index spelled out."""
    net = nn.Sequential(LIF(0.0, 0.5), nn.Flatten(0, 1), nn.Conv2d(2, 3, 3, 2, 1, bias=False))
    net[2].weight.data[0, 1] = 0
    x = (torch.rand(STEPS, BATCH, 2, 5, 4, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    reached = 0
    for t, b, c, i, j in itertools.product(*map(range, x.shape)):
        if x[t, b, c, i, j]:
            rows = [o for o in range(3) if 0 <= i - (2 * o - 1) < 3]
            columns = [o for o in range(2) if 0 <= j - (2 * o - 1) < 3]
            reached += len(rows) * len(columns) * (2 if c == 1 else 3)
    activity = measure_activity(net, x)
    layer = activity.layers["2"]
    assert not layer.analog and layer.evaluations == STEPS
    assert layer.events * BATCH == pytest.approx(reached, rel=1e-12)
    assert layer.macs == 3 * 3 * 2 * 2 * 9
    assert activity.spikes * BATCH == x.sum()
    assert activity.neurons["0"].rate == pytest.approx(float(x.mean()))


def test_without_padding_convention_and_exact_count_agree() -> None:
    net = spiking_vgg((), hidden=(30, 20), size=8, xavier_gain=3.0, **COMMON)
    activity = measure_activity(net, images())
    assert activity.spikes > 0
    convention, exact = activity.operations(), activity.operations(exact=True)
    assert convention.macs == exact.macs == 2 * 8 * 8 * 30
    spikes = list(activity.neurons.values())
    assert convention.adds == pytest.approx(spikes[0].spikes * 20 + spikes[1].spikes * 5, rel=1e-12)
    assert exact.adds == pytest.approx(convention.adds, rel=1e-12)


def test_spikes_and_rates_are_those_of_the_neurons() -> None:
    net, x = resnet(), images()
    fired: dict[str, Tensor] = {}
    for name, module in net.named_modules():
        if isinstance(module, LIF):
            module.register_forward_hook(lambda _, __, out, name=name: fired.update({name: out.detach()}))
    activity = measure_activity(net, x)
    assert list(activity.neurons) == list(fired) and len(fired) == 5
    for name, spikes in fired.items():
        one = activity.neurons[name]
        assert (one.neurons, one.steps) == (spikes[0, 0].numel(), STEPS)
        assert one.spikes == pytest.approx(float(spikes.sum()) / BATCH, rel=1e-12)
        assert one.rate == pytest.approx(float(spikes.double().mean()), rel=1e-12)
    assert activity.spikes == pytest.approx(sum(float(s.sum()) for s in fired.values()) / BATCH, rel=1e-12)


def test_rate_coded_images_need_additions_alone() -> None:
    spikes = poisson_coding(images() - 0.5, STEPS, torch.Generator().manual_seed(0), gain=1.5, signed=True)
    assert bool((spikes == -1).any())
    activity = measure_activity(vgg(), spikes)
    first = activity.layers["first.weights"]
    assert not first.analog and first.evaluations == STEPS
    assert first.rate == pytest.approx(float(spikes.abs().mean()))
    assert activity.operations().macs == 0
    analog = measure_activity(vgg(), images().expand(STEPS, *images().shape)).layers["first.weights"]
    assert analog.analog and analog.evaluations == STEPS


def test_energy_takes_the_counts_and_knows_what_caching_saves() -> None:
    activity = measure_activity(vgg(), images())
    once, always = activity.operations(), activity.operations(cached=False)
    assert isinstance(once, Operations)
    assert once.macs == 6 * 8 * 8 * 2 * 9 and always.macs == STEPS * once.macs and always.adds == once.adds
    for precision, constants in ENERGY_45NM.items():
        wanted = once.macs * constants.mac + once.adds * constants.add
        assert arithmetic_energy(*once, precision=precision) == pytest.approx(wanted, rel=1e-12)


def test_pruned_weights_save_exact_operations_alone() -> None:
    dense, pruned = vgg(), vgg()
    with torch.no_grad():
        pruned.linear.weight[:, ::2] = 0
    have, wanted = (measure_activity(net, images()).layers["linear"] for net in (pruned, dense))
    assert have.macs == wanted.macs and have.operations() == wanted.operations()
    assert (have.connections, wanted.connections) == (5 * 3, 5 * 7)
    assert 0 < have.events < wanted.events


def test_both_kinds_of_neuron_are_counted_alike() -> None:
    pytest.importorskip("snntorch")
    net = vgg()
    fused = measure_activity(net, images())
    for name, neuron in list(net.named_modules()):
        if isinstance(neuron, LIF):
            net.set_submodule(name, LeakyLoop(to_leaky(neuron), neuron.convention.gain))
    assert measure_activity(net, images()) == fused


class Shared(nn.Module):
    """One convolution and one layer of neurons at two sizes, called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.neuron = nn.Conv2d(1, 1, 3, padding=1, bias=False), LIF(0.5, 0.5)
        nn.init.constant_(self.conv.weight, 0.3)

    def step(self, x: Tensor) -> Tensor:
        return self.neuron(currents=self.conv(input=x.flatten(0, 1)).unflatten(0, x.shape[:2]))

    def forward(self, x: Tensor) -> Tensor:
        return self.step(F.max_pool3d(self.step(x), (1, 2, 2)))


@torch.no_grad()
def test_a_layer_at_two_sizes_is_counted_at_each() -> None:
    net = Shared()
    x = (torch.rand(STEPS, BATCH, 1, 8, 8, generator=torch.Generator().manual_seed(2)) < 0.3).float()
    first = net.step(x)
    inner = F.max_pool3d(first, (1, 2, 2))
    second = net.step(inner)
    activity = measure_activity(net, x)
    assert list(activity.layers) == ["conv", "conv at 1x4x4"] and list(activity.neurons) == [
        "neuron",
        "neuron at 1x4x4",
    ]
    for layer, spikes, side in zip(activity.layers.values(), (x, inner), (8, 4), strict=True):
        assert not layer.analog and layer.evaluations == STEPS and layer.macs == 9 * side**2
        assert layer.rate == pytest.approx(float(spikes.mean()), rel=1e-6)
        assert layer.events == pytest.approx(with_ones(net.conv, spikes.flatten(0, 1)), rel=1e-12)
    assert [(n.neurons, n.steps) for n in activity.neurons.values()] == [(64, STEPS), (16, STEPS)]
    assert activity.spikes * BATCH == pytest.approx(float(first.sum() + second.sum()))
    adds = STEPS * (9 * 64 * float(x.mean()) + 9 * 16 * float(inner.mean()))
    assert activity.operations().adds == pytest.approx(adds, rel=1e-6) and activity.steps == STEPS


def test_neurons_that_run_twice_in_a_row_do_not_make_the_sequence_longer() -> None:
    neuron = LIF(0.0, 0.5)
    activity = measure_activity(nn.Sequential(neuron, neuron), torch.ones(STEPS, BATCH, 2))
    assert activity.steps == STEPS and activity.neurons["0"].rate == 1.0 and activity.spikes == 2 * STEPS * 2


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was_also_where_it_fails(fails: bool) -> None:
    net = vgg().train()
    net.hidden.eval()
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match="Inputs must be images") if fails else nullcontext():
        measure_activity(net, images()[:, :1] if fails else images())
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_what_cannot_be_counted_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="no neurons of the types looked for"):
        measure_activity(nn.Linear(3, 2), torch.rand(4, 3))
    with pytest.raises(ValueError, match="the batch is empty"):
        measure_activity(vgg(), images()[:0])
    with pytest.raises(ValueError, match="inputs that are finite"):
        measure_activity(vgg(), images() / 0)
    with pytest.raises(ValueError, match=r"'0' must see \(steps, batch, ...\)"):
        measure_activity(nn.Sequential(LIF(0.5)), torch.ones(3))


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (nn.Conv1d(4, 4, 1), r"Layer '1' \(Conv1d\) multiplies"),
        (nn.LSTM(4, 4), r"Layer '1' \(LSTM\) multiplies"),
        (nn.TransformerEncoderLayer(4, 2, 4), r"\(MultiheadAttention\) multiplies"),
        (nn.Conv2d(STEPS, 1, 3, padding=1, padding_mode="circular"), "'1' pads with 'circular'"),
    ],
)
def test_what_else_multiplies_is_refused_by_name(layer: nn.Module, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        measure_activity(nn.Sequential(LIF(0.5), layer), torch.ones(STEPS, 4, 4))
