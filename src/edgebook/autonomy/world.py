"""Rooms with discs at rest and in motion, a unicycle that drives through them, and a range sensor: batches of worlds.

All arrays have a first axis of B worlds. Lengths are metres, times seconds, angles radians; x and y are those of the
room, and beams turn left from the heading. A moving disc is reflected at walls and passes through other discs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from edgebook.measure.arguments import whole

Array = NDArray[np.float64]
Kind = Literal["known", "novel", "trap"]

SIZE, REACH, DT = 20.0, 10.0, 0.1  # side of the room, longest range, one step
BODY, GOAL = 0.25, 0.5  # radius of the robot; how near is there
FASTEST = np.array([1.5, 1.5])  # m/s ahead, rad/s either way
PUSH = np.array([2.0, 6.0])  # by how much these change in a second at most
NOWHERE = -1e3  # coordinate of a disc that is not there


class World(NamedTuple):
    """B rooms with up to K discs each; discs that are not there lie far outside."""

    centres: Array  # (B, K, 2)
    velocities: Array  # (B, K, 2)
    radii: Array  # (B, K)
    start: Array  # (B, 3), x, y and heading
    goal: Array  # (B, 2)
    seeds: NDArray[np.uint64]  # (B,)


@cache
def kernels() -> ModuleType:
    """Return what computes ranges and distances: compiled where Numba is installed, else NumPy."""
    if find_spec("numba") is None:
        from edgebook.autonomy import numpy_kernels

        return numpy_kernels
    from edgebook.autonomy import numba_kernels

    return numba_kernels


def make_worlds(
    seeds: Sequence[int], discs: tuple[int, int] = (14, 21), movers: int = 12, kind: Kind = "known"
) -> World:
    """Draw a world for each seed; start and goal are at least 12 m apart, and the robot faces the goal.

    Parameters
    ----------
    seeds : sequence of int, at least 0; a world depends on its own seed alone
    discs : tuple of two ints, fewest and most discs at rest, radius 0.4 to 1.2 m
    movers : int, discs in motion, radius 0.3 to 0.5 m, 0.2 to 0.7 m/s
    kind : {"known", "novel", "trap"}
        "novel" has walls of four discs in a row instead of single ones; in "trap" the movers overtake from behind, on a
        course to meet a robot that drives straight for the goal

    Returns
    -------
    World

    Raises
    ------
    ValueError
        Numbers that are not whole or out of order, or an unknown kind.

    Examples
    --------
    >>> world = make_worlds([7, 8], discs=(3, 5), movers=1)
    >>> world.centres.shape, bool((world.goal > 0).all())
    ((2, 6, 2), True)
    >>> World(*(part[:1] for part in world)).radii.shape  # the first of them
    (1, 6)
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}.")
    fewest = whole("the fewest discs", discs[0], 0)
    bounds = fewest, whole("the most discs", discs[1], fewest), whole("movers", movers, 0)
    drawn = [_drawn(whole("a seed", seed, 0), *bounds, kind) for seed in seeds]
    parts = [np.stack(part) for part in zip(*drawn, strict=True)]
    return World(*parts, np.array([int(seed) for seed in seeds], np.uint64))


def _drawn(seed: int, fewest: int, most: int, movers: int, kind: str) -> tuple[Array, ...]:
    """Draw one world: centres, velocities, radii, start and goal."""
    rng = np.random.default_rng(seed)
    ends = rng.uniform(1.0, SIZE - 1.0, (1, 2, 2))
    while np.hypot(*(ends[0, 1] - ends[0, 0])) < 12.0:
        ends = rng.uniform(1.0, SIZE - 1.0, (32, 2, 2))
        ends = ends[np.argsort(np.hypot(*(ends[:, 1] - ends[:, 0]).T) < 12.0, kind="stable")]  # the first that is
    start, goal = ends[0]
    course = np.arctan2(*(goal - start)[::-1])
    count = int(rng.integers(fewest, most + 1))
    centres = np.full((most + movers, 2), NOWHERE)
    radii, velocities = np.zeros(most + movers), np.zeros((most + movers, 2))
    at, wide = _row_discs(rng, count) if kind == "novel" else (rng.uniform(0, SIZE, (count, 2)), _wide(rng, count))
    free = np.minimum(np.hypot(*(at - start).T), np.hypot(*(at - goal).T)) > wide + 1.0
    at[~free] = NOWHERE
    centres[:count], radii[:count] = at, wide
    radii[most:] = rng.uniform(0.3, 0.5, movers)
    speed, way = rng.uniform(0.2, 0.7, movers), rng.uniform(-np.pi, np.pi, movers)
    places = rng.uniform(0.5, SIZE - 0.5, (movers, 2))
    if kind == "trap":  # where the robot would be at 1.2 m/s, and back along a faster course from behind
        speed, way = np.full(movers, 1.5), course + rng.choice([-1.0, 1.0], movers) * rng.uniform(0.3, 1.0, movers)
        times = 3.0 * np.arange(1, movers + 1)[:, None]
        relative = 1.2 * np.array([np.cos(course), np.sin(course)]) - speed[:, None] * _unit(way)
        places = np.clip(start + times * relative, 0.5, SIZE - 0.5)
    else:
        near = np.hypot(*(places - start).T) < 3.0
        places[near] = SIZE - places[near]
    centres[most:], velocities[most:] = places, speed[:, None] * _unit(way)
    return centres, velocities, radii, np.array([*start, course]), goal


def _wide(rng: np.random.Generator, count: int) -> Array:
    return rng.uniform(0.4, 1.2, count)


def _row_discs(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Return centres and radii of discs that overlap in rows of four, which make walls of 2.9 m."""
    rows = -(-count // 4)
    middle, way = rng.uniform(0, SIZE, (rows, 1, 2)), rng.uniform(-np.pi, np.pi, (rows, 1))
    at = middle + 0.7 * np.array([-1.5, -0.5, 0.5, 1.5])[:, None] * _unit(way)
    return at.reshape(-1, 2)[:count], np.full(count, 0.4)


def _unit(angle: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def beam_angles(beams: int) -> Array:
    """Return the angles of beams all around, from the heading to the left.

    Parameters
    ----------
    beams : int

    Returns
    -------
    numpy.ndarray, (N,), rad, in [0, 2 pi)

    Examples
    --------
    >>> beam_angles(4).round(2).tolist()
    [0.0, 1.57, 3.14, 4.71]
    """
    return 2 * np.pi * np.arange(whole("beams", beams)) / beams


def cast(world: World, pose: Array, angles: Array, reach: float = REACH) -> Array:
    """Return the true range of each beam: the distance to the nearest disc or wall, `reach` where none is nearer.

    Parameters
    ----------
    world : World
    pose : numpy.ndarray, (B, 3), x, y and heading; within a disc all ranges are 0
    angles : numpy.ndarray, (N,), rad from the heading to the left
    reach : float, m, the longest range

    Returns
    -------
    numpy.ndarray, (B, N), m

    Examples
    --------
    >>> empty = make_worlds([0], discs=(0, 0), movers=0)
    >>> cast(empty, np.array([[5.0, 4.0, np.pi / 2]]), beam_angles(4)).round(6).tolist()
    [[10.0, 5.0, 4.0, 10.0]]
    """
    unit, turn = _unit(np.asarray(angles, np.float64)), _unit(pose[:, 2])
    x = turn[:, :1] * unit[:, 0] - turn[:, 1:] * unit[:, 1]  # (B, N), by the sum of angles: fewer cosines
    y = turn[:, 1:] * unit[:, 0] + turn[:, :1] * unit[:, 1]
    position = np.ascontiguousarray(pose[:, :2])
    return kernels().cast(position, np.stack([x, y], axis=-1), world.centres, world.radii, SIZE, float(reach))


def clearance(world: World, pose: Array) -> Array:
    """Return the room that is left between the robot's edge and the nearest disc or wall; below 0 it has collided.

    Parameters
    ----------
    world : World
    pose : numpy.ndarray, (B, 3)

    Returns
    -------
    numpy.ndarray, (B,), m

    Examples
    --------
    >>> empty = make_worlds([0], discs=(0, 0), movers=0)
    >>> clearance(empty, np.array([[1.0, 5.0, 0.0]])).tolist()
    [0.75]
    """
    away = world.centres - pose[:, None, :2]
    discs = np.sqrt(away[..., 0] ** 2 + away[..., 1] ** 2) - world.radii
    walls = np.minimum(pose[:, :2], SIZE - pose[:, :2]).min(axis=1)
    return np.minimum(discs.min(axis=1, initial=np.inf), walls) - BODY


def step(world: World, pose: Array, speed: Array, command: Array) -> tuple[World, Array, Array, Array]:
    """Move discs and robots on by one step of 0.1 s.

    Parameters
    ----------
    world : World
    pose, speed : numpy.ndarray, (B, 3) and (B, 2), m/s ahead and rad/s to the left
    command : numpy.ndarray, (B, 2), the speed that is wanted, taken up as fast as the drive allows, within its limits

    Returns
    -------
    tuple of World and three numpy.ndarrays, the world, pose and speed after it, and what the robot moved, (B, 3), in
    its own frame before the step

    Examples
    --------
    >>> world = make_worlds([0], discs=(0, 0), movers=0)
    >>> _, _, speed, moved = step(world, world.start, np.zeros((1, 2)), np.array([[9.0, 0.0]]))
    >>> speed.tolist(), moved.round(3).tolist()
    ([[0.2, 0.0]], [[0.02, 0.0, 0.0]])
    """
    speed = reached(speed, command, DT)
    turn = speed[:, 1] * DT
    moved = np.concatenate([(speed[:, :1] * DT) * _unit(turn / 2), turn[:, None]], axis=1)
    unit = _unit(pose[:, 2])
    x = unit[:, 0] * moved[:, 0] - unit[:, 1] * moved[:, 1]
    y = unit[:, 1] * moved[:, 0] + unit[:, 0] * moved[:, 1]
    after = pose + np.stack([x, y, turn], axis=1)
    after[:, 2] = np.remainder(after[:, 2] + np.pi, 2 * np.pi) - np.pi
    centres, velocities = world.centres + world.velocities * DT, world.velocities
    moving, least = np.any(velocities != 0, axis=2, keepdims=True), world.radii[..., None]
    low, high = moving & (centres < least), moving & (centres > SIZE - least)
    centres = np.where(low, 2 * least - centres, np.where(high, 2 * (SIZE - least) - centres, centres))
    velocities = np.where(low, np.abs(velocities), np.where(high, -np.abs(velocities), velocities))
    return world._replace(centres=centres, velocities=velocities), after, speed, moved


def reached(speed: Array, command: Array, seconds: float) -> Array:
    """Return the speed (..., 2) that the drive has come to on its way to what is wanted."""
    wanted = np.clip(command, [0.0, -FASTEST[1]], FASTEST)
    return np.clip(wanted, speed - PUSH * seconds, speed + PUSH * seconds)
