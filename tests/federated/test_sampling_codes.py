"""Codes of masks against brute force over all of them, and schedules against what they must begin and end with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from edgebook.federated import (
    ball_masks,
    centre_of,
    distance_at,
    hadamard_masks,
    pairwise_distances,
    path_credit,
    path_masks,
    plotkin_bound,
    spread_masks,
)


@pytest.mark.parametrize("paths", [2, 4, 16])
def test_hadamard_masks_are_half_of_the_paths_apart(paths: int) -> None:
    masks = hadamard_masks(2 * (paths - 1), paths, seed=3)
    assert (masks.sum(1) == paths // 2).all()
    assert set(pairwise_distances(masks[: paths - 1])) <= {paths // 2}
    distances = pairwise_distances(masks)
    assert (distances == paths).sum() == paths - 1  # each and its complement
    assert set(distances) <= {paths // 2, paths}


def test_hadamard_masks_hold_each_path_as_often_and_any_number_of_a_cell() -> None:
    """Both fail for the rows as they are: the first path is in each of them, and four in a row are 0, 2 or 4 times."""
    drawn = np.concatenate([hadamard_masks(8, 16, seed=seed) for seed in range(500)])
    np.testing.assert_allclose(drawn.mean(0), 0.5, atol=0.04)  # 5 deviations of 4000 fair coins
    of_cells = np.bincount(drawn.reshape(-1, 4).sum(1), minlength=5) / (drawn.size / 4)
    np.testing.assert_allclose(of_cells, hypergeom(16, 8, 4).pmf(range(5)), atol=0.03)  # as of a half drawn at random


def test_no_code_of_eight_paths_goes_beyond_the_bound_and_hadamards_is_the_best_of_equal_weights() -> None:
    """All sets of up to four masks of four of eight paths, the first of them fixed, since paths can be renamed."""
    all_masks = np.array([[p in chosen for p in range(8)] for chosen in combinations(range(8), 4)])
    apart = (all_masks[:, None] != all_masks).sum(2)
    for count in (2, 3, 4):
        best = 0
        for others in combinations(range(1, len(all_masks)), count - 1):
            chosen = (0, *others)
            best = max(best, min(apart[i, j] for i, j in combinations(chosen, 2)))
        assert best <= plotkin_bound(count, 8)
        if count > 2:  # two are best as complements
            assert pairwise_distances(hadamard_masks(count, 8, seed=1)).min() == best
            assert best == plotkin_bound(count, 8) // 2 * 2


def test_the_bound_holds_for_the_mean_and_is_met() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 5, 8):
        for _ in range(20):
            assert pairwise_distances(rng.random((count, 6)) < 0.5).mean() <= plotkin_bound(count, 6) + 1e-12
        halves = np.tile((np.arange(count) < count // 2)[:, None], (1, 6))
        assert pairwise_distances(halves).mean() == pytest.approx(plotkin_bound(count, 6))


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.data())
def test_masks_have_their_weight_and_repeat(count: int, paths: int, data: st.DataObject) -> None:
    weight, seed = data.draw(st.integers(0, paths)), data.draw(st.integers(0, 99))
    distance = data.draw(st.floats(0, 2 * paths))
    centre = path_masks(1, paths, weight, seed=seed)[0]
    for masks, again in (
        (make(), make())
        for make in (
            lambda: path_masks(count, paths, weight, seed=seed),
            lambda: spread_masks(count, paths, weight, seed=seed, candidates=5),
            lambda: ball_masks(centre, distance, count, seed=seed),
        )
    ):
        assert masks.shape == (count, paths)
        assert masks.dtype == bool
        assert (masks.sum(1) == weight).all()
        np.testing.assert_array_equal(masks, again)
    swaps = min(int(distance // 4), weight, paths - weight)
    assert ((masks != centre).sum(1) == 2 * swaps).all()


def test_each_spread_mask_is_the_farthest_of_its_candidates() -> None:
    drawn, chosen = path_masks(3 * 7, 10, 5, seed=2).reshape(3, 7, 10), spread_masks(3, 10, 5, seed=2, candidates=7)
    np.testing.assert_array_equal(chosen[0], drawn[0, 0])
    for place in (1, 2):
        nearest = [min(int((mask != other).sum()) for other in chosen[:place]) for mask in drawn[place]]
        np.testing.assert_array_equal(chosen[place], drawn[place, int(np.argmax(nearest))])


def test_draws_are_uniform_and_a_ball_is_about_its_distance_wide() -> None:
    np.testing.assert_allclose(path_masks(4000, 8, 2, seed=0).mean(0), 0.25, atol=0.03)
    centre = np.arange(16) < 8
    ones = np.concatenate([ball_masks(centre, 4, 1, seed=seed) for seed in range(400)])
    np.testing.assert_allclose(ones[:, :8].mean(0), 7 / 8, atol=0.08)
    means = [pairwise_distances(ball_masks(centre, d, 6, seed=1)).mean() for d in (0, 4, 8)]
    assert means[0] == 0
    assert 2.5 < means[1] <= 4
    assert 5 < means[2] <= 8


def test_credit_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    credit, masks, scores = rng.random(6), rng.random((4, 6)) < 0.4, rng.random(4)
    masks[:, 2], credit[0] = False, np.nan
    found = path_credit(credit, masks, scores, decay=0.7)
    for p in range(6):
        told = [scores[k] for k in range(4) if masks[k, p]]
        expected = credit[p] if not told else 0.7 * credit[p] + 0.3 * np.mean(told)
        np.testing.assert_allclose(found[p], np.mean(told) if told and np.isnan(credit[p]) else expected)


def test_a_centre_is_the_best_mask_that_leaves_no_cell_empty() -> None:
    credit = np.random.default_rng(4).random(8)
    for weight in (2, 3, 5, 8):
        masks = np.array([[p in chosen for p in range(8)] for chosen in combinations(range(8), weight)])
        masks = masks[(masks.reshape(-1, 2, 4).sum(2) > 0).all(1)]
        np.testing.assert_array_equal(centre_of(credit, weight, cells=2), masks[(masks @ credit).argmax()])
    assert centre_of([np.nan, np.nan, 1.0, np.nan], 2, cells=2).tolist() == [True, False, True, False]


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_distances_go_from_far_to_near(shape: str) -> None:
    for far, near in ((8.0, 0.0), (2.0, 6.0), (4.0, 4.0)):
        told = [distance_at(number, 9, far, near, shape) for number in range(1, 10)]
        assert told[0] == far
        assert told[-1] == pytest.approx(near)
        assert told[4] == pytest.approx((far + near) / 2)
        assert told == sorted(told, reverse=far > near)


@pytest.mark.parametrize(("act", "words"), [
    (lambda: hadamard_masks(3, 12, seed=0), "need a power of two of paths, got 12"),
    (lambda: hadamard_masks(7, 4, seed=0), "count must be a whole number from 1 to 6, got 7"),
    (lambda: path_masks(3, 4, 5, seed=0), "weight must be a whole number from 0 to 4, got 5"),
    (lambda: ball_masks([True, False], -1.0, 2, seed=0), "a distance of at least 0 are needed"),
    (lambda: path_credit([0.0], [[True, False]], [1.0]), r"are needed, got \(1,\), \(1, 2\), \(1,\)"),
    (lambda: centre_of([1.0, 2.0, 3.0], 2, cells=2), "3 paths do not divide into 2 cells"),
    (lambda: centre_of([1.0, 2.0], 1, cells=2), "weight must be a whole number from 2 to 2, got 1"),
    (lambda: distance_at(6, 5, 1.0, 0.0), "server_round must be a whole number from 1 to 5, got 6"),
    (lambda: distance_at(1, 5, 1.0, 0.0, "step"), "shape must be one of linear, cosine, got 'step'"),
])  # fmt: skip
def test_what_is_no_code_is_refused(act: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        act()
