"""Environments: Gymnasium's own check, the vector against its loop over single ones, seeds, charges, endings."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

from edgebook.autonomy import SenseNav, SenseNavVector, beam_angles, cast
from edgebook.autonomy.environment import draws

SMALL: dict[str, Any] = {"beams": 8, "discs": (4, 6), "movers": 2, "seconds": 1.5}


def action(envs: gymnasium.vector.VectorEnv, rng: np.random.Generator) -> dict[str, np.ndarray]:
    count = envs.num_envs
    return {
        "move": rng.uniform([0, -1.5], [1.5, 1.5], (count, 2)).astype(np.float32),
        "beams": rng.integers(0, 2, (count, 8)).astype(np.int8),
        "gates": rng.uniform(0, 10, (count, 8)).astype(np.float32),
    }


@pytest.mark.filterwarnings("ignore:.*recommend using a symmetric")  # these actions are in m/s, rad/s and m
def test_gymnasium_finds_no_fault() -> None:
    check_env(gymnasium.make("edgebook/SenseNav-v0", disable_env_checker=True, **SMALL).unwrapped)


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


@pytest.mark.parametrize("seed", [3, [7, 100, None, 5]])
def test_the_vector_is_a_loop_over_single_ones(seed: Any) -> None:
    """Also where episodes end and begin anew; a world that is given no seed is drawn, and differs."""
    loop = SyncVectorEnv([lambda: SenseNav(**SMALL)] * 4)
    whole = gymnasium.make_vec("edgebook/SenseNav-v0", num_envs=4, **SMALL)
    assert isinstance(whole, SenseNavVector)
    assert whole.action_space == loop.action_space and whole.observation_space == loop.observation_space
    rng, ended, given = np.random.default_rng(0), 0, isinstance(seed, int)
    known = slice(None) if given else [0, 1, 3]
    for shot in (loop.reset(seed=seed), whole.reset(seed=seed)):
        assert whole.observation_space.contains(shot[0])
    for _ in range(15 if not given else 40):
        chosen = action(loop, rng)
        one, other = loop.step(chosen), whole.step(chosen)
        for a, b in zip(one[:4], other[:4], strict=True):
            a, b = ({"": part} if not isinstance(part, dict) else part for part in (a, b))
            same({name: part[known] for name, part in a.items()}, {name: part[known] for name, part in b.items()})
        if given:
            same(one[4], other[4])
        ended += int((other[2] | other[3]).sum())
    assert ended >= 4


def test_a_seed_repeats_and_is_that_of_the_world() -> None:
    runs = []
    for _ in range(2):
        envs, rng = SenseNavVector(2, **SMALL), np.random.default_rng(1)
        seen, _ = envs.reset(seed=[2000, 2001])
        runs.append([seen["scan"], *(envs.step(action(envs, rng))[0]["scan"] for _ in range(5))])
    assert all(np.array_equal(one, other) for one, other in zip(*runs, strict=True))
    alone = SenseNav(**SMALL)
    assert np.array_equal(alone.reset(seed=2001)[0]["scan"], runs[0][0][1])


def test_a_scan_shows_what_is_fired_up_to_its_gate_and_is_charged() -> None:
    envs = SenseNavVector(3, noise=0.0, e0=1.0, e1=100.0, **SMALL)
    envs.reset(seed=5)
    chosen = action(envs, np.random.default_rng(2))
    seen, _, _, _, told = envs.step(chosen)
    truth = cast(envs.now.state.world, envs.now.state.pose, beam_angles(8))
    fired = chosen["beams"] == 1
    wanted = np.where(fired, np.minimum(truth, chosen["gates"]), 10.0)
    np.testing.assert_allclose(seen["scan"], wanted, atol=1e-5)
    cost = (fired * (1 + 100 * (chosen["gates"].astype(float) / 10) ** 4)).sum(axis=1)
    np.testing.assert_allclose(told["joules"], cost, rtol=1e-6)
    pose = told["pose"]
    c, s = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    x = pose[:, 0] + c * seen["goal"][:, 0] - s * seen["goal"][:, 1]
    np.testing.assert_allclose(x, envs.now.state.world.goal[:, 0], atol=1e-4)


def test_rewards_and_ends() -> None:
    """Straight to the goal in an empty room: progress adds up to the way, and 10 at the end."""
    env = SenseNav(beams=4, discs=(0, 0), movers=0, price=1e3)
    env.reset(seed=0)
    way = np.hypot(*(env.now.state.world.goal - env.now.state.world.start[:, :2])[0])
    chosen = {"move": np.float32([1.5, 0]), "beams": np.int8([1, 0, 0, 0]), "gates": np.full(4, 10, np.float32)}
    total, ended, steps = 0.0, False, 0
    while not ended:
        _, reward, ended, cut, told = env.step(chosen)
        total, steps = total + reward, steps + 1
        assert not cut
    left = np.hypot(*(env.now.state.world.goal - env.now.state.pose[:, :2])[0])
    assert told["success"] and left < 0.5
    assert total == pytest.approx(way - left + 10 - steps * (0.01 + 1e3 * 1.1e-5))


def test_a_finished_world_stays_as_it_is_where_it_does_not_begin_anew() -> None:
    envs = SenseNavVector(3, autoreset_mode="Disabled", **SMALL)
    envs.reset(seed=1)
    chosen = action(envs, np.random.default_rng(0)) | {"move": np.full((3, 2), [1.5, 0.0], np.float32)}
    for _ in range(15):
        last = envs.step(chosen)
    assert (last[2] | last[3]).all()
    again = envs.step(chosen)
    same(last[0], again[0])
    assert np.array_equal(last[2], again[2]) and np.array_equal(last[3], again[3])
    assert not again[1].any() and not again[4]["joules"].any()
    envs.reset(options={"reset_mask": np.array([True, False, False])})
    seen, reward, ended, cut, _ = envs.step(chosen)
    assert not (ended | cut)[0] and (ended | cut)[1:].all() and reward[0] != 0
    assert np.array_equal(seen["scan"][1:], last[0]["scan"][1:])


def test_noise_belongs_to_world_step_and_beam() -> None:
    seeds, steps = np.arange(200, dtype=np.uint64), np.arange(200)
    found = draws(seeds, steps, 64)
    assert np.array_equal(draws(seeds[5:6], steps[5:6], 64), found[5:6])
    assert len(np.unique(found)) > 0.9 * found.size
    assert abs(found.mean()) < 0.03 and abs(found.std() - 1) < 0.03
    assert abs(np.corrcoef(found[1:].ravel(), found[:-1].ravel())[0, 1]) < 0.03


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="NextStep or Disabled, got SameStep"):
        SenseNavVector(2, autoreset_mode="SameStep")
    with pytest.raises(ValueError, match="a seed for each of the 2 worlds, got 3"):
        SenseNavVector(2, **SMALL).reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="begins with reset"):
        SenseNavVector(2, **SMALL).step({})
    with pytest.raises(ValueError, match="beams must be at least 1"):
        SenseNav(beams=0)


@pytest.mark.alone
def test_without_gymnasium_the_rest_of_the_wing_works() -> None:
    """Only what is an environment asks for it, in one sentence."""
    program = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "from edgebook.autonomy import cast, make_worlds\n"
        "try:\n    from edgebook.autonomy import SenseNav\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "edgebook.autonomy.SenseNav needs Gymnasium: pip install 'edgebook[autonomy]'.\n"
