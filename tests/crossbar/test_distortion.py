"""Distortion of weights against NumPy's eigenvalues, SciPy's regression, closed forms and the reported values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from edgebook.crossbar import (
    WIRES,
    CrossbarConfig,
    Device,
    Layout,
    fold,
    on_crossbar,
    relative_deviation,
    weight_distortion,
    weight_pairs,
)


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_read(weight: Tensor, device: Device, sigma: float) -> Tensor:
    found = fold(weight, CrossbarConfig(Layout(device), read=partial(relative_deviation, sigma=sigma)))
    assert found.deviation is not None
    return found.weight + found.deviation * seeded(*weight.shape, seed=1)


@given(st.integers(0, 2**31), st.floats(-3, 3), st.floats(-1, 1), st.floats(1e-6, 3))
def test_it_is_regression_and_principal_components(seed: int, gain: float, offset: float, noise: float) -> None:
    ideal = [seeded(4, 5, seed=seed), 7 * seeded(3, 2, 2, seed=seed + 1)]
    actual = [gain * w + offset + noise * seeded(*w.shape, seed=seed + 2) for w in ideal]
    x, y = (
        np.concatenate([(w / one.abs().max()).numpy().ravel() for w, one in zip(layers, ideal, strict=True)])
        for layers in (ideal, actual)
    )
    found = weight_distortion(ideal, actual)
    line = stats.linregress(x, y)
    variances = np.linalg.eigvalsh(np.cov(x, y))
    assert found.slope == pytest.approx(line.slope, rel=1e-9, abs=1e-9)
    assert found.intercept == pytest.approx(line.intercept, rel=1e-9, abs=1e-9)
    assert found.r_squared == pytest.approx(line.rvalue**2, rel=1e-9, abs=1e-9)
    assert found.pc2 == pytest.approx(variances[0] / variances.sum(), rel=1e-4, abs=1e-13)
    assert 0 <= found.pc2 <= 0.5


@given(st.floats(0.01, 10), st.floats(-1, 1))
def test_a_gain_is_no_distortion(gain: float, offset: float) -> None:
    weight = seeded(30, 20)
    found = weight_distortion([weight], [gain * weight + offset])
    assert found.pc2 < 1e-25 and found.slope == pytest.approx(gain) and found.r_squared == pytest.approx(1)
    assert found.intercept == pytest.approx(offset / float(weight.abs().max()), abs=1e-12)


def test_layers_count_relative_to_their_largest_weight() -> None:
    """A layer a thousand times smaller than the other carries its distortion all the same."""
    one, other = seeded(50, 40), seeded(50, 40, seed=1)
    noisy = other + 0.1 * seeded(50, 40, seed=2)
    large = weight_distortion([one, other], [one, noisy])
    small = weight_distortion([one, 1e-3 * other], [one, 1e-3 * noisy])
    assert small == pytest.approx(large, rel=1e-9)


def test_chips_without_any_current_have_a_flat_line() -> None:
    assert weight_distortion([seeded(3, 3)], [torch.zeros(3, 3)]) == (0, 0, 1, 0)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_relative_noise_of_weights(sigma: float) -> None:
    r"""Covariance (1, 1; 1, 1 + s^2) has the smaller share near s^2 / (2 + s^2)^2; 400,000 weights, so within 3 %."""
    ideal = seeded(1000, 400)
    actual = ideal * (1 + sigma * seeded(1000, 400, seed=1))
    trace, determinant = 2 + sigma**2, sigma**2
    exact = (1 - (1 - 4 * determinant / trace**2) ** 0.5) / 2
    assert exact == pytest.approx(sigma**2 / (2 + sigma**2) ** 2, rel=0.02)
    assert weight_distortion([ideal], [actual]).pc2 == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize(("sigma", "reported"), [(0.05, 6.90e-4), (0.10, 2.71e-3), (0.15, 6.03e-3)])
def test_the_mapping_gives_the_reported_distortion(sigma: float, reported: float) -> None:
    """Of VGG16 on FeFETs; the distribution of its weights is not known, so within a quarter for Gaussian ones."""
    weight = seeded(300, 300)
    assert weight_distortion([weight], [one_read(weight, Device(240e3, 100), sigma)]).pc2 == pytest.approx(
        reported, rel=0.25
    )


def test_a_higher_ratio_distorts_less() -> None:
    weight = seeded(300, 300)
    found = [weight_distortion([weight], [one_read(weight, Device(100e3, ratio), 0.1)]).pc2 for ratio in (10, 40, 80)]
    assert found == sorted(found, reverse=True)
    assert found == pytest.approx([9e-3, 2.8e-3, 2.3e-3], rel=0.15)


def test_pairs_are_weights_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 5, 1)), nn.Linear(5, 2))
    mapped = on_crossbar(model, CrossbarConfig(wires=WIRES["light"]))
    pairs = weight_pairs(model, mapped)
    assert list(pairs) == ["0", "2.0"]
    for name, (ideal, actual) in pairs.items():
        assert torch.equal(ideal, model.get_submodule(name).weight)
        assert torch.equal(actual, mapped.get_submodule(name).weight) and not actual.requires_grad


def test_pairs_see_the_noise_of_a_read() -> None:
    model = nn.Conv2d(8, 16, 3)
    read = partial(relative_deviation, sigma=0.1)
    mapped = on_crossbar(model, CrossbarConfig(read=read))
    (_, one), (_, other) = (weight_pairs(model, mapped)[""] for _ in range(2))
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: weight_distortion([], []), "as many layers, at least one"),
        (lambda: weight_distortion([torch.ones(2)], [torch.ones(3)]), "of the same shapes"),
        (lambda: weight_distortion([torch.ones(2)], []), "as many layers"),
        (lambda: weight_distortion([torch.ones(2), torch.zeros(2)], [torch.ones(2)] * 2), "Layer 1 has no ideal"),
        (
            lambda: weight_distortion([torch.ones(2)] * 2, [torch.ones(2), torch.tensor([1.0, torch.nan])]),
            "Layer 1 has",
        ),
        (lambda: weight_distortion([torch.ones(2) * 1j], [torch.ones(2)]), "Layer 0 has weights that are complex or"),
        (lambda: weight_distortion([torch.ones(2)], [torch.ones(2)]), "all equal have no distortion"),
        (lambda: weight_pairs(nn.ReLU(), nn.ReLU()), "mapped network has no layer on a crossbar"),
        (
            lambda: weight_pairs(nn.ReLU(), on_crossbar(nn.Sequential(nn.Conv2d(1, 1, 1)), CrossbarConfig())),
            "no counterpart of layer '0'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
