"""Devices against closed forms and known moments.

Samples are compared at five standard errors: were the seeds not fixed, one such comparison in 1.7 million would fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Tensor

from edgebook.crossbar import WIRES, Device, power_law_drift, relative_deviation
from edgebook.crossbar.devices import level_conductance
from edgebook.crossbar.noise import rectified_moments

MICRO = 1e-6
SAMPLES = 200_000

devices = st.builds(Device, st.floats(1e3, 1e6), st.one_of(st.floats(1.5, 1e4), st.just(math.inf)))


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def micro(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64) * MICRO


def near(sample: Tensor, mean: float, deviation: float) -> None:
    """Compare mean and deviation of a Gaussian sample at five standard errors."""
    assert abs(float(sample.mean()) - mean) < 5 * deviation / math.sqrt(len(sample))
    assert abs(float(sample.std()) - deviation) < 5 * deviation / math.sqrt(2 * len(sample))


# Levels
@given(devices, st.integers(1, 10))
def test_levels_divide_the_range_equally(device: Device, bits: int) -> None:
    found = level_conductance(torch.arange(2**bits), device, bits=bits).numpy()
    wanted = np.linspace(1 / (device.on_resistance * device.on_off), 1 / device.on_resistance, 2**bits)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=0)


def test_a_range_and_the_wires_of_the_paper() -> None:
    device = Device(20e3, 10)
    assert device.high == pytest.approx(50 * MICRO) and device.low == pytest.approx(5 * MICRO)
    assert WIRES["heavy"]._asdict() == {"word": 5, "bit": 10, "source": 1005, "sense": 1010}


# Noise
def test_deviations_are_in_proportion() -> None:
    found = relative_deviation(micro(0, 5, 50), sigma=0.1) / MICRO
    assert found.tolist() == pytest.approx([0, 0.5, 5], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.6, 1.0, 3.0])
def test_moments_of_draws_that_are_cut_at_zero(ratio: float) -> None:
    """By numerical integration of the density, and by the draws themselves."""
    mean = 2.0
    drawn = torch.randn(SAMPLES, generator=chance(), dtype=torch.float64)
    sample = (mean + ratio * mean * drawn).clamp_min(0)
    given_moments = torch.tensor([[mean], [ratio * mean]], dtype=torch.float64)
    found = [float(t) for t in rectified_moments(*given_moments)]
    if ratio == 0:
        assert found == [mean, 0.0] and bool((sample == mean).all())
        return
    spread = ratio * mean

    def moment(power: int) -> float:
        def weighted(x: float) -> float:
            return x**power * stats.norm.pdf(x, mean, spread)

        return integrate.quad(weighted, 0, mean + 12 * spread, epsabs=1e-12, epsrel=1e-12, points=[mean])[0]

    wanted = moment(1), math.sqrt(moment(2) - moment(1) ** 2)
    assert found == pytest.approx(wanted, rel=1e-8)
    assert float(sample.min()) >= 0
    assert abs(float(sample.mean()) - wanted[0]) < 5 * wanted[1] / math.sqrt(SAMPLES)


def test_weak_noise_keeps_its_digits() -> None:
    mean, spread = rectified_moments(torch.ones(1, dtype=torch.float64), torch.full((1,), 1e-9, dtype=torch.float64))
    assert float(mean) == 1.0 and float(spread) == pytest.approx(1e-9, rel=1e-14)


# Drift
def test_drift_without_spread_is_a_gain() -> None:
    g = micro(1, 20, 50)
    found = power_law_drift(g, chance(), 1e8, mean=0.05)
    torch.testing.assert_close(found, g * (1e8) ** -0.05, rtol=1e-12, atol=0)


def test_a_drifted_conductance_is_log_normal() -> None:
    mean, spread, time = 0.06, 0.008, 1e6
    g = power_law_drift(micro(20).expand(SAMPLES), chance(), time, mean=mean, spread=spread)
    length = math.log(time)
    near(torch.log(g / 20e-6), -mean * length, spread * length)
    wanted = 20e-6 * math.exp(-mean * length + (spread * length) ** 2 / 2)
    assert abs(float(g.mean()) - wanted) < 5 * float(g.std()) / math.sqrt(SAMPLES)


def test_the_same_devices_drift_on() -> None:
    """The exponents read off at two times agree."""
    g = micro(*range(1, 50))
    early, late = (power_law_drift(g, chance(3), t, mean=0.05, spread=0.02) for t in (1e3, 1e9))
    exponents = -torch.log(early / g) / math.log(1e3)
    torch.testing.assert_close(-torch.log(late / g) / math.log(1e9), exponents, rtol=1e-9, atol=1e-12)
    assert torch.equal(power_law_drift(g, chance(3), 1.0, mean=0.05, spread=0.02), g)


def test_no_device_gains_conductance() -> None:
    g = micro(20).expand(1000)
    assert (power_law_drift(g, chance(), 1e6, mean=0.01, spread=0.05) <= g).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_exponents_of_half_types_are_drawn_in_single_precision(dtype: torch.dtype) -> None:
    g = (1e6 * micro(*range(1, 50))).to(dtype)
    found = power_law_drift(g, chance(3), 1e6, mean=0.05, spread=0.02)
    assert found.dtype == dtype
    assert torch.equal(found, power_law_drift(g.float(), chance(3), 1e6, mean=0.05, spread=0.02).to(dtype))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Device(torch.tensor(1e3, requires_grad=True)), "on_resistance must be a number, got a tensor"),
        (lambda: Device(1e3, torch.tensor(10.0)), "on_off must be a number, got a tensor"),
        (lambda: Device(0.0), "on_resistance must be finite and above 0 ohm, got 0.0"),
        (lambda: Device(1e3, 1.0), "on_off must be above 1, got 1.0"),
        (lambda: level_conductance(torch.tensor([16]), Device(), bits=4), "between 0 and 15, got 16 to 16"),
        (lambda: level_conductance(torch.tensor([1.0]), Device(), bits=4), "must be integers, got torch.float32"),
        (lambda: level_conductance(torch.tensor([1]), Device(), bits=0), "bits must be a whole number from 1 to 24"),
        (lambda: relative_deviation(micro(1), sigma=-0.1), "sigma must be finite and at least 0, got -0.1"),
        (lambda: power_law_drift(micro(1), chance(), 0.5, mean=0.1), "start of the drift at 1 s, got 0.5"),
        (lambda: power_law_drift(micro(1), chance(), math.inf, mean=0.1), "start of the drift at 1 s, got inf"),
        (lambda: power_law_drift(micro(1), chance(), 2.0, mean=-0.1), "mean of the exponents .* got -0.1"),
        (lambda: power_law_drift(micro(1), chance(), 2.0, mean=0.1, spread=-1.0), "spread of the exponents"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
