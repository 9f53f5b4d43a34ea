"""Every sample goes to exactly one client, in shares of the size promised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.federated import balanced_dirichlet, dirichlet, iid, shards


def is_partition(parts: list[np.ndarray], samples: int) -> bool:
    return np.array_equal(np.sort(np.concatenate(parts)), np.arange(samples))


labels_of = st.integers(2, 5).flatmap(lambda c: st.lists(st.integers(0, c - 1), min_size=20, max_size=200))


@given(st.integers(1, 300), st.data(), st.integers(0, 9))
def test_iid_shares_are_equal(samples: int, data: st.DataObject, seed: int) -> None:
    clients = data.draw(st.integers(1, samples))
    parts = iid(samples, clients, seed=seed)
    assert is_partition(parts, samples)
    assert len(parts) == clients
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(labels_of, st.integers(1, 6), st.sampled_from([0.05, 0.5, 5.0, 1000.0]), st.integers(0, 9))
def test_balanced_dirichlet_gives_each_sample_once(labels: list[int], clients: int, alpha: float, seed: int) -> None:
    parts = balanced_dirichlet(labels, clients, alpha, seed=seed, at_least=1)
    assert is_partition(parts, len(labels))
    assert min(map(len, parts)) >= 1
    again = balanced_dirichlet(labels, clients, alpha, seed=seed, at_least=1)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))
    largest = max(np.bincount(labels))  # a client is closed once it holds its share, so it can exceed it by one class
    assert max(map(len, parts)) < len(labels) / clients + largest


def test_alpha_decides_the_skew_and_sizes_stay_close() -> None:
    labels = np.repeat(np.arange(10), 100)

    def skew(alpha: float) -> float:
        parts = balanced_dirichlet(labels, 10, alpha, seed=1)
        return float(np.mean([np.max(np.bincount(labels[part], minlength=10)) / len(part) for part in parts]))

    assert skew(0.1) > skew(0.5) > skew(5.0) > 0.1
    sizes = [len(part) for part in balanced_dirichlet(labels, 10, 0.5, seed=1)]
    loose = [len(part) for part in dirichlet(labels, 10, 0.5, seed=1)]
    assert np.std(sizes) < np.std(loose)
    assert min(sizes) >= 10


@settings(max_examples=5)
@given(st.integers(0, 99))
def test_flowers_partitioners_are_partitions(seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(5), 40))
    for parts in (dirichlet(labels, 4, 1.0, seed=seed), shards(labels, 10, 2, seed=seed)):
        assert is_partition(parts, 200)
    # Two shards of ten samples lie in one or two classes each, since forty is a multiple of ten.
    assert all(len(np.unique(labels[part])) <= 2 for part in shards(labels, 10, 2, seed=seed))
    assert min(map(len, dirichlet(labels, 4, 1.0, seed=seed, at_least=15))) >= 15


@pytest.mark.parametrize(("clients", "alpha", "at_least", "words"), [
    (0, 1.0, 1, "cannot share"),
    (30, 1.0, 2, "30 clients with at least 2 samples each cannot share 50 samples"),
    (5, 0.0, 1, "alpha must be above 0"),
    (5, 0.01, 10, "No partition of 50 samples"),
])  # fmt: skip
def test_what_cannot_be_is_refused(clients: int, alpha: float, at_least: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        balanced_dirichlet([0, 1] * 25, clients, alpha, at_least=at_least)
    with pytest.raises(ValueError, match="cannot share"):
        iid(3, 4)


DEALT: dict[str, Callable[..., list[np.ndarray]]] = {
    "balanced": lambda labels, clients: balanced_dirichlet(labels, clients, 0.5, seed=3),
    "dirichlet": lambda labels, clients: dirichlet(labels, clients, 0.5, seed=3),
    "shards": lambda labels, clients: shards(labels, clients, 2, seed=3),
}


@pytest.mark.parametrize("name", DEALT)
def test_labels_are_one_class_for_each_sample_in_whatever_form(name: str) -> None:
    labels, deal = np.random.default_rng(1).permutation(np.repeat(np.arange(5), 40)), DEALT[name]
    expected = deal(labels, 4)
    assert is_partition(expected, 200)
    words = np.array(["a", "b", "c", "d", "e"])[labels]
    for same in (labels.astype(np.float32), torch.from_numpy(labels), labels.tolist(), 7 * labels - 9, words):
        for part, other in zip(expected, deal(same, np.int64(4)), strict=True):
            np.testing.assert_array_equal(part, other)
    unclear = {
        r"got \(200, 5\); one-hot labels become classes by argmax\(1\)": np.eye(5)[labels],
        r"got \(200, 1\)": labels[:, None],
        "fractions, NaN or infinity in float64": labels + 0.5,
        "NaN or infinity": np.where(labels > 3, np.nan, labels),
        "got complex128": labels + 0j,
        "got object": labels.astype(object),
        r"one class for each sample, got \(0,\)": [],
    }
    for message, wrong in unclear.items():
        with pytest.raises(ValueError, match=message):
            deal(wrong, 4)
    for few, clients in (([0, 1], 3), (labels, 0)):
        with pytest.raises(ValueError, match="cannot share"):
            deal(few, clients)
    with pytest.raises(ValueError, match=r"clients must be a whole number, got 2\.5"):
        deal(labels, 2.5)


@pytest.mark.parametrize("deal", [balanced_dirichlet, dirichlet])
def test_a_concentration_is_a_finite_number_above_zero(deal: Callable[..., list[np.ndarray]]) -> None:
    for alpha, kind in ((float("nan"), ValueError), (float("inf"), ValueError), (0.0, ValueError), ([1.0], TypeError)):
        with pytest.raises(kind, match="alpha must be"):
            deal([0, 1] * 25, 5, alpha)
    with pytest.raises(ValueError, match="seed must be a whole number, got None"):
        deal([0, 1] * 25, 5, 1.0, seed=None)
