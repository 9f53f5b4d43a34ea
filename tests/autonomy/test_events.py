"""Events against a loop over pixels, speed selection against the neuron's closed form, clusters and tiles by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.autonomy import camera_events, changed_tiles, clusters, dotie
from edgebook.spiking import lif


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_events_are_those_of_a_loop_over_pixels(seed: int) -> None:
    frames = np.exp(np.random.default_rng(seed).normal(0, 0.4, (7, 2, 3)))
    found = camera_events(frames, 0.15)
    for row in range(2):
        for column in range(3):
            level = math.log(frames[0, row, column])
            for step in range(6):
                off, wanted = math.log(frames[step + 1, row, column]) - level, 0
                while abs(off) >= 0.15:
                    wanted += 1 if off > 0 else -1
                    level += math.copysign(0.15, off)
                    off = math.log(frames[step + 1, row, column]) - level
                assert abs(found[step, row, column] - wanted) <= (abs(abs(off) - 0.15) < 1e-9)


@pytest.mark.parametrize("beta", [0.5, 0.8])
def test_only_edges_above_a_speed_fire(beta: float) -> None:
    """An edge of one column every k steps: 3 w (1 + b^k + b^2k) builds up in the neuron behind it, and no more."""
    weight, threshold = 1 / 9, 0.6
    for k in (1, 2, 3, 4, 6):
        frames = np.ones((8 * k, 9, 12))
        for step in range(1, len(frames)):
            frames[step, :, : 1 + step // k] = 2.0
        found = (camera_events(frames, 0.5) != 0).astype(np.int8)
        fired = dotie(found, torch.full((3, 3), weight), lambda c: lif(c, beta, threshold))[:, 1:-1, 2:6]
        most = 3 * weight * (1 + beta**k + beta ** (2 * k))
        assert bool(fired.any()) is (most > threshold), (k, most)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_clusters_are_those_of_a_search(seed: int, gap: int) -> None:
    spikes = np.random.default_rng(seed).random((9, 11)) < 0.12
    left, boxes = {tuple(place) for place in np.argwhere(spikes).tolist()}, []
    while left:
        todo, members = [left.pop()], []
        while todo:
            r, c = todo.pop()
            members.append((r, c))
            near = {p for p in left if max(abs(p[0] - r), abs(p[1] - c)) <= gap}
            left -= near
            todo += near
        if len(members) >= 2:
            rows, columns = zip(*members, strict=True)
            boxes.append([min(rows), min(columns), max(rows) + 1, max(columns) + 1])
    assert sorted(clusters(spikes, gap=gap, least=2).tolist()) == sorted(boxes)


def test_tiles_that_see_a_change_are_computed() -> None:
    frames = np.ones((4, 16, 24))
    frames[1, 7, 7] = 2.0  # at a corner, in the halo of four tiles
    frames[2:, 7, 7], frames[2:, 12, 20] = 2.0, 1.1  # too little
    frames[3] = frames[2]
    assert changed_tiles(frames, 0.15, tile=8, halo=1).tolist() == [4 / 6, 0.0, 0.0]
    assert changed_tiles(frames, 0.15, tile=8, halo=0).tolist() == [1 / 6, 0.0, 0.0]
    assert changed_tiles(frames, 0.05, tile=8, halo=0).tolist() == [1 / 6, 1 / 6, 0.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: camera_events(np.zeros((2, 3, 3))), "threshold and light must be above 0"),
        (lambda: camera_events(np.ones((2, 3, 3)), 0.0), "threshold and light must be above 0"),
        (lambda: changed_tiles(np.ones((2, 9, 8)), 0.1), "tile must divide 9 and 8, got 8"),
        (lambda: clusters(np.zeros((3, 3), bool), gap=0), "gap must be at least 1"),
    ],
)
def test_other_frames_are_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
