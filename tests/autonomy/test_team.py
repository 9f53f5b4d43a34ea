"""What a team sees by trigonometry, its greedy choice against all choices, ages by a loop."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.autonomy import age_of_information, assign, views


def test_a_look_shows_what_lies_in_its_sector_and_in_reach() -> None:
    rng = np.random.default_rng(0)
    robots, targets = rng.uniform(0, 20, (3, 3)), rng.uniform(0, 20, (7, 2))
    found = views(robots, targets, sectors=6, reach=8.0).reshape(3, 6, 7)
    for (a, (x, y, heading)), (m, (tx, ty)) in itertools.product(enumerate(robots), enumerate(targets)):
        angle = (math.atan2(ty - y, tx - x) - heading) % (2 * math.pi)
        near = math.hypot(tx - x, ty - y) <= 8.0
        assert found[a, :, m].tolist() == [near and s <= angle / (math.pi / 3) < s + 1 for s in range(6)]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_the_greedy_choice_is_nearly_the_best(seed: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    seen, worth = rng.random((6, 5)) * (rng.random((6, 5)) < 0.5), rng.random(5)

    def value(looks: tuple[int, ...] | list[int]) -> float:
        return float(worth @ (1 - np.prod(1 - seen[list(looks)], axis=0)))

    chosen = assign(seen, worth, budget)
    best = max(value(looks) for looks in itertools.combinations(range(6), budget))
    assert value(chosen) >= (1 - 1 / math.e) * best - 1e-12
    assert len(set(chosen)) == len(chosen) <= budget
    if chosen:
        assert value(chosen[:1]) == max(value([look]) for look in range(6))


def test_nothing_is_looked_at_for_nothing() -> None:
    assert assign(np.eye(3), np.array([0.0, 2.0, 1.0]), budget=3) == [1, 2]
    assert assign(np.zeros((0, 2)), np.ones(2), budget=1) == []


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_ages_are_those_of_a_loop(seed: int, delay: int) -> None:
    seen = np.random.default_rng(seed).random((8, 3)) < 0.3
    found = age_of_information(seen, delay)
    for m in range(3):
        for t in range(8):
            arrived = [made for made in range(t - delay + 1) if seen[made, m]]
            assert found[t, m] == t - max(arrived, default=-1)
