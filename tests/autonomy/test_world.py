"""Worlds: ranges against closed forms and against a search along the beam, motion that is kept, seeds that repeat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.autonomy import World, beam_angles, cast, clearance, make_worlds, numpy_kernels, step
from edgebook.autonomy.world import BODY, DT, REACH, SIZE, kernels


def with_discs(*discs: tuple[float, float, float, float, float]) -> World:
    """One world of discs: x, y, radius, and velocity."""
    parts = np.array(discs, np.float64).reshape(1, -1, 5)
    empty = make_worlds([0], discs=(0, 0), movers=0)
    return empty._replace(centres=parts[..., :2], radii=parts[..., 2], velocities=parts[..., 3:])


def at(x: float, y: float, heading: float = 0.0) -> np.ndarray:
    return np.array([[x, y, heading]])


def test_ranges_in_closed_form() -> None:
    world = with_discs((9.0, 5.0, 1.0, 0, 0), (5.0, 2.0, 0.5, 0, 0))
    found = cast(world, at(5.0, 5.0), np.array([0.0, np.pi / 2, np.pi, -np.pi / 2, np.pi / 4]))
    np.testing.assert_allclose(found[0], [3.0, 10.0, 5.0, 2.5, 10.0], atol=1e-12)
    tangent = np.arcsin(1 / 4)  # just beside it a beam meets the disc at the length of the tangent, or passes by
    inner, outer = cast(world, at(5.0, 5.0), np.array([tangent - 1e-9, tangent + 1e-9]))[0]
    assert inner == pytest.approx(np.sqrt(15), abs=1e-3) and outer == REACH
    slant = cast(with_discs(), at(3.0, 10.0), np.array([np.pi - 0.4]))  # a wall at an angle
    assert slant[0, 0] == pytest.approx(3 / np.cos(0.4))
    assert (cast(world, at(9.3, 5.2), beam_angles(8)) == 0).all()  # within a disc
    assert cast(world, at(5.0, 5.0), np.zeros(1), reach=2.0)[0, 0] == 2.0


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(-3, 3))
def test_no_beam_enters_what_it_meets(seed: int, heading: float) -> None:
    """Brute force: along each beam all is free before its range, and something begins at it."""
    world = make_worlds([seed])
    pose = np.array([[*world.start[0, :2], heading]])
    angles = beam_angles(7)
    found = cast(world, pose, angles)[0]
    along = np.linspace(0, 1, 400)[:, None, None] * found[:, None]  # (400, 7, 1)
    way = np.stack([np.cos(heading + angles), np.sin(heading + angles)], axis=-1)
    places = pose[0, :2] + along * way

    def free(where: np.ndarray) -> np.ndarray:
        discs = np.linalg.norm(where[..., None, :] - world.centres[0], axis=-1) - world.radii[0]
        return np.minimum(discs.min(axis=-1), np.minimum(where, SIZE - where).min(axis=-1))

    assert (free(places) > -1e-9).all()
    ends = pose[0, :2] + (found[:, None] + 1e-6) * way
    assert (free(ends)[found < REACH] < 1e-9).all()


def test_both_kinds_of_kernels_and_any_batch_are_equal_to_the_last_bit() -> None:
    world = make_worlds(range(64))
    angles, pose = beam_angles(64), world.start + np.array([0.0, 0.0, 0.3])
    whole = cast(world, pose, angles)
    for b in (0, 17, 63):
        one = World(*(part[b : b + 1] for part in world))
        assert np.array_equal(cast(one, pose[b : b + 1], angles), whole[b : b + 1])
        for several, alone in zip(step(world, pose, pose[:, 1:], pose[:, :2]), step(one, pose[b : b + 1],
                                  pose[b : b + 1, 1:], pose[b : b + 1, :2]), strict=True):  # fmt: skip
            pairs = zip(several, alone, strict=True) if isinstance(several, World) else [(several, alone)]
            assert all(np.array_equal(many[b : b + 1], single) for many, single in pairs)
    rng = np.random.default_rng(0)
    along = rng.normal(size=(5, 9, 2))
    along /= np.linalg.norm(along, axis=2, keepdims=True)
    along[:, :4] = [[1, 0], [-1, 0], [0, 1], [0, -1]]
    given_ = rng.uniform(0, SIZE, (5, 2)), along, rng.uniform(0, SIZE, (5, 40, 2)), rng.uniform(0, 2, (5, 40))
    assert np.array_equal(kernels().cast(*given_, SIZE, REACH), numpy_kernels.cast(*given_, SIZE, REACH))
    x, y, points = rng.normal(size=(3, 6)), rng.normal(size=(3, 6)), rng.normal(size=(3, 8, 2))
    points[0, 2:], points[1] = np.nan, np.nan
    found = numpy_kernels.nearest(x, y, points)
    assert np.array_equal(kernels().nearest(x, y, points), found)
    wanted = np.min((x[2] - points[2, :, :1]) ** 2 + (y[2] - points[2, :, 1:]) ** 2, axis=0)
    np.testing.assert_allclose(found[2], wanted)
    assert np.isinf(found[1]).all()


def test_movers_stay_between_walls_and_keep_their_energy() -> None:
    world = with_discs((1.0, 2.0, 0.4, -1.3, 0.7), (19.0, 19.0, 0.5, 1.1, 1.2), (5.0, 5.0, 1.0, 0, 0))
    energy = (world.velocities**2).sum(axis=2)
    for _ in range(400):
        world, *_ = step(world, at(10, 10), np.zeros((1, 2)), np.zeros((1, 2)))
        off = np.minimum(world.centres, SIZE - world.centres).min(axis=2) - world.radii
        assert (off >= -1e-9).all()
    np.testing.assert_allclose((world.velocities**2).sum(axis=2), energy)
    assert world.centres[0, 2].tolist() == [5.0, 5.0]


def test_a_constant_command_drives_a_circle() -> None:
    """Radius v / w but for the chord of a step, back after a whole turn, and the parts moved add up to the way."""
    world, pose, speed = with_discs(), at(10.0, 10.0), np.array([[1.0, 0.5]])
    turn, place, heading = round(2 * np.pi / (0.5 * DT)), np.array([10.0, 10.0]), 0.0
    places = []
    for _ in range(turn):
        world, pose, speed, moved = step(world, pose, speed, np.array([[1.0, 0.5]]))
        c, s = np.cos(heading), np.sin(heading)
        place = place + np.array([[c, -s], [s, c]]) @ moved[0, :2]
        heading += moved[0, 2]
        places.append(pose[0, :2])
        np.testing.assert_allclose(place, pose[0, :2], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(np.array(places) - [10.0, 12.0], axis=1), 2.0, atol=0.01)
    np.testing.assert_allclose(pose[0, :2], [10.0, 10.0], atol=0.05)


def test_drives_are_limited_and_clearance_is_to_the_edge() -> None:
    world = with_discs((8.0, 5.0, 1.0, 0, 0))
    *_, speed, _ = step(world, at(5.0, 5.0), np.zeros((1, 2)), np.array([[-3.0, 9.0]]))
    np.testing.assert_allclose(speed, [[0.0, 0.6]])
    assert clearance(world, at(5.0, 5.0))[0] == pytest.approx(2.0 - BODY)
    assert clearance(world, at(7.5, 5.0))[0] == pytest.approx(-0.5 - BODY)
    assert clearance(make_worlds([0], discs=(0, 0), movers=0), at(0.1, 5.0))[0] == pytest.approx(0.1 - BODY)


@pytest.mark.parametrize("kind", ["known", "novel", "trap"])
def test_worlds_repeat_and_have_room_at_both_ends(kind: str) -> None:
    world = make_worlds(range(40), discs=(14, 21), movers=4, kind=kind)
    again = make_worlds([39], discs=(14, 21), movers=4, kind=kind)
    assert all(np.array_equal(part[39:], other) for part, other in zip(world, again, strict=True))
    assert (np.linalg.norm(world.goal - world.start[:, :2], axis=1) >= 12).all()
    assert np.isfinite(world.centres).all() and ((world.goal > 1) & (world.goal < 19)).all()
    still = ~world.velocities.any(axis=2)
    for end in (world.start[:, :2], world.goal):
        room = np.linalg.norm(world.centres - end[:, None], axis=2) - world.radii
        assert (room[still] > 1 - 1e-9).all()
    assert (clearance(world, world.start) > 0).all()
    assert (np.count_nonzero(~still, axis=1) == 4).all()


def test_a_trap_closes_on_a_robot_that_drives_straight() -> None:
    """The first one meets it after 3 s, but where walls are in its way, and comes from behind."""
    world = make_worlds(range(30), discs=(0, 0), movers=1, kind="trap")
    unit = np.stack([np.cos(world.start[:, 2]), np.sin(world.start[:, 2])], axis=1)
    gaps, ahead = [], []
    for seconds in np.linspace(0, 4, 81):
        away = world.centres[:, 0] + seconds * world.velocities[:, 0] - world.start[:, :2] - 1.2 * seconds * unit
        gaps.append(np.linalg.norm(away, axis=1))
        ahead.append((away * unit).sum(axis=1) / gaps[-1])
    assert np.median(np.min(gaps, axis=0)) < 0.1
    assert np.median(ahead[0]) < 0.5


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"discs": (5, 3)}, "the most discs must be at least 5, got 3"),
        ({"movers": 1.5}, "movers must be a whole number"),
        ({"kind": "unknown"}, "kind must be one of known, novel, trap"),
        ({"seeds": [-1]}, "a seed must be at least 0"),
    ],
)
def test_other_worlds_are_refused(given_: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_worlds(**({"seeds": [0]} | given_))
