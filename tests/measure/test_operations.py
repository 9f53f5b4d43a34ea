"""Counts against PyTorch's own counter, hand arithmetic and published sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgebook.measure import (
    ENERGY_45NM,
    LayerCost,
    Phase,
    arithmetic_energy,
    count_macs,
    count_parameters,
    layer_costs,
    layer_energy,
    network_energy,
    training_complexity,
)
from edgebook.networks import parse_plan, resnet_architecture, vgg_architecture


def vgg(plan: str) -> nn.Module:
    family = vgg_architecture(parse_plan(plan))
    return family.build(family.widths)


NETWORKS = {
    "vgg": (vgg("4 8 M 12"), (3, 8, 8)),
    "residual": (resnet_architecture([4, 8], blocks=2).build([4, 3, 5, 8, 6, 7]), (3, 8, 8)),
    "grouped and strided": (
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), nn.Flatten(), nn.Linear(128, 3)),
        (4, 8, 8),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_are_half_of_what_pytorch_counts_as_flops(name: str) -> None:
    model, shape = NETWORKS[name]
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, *shape))
    assert count_macs(model, shape) == counter.get_total_flops() // 2


def test_one_convolution_by_hand() -> None:
    costs = layer_costs(nn.Sequential(nn.Conv2d(3, 5, 3, padding=1)), (3, 6, 7))
    assert costs["0"] == LayerCost(macs=5 * 6 * 7 * 3 * 9, weights=5 * 3 * 9, inputs=3 * 6 * 7, outputs=5 * 6 * 7)


def test_a_layer_used_twice_counts_twice() -> None:
    layer = nn.Conv2d(2, 2, 1, bias=False)
    assert count_macs(nn.Sequential(layer, layer), (2, 4, 4)) == 2 * 2 * 2 * 16


def test_the_papers_networks_have_their_published_size() -> None:
    wide = vgg("64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512")
    assert count_macs(wide, (3, 32, 32)) / 1e6 == pytest.approx(398, rel=0.01)
    assert count_parameters(wide) / 1e6 == pytest.approx(20.0, rel=0.01)
    deep = resnet_architecture([64, 128, 256, 512], blocks=2)
    model = deep.build(deep.widths)
    assert count_macs(model, (3, 32, 32)) / 1e6 == pytest.approx(555, rel=0.01)
    assert count_parameters(model) / 1e6 == pytest.approx(11.2, rel=0.01)


def test_counting_leaves_the_model_as_it_was() -> None:
    model = vgg("4").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_macs(model, (3, 8, 8))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 100)), min_size=1, max_size=5), st.floats(0.1, 1e3))
def test_complexity_has_no_unit_and_adds_up(phases: list[tuple[float, float]], scale: float) -> None:
    given_phases, baseline = [Phase(*p) for p in phases], Phase(1e6, 100)
    whole = training_complexity(given_phases, baseline)
    assert whole == pytest.approx(sum(training_complexity([p], baseline) for p in given_phases))
    scaled = [Phase(p.macs * scale, p.epochs) for p in given_phases]
    assert training_complexity(scaled, Phase(1e6 * scale, 100)) == pytest.approx(whole)


def test_complexity_of_the_pilot_by_hand() -> None:
    phases = [Phase(1.0, 10), Phase(1 / 4.3, 10), Phase(1 / 18.5, 10)]
    assert training_complexity(phases, Phase(1.0, 30)) == pytest.approx(10 / 30 * (1 + 1 / 4.3 + 1 / 18.5))
    for wrong in (Phase(-1, 1), Phase(1, -1)):
        with pytest.raises(ValueError, match="must not be negative"):
            training_complexity([wrong], Phase(1, 1))
    with pytest.raises(ValueError, match="must not be negative"):
        training_complexity([], Phase(0, 1))


def test_energy_constants_are_the_published_picojoules() -> None:
    assert arithmetic_energy(1, precision="float32") == pytest.approx(4.6e-12)
    assert arithmetic_energy(0, 10, precision="int32") == pytest.approx(1e-12)
    assert arithmetic_energy(2, 3, precision="int8") == pytest.approx((0.46 + 0.09) * 1e-12)
    assert all(cost.mac > cost.add > 0 for cost in ENERGY_45NM.values())
    with pytest.raises(ValueError, match="precision must be one of"):
        arithmetic_energy(1, precision="int4")
    with pytest.raises(ValueError, match="must not be negative"):
        arithmetic_energy(-1)


@pytest.mark.parametrize(("bits", "picojoule"), [(2, 0.294), (3, 0.391), (4, 0.488), (8, 0.875), (16, 1.65)])
def test_energy_of_a_mac_at_k_bits(bits: int, picojoule: float) -> None:
    assert layer_energy(LayerCost(1, 0, 0, 0), bits) == pytest.approx(picojoule * 1e-12, rel=0.002)


def test_memory_is_charged_for_inputs_and_weights() -> None:
    costs = [LayerCost(macs=0, weights=3, inputs=5, outputs=99), LayerCost(0, 1, 1, 0)]
    assert network_energy(costs, bits=8) == pytest.approx(10 * 2.5 * 8 * 1e-12)
    with pytest.raises(ValueError, match="bits must be at least 1"):
        layer_energy(costs[0], 0)
