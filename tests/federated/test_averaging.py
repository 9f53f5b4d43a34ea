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


@pytest.mark.parametrize("count", [float("nan"), float("inf"), 1e308, 2**53 + 1, -3, True, [5]])
def test_numbers_of_examples_that_cannot_be_weights(count: Any) -> None:
    with pytest.raises(ValueError, match=r"Client 1 must report 'num-examples' above 0 and at most 2\*\*53, got"):
        client_weights([Update(0, {}, {"num-examples": 5}), Update(1, {}, {"num-examples": count})], "samples")
    assert client_weights([Update(k, {}, {"num-examples": 2**53}) for k in range(4)], "samples") == [0.25] * 4


def test_complex_arrays_are_averaged_and_others_refused_by_name() -> None:
    real, imaginary = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    models = [{"w": (real + 1j * imaginary).astype(np.complex64)}, {"w": np.full((3, 4), 2 - 6j, np.complex64)}]
    found = average(models, [0.25, 0.75], {"w": np.zeros((3, 4), np.complex64)})["w"]
    np.testing.assert_allclose(found.real, real / 4 + 1.5, rtol=1e-6)
    np.testing.assert_allclose(found.imag, imaginary / 4 - 4.5, rtol=1e-6)
    assert found.dtype == np.complex64
    with pytest.raises(ValueError, match="real arrays alone, and 'w' is complex64"):
        noisy_updates([Update(0, models[0], {})], models[1], 1.0, seed=0, server_round=1)


ONES = np.ones(2, np.float32)


@pytest.mark.parametrize(("model", "current", "words"), [
    (ONES * 1j, ONES, "'w' is of the type complex64, which cannot be averaged as float32"),
    (np.array(["1", "2"]), ONES, "'w' is of the type <U1, which cannot be averaged as float32"),
    (np.array([1, None]), np.array([1, None]), "'w' is of the type object"),
    (np.array([True, False]), np.array([True, True]), "'w' has changed, and bool is not averaged"),
    (np.array([3, 5], np.int8), np.array([3, 4], np.int8), "'w' has changed, and int8 is not averaged"),
    (ONES.reshape(2, 1), ONES.reshape(1, 2), r"'w' has the shape \(2, 1\) and not \(1, 2\)"),
], ids=["complex", "words", "objects", "truth values", "integers", "shape"])  # fmt: skip
def test_models_that_are_no_versions_of_the_current_one(model: Any, current: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        average([{"w": current}, {"w": model}], [0.5, 0.5], {"w": current})
    with pytest.raises(ValueError, match=r"\['v'\] are unknown"):
        average([{"v": current}], [1.0], {"w": current})
    with pytest.raises(ValueError, match="one weight each, got 1 and 2"):
        average([{"w": current}], [0.5, 0.5], {"w": current})
    same = average([{"w": current}] * 2, [0.5, 0.5], {"w": current})["w"] if current.dtype != object else current
    np.testing.assert_array_equal(same, current)


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
    for size in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite number"):
            noisy_updates(updates, current, size, seed=0, server_round=1)
    with pytest.raises(ValueError, match="scale of noise"):
        noisy_updates(updates, current, 1.0, seed=0, server_round=1, scale="none")  # type: ignore[arg-type]
