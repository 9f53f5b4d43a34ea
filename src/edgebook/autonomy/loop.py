"""The loop itself: returns become a belief, a belief a command, and both say where to look next.

What an arm of a comparison does differently is in `Arm`; all else is the same for all arms, and so are worlds and
noise. Readings of the robot's own motion may come late, ranges may be wrong for a while, and a monitor may say so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgebook.autonomy.control import plan
from edgebook.autonomy.environment import SenseNavVector
from edgebook.autonomy.memory import Memory, held, no_memory, remember
from edgebook.autonomy.monitor import Corruption, corrupt
from edgebook.autonomy.world import REACH, cast

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
STALE = 5  # steps by which ranges are too old under the fault "stale"
CAUTION, PATIENCE, WIDER = 10, 5, 0.15  # steps that an alarm lasts, of alarms until another sensor is asked; m
SONAR = 8  # sectors of that other sensor, which is coarse and right


class Scene(NamedTuple):
    """What is known when a command and beams are chosen."""

    step: int
    memory: Memory
    belief: Array  # (B, N), m
    spread: Array  # (B, N), m, how far each range may be off; 0 where a belief does not say
    goal: Array  # (B, 2), in the robot's frame
    speed: Array  # (B, 2)
    move: Array  # (B, 2), the command; zeros while it is being chosen
    margin: Array  # (B,), m, room below which a way is closed


class Glance(NamedTuple):
    """What a monitor is shown of one step."""

    scan: Array  # (B, N), what fired beams return
    fired: Mask  # (B, N)
    expected: Array  # (B, N), what was believed of them before
    belief: Array  # (B, N), what is believed now


class Fault(NamedTuple):
    """Sensors that are wrong for a while, each in a way of its own."""

    kinds: Sequence[Corruption]  # B
    onset: NDArray[np.int64]  # (B,), step
    length: int  # steps
    seed: int = 0


def straight(memory: Memory) -> tuple[Array, Array]:
    """Return what a memory holds, as a belief that does not say how far it may be off.

    Parameters
    ----------
    memory : Memory

    Returns
    -------
    tuple of two numpy.ndarrays, (B, N), m, ranges and zeros
    """
    found = held(memory)
    return found, np.zeros_like(found)


def best_way(scene: Scene) -> Array:
    """Return the command that `plan` finds with all of its rollouts.

    Parameters
    ----------
    scene : Scene

    Returns
    -------
    numpy.ndarray, (B, 2), m/s and rad/s
    """
    return plan(scene.belief, scene.goal, scene.speed, margin=scene.margin)


class Arm(NamedTuple):
    """What one arm of a comparison does: which beams it fires and how far, what it believes, how it acts."""

    look: Callable[[Scene], tuple[Mask, Array | float]]
    believe: Callable[[Memory], tuple[Array, Array]] = straight
    act: Callable[[Scene], Array] = best_way
    late: int = 0  # steps by which readings of the robot's own motion are late
    aligned: bool = False  # whether late readings are put where they belong


class Trip(NamedTuple):
    """How B episodes went."""

    success: Mask  # (B,)
    collision: Mask
    steps: NDArray[np.int64]
    metres: Array
    joules: Array  # that the sensor took
    scores: Array  # (T, B), of the monitor, NaN after the end of an episode and where there is none


def drive(
    envs: SenseNavVector, seeds: Sequence[int], arm: Arm, *, margin: float = 0.2, fault: Fault | None = None,
    monitor: Callable[[Glance], Array] | None = None, threshold: float = np.inf, sonar: bool = True,
    watch: Callable[[Scene, Glance, Mask], None] | None = None,
) -> Trip:  # fmt: skip
    """Drive one episode in each world of an environment that does not begin anew by itself.

    An alarm, a score above the threshold, lasts for a second: all beams are fired at their longest range, the speed
    ahead is halved and ways are closed that leave less room. Where it goes on for half a second, eight coarse ranges of
    another sensor take the place of all beams until it ends.

    Parameters
    ----------
    envs : SenseNavVector, B worlds, with the autoreset mode "Disabled"
    seeds : sequence of int, B, of the worlds
    arm : Arm
    margin : float, m, room below which a way is closed
    fault : Fault, optional, in what fired beams return
    monitor : callable, optional, a glance to scores (B,)
    threshold : float
    sonar : bool, whether there is another sensor to ask
    watch : callable, optional, gets scene, glance and which episodes go on (B,) at each step

    Returns
    -------
    Trip

    Examples
    --------
    >>> from edgebook.autonomy import stride
    >>> envs = SenseNavVector(2, "Disabled", discs=(3, 5), movers=0, beams=16)
    >>> trip = drive(envs, [2000, 2001], Arm(lambda scene: (stride(16, 4, scene.step), 10.0)))
    >>> type(trip).__name__, trip.success.tolist(), bool((trip.metres > 11).all())
    ('Trip', [True, True], True)
    """
    seen, told = envs.reset(seed=list(seeds))
    count, beams = seen["scan"].shape
    every, live = np.ones((count, beams), bool), np.ones(count, bool)
    success, collision = ~live, ~live
    steps, metres, joules = np.zeros(count, np.int64), np.zeros(count), np.zeros(count)
    fused = _Fused(remember(no_memory(count, beams), seen["scan"], every, seen["moved"]), arm.late, arm.aligned)
    sensor, care, scores = _Sensor(envs, fault), _Care(count), []
    while live.any():
        belief, spread = arm.believe(fused.memory)
        wide = margin + WIDER * care.now
        still = np.zeros((count, 2))
        scene = Scene(len(scores), fused.memory, belief, spread, seen["goal"], seen["speed"], still, wide)
        move = arm.act(scene) * np.where(care.now[:, None], [0.5, 1.0], 1.0)
        scene = scene._replace(move=move)
        fired, gates = (np.broadcast_to(part, every.shape) for part in arm.look(scene))
        fired, gates = fired | care.now[:, None], np.where(care.now[:, None], REACH, gates)
        seen, _, ended, cut, told = envs.step({"move": move, "beams": fired, "gates": gates})
        scan = np.where(fired & (seen["scan"] >= gates.astype(np.float32)), REACH, seen["scan"])
        scan = sensor.returns(scan, fired, len(scores))
        expected = held(remember(fused.memory, scan, ~every, seen["moved"])) if monitor else belief
        if sonar and care.long.any():
            scan, fired = np.where(care.long[:, None], sensor.coarse(), scan), fired | care.long[:, None]
        fused.take(scan, fired, seen["moved"])
        glance = Glance(sensor.last, fired, expected, arm.believe(fused.memory)[0] if monitor else belief)
        score = np.where(live, monitor(glance), np.nan) if monitor else np.full(count, np.nan)
        scores.append(score)
        care.heed(score > threshold)
        if watch:
            watch(scene, glance, live)
        steps, metres, joules = steps + live, metres + live * seen["moved"][:, 0], joules + live * told["joules"]
        success, collision = success | (live & told["success"]), collision | (live & told["collision"])
        live = live & ~ended & ~cut
    return Trip(success, collision, steps, metres, joules, np.array(scores))


class _Care:
    """How long an alarm still lasts in each world, and for how long there have been alarms."""

    def __init__(self, count: int) -> None:
        self.left, self.run = np.zeros(count, int), np.zeros(count, int)

    @property
    def now(self) -> Mask:
        return self.left > 0

    @property
    def long(self) -> Mask:
        return self.now & (self.run >= PATIENCE)

    def heed(self, alarm: Mask) -> None:
        self.left = np.where(alarm, CAUTION, np.maximum(self.left - 1, 0))
        self.run = np.where(self.left > 0, self.run + alarm, 0)


class _Sensor:
    """What beams return where they may be wrong, and what another, coarse sensor says."""

    def __init__(self, envs: SenseNavVector, fault: Fault | None) -> None:
        self.envs, self.fault = envs, fault
        self.rng = np.random.default_rng(fault.seed if fault else 0)
        self.past: deque[Array] = deque(maxlen=STALE + 1)
        self.last = self.held = np.zeros(0)

    def _truth(self) -> Array:
        state = self.envs.now.state
        return cast(state.world, state.pose, self.envs.rules.angles)

    def returns(self, scan: Array, fired: Mask, step: int) -> Array:
        """Return a scan as the sensor gives it; what is wrong is wrong of all ranges, and seen by fired beams."""
        self.last = scan
        if self.fault is None:
            return scan
        truth, onset = self._truth(), self.fault.onset[:, None]
        self.past.append(truth)
        self.held = truth if not self.held.size else np.where(step <= onset, truth, self.held)
        active, wrong = (step >= onset) & (step < onset + self.fault.length), truth
        for kind in dict.fromkeys(self.fault.kinds):
            here = active[:, 0] & (np.array(self.fault.kinds) == kind)
            wrong = corrupt(kind, wrong, here, self.held if kind == "stuck" else self.past[0], self.rng)
        self.last = np.where(active & fired, wrong, scan)
        return self.last

    def coarse(self) -> Array:
        """Return the nearest true range of each of eight sectors, for all of its beams."""
        truth = self._truth()
        least = truth.reshape(len(truth), SONAR, -1).min(axis=2)
        return np.repeat(least, truth.shape[1] // SONAR, axis=1)


class _Fused:
    """Returns and readings of the robot's own motion in one memory, where the readings may come late."""

    def __init__(self, memory: Memory, late: int, aligned: bool) -> None:
        self.memory = self.known = memory  # as of now, and as far as the readings have come
        self.late, self.aligned = late, aligned
        self.waiting: deque[tuple[Array, Mask, Array]] = deque()

    def take(self, scan: Array, fired: Mask, moved: Array) -> None:
        """Take up a scan; the newest reading that has come is that of `late` steps ago."""
        if not self.late:
            self.memory = remember(self.memory, scan, fired, moved)
            return
        self.waiting.append((scan, fired, moved))
        if len(self.waiting) <= self.late:  # nothing has come yet
            self.memory = remember(self.memory, scan, fired, np.zeros_like(moved))
            return
        *then, reading = self.waiting.popleft()
        if not self.aligned:
            self.memory = remember(self.memory, scan, fired, reading)
            return
        self.known = self.memory = remember(self.known, *then, reading)
        for scan_, fired_, _ in self.waiting:  # as if it had moved on in the same way
            self.memory = remember(self.memory, scan_, fired_, reading)
