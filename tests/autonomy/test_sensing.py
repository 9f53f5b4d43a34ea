"""Masks, charges, memories and the completer, against closed forms, brute force and what is known of a scene."""

from __future__ import annotations

import copy
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.autonomy import (
    Completer,
    Memory,
    beam_angles,
    best_beams,
    cast,
    cone,
    held,
    interpolate,
    make_worlds,
    no_memory,
    random_beams,
    range_nll,
    remember,
    seen,
    sensing_energy,
    step,
    stride,
)
from edgebook.measure.seeding import SeededDraws
from edgebook.networks import fit

EVERY = np.ones((1, 64), bool)


@settings(max_examples=20)
@given(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]), st.integers(0, 100))
def test_a_stride_takes_turns(fired: int, first: int) -> None:
    masks = np.concatenate([stride(24, fired, first + step) for step in range(24 // fired)])
    assert (masks.sum(axis=1) == fired).all() and (masks.sum(axis=0) == 1).all()
    gaps = np.diff(np.flatnonzero(masks[0]))
    assert (gaps == 24 // fired).all()


@settings(max_examples=20)
@given(st.integers(1, 16), st.floats(-7, 7))
def test_a_cone_has_the_beams_that_are_nearest(fired: int, direction: float) -> None:
    off = np.abs(np.remainder(beam_angles(16) - direction + np.pi, 2 * np.pi) - np.pi)
    mask = cone(np.array([direction]), 16, fired)[0]
    assert mask.sum() == fired
    assert off[mask].max() <= off[~mask].min(initial=np.inf) + 1e-4


def test_drawn_beams_and_best_beams() -> None:
    masks = np.concatenate([random_beams(16, 8, np.random.default_rng(seed), width=4) for seed in range(200)])
    assert (masks.reshape(-1, 4, 4).sum(axis=2) % 4 == 0).all() and (masks.sum(axis=1) == 8).all()
    assert (np.abs(masks.mean(axis=0) - 0.5) < 0.15).all()
    score = np.random.default_rng(0).normal(size=(5, 9))
    assert np.array_equal(best_beams(score, 3), score >= np.sort(score, axis=1)[:, [-3]])
    assert not best_beams(score, 0).any()


def test_what_a_scan_costs() -> None:
    rng = np.random.default_rng(0)
    fired, gates = rng.random((3, 5)) < 0.5, rng.uniform(0, 10, (3, 5))
    wanted = [sum(2 + 7 * (g / 10) ** 4 for f, g in zip(*row, strict=True) if f) for row in zip(fired, gates)]  # noqa: B905
    np.testing.assert_allclose(sensing_energy(fired, gates, 2.0, 7.0), wanted)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_memory_goes_there_and_back(seed: int) -> None:
    """All that is left after a way and its reverse lies where it lay; nothing is invented."""
    rng = np.random.default_rng(seed)
    first = remember(no_memory(1, 64), rng.uniform(3, 9, (1, 64)), EVERY, np.zeros((1, 3)))
    there = np.array([[*rng.uniform(-0.3, 0.3, 2), rng.uniform(-0.5, 0.5)]])
    c, s = np.cos(there[0, 2]), np.sin(there[0, 2])
    back = np.array([[-c * there[0, 0] - s * there[0, 1], s * there[0, 0] - c * there[0, 1], -there[0, 2]]])
    none = np.zeros((1, 64), bool)
    again = remember(remember(first, np.zeros((1, 64)), none, there), np.zeros((1, 64)), none, back)
    known = np.isfinite(again.age)
    assert known.sum() > 35 and (again.age[known] == 2).all()
    distance = np.linalg.norm(again.points[known][:, None] - first.points[0][None], axis=2).min(axis=1)
    assert distance.max() < 1e-9


def test_a_memory_of_walls_is_what_a_scan_of_them_would_be() -> None:
    """In an empty room a robot that drives and turns knows from four beams a step what all would show."""
    world, angles = make_worlds([3], discs=(0, 0), movers=0), beam_angles(64)
    pose, speed, memory = np.array([[8.0, 11.0, 0.4]]), np.zeros((1, 2)), no_memory(1, 64)
    moved = np.zeros((1, 3))
    for k in range(40):
        memory = remember(memory, cast(world, pose, angles), stride(64, 4, k), moved)
        world, pose, speed, moved = step(world, pose, speed, np.array([[0.5, 0.6]]))
    off = np.abs(held(memory) - cast(world, pose, angles))
    assert np.median(off) < 0.3 and memory.age[np.isfinite(memory.age)].max() <= 32


def test_the_newer_of_two_points_stays_and_gaps_are_filled_from_the_nearest() -> None:
    points = np.full((1, 8, 2), np.nan)
    points[0, 0], points[0, 1] = [4.0, 0.0], [2.0, 2.0]
    memory = Memory(points, np.where(np.isnan(points[..., 0]), np.inf, [[5.0, 3.0, 0, 0, 0, 0, 0, 0]]))
    after = remember(memory, np.zeros((1, 8)), np.zeros((1, 8), bool), np.array([[-6.0, 2.0, 0.0]]))
    assert after.points[0, 0].tolist() == [8.0, 0.0] and after.age[0, 0] == 4.0  # the older one is at (10, -2)
    assert np.isinf(after.age[0, 1:]).all() and (held(after) == 8.0).all()
    fired = np.zeros((1, 8), bool)
    fired[0, [1, 4]] = True
    both = remember(after, np.full((1, 8), 3.0), fired, np.zeros((1, 3)))
    np.testing.assert_allclose(held(both)[0], [8.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 8.0])


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_straight_lines_are_met_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = np.sort(rng.choice(16, 4, replace=False))
    line = np.interp(np.arange(16), corner, rng.uniform(1, 9, 4), period=16)
    fired = np.isin(np.arange(16), corner)
    np.testing.assert_allclose(interpolate(np.where(fired, line, 99.0)[None], fired[None])[0], line)


def batch(count: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """Half of the beams remembered; the others are twice as far as their right neighbours."""
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.uniform(2, 4, (count, 8)), 2, axis=1) * np.tile([1.0, 2.0], 8)
    memory = remember(no_memory(count, 16), truth, np.tile([True, False], 8)[None], np.zeros((count, 3)))
    return seen(memory), torch.from_numpy(truth.astype(np.float32))


def test_a_completer_begins_as_the_memory_and_learns() -> None:
    with SeededDraws(0):
        net = Completer(width=8, depth=1)
    x, ranges = batch()
    mean, spread = net(x).unbind(1)
    torch.testing.assert_close(mean, 10 * x[:, 0])
    torch.testing.assert_close(spread, torch.full_like(mean, 0.5))
    before = range_nll(net(x), ranges)
    fit(net, x, ranges, epochs=40, lr=2e-2, loss=range_nll)
    assert range_nll(net(x), ranges) < before - 1
    assert (net(x)[:, 0] - ranges).abs().mean() < 0.5 * (mean - ranges).abs().mean()


def test_a_completer_treats_all_directions_alike() -> None:
    with SeededDraws(1):
        net = Completer(width=6, depth=1)
        torch.nn.init.normal_(net.layers[-1].weight)
    x, _ = batch(3)
    torch.testing.assert_close(net(x.roll(5, dims=2)), net(x).roll(5, dims=2))


def test_the_loss_is_that_of_a_laplacian() -> None:
    """Of a constant predictor: least at the median, with the mean deviation as its spread, log(2 e s)."""
    ranges = torch.tensor([[1.0, 2.0, 4.0, 7.0, 9.0]])
    deviation = (ranges - 4).abs().mean()
    best = range_nll(torch.stack([torch.full((1, 5), 4.0), deviation.expand(1, 5)], dim=1), ranges)
    assert float(best) == pytest.approx(math.log(2 * math.e * float(deviation)))
    wanted = -torch.distributions.Laplace(3.0, 2.0).log_prob(ranges).mean()
    torch.testing.assert_close(range_nll(torch.tensor([3.0, 2.0]).view(1, 2, 1).expand(1, 2, 5), ranges), wanted)


def test_a_completer_goes_through_a_file_and_a_compiler() -> None:
    with SeededDraws(2):
        net = Completer(width=4, depth=1)
        torch.nn.init.normal_(net.layers[-1].weight)
    x, _ = batch(2)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = Completer(width=4, depth=1)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), net(x)) and torch.equal(copy.deepcopy(net)(x), net(x))
    torch.testing.assert_close(torch.func.vmap(lambda one: net(one[None])[0])(x), net(x))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stride(64, 5, 0), "fired must divide the 64 beams, got 5"),
        (lambda: stride(8, 9, 0), "fired must be a whole number from 1 to 8"),
        (lambda: random_beams(8, 3, np.random.default_rng(0), width=2), "width must divide 8 beams and 3 fired"),
        (lambda: best_beams(np.zeros((1, 4)), 5), "fired must be a whole number from 0 to 4"),
    ],
)
def test_other_masks_are_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
