"""A step of many worlds to drive in, beside Gymnasium's loop over the same environment, and planning beside NumPy.

`SenseNavVector` and `SyncVectorEnv` make the same worlds and the same steps, which is checked first: 64 beams, 14 to 21
discs at rest and 12 in motion. On an otherwise idle core:
`OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_sense_nav.py`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from edgebook.autonomy import SenseNav, SenseNavVector, beam_angles, cast, control, make_worlds, numpy_kernels, plan

WORLDS, BEAMS = 256, 64


def test_a_step_of_many_worlds(contest: Any) -> None:
    ours, loop = SenseNavVector(WORLDS), SyncVectorEnv([SenseNav] * WORLDS)
    rng = np.random.default_rng(0)
    action = {
        "move": rng.uniform([0, -1.5], [1.5, 1.5], (WORLDS, 2)).astype(np.float32),
        "beams": rng.integers(0, 2, (WORLDS, BEAMS)).astype(np.int8),
        "gates": np.full((WORLDS, BEAMS), 10, np.float32),
    }
    for env in (ours, loop):
        env.reset(seed=0)
    for _ in range(3):
        found, wanted = ours.step(action), loop.step(action)
        assert all(np.array_equal(found[0][name], part) for name, part in wanted[0].items())
    timed: dict[str, Callable[[], Any]] = {
        "edgebook": lambda: ours.step(action),
        "gymnasium, SyncVectorEnv": lambda: loop.step(action),
    }
    contest(f"a step of {WORLDS} worlds, {BEAMS} beams", timed, 20)


def test_a_plan_for_many_worlds(contest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_worlds(range(WORLDS))
    belief, speed = cast(world, world.start, beam_angles(BEAMS)), np.ones((WORLDS, 2))
    goal = np.full((WORLDS, 2), 5.0)

    def with_numpy() -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(control, "kernels", lambda: numpy_kernels)
            return plan(belief, goal, speed)

    assert np.array_equal(with_numpy(), plan(belief, goal, speed))
    timed = {"edgebook, Numba": lambda: plan(belief, goal, speed), "edgebook, NumPy": with_numpy}
    contest(f"a plan for {WORLDS} worlds, 45 rollouts", timed, 5)
