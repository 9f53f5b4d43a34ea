"""Density against brute force and closed forms; the saturation test and the width update at their edges."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from torch import nn

from edgebook.compression import DensityMeter, activation_density, density_phase, saturated, shrink_widths
from edgebook.networks import initialised, parse_plan, vgg_architecture


@given(st.lists(st.sampled_from([0.0, 1.5, -2.0]), min_size=1, max_size=40))
def test_density_counts_what_is_not_zero(values: list[float]) -> None:
    assert activation_density(torch.tensor(values)) == sum(v != 0 for v in values) / len(values)


@pytest.mark.parametrize("shift", [-1.5, 0.0, 0.7])
def test_density_of_a_shifted_normal_behind_a_relu(shift: float) -> None:
    sample = torch.randn(200_000, generator=torch.Generator().manual_seed(1))
    assert activation_density(torch.relu(sample + shift)) == pytest.approx(norm.cdf(shift), abs=0.005)


@pytest.mark.parametrize(
    "bad",
    [torch.empty(0), torch.tensor([1.0, math.nan]), torch.tensor([math.inf]), torch.tensor([complex(0, math.nan)])],
)
def test_density_refuses_nothing_and_infinities(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="activations must"):
        activation_density(bad)


def test_meter_accumulates_exact_counts_over_unequal_batches() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU())
    batches = [torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(n)) for n in (1, 5, 2)]
    with DensityMeter(model, ["1"]) as meter:
        for batch in batches:
            model(batch)
        measured = meter.channel_density()["1"]
    outputs = model(torch.cat(batches)).detach().numpy()  # after the meter is detached
    expected = (outputs != 0).transpose(1, 0, 2, 3).reshape(3, -1).mean(1)
    np.testing.assert_array_equal(measured.numpy(), expected)
    assert meter.density()["1"] == pytest.approx(expected.mean(), abs=1e-15)


def test_meter_forgets_on_reset_and_lets_go_of_the_model() -> None:
    model = nn.Sequential(nn.ReLU())
    with DensityMeter(model, ["0"]) as meter:
        model(torch.ones(1, 2, 1, 1))
        meter.reset()
        with pytest.raises(ValueError, match="Nothing has been measured"):
            meter.channel_density()
    model(torch.ones(1, 2, 1, 1))
    with pytest.raises(ValueError, match="Nothing has been measured"):
        meter.density()


def test_meter_names_an_unknown_module() -> None:
    with pytest.raises(ValueError, match="no module named relu7"):
        DensityMeter(nn.ReLU(), ["relu7"])


def test_meter_names_a_module_that_has_not_run_or_has_given_nothing() -> None:
    model = nn.ModuleDict({"a": nn.ReLU(), "b": nn.ReLU()})
    with DensityMeter(model, ["a", "b"]) as meter:
        model["a"](input=torch.ones(2, 3))
        for shape in (None, (0, 3)):
            if shape:
                model["b"](torch.ones(shape))
            with pytest.raises(ValueError, match="Nothing has been measured of 'b'"):
                meter.density()
        model["b"](torch.tensor([[1.0, -1.0]]))
    assert meter.density() == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.complex64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_meter_refuses_what_is_not_finite_also_when_it_came_first(bad: float, kind: torch.dtype) -> None:
    model = nn.Sequential(nn.Identity())
    with DensityMeter(model, ["0"]) as meter:
        for value in (bad, 1.0):
            model(torch.tensor([[0.0, value]], dtype=kind))
        with pytest.raises(ValueError, match="'0' must be finite"):
            meter.density()
        meter.reset()
        model(torch.tensor([[0.0, 60_000.0]], dtype=kind))
    assert meter.density() == {"0": 0.5}


@pytest.mark.parametrize("kind", [torch.bool, torch.int8])
def test_meter_counts_whole_numbers(kind: torch.dtype) -> None:
    model = nn.Sequential(nn.Identity())
    with DensityMeter(model, ["0"]) as meter:
        model(torch.tensor([[0, 1], [1, 1]], dtype=kind))
    assert meter.channel_density()["0"].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("shape", [(3, 5, 4, 2, 2), (5, 5, 4), (7,)])
def test_meter_takes_the_channels_of_spikes_where_it_is_told(shape: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.Identity())
    spikes = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    with DensityMeter(model, ["0"]) as meter, pytest.raises(ValueError, match="say which, as in axis=2"):
        model(spikes)
    if len(shape) > 2:
        for axis in (2, 2 - len(shape)):
            with DensityMeter(model, ["0"], axis=axis) as meter:
                for part in spikes.split(2, dim=1):  # the last batch is smaller
                    model(part)
            expected = [float(spikes[:, :, channel].mean()) for channel in range(4)]
            assert meter.channel_density()["0"].tolist() == pytest.approx(expected, rel=1e-6)


def test_meter_refuses_what_has_no_channels_or_other_ones() -> None:
    lstm, identity = nn.Sequential(nn.LSTM(3, 2)), nn.Sequential(nn.Identity())
    with DensityMeter(lstm, ["0"]), pytest.raises(ValueError, match="'0' returns a tuple"):
        lstm(torch.ones(4, 3))
    with DensityMeter(identity, ["0"]):
        identity(torch.ones(2, 1))
        with pytest.raises(ValueError, match="has 3 channels now and had 1 before"):
            identity(torch.ones(2, 3))


def test_meter_leaves_copies_alone() -> None:
    model = nn.Sequential(nn.ReLU())
    with DensityMeter(model, ["0"]) as meter:
        model(torch.ones(1, 2))
        copy.deepcopy(model)(-torch.ones(1, 2))
    assert meter.density() == {"0": 1.0}


def test_saturation_waits_for_two_windows_and_the_minimum() -> None:
    flat = [[0.5, 0.4]] * 10
    assert not saturated(flat[:5], window=3, minimum=1)
    assert saturated(flat[:6], window=3, minimum=1)
    assert not saturated(flat[:6], window=3, minimum=7)


def test_saturation_is_decided_by_the_layer_that_moves_most() -> None:
    still_moving = [[0.5, 0.5 + 0.02 * epoch] for epoch in range(8)]
    assert not saturated(still_moving, window=2, tolerance=0.03)
    assert saturated(still_moving, window=2, tolerance=0.041)  # windows of 2 are 0.04 apart
    assert not saturated(still_moving, window=2, tolerance=0.04 - 1e-9)


def test_a_tolerance_of_zero_never_saturates() -> None:
    assert not saturated([[0.5]] * 20, tolerance=0.0)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), min_size=1, max_size=8),
    st.integers(1, 16),
)
def test_widths_shrink_but_not_below_the_minimum(layers: list[tuple[int, float]], minimum: int) -> None:
    widths, densities = [w for w, _ in layers], [d for _, d in layers]
    for width, density, new in zip(widths, densities, shrink_widths(widths, densities, minimum=minimum), strict=True):
        assert min(width, minimum) <= new <= width
        assert new in (width, minimum) or abs(new - density * width) <= 0.5 + 1e-9


def test_halves_round_up_and_not_to_even() -> None:
    assert shrink_widths([5, 9], [0.5, 0.5]) == (3, 5)  # 2.5 and 4.5


def test_densities_that_are_not_finite_never_count_as_still() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        saturated([[0.5, math.nan]] * 10)


@pytest.mark.parametrize(("widths", "densities"), [([4], [0.5, 0.5]), ([4], [1.2]), ([4], [-0.1])])
def test_bad_densities_are_named(widths: list[int], densities: list[float]) -> None:
    with pytest.raises(ValueError, match=r"density|Densities"):
        shrink_widths(widths, densities)


def test_a_phase_ends_at_saturation_and_reports_the_densest_of_shared_layers() -> None:
    architecture = vgg_architecture(parse_plan("4 4"), in_channels=1, classes=2)
    model = initialised(architecture.build, architecture.widths, 0)
    images = torch.randn(16, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def train(on_epoch) -> int:
        for epoch in range(1, 20):
            model(images)
            if on_epoch(epoch):
                return epoch
        return 19

    names = tuple(name for group in architecture.activations for name in group)
    phase = density_phase(model, [names], train, window=2)
    assert phase.epochs == 5  # the fewest epochs after which densities can have settled
    with DensityMeter(model, names) as meter:
        model(images)
    assert phase.density == [pytest.approx(max(meter.density().values()))]
    expected = torch.stack(list(meter.channel_density().values())).mean(0)
    torch.testing.assert_close(phase.channels[0], expected)
