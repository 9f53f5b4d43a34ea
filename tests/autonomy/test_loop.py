"""The loop: arms see the same worlds, faults change nothing before they begin, alarms slow down, late readings."""

from __future__ import annotations

import numpy as np
import pytest

from edgebook.autonomy import Arm, Fault, SenseNavVector, Trip, drive, held, no_memory, plan, remember, straight, stride
from edgebook.autonomy.loop import _Fused

SEEDS = [2000, 2001, 2002]
SPARSE = Arm(lambda scene: (stride(16, 4, scene.step), 10.0))


def envs(**changed: object) -> SenseNavVector:
    options = {"discs": (4, 6), "movers": 2, "beams": 16, "seconds": 4.0} | changed
    return SenseNavVector(len(SEEDS), "Disabled", **options)


def test_a_trip_is_what_a_plain_loop_makes_of_it() -> None:
    """Written out here for one world: plan, fire all beams, remember, until it ends."""
    own = envs()
    trip = drive(own, SEEDS, Arm(lambda scene: (np.ones((1, 16), bool), 10.0)))
    world = SenseNavVector(1, "Disabled", discs=(4, 6), movers=2, beams=16, seconds=4.0)
    seen, _ = world.reset(seed=[2001])
    every, memory, joules, metres, steps, done = np.ones((1, 16), bool), no_memory(1, 16), 0.0, 0.0, 0, False
    memory = remember(memory, seen["scan"], every, seen["moved"])
    while not done:
        move = plan(held(memory), seen["goal"], seen["speed"], margin=0.2)
        action = {"move": move, "beams": every, "gates": np.full((1, 16), 10.0)}
        seen, _, ended, cut, told = world.step(action)
        memory = remember(memory, seen["scan"], every, seen["moved"])
        joules, metres = joules + told["joules"][0], metres + seen["moved"][0, 0]
        steps, done = steps + 1, bool(ended[0] or cut[0])
    assert (trip.steps[1], trip.success[1], trip.collision[1]) == (steps, told["success"][0], told["collision"][0])
    assert trip.joules[1] == pytest.approx(joules) and trip.metres[1] == pytest.approx(metres)


def paths(arm: Arm, fault: Fault | None = None) -> np.ndarray:
    own, seen = envs(), []
    drive(own, SEEDS, arm, fault=fault, watch=lambda scene, glance, live: seen.append(own.now.state.pose.copy()))
    return np.array(seen)


def test_a_fault_changes_nothing_before_it_begins_and_much_after_it() -> None:
    fault = Fault(["fog", "phantom", "bias"], np.array([10, 15, 20]), length=30)
    clean, wrong = paths(SPARSE), paths(SPARSE, fault)
    for world, onset in enumerate(fault.onset):
        assert np.array_equal(clean[: onset + 1, world], wrong[: onset + 1, world])
    least = min(len(clean), len(wrong))
    assert not np.array_equal(clean[:least], wrong[:least])


def test_an_alarm_slows_down_and_fires_all_beams() -> None:
    fired, speeds = [], []

    def watch(scene, glance, live) -> None:
        fired.append(glance.fired.sum(axis=1))
        speeds.append(scene.move[:, 0])

    trip = drive(envs(), SEEDS, SPARSE, monitor=lambda glance: np.ones(3), threshold=0.5, watch=watch)
    assert (np.array(fired)[0] == 4).all() and (np.array(fired)[1:] == 16).all()
    assert np.array(speeds)[1:].max() <= 0.75
    calm = drive(envs(), SEEDS, SPARSE, monitor=lambda glance: np.ones(3), threshold=1.5)
    assert trip.metres.sum() < calm.metres.sum() and trip.joules.sum() > calm.joules.sum()
    assert np.isnan(trip.scores).any() == (len(set(trip.steps)) > 1)


def test_readings_that_are_late_and_aligned_are_right_where_motion_is_steady() -> None:
    rng = np.random.default_rng(0)
    begin = remember(no_memory(2, 16), rng.uniform(1, 9, (2, 16)), np.ones((2, 16), bool), np.zeros((2, 3)))
    moved = np.tile([0.1, 0.0, 0.05], (2, 1))
    in_time, late, aligned = _Fused(begin, 0, False), _Fused(begin, 3, False), _Fused(begin, 3, True)
    for step in range(12):
        scan, fired = rng.uniform(1, 9, (2, 16)), np.broadcast_to(stride(16, 4, step), (2, 16))
        for fused in (in_time, late, aligned):
            fused.take(scan, fired, moved)
        if step == 2:  # no reading has come yet
            assert not np.allclose(held(late.memory), held(in_time.memory))
    np.testing.assert_allclose(held(aligned.memory), held(in_time.memory), atol=1e-9)
    assert isinstance(drive(envs(), SEEDS, SPARSE._replace(late=2, aligned=True)), Trip)
    assert straight(begin)[1].max() == 0
