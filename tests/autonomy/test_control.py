"""The planner against a loop in Python, Koopman models against known systems, LQR against its own definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from edgebook.autonomy import Koopman, beam_angles, cast, commands, control, lqr, make_worlds, numpy_kernels, plan
from edgebook.autonomy import world as room
from edgebook.measure.seeding import SeededDraws


def by_hand(belief: np.ndarray, goal: np.ndarray, speed: np.ndarray, rollouts: int, margin: float) -> list[float]:
    """Return the best command of one world, one rollout after the other."""
    points = [
        (r * math.cos(a), r * math.sin(a)) for r, a in zip(belief, beam_angles(len(belief)), strict=True) if r < 10
    ]
    best = (math.inf, [0.0, 0.0])
    for v_wanted, w_wanted in commands(rollouts).tolist():
        (v, w), x, y, h = speed, 0.0, 0.0, 0.0
        rooms, left, free = [], math.inf, None
        for k in range(10):
            v = min(max(v_wanted, v - 0.4), v + 0.4)
            w = min(max(w_wanted, w - 1.2), w + 1.2)
            x += 0.2 * v * math.cos(h + 0.1 * w)
            y += 0.2 * v * math.sin(h + 0.1 * w)
            h += 0.2 * w
            rooms.append(min([math.hypot(x - px, y - py) for px, py in points], default=math.inf) - 0.25)
            free = k if free is None and rooms[-1] < margin else free
            left = min(left, math.hypot(x - goal[0], y - goal[1]))
        if free is not None:
            cost = 1000 - 50 * free - 10 * sum(rooms) / 10
        else:
            cost = left + max(0.6 - min(rooms), 0) / 0.6
        best = min(best, (cost, [v_wanted, w_wanted]), key=lambda pair: pair[0])
    return best[1]


def scenes(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    world = make_worlds(range(count))
    pose = np.concatenate([rng.uniform(2, 18, (count, 2)), rng.uniform(-3, 3, (count, 1))], axis=1)
    belief = cast(world, pose, beam_angles(16))
    belief[0], belief[1] = 10.0, 0.3  # nothing near, and no way out
    return belief, rng.uniform(-9, 9, (count, 2)), rng.uniform([0, -1.5], [1.5, 1.5], (count, 2))


def test_a_plan_is_the_best_of_all_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    belief, goal, speed = scenes(12)
    found = plan(belief, goal, speed, rollouts=25, margin=0.1)
    wanted = [by_hand(*one, 25, 0.1) for one in zip(belief, goal, speed, strict=True)]
    np.testing.assert_allclose(found, wanted)
    assert len(np.unique(found, axis=0)) > 4
    monkeypatch.setattr(control, "kernels", lambda: numpy_kernels)
    assert np.array_equal(plan(belief, goal, speed, rollouts=25, margin=0.1), found)
    one = plan(belief[5:6], goal[5:6], speed[5:6], rollouts=25, margin=np.array([0.1]))
    assert np.array_equal(one[0], found[5])


def test_kernels_are_those_of_numpy_where_numba_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    assert room.kernels.__wrapped__() is numpy_kernels


def test_rollouts_are_a_multiple_of_five() -> None:
    with pytest.raises(ValueError, match="a multiple of 5, got 12"):
        commands(12)
    assert commands(5).tolist() == [[0, 0], [0.375, 0], [0.75, 0], [1.125, 0], [1.5, 0]]


def test_a_linear_system_is_recovered() -> None:
    """A damped turn and its push, learnt from where random states go in three steps."""
    a = 0.95 * np.array([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]])
    b = np.array([[0.3], [0.1]])
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, generator=chance, dtype=torch.float64)
    u = torch.randn(40, 3, 1, generator=chance, dtype=torch.float64)
    states, now = [], x
    for push in u.unbind(1):
        now = now @ torch.from_numpy(a).T + push @ torch.from_numpy(b).T
        states.append(now)
    wanted = torch.stack(states, dim=1)
    with SeededDraws(0):
        model = Koopman(2, 1, hidden=0).double()
    torch.nn.init.constant_(model.turn, 0.2)
    search = torch.optim.LBFGS(model.parameters(), max_iter=300, tolerance_grad=1e-14, tolerance_change=1e-18,
                               line_search_fn="strong_wolfe")  # fmt: skip

    def loss() -> torch.Tensor:
        search.zero_grad()
        value = (model(x, u) - wanted).square().mean()
        value.backward()
        return value

    search.step(loss)
    assert (model(x, u) - wanted).abs().max() < 1e-6
    found = model.eigenvalues().detach().numpy()[0]
    assert abs(found - 0.95 * np.exp(0.4j)) < 1e-6 or abs(found - 0.95 * np.exp(-0.4j)) < 1e-6
    za, zb, zc = model.matrices()
    code = model.code(x).detach().numpy()
    step = (code @ za.T + u[:, 0].numpy() @ zb.T) @ zc.T
    np.testing.assert_allclose(step, wanted[:, 0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.eigvals(za)[np.argsort(np.linalg.eigvals(za).imag)].imag,
                               [-abs(found.imag), abs(found.imag)], atol=1e-6)  # fmt: skip


def test_modes_that_must_not_grow_do_not() -> None:
    with SeededDraws(0):
        model = Koopman(2, 5, hidden=4, stable=True)
        torch.nn.init.normal_(model.growth, std=20.0)
    assert (model.eigenvalues().abs() <= 1).all()
    assert np.abs(np.linalg.eigvals(model.matrices()[0])).max() <= 1 + 1e-6
    x, still = torch.ones(3, 2), torch.zeros(3, 60, 1)
    assert model(x, still).isfinite().all()


def test_lqr_costs_least_and_stabilises_a_pendulum() -> None:
    """Any other gain costs more from the same start, by the sum of costs itself."""
    dt = 0.05
    whole = expm(np.array([[0, 1, 0], [9.81, 0, 1], [0, 0, 0]]) * dt)  # upright: exact over a step of constant torque
    a, b, q, r = whole[:2, :2], whole[:2, 2:], np.eye(2), np.eye(1)
    gain = lqr(a, b, q, r)
    assert np.abs(np.linalg.eigvals(a)).max() > 1 > np.abs(np.linalg.eigvals(a - b @ gain)).max()

    def cost(k: np.ndarray) -> float:
        x, total = np.array([1.0, 0.0]), 0.0
        for _ in range(600):
            u = -k @ x
            total += x @ q @ x + u @ r @ u
            x = a @ x + b @ u
        return total

    least = cost(gain)
    for off in ([0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01]):
        assert cost(gain + off) > least
    with pytest.raises(ValueError, match="no control that brings this system to rest"):
        lqr(2 * np.eye(2), np.array([[1.0], [0.0]]), np.eye(2), np.eye(1))
