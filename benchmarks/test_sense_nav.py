"""A step of many worlds to drive in, beside Gymnasium's loop over them and VMAS, and planning beside NumPy.

`SenseNavVector` and `SyncVectorEnv` make the same worlds and the same steps, which is checked first: 64 beams, 14 to 21
discs at rest and 12 in motion. VMAS gets the same discs, walls and beams; its ranges are compared with ours first.
What VMAS needs is in benchmarks/requirements.txt. On an otherwise idle core:
`OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_sense_nav.py`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from edgebook.autonomy import SenseNav, SenseNavVector, beam_angles, cast, control, make_worlds, numpy_kernels, plan
from edgebook.autonomy.world import BODY, DT, NOWHERE, REACH, SIZE, World

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


def vmas_room(world: World) -> Any:
    """A scenario of VMAS with the discs of the first world in all of its worlds, and the walls; nothing is drawn."""
    import torch
    from vmas.simulator.core import Agent, Landmark, Line, Sphere
    from vmas.simulator.core import World as Room
    from vmas.simulator.scenario import BaseScenario
    from vmas.simulator.sensors import Lidar

    here = world.centres[0, :, 0] > NOWHERE
    centres, radii, velocities = (
        torch.tensor(part[0][here], dtype=torch.float32) for part in (world.centres, world.radii, world.velocities)
    )
    walls = [(SIZE / 2, 0.0, 0.0), (SIZE / 2, SIZE, 0.0), (0.0, SIZE / 2, np.pi / 2), (SIZE, SIZE / 2, np.pi / 2)]

    class Scenario(BaseScenario):
        def make_world(self, batch_dim: int, device: torch.device, **_: Any) -> Room:
            room = Room(batch_dim, device, dt=DT, substeps=1)
            eye = Lidar(room, n_rays=BEAMS, max_range=REACH, entity_filter=lambda e: isinstance(e, Landmark))
            room.add_agent(Agent("robot", shape=Sphere(BODY), sensors=[eye], max_speed=1.5))
            discs = [Landmark(f"disc {k}", shape=Sphere(float(radius))) for k, radius in enumerate(radii)]
            self.sides = [Landmark(f"wall {k}", shape=Line(SIZE)) for k in range(4)]
            self.discs, self.moving = discs, [k for k in range(len(discs)) if velocities[k].any()]
            for landmark in [*discs, *self.sides]:
                room.add_landmark(landmark)
            return room

        def reset_world_at(self, env_index: int | None = None) -> None:
            self.world.agents[0].set_pos(torch.tensor(world.start[0, :2], dtype=torch.float32), env_index)
            for disc, centre in zip(self.discs, centres, strict=True):
                disc.set_pos(centre, env_index)
            for side, (x, y, turn) in zip(self.sides, walls, strict=True):
                side.set_pos(torch.tensor([x, y]), env_index)
                side.set_rot(torch.tensor([turn], dtype=torch.float32), env_index)

        def pre_step(self) -> None:
            for k in self.moving:  # they meet nothing, as ours
                self.discs[k].state.pos = self.discs[k].state.pos + velocities[k] * DT

        def observation(self, agent: Agent) -> Any:
            goal = torch.tensor(world.goal[0], dtype=torch.float32) - agent.state.pos
            return torch.cat([agent.sensors[0].measure(), goal, agent.state.vel], dim=-1)

        def reward(self, agent: Agent) -> Any:
            return -(agent.state.pos - torch.tensor(world.goal[0], dtype=torch.float32)).norm(dim=-1)

    return Scenario()


def test_a_step_beside_vmas(contest: Any) -> None:
    import torch

    vmas = pytest.importorskip("vmas", reason="VMAS is not installed: see benchmarks/requirements.txt")
    ours, world = SenseNavVector(WORLDS), make_worlds([0])
    theirs = vmas.make_env(vmas_room(world), num_envs=WORLDS, device="cpu", continuous_actions=True, seed=0)
    ours.reset(seed=0)
    seen = theirs.reset()[0][:, :BEAMS]
    east = np.array([[*world.start[0, :2], 0.0]])
    assert np.abs(cast(world, east, beam_angles(BEAMS)) - seen.numpy()).max() < 1e-3
    action = {
        "move": np.tile(np.float32([0.5, 0.1]), (WORLDS, 1)), "beams": np.ones((WORLDS, BEAMS), np.int8),
        "gates": np.full((WORLDS, BEAMS), REACH, np.float32),
    }  # fmt: skip
    push = [torch.full((WORLDS, 2), 0.1)]
    timed = {"edgebook": lambda: ours.step(action), "VMAS": lambda: theirs.step(push)}
    contest(f"a step of {WORLDS} worlds, {BEAMS} beams all fired", timed, 20)


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
