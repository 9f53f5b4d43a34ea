"""Mask distances against NumPy, the stop rule against its definition, the two schedules against PyTorch's scheduler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgebook.compression import cosine_rate, is_early_bird, mask_distance

BITS = st.lists(st.booleans(), min_size=6, max_size=6)


def as_masks(bits: list[bool]) -> dict[str, torch.Tensor]:
    return {"a": torch.tensor(bits[:2]), "b": torch.tensor(bits[2:]).reshape(2, 2)}


@given(BITS, BITS, BITS)
def test_distance_is_the_share_of_different_entries_and_a_metric(
    one: list[bool], two: list[bool], three: list[bool]
) -> None:
    first, second, third = map(as_masks, (one, two, three))
    assert mask_distance(first, second) == pytest.approx(float(np.mean(np.array(one) != np.array(two))), abs=1e-15)
    assert mask_distance(first, second) == mask_distance(second, first)
    assert mask_distance(first, third) <= mask_distance(first, second) + mask_distance(second, third) + 1e-12


def test_every_weight_counts_once_whatever_its_layer() -> None:
    small, large = torch.zeros(1, dtype=torch.bool), torch.zeros(99, dtype=torch.bool)
    assert mask_distance({"a": small, "b": large}, {"a": ~small, "b": large}) == pytest.approx(0.01)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_sparse_masks_cannot_be_far_apart(size: int, kept: int, seed: int) -> None:
    kept = min(kept, size)
    generator = torch.Generator().manual_seed(seed)
    first, second = ({"w": torch.randperm(size, generator=generator) < kept} for _ in range(2))
    assert mask_distance(first, second) <= 2 * min(kept, size - kept) / size + 1e-12


@given(st.lists(BITS, min_size=1, max_size=7), st.integers(2, 5), st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 1.1]))
def test_the_rule_is_its_definition(history: list[list[bool]], window: int, tolerance: float) -> None:
    array = np.array(history)
    found = len(array) >= window and (array[-window:-1] != array[-1]).mean(axis=1).max() < tolerance
    masks = [as_masks(bits) for bits in history]
    assert is_early_bird(masks, window=window, tolerance=tolerance) == found


def test_the_newest_mask_is_compared_with_all_of_the_window_and_not_with_its_neighbour_alone() -> None:
    drifting = [{"w": torch.arange(100) < 50 + step} for step in range(5)]  # neighbours differ by 1 %, ends by 4 %
    assert is_early_bird(drifting, tolerance=0.04 + 1e-9)
    assert not is_early_bird(drifting, tolerance=0.02)
    assert is_early_bird(drifting, window=2, tolerance=0.02)


def test_what_lies_before_the_window_is_forgotten() -> None:
    settled = [{"w": torch.zeros(10, dtype=torch.bool)}] + [{"w": torch.ones(10, dtype=torch.bool)}] * 3
    assert not is_early_bird(settled, window=4)
    assert is_early_bird(settled, window=3)


def test_the_tolerance_itself_is_too_far() -> None:
    masks = [{"w": torch.arange(50) < 1}, {"w": torch.arange(50) < 2}]
    assert not is_early_bird(masks, window=2, tolerance=1 / 50)
    assert is_early_bird(masks, window=2, tolerance=1 / 50 + 1e-9)


@pytest.mark.parametrize("advances", [1, 2])
def test_schedules_are_pytorchs_advanced_once_and_twice_an_epoch(advances: int) -> None:
    epochs, peak = 300, 0.3
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    for epoch in range(epochs):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(
            cosine_rate(epoch / epochs, peak, speed=advances), abs=1e-9
        )
        optimizer.step()
        for _ in range(advances):
            scheduler.step()


def test_the_released_schedule_is_zero_at_half_time_and_climbs_back() -> None:
    rates = [cosine_rate(epoch / 300, 0.3, speed=2) for epoch in (0, 75, 150, 225, 299)]
    assert rates == pytest.approx([0.3, 0.15, 0.0, 0.15, 0.3], abs=1e-4)


def test_bad_requests_are_named() -> None:
    one, two = {"w": torch.ones(2, dtype=torch.bool)}, {"w": torch.ones(3, dtype=torch.bool)}
    for words, act in [
        ("same names and shapes", lambda: mask_distance(one, two)),
        ("same names and shapes", lambda: mask_distance(one, {"v": one["w"]})),
        ("at least one entry", lambda: mask_distance({}, {})),
        ("window", lambda: is_early_bird([one], window=1)),
        ("window must be a whole number", lambda: is_early_bird([one] * 3, window=2.0)),
        ("tolerance", lambda: is_early_bird([one] * 5, tolerance=math.nan)),
        ("done", lambda: cosine_rate(1.2, 0.1)),
        ("done", lambda: cosine_rate(math.nan, 0.1)),
        ("finite", lambda: cosine_rate(0.5, math.nan)),
        ("finite", lambda: cosine_rate(0.5, 0.1, speed=math.inf)),
    ]:
        with pytest.raises(ValueError, match=words):
            act()
