"""Every sample goes to exactly one client, in shares of the size promised."""

from __future__ import annotations

import numpy as np
import pytest
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
