"""Averages, weights and noise against formulas written out here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.federated.averaging import average, average_metrics, client_weights, noisy_updates
from edgebook.federated.replies import Update

numbers = st.lists(st.integers(1, 50), min_size=1, max_size=5)


def updates_of(counts: list[int], seed: int = 0) -> list[Update]:
    rng = np.random.default_rng(seed)
    return [
        Update(
            k, {"w": rng.standard_normal((2, 3)).astype(np.float32), "n": np.array(k)}, {"num-examples": n, "loss": k}
        )
        for k, n in enumerate(counts)
    ]


@given(numbers)
def test_the_average_is_the_weighted_sum(counts: list[int]) -> None:
    updates = updates_of(counts)
    weights = client_weights(updates, "samples")
    assert weights == [n / sum(counts) for n in counts]
    found = average([u.arrays for u in updates], weights, {"w": np.zeros((2, 3), np.float32), "n": np.array(9)})
    expected = np.zeros((2, 3))
    for i in range(2):
        for j in range(3):
            for update, n in zip(updates, counts, strict=True):
                expected[i, j] += float(update.arrays["w"][i, j]) * n / sum(counts)
    np.testing.assert_allclose(found["w"], expected, rtol=1e-6, atol=1e-7)
    assert found["w"].dtype == np.float32
    assert found["n"] == 9
    told = average_metrics(updates, weights)
    assert told["num-examples"] == sum(counts)
    assert told["loss"] == pytest.approx(sum(k * n for k, n in enumerate(counts)) / sum(counts))


def test_equal_weights_and_equal_models() -> None:
    updates = updates_of([1, 100])
    assert client_weights(updates, "uniform") == [0.5, 0.5]
    same = [updates[0].arrays] * 3
    np.testing.assert_array_equal(average(same, [1 / 3] * 3, same[0])["w"], same[0]["w"])


def test_numbers_without_axes_stay_numbers_without_axes() -> None:
    found = average([{"b": np.array(1.0)}, {"b": np.array(2.0)}], [0.5, 0.5], {"b": np.array(0.0)})
    assert found["b"].shape == () and found["b"] == 1.5


@pytest.mark.parametrize("count", [None, 0, "ten"])
def test_weights_by_samples_need_samples(count: Any) -> None:
    with pytest.raises(ValueError, match="Client 4 must report 'num-examples' above 0"):
        client_weights([Update(4, {}, {"num-examples": count})], "samples")
    with pytest.raises(ValueError, match="at least one client"):
        client_weights([], "uniform")
    with pytest.raises(ValueError, match="weighting must be"):
        client_weights([Update(0, {}, {})], "by size")


def test_relative_noise_has_the_size_of_the_update() -> None:
    rng = np.random.default_rng(0)
    current = {
        "w": np.zeros(200_000, np.float32),
        "v": np.zeros(5, np.float32),
        "n.running_var": np.ones(4, np.float32),
    }
    model = {
        "w": (0.1 * rng.standard_normal(200_000)).astype(np.float32),
        "v": current["v"],
        "n.running_var": current["w"][:4],
    }
    (noisy,) = noisy_updates([Update(1, model, {})], current, 2.0, seed=0, server_round=3)
    expected = 2.0 * np.abs(model["w"]).mean()
    assert np.std(noisy.arrays["w"] - model["w"]) == pytest.approx(expected, rel=0.02)
    np.testing.assert_array_equal(noisy.arrays["v"], model["v"])  # no update, no noise
    np.testing.assert_array_equal(noisy.arrays["n.running_var"], model["n.running_var"])
    assert noisy.arrays["w"].dtype == np.float32
    (absolute,) = noisy_updates([Update(1, model, {})], current, 0.5, seed=0, server_round=3, scale="absolute")
    assert np.std(absolute.arrays["w"] - model["w"]) == pytest.approx(0.5, rel=0.02)


def test_noise_differs_between_clients_and_rounds_and_repeats() -> None:
    current = {"w": np.zeros(3), "n": np.array(2)}
    updates = [Update(k, {"w": np.ones(3), "n": np.array(2)}, {}) for k in range(2)]
    drawn = [
        noisy_updates(updates, current, 1.0, seed=seed, server_round=number)
        for seed, number in [(0, 1), (0, 1), (0, 2), (1, 1)]
    ]
    first = drawn[0][0].arrays["w"]
    np.testing.assert_array_equal(first, drawn[1][0].arrays["w"])
    for other in (drawn[0][1], drawn[2][0], drawn[3][0]):
        assert not np.array_equal(first, other.arrays["w"])
        assert other.arrays["n"] == 2
    assert noisy_updates(updates, current, 0.0, seed=0, server_round=1) == updates
    with pytest.raises(ValueError, match="at least 0"):
        noisy_updates(updates, current, -1.0, seed=0, server_round=1)
    with pytest.raises(ValueError, match="scale of noise"):
        noisy_updates(updates, current, 1.0, seed=0, server_round=1, scale="none")  # type: ignore[arg-type]
