"""From ranges to a command: rollouts of a drive that cannot jump, the nearest obstacle of each, the best of them.

Dynamic window (Fox, Burgard & Thrun, 1997): what the drive can do within a horizon, judged by where it ends and by how
much room is left on the way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgebook.autonomy.world import BODY, FASTEST, REACH, beam_angles, kernels, reached
from edgebook.measure.arguments import whole

Array = NDArray[np.float64]
STRIDE, STEPS = 0.2, 10  # s, and how many: a horizon of 2 s
ROOM = 0.6  # m, less room than this costs, up to 1 m of the way
SPEEDS = 5  # from rest to the fastest


def commands(rollouts: int) -> Array:
    """Return the speeds that are tried: five ahead, each with as many turns.

    Parameters
    ----------
    rollouts : int, a multiple of 5

    Returns
    -------
    numpy.ndarray, (R, 2), m/s and rad/s

    Raises
    ------
    ValueError
        No multiple of 5.

    Examples
    --------
    >>> commands(15)[:3].tolist()
    [[0.0, -1.5], [0.0, 0.0], [0.0, 1.5]]
    """
    turns, rest = divmod(whole("rollouts", rollouts, SPEEDS), SPEEDS)
    if rest:
        raise ValueError(f"rollouts must be a multiple of {SPEEDS}, got {rollouts}.")
    around = np.linspace(-FASTEST[1], FASTEST[1], turns) if turns > 1 else np.zeros(1)
    return np.stack(np.meshgrid(np.linspace(0, FASTEST[0], SPEEDS), around, indexing="ij"), axis=-1).reshape(-1, 2)


def plan(belief: Array, goal: Array, speed: Array, *, rollouts: int = 45, margin: Array | float = 0.2) -> Array:
    """Return the command whose rollout ends nearest to the goal with room on its way.

    Parameters
    ----------
    belief : numpy.ndarray, (B, N), m, ranges all around from the heading to the left; 10 is free
    goal : numpy.ndarray, (B, 2), m, in the robot's frame
    speed : numpy.ndarray, (B, 2), m/s and rad/s, as the robot drives now
    rollouts : int, how many commands are tried, a multiple of 5
    margin : numpy.ndarray or float, (B,), m, room below which a rollout counts as a collision

    Returns
    -------
    numpy.ndarray, (B, 2), m/s and rad/s

    Raises
    ------
    ValueError
        Rollouts that are no multiple of 5.

    Examples
    --------
    >>> plan(np.full((1, 64), 10.0), np.array([[5.0, 0.0]]), np.zeros((1, 2))).tolist()
    [[1.5, 0.0]]
    """
    tried = commands(rollouts)
    belief, goal, speed = (np.asarray(part, np.float64) for part in (belief, goal, speed))
    x, y = rolled_out(speed, tried)  # (H, B, R)
    along = beam_angles(belief.shape[1])
    points = belief[..., None] * np.stack([np.cos(along), np.sin(along)], axis=-1)
    points[belief >= REACH] = np.nan
    flat = [np.ascontiguousarray(np.moveaxis(part, 0, 1)).reshape(len(belief), -1) for part in (x, y)]
    room = np.sqrt(kernels().nearest(*flat, points)).reshape(len(belief), STEPS, -1) - BODY  # (B, H, R)
    hits = room < np.reshape(margin, (-1, 1, 1))
    steps_free = np.where(hits.any(axis=1), hits.argmax(axis=1), STEPS)  # (B, R)
    left = np.sqrt((x - goal[:, :1]) ** 2 + (y - goal[:, 1:]) ** 2).min(axis=0)  # where it comes nearest to the goal
    tight = np.maximum(ROOM - room.min(axis=1), 0.0) / ROOM
    cost = np.where(steps_free < STEPS, 1e3 - 50.0 * steps_free - 10.0 * room.mean(axis=1), left + tight)
    return tried[cost.argmin(axis=1)]


def rolled_out(speed: Array, tried: Array) -> tuple[Array, Array]:
    """Return where each command (R, 2) takes each robot, x and y (H, B, R) in its frame, every 0.2 s."""
    now = np.broadcast_to(speed[:, None], (len(speed), *tried.shape))
    x = y = heading = np.zeros(now.shape[:2])
    places = []
    for _ in range(STEPS):
        now = reached(now, tried, STRIDE)
        middle, way = heading + now[..., 1] * (STRIDE / 2), now[..., 0] * STRIDE
        x, y, heading = x + way * np.cos(middle), y + way * np.sin(middle), heading + now[..., 1] * STRIDE
        places.append((x, y))
    xs, ys = zip(*places, strict=True)
    return np.stack(xs), np.stack(ys)
