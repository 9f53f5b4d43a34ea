"""Orders of tasks, what is kept for each of them, and measures of drift on problems with a known answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.federated import (
    current_task,
    dissimilarity,
    flat_updates,
    for_task,
    forgetting,
    model_deviation,
    of_task,
    pairwise_cosines,
    task_orders,
    with_tasks,
)

ORDERS = np.zeros((2, 3), int)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.floats(0, 1), st.integers(0, 999), st.integers(1, 3))
def test_every_client_meets_each_task_once_and_orders_nest(
    clients: int, tasks: int, shared: float, seed: int, rounds: int
) -> None:
    orders, own = task_orders(clients, tasks, shared, seed=seed), task_orders(clients, tasks, 0.0, seed=seed)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(tasks), (clients, 1)))
    common = round(shared * clients)
    assert (orders[: max(common, 1)] == own[0]).all()
    assert (orders[common + 1 :] == own[common + 1 :]).all()
    met = [[current_task(orders, k, r, rounds) for r in range(1, tasks * rounds + 1)] for k in range(clients)]
    np.testing.assert_array_equal(np.repeat(orders, rounds, axis=1), met)


def test_orders_are_permutations_at_random() -> None:
    first = np.array([task_orders(8, 3, 0.0, seed=seed)[:, 0] for seed in range(60)])
    np.testing.assert_allclose(np.bincount(first.ravel()) / first.size, 1 / 3, atol=0.06)


def test_a_server_keeps_arrays_once_or_for_each_task() -> None:
    start = {"proxy": np.ones(2), "head.w": np.zeros(3), "head.b": np.zeros(1)}
    for own, names in {
        (lambda name: name.startswith("head")): ["proxy", "0/head.w", "0/head.b", "1/head.w", "1/head.b"],
        (lambda name: False): [*start],
        (lambda name: True): [f"{task}/{name}" for task in (0, 1) for name in start],
    }.items():
        kept = with_tasks(start, 2, own)
        assert list(kept) == names
        assert list(of_task(kept, 1)) == [*start]
        put = for_task({name: array + 1 for name, array in of_task(kept, 1).items()}, 1, kept)
        assert set(put) == {name for name in names if not name.startswith("0/")}
        for name, array in put.items():
            np.testing.assert_array_equal(array, kept[name] + 1)


def test_drift_of_clients_on_quadratics_is_known() -> None:
    """One step of rate r on |x - c|^2 / 2 moves each client by r (c - x): spread of centres against their distance."""
    rng = np.random.default_rng(0)
    centres, x, weights = rng.normal(size=(5, 4)), rng.normal(size=4) + 2, rng.dirichlet(np.ones(5))
    models = [{"w": (x + 0.1 * (c - x)).reshape(2, 2)} for c in centres]
    updates = flat_updates(models, {"w": x.reshape(2, 2)}, ["w"])
    mean = weights @ centres
    spread = sum(w * ((c - mean) ** 2).sum() for w, c in zip(weights, centres, strict=True))
    np.testing.assert_allclose(dissimilarity(updates, weights), 1 + spread / ((mean - x) ** 2).sum(), rtol=1e-9)


def test_drift_is_one_for_equal_updates_and_their_number_for_orthogonal_ones() -> None:
    assert dissimilarity(np.ones((4, 3)), np.full(4, 0.25)) == pytest.approx(1)
    assert dissimilarity(np.eye(4), np.full(4, 0.25)) == pytest.approx(4)
    assert dissimilarity([[1.0], [-1.0]], [0.5, 0.5]) == float("inf")
    assert np.isnan(dissimilarity(np.zeros((2, 3)), [0.5, 0.5]))


def test_cosines_are_those_of_a_loop_over_pairs() -> None:
    updates, groups = np.random.default_rng(1).normal(size=(6, 7)), [0, 1, 0, 2, 1, 0]
    updates[4] = 0
    within, across = [], []
    for i, j in combinations(range(6), 2):
        if 4 not in (i, j):
            cosine = updates[i] @ updates[j] / np.linalg.norm(updates[i]) / np.linalg.norm(updates[j])
            (within if groups[i] == groups[j] else across).append(cosine)
    found = pairwise_cosines(updates, groups)
    np.testing.assert_allclose(found, (np.mean(within), np.mean(across)))
    assert np.isnan(pairwise_cosines(updates, [0] * 6).across)


def test_forgetting_is_counted_from_the_best() -> None:
    found = forgetting([[50.0, np.nan, np.nan], [70.0, 20.0, np.nan], [60.0, 40.0, np.nan]])
    np.testing.assert_array_equal(found, [10.0, 0.0, np.nan])


def test_deviation_is_a_sum_over_arrays() -> None:
    model, start = {"a": np.array([[1.0, 2.0]]), "b": np.array(2.0)}, {"a": np.array([[1.0, 0.0]]), "b": np.array(3.0)}
    assert model_deviation(model, start) == pytest.approx(2 / (1 + 1) + 1 / (1 + 3))


@pytest.mark.parametrize(("act", "words"), [
    (lambda: task_orders(0, 2, 0.0, seed=0), "clients must be at least 1, got 0"),
    (lambda: task_orders(2, 2, 1.5, seed=0), "shared must lie between 0 and 1, got 1.5"),
    (lambda: current_task(ORDERS, 2, 1, 4), "client must be a whole number from 0 to 1, got 2"),
    (lambda: current_task(ORDERS, 0, 13, 4), "server_round must be a whole number from 1 to 12, got 13"),
    (lambda: forgetting([1.0, 2.0]), r"accuracy must have the shape \(moments, tasks\), got \(2,\)"),
    (lambda: dissimilarity(np.ones((2, 3)), [1.0]), r"One weight for each of 2 updates is needed, got the"),
    (lambda: pairwise_cosines(np.ones((2, 3)), [1]), "One group for each of 2 updates is needed, got 1"),
    (lambda: dissimilarity(np.ones(3), [1.0]), r"updates must have the shape \(n, values\), got \(3,\)"),
])  # fmt: skip
def test_what_says_nothing_is_refused(act: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        act()
