"""Surgery must keep the function where the removed channels were silent; widths at a cost must match it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgebook.compression import filter_norms, keep_channels, random_shape, scale_to_cost, top_channels
from edgebook.measure import count_macs, count_parameters
from edgebook.networks import Architecture, initialised, parse_plan, resnet_architecture, vgg_architecture

ARCHITECTURES = {
    "vgg": vgg_architecture(parse_plan("6 8 M 10"), classes=4),
    "plain": vgg_architecture(parse_plan("6 8 M 10"), classes=4, batch_norm=False),
    "residual": resnet_architecture([6, 8], blocks=2, classes=4),
}
EXAMPLE = torch.zeros(1, 3, 8, 8)


def _silence(model: nn.Module, convolutions: tuple[str, ...], dropped: list[int]) -> None:
    """Make channels output zero behind their normalisation, so that they can go without a trace."""
    modules = dict(model.named_modules())
    for name in convolutions:
        unit = modules[name.removesuffix(".conv")]
        for layer in (unit.conv, unit.norm):
            for parameter in layer.parameters():
                parameter.data[dropped] = 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_removing_silent_channels_changes_no_output(name: str) -> None:
    architecture = ARCHITECTURES[name]
    model = initialised(architecture.build, architecture.widths, 3).eval()
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    keep = {}
    for names, width in zip(architecture.convolutions, architecture.widths, strict=True):
        dropped = [1, width - 1]
        _silence(model, names, dropped)
        keep[names[0]] = [c for c in range(width) if c not in dropped]
    slim = keep_channels(model, keep, EXAMPLE)
    torch.testing.assert_close(slim(images), model(images))
    rebuilt = architecture.build([width - 2 for width in architecture.widths])
    assert [p.shape for p in slim.parameters()] == [p.shape for p in rebuilt.parameters()]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_slim_network_trains_and_leaves_the_original_alone(name: str) -> None:
    architecture = ARCHITECTURES[name]
    model = initialised(architecture.build, architecture.widths, 0)
    before = [p.clone() for p in model.parameters()]
    slim = keep_channels(model, {architecture.convolutions[0][0]: [0, 2]}, EXAMPLE)
    assert slim.training
    slim(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert count_parameters(slim) < count_parameters(model)


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [({"features.9.conv": [0]}, "no convolution named"), ({"features.0.conv": [6]}, "channels 0 to 5"),
     ({"features.0.conv": []}, "channels 0 to 5"), ({"features.0.norm": [0]}, "no convolution named")],
)  # fmt: skip
def test_impossible_cuts_are_refused(keep: dict[str, list[int]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        keep_channels(ARCHITECTURES["vgg"].build([6, 8, 10]), keep, EXAMPLE)


def test_filter_norms_add_up_coupled_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(5, 3, 1))
    expected = [sum(float(abs(w)) for layer in model for w in layer.weight[c].detach().flatten()) for c in range(3)]
    torch.testing.assert_close(filter_norms(model, ["0", "1"]), torch.tensor(expected))
    with pytest.raises(ValueError, match="At least one"):
        filter_norms(model, [])


def test_top_channels_break_ties_as_told() -> None:
    score = torch.tensor([1.0, 3.0, 1.0, 1.0])
    assert top_channels(score, 2) == [0, 1]
    assert top_channels(score, 2, tie_break=torch.tensor([0.0, 0.0, 0.0, 5.0])) == [1, 3]
    for count in (0, 5):
        with pytest.raises(ValueError, match="between 1 and 4"):
            top_channels(score, count)


def _macs(architecture: Architecture):
    return lambda widths: count_macs(architecture.build(widths), (3, 8, 8))


def test_the_original_proportions_at_the_original_cost_are_the_original_widths() -> None:
    for architecture in ARCHITECTURES.values():
        cost = _macs(architecture)
        assert scale_to_cost(architecture.widths, cost(architecture.widths), cost) == architecture.widths


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 9), min_size=1, max_size=4), st.floats(0.02, 1.0))
def test_cost_is_met_as_nearly_as_flooring_or_ceiling_allows(shape: list[float], share: float) -> None:
    def cost(widths: tuple[int, ...]) -> float:  # a chain of layers: width times width before
        return sum(a * b for a, b in itertools.pairwise((3, *widths, 10)))

    target = cost(tuple(20 for _ in shape)) * share
    if target < cost(tuple(1 for _ in shape)):
        with pytest.raises(ValueError, match="more than the target"):
            scale_to_cost(shape, target, cost)
        return
    found = scale_to_cost(shape, target, cost)
    worst_step = max(cost(tuple(w + (i == j) for j, w in enumerate(found))) - cost(found) for i in range(len(found)))
    assert abs(cost(found) - target) <= worst_step
    # One scale exists whose floors or ceilings these widths are.
    lowest = max(((width - 1) / entry for width, entry in zip(found, shape, strict=True)), default=0.0)
    assert lowest <= min((width + 1) / entry for width, entry in zip(found, shape, strict=True)) + 1e-6


@pytest.mark.parametrize(
    ("shape", "target", "cost", "sentence"),
    [
        ([1, 2], math.nan, sum, "target must be a finite number"),
        ([1, 2], math.inf, sum, "target must be a finite number"),
        ([1, 2], -1, sum, "target must be a finite number"),
        ([1, 2], 2.5, sum, None),
        ([1, 2], 1, sum, "more than the target 1"),
        ([], 1, sum, "positive and finite"),
        ([1, math.nan], 9, sum, "positive and finite"),
        ([1, math.inf], 9, sum, "positive and finite"),
        ([1, 0], 9, sum, "positive and finite"),
        ([1, 2], 9, lambda widths: math.nan, "not a number"),
        ([1, 2], 9, lambda widths: 0, "does not grow"),
        ([1e-300, 2], 9, lambda widths: min(sum(widths), 8), "does not grow"),
    ],
)
def test_a_target_that_cannot_be_met_is_one_sentence(
    shape: list[float], target: float, cost: Callable[[tuple[int, ...]], float], sentence: str | None
) -> None:
    with pytest.raises(ValueError, match=sentence) if sentence else nullcontext():
        scale_to_cost(shape, target, cost)


def test_relative_widths_may_be_an_array() -> None:
    assert scale_to_cost(np.array([1.0, 2.0]), np.float64(9), sum) == (3, 6)


@pytest.mark.parametrize("keep", [{"0": [0, 1]}, {"0": [9]}])
def test_a_frozen_norm_stays_frozen(keep: dict[str, list[int]]) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4).eval(), nn.Dropout(), nn.Conv2d(4, 2, 3))
    with pytest.raises(ValueError, match="channels 0 to 3") if keep["0"] == [9] else nullcontext():
        slim = keep_channels(model, keep, torch.zeros(1, 1, 5, 5))
        assert [module.training for module in slim.modules()] == [module.training for module in model.modules()]
    assert [module.training for module in model] == [True, False, True, True]


def test_random_shapes_stay_within_their_spread_and_follow_the_generator() -> None:
    widths = [8, 16, 32] * 50
    shape = random_shape(widths, torch.Generator().manual_seed(0))
    ratios = [s / w for s, w in zip(shape, widths, strict=True)]
    assert min(ratios) >= 0.5
    assert max(ratios) <= 2.0
    assert max(ratios) / min(ratios) > 3
    assert shape == random_shape(widths, torch.Generator().manual_seed(0))
