"""Devices against closed forms and known moments.

Samples are compared at five standard errors: were the seeds not fixed, one such comparison in 1.7 million would fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Tensor

from edgebook.crossbar import (
    DEVICES,
    WIRES,
    Device,
    drifted,
    level_conductance,
    noisy,
    pcm_drift,
    pcm_exponents,
    pcm_programming_deviation,
    pcm_read_deviation,
    power_law_drift,
    rectified_moments,
    relative_deviation,
    rram_programming_deviation,
    write_deviation,
)

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


def test_the_table_of_devices() -> None:
    assert {name: device.on_off for name, device in DEVICES.items()} == {
        "rram": 10, "pcm-i": 40, "pcm-ii": 80, "fefet": 100,
    }  # fmt: skip
    assert DEVICES["rram"].high == pytest.approx(50 * MICRO) and DEVICES["rram"].low == pytest.approx(5 * MICRO)
    assert WIRES["heavy"]._asdict() == {"word": 5, "bit": 10, "source": 1005, "sense": 1010}


# Noise: the deviations, at points computed by hand
@pytest.mark.parametrize(
    ("deviation", "time", "conductance", "wanted", "rel"),
    [
        (partial(relative_deviation, sigma=0.1), 0.0, (0, 5, 50), (0, 0.5, 5), 1e-12),
        # sqrt(ln((1 s + t_r) / 2 t_r)) = 3.8089; 0.0088 x^-0.65 is 0.0088, 0.03931, and beyond 0.2 at a hundredth
        (pcm_read_deviation, 1.0, (25, 2.5, 0.025, 0), (0.8380, 0.3743, 0.019044, 0), 1e-3),
        (pcm_read_deviation, 250e-9, (25, 2.5), (0, 0), 1e-12),
        (partial(pcm_read_deviation, full=50e-6), 1.0, (50,), (1.6759,), 1e-3),
        (pcm_programming_deviation, 0.0, (0, 12.5, 25), (0.263, 0.95225, 1.055), 1e-12),
        (partial(pcm_programming_deviation, full=50e-6), 0.0, (50,), (2.11,), 1e-12),
        (rram_programming_deviation, 0.0, (10, 50, 137.5, 225, 300), (4.3, 4.3, 3.5, 2.7, 2.7), 1e-12),
        (partial(rram_programming_deviation, full=45e-6), 0.0, (10, 45), (0.86, 0.54), 1e-12),
        (
            partial(write_deviation, device=Device(20e3, 10), spread=0.2),
            0.0,
            (2, 5, 16.25, 50),
            (0, 0, 4.5, 9),  # a quarter of the range above the lowest: half of the deviation at the top
            1e-9,
        ),
    ],
)
def test_deviations(deviation: Callable[..., Tensor], time: float, conductance: Any, wanted: Any, rel: float) -> None:
    assert (deviation(micro(*conductance), time) / MICRO).tolist() == pytest.approx(wanted, rel=rel, abs=1e-12)


def test_read_noise_of_phase_change_memory_grows_with_time() -> None:
    at = [float(pcm_read_deviation(micro(10), t)) for t in (1e-3, 1.0, 1e3, 1e6)]
    assert at == sorted(at) and at[0] < at[-1]
    assert float(pcm_read_deviation(micro(25), 1.0)) / 25e-6 == pytest.approx(0.034, abs=5e-4)
    assert float(pcm_read_deviation(micro(2.5), 1.0)) / 2.5e-6 == pytest.approx(0.15, abs=5e-3)


@pytest.mark.parametrize(
    "deviation",
    [
        partial(relative_deviation, sigma=0.15),
        pcm_read_deviation,
        pcm_programming_deviation,
        partial(rram_programming_deviation, full=25e-6),
        partial(write_deviation, device=Device(40e3, 40), spread=0.1),
    ],
)
def test_draws_are_gaussian_with_that_deviation(deviation: Callable[..., Tensor]) -> None:
    mean = micro(20).expand(SAMPLES)
    drawn = noisy(mean, chance(), 1.0, deviation=deviation)
    spread = float(deviation(mean[:1], 1.0))
    assert 0 < spread < 4e-6  # so that nothing is cut off
    near(drawn, 20e-6, spread)
    assert stats.kstest((drawn.numpy() - 20e-6) / spread, "norm").pvalue > 1e-4


def test_a_draw_depends_on_its_generator_alone() -> None:
    mean, relative = micro(1, 2, 3), partial(relative_deviation, sigma=0.1)
    state = torch.get_rng_state()
    one, same, other = (noisy(mean, chance(seed), deviation=relative) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert noisy(mean.float(), chance(), deviation=relative).dtype == torch.float32


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.6, 1.0, 3.0])
def test_moments_of_draws_that_are_cut_at_zero(ratio: float) -> None:
    """By numerical integration of the density, and by the draws themselves."""
    mean, relative = 2.0, partial(relative_deviation, sigma=ratio)
    sample = noisy(torch.full((SAMPLES,), mean, dtype=torch.float64), chance(), deviation=relative)
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
    found = power_law_drift(g, chance(), 1e10, mean=0.05, start=100.0)
    torch.testing.assert_close(found, g * (1e8) ** -0.05, rtol=1e-12, atol=0)


def test_a_drifted_conductance_is_log_normal() -> None:
    mean, spread, time = 0.06, 0.008, 1e6
    g = power_law_drift(micro(20).expand(SAMPLES), chance(), time, mean=mean, spread=spread)
    length = math.log(time)
    near(torch.log(g / 20e-6), -mean * length, spread * length)
    wanted = 20e-6 * math.exp(-mean * length + (spread * length) ** 2 / 2)
    assert abs(float(g.mean()) - wanted) < 5 * float(g.std()) / math.sqrt(SAMPLES)


def test_the_same_devices_drift_on() -> None:
    """The exponents read off at two times agree, and going on from the first time leads to the second."""
    g = micro(*range(1, 50))
    early, late = (power_law_drift(g, chance(3), t, mean=0.05, spread=0.02) for t in (1e3, 1e9))
    exponents = -torch.log(early / g) / math.log(1e3)
    torch.testing.assert_close(-torch.log(late / g) / math.log(1e9), exponents, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(drifted(early, exponents, 1e9, start=1e3), late, rtol=1e-9, atol=0)
    assert torch.equal(power_law_drift(g, chance(3), 1.0, mean=0.05, spread=0.02), g)


def test_no_device_gains_conductance() -> None:
    g = micro(20).expand(1000)
    assert (power_law_drift(g, chance(), 1e6, mean=0.01, spread=0.05) <= g).all()
    assert (pcm_drift(micro(0.1).expand(1000), chance(), 1e6) <= 0.1e-6).all()


@pytest.mark.parametrize(
    ("share", "mean", "spread"),  # by hand; ln 0.1 = -2.302585
    [(1.0, 0.049, 0.008), (0.1, 0.060090, 0.022882), (1e-3, 0.1, 0.045), (0.0, 0.1, 0.045)],
)
def test_exponents_of_phase_change_memory(share: float, mean: float, spread: float) -> None:
    found = [float(value) for value in pcm_exponents(micro(25 * share))]
    assert found == pytest.approx([mean, spread], rel=1e-4)


def test_phase_change_memory_drifts_with_these_exponents() -> None:
    g = pcm_drift(micro(25).expand(SAMPLES), chance(), 2e5)
    near(-torch.log(g / 25e-6) / math.log(1e4), 0.049, 0.008)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Device(0.0), "on_resistance must be finite and above 0 ohm, got 0.0"),
        (lambda: Device(1e3, 1.0), "on_off must be above 1, got 1.0"),
        (lambda: level_conductance(torch.tensor([16]), Device(), bits=4), "between 0 and 15, got 16 to 16"),
        (lambda: level_conductance(torch.tensor([1.0]), Device(), bits=4), "must be integers, got torch.float32"),
        (lambda: level_conductance(torch.tensor([1]), Device(), bits=0), "bits must be a whole number from 1 to 24"),
        (lambda: relative_deviation(micro(1), sigma=-0.1), "sigma must be finite and at least 0, got -0.1"),
        (lambda: write_deviation(micro(1), device=Device(), spread=math.nan), "spread must be finite"),
        (lambda: pcm_read_deviation(micro(1), 1e-7), "at least the 2.5e-07 s of one read, got 1e-07"),
        (lambda: pcm_programming_deviation(micro(1), full=0.0), "full must be a finite conductance above 0"),
        (lambda: rram_programming_deviation(micro(1), full=-1.0), "full must be a finite conductance above 0"),
        (lambda: pcm_exponents(micro(1), full=math.inf), "full must be a finite conductance above 0"),
        (lambda: pcm_drift(micro(1), chance(), 10.0), "start of the drift at 20.0 s, got 10.0"),
        (lambda: drifted(micro(1), micro(1), 1.0, start=0.0), "start must be finite and above 0 s, got 0.0"),
        (lambda: power_law_drift(micro(1), chance(), 2.0, mean=-0.1), "mean of the exponents .* got -0.1"),
        (lambda: power_law_drift(micro(1), chance(), 2.0, mean=0.1, spread=-1.0), "spread of the exponents"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
