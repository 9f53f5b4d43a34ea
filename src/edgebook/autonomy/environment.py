"""The loop as environments of Gymnasium: one robot, or many at once; what it looks at is part of its action.

A step takes a command and, for where it leads, which beams to fire and how far each looks. The seed given to `reset` is
that of the world, so that arms can be compared in the same worlds; noise belongs to world, step and beam, and is the
same whichever beams are fired. Charged is what the sensor takes; driving and computing are for the user to add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from edgebook.autonomy import world as room
from edgebook.autonomy.sensing import sensing_energy
from edgebook.autonomy.world import DT, GOAL, REACH, SIZE, Kind, World
from edgebook.measure.arguments import whole

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


class State(NamedTuple):
    """Where B episodes are."""

    world: World
    pose: Array  # (B, 3)
    speed: Array  # (B, 2)
    steps: NDArray[np.int64]  # (B,)


class Shot(NamedTuple):
    """Where B episodes are, what is seen of them, and what else is known."""

    state: State
    seen: Arrays
    told: Arrays


class _Rules:
    """What both environments share: spaces, the start of episodes, one step of them."""

    def __init__(
        self,
        discs: tuple[int, int] = (14, 21),
        movers: int = 12,
        kind: Kind = "known",
        beams: int = 64,
        seconds: float = 60.0,
        noise: float = 0.02,
        e0: float = 1e-6,
        e1: float = 1e-5,
        price: float = 0.0,
    ) -> None:
        self.worlds = {"discs": discs, "movers": movers, "kind": kind}
        self.beams, self.last = whole("beams", beams), round(seconds / DT)
        self.noise, self.e0, self.e1, self.price = noise, e0, e1, price
        self.angles = room.beam_angles(beams)
        far = np.array([SIZE, SIZE]) * np.sqrt(2)
        self.actions = spaces.Dict({
            "move": spaces.Box(np.array([0, -room.FASTEST[1]], np.float32), room.FASTEST.astype(np.float32)),
            "beams": spaces.MultiBinary(beams),
            "gates": spaces.Box(0, REACH, (beams,), np.float32),
        })  # fmt: skip
        self.observations = spaces.Dict({
            "scan": spaces.Box(0, REACH, (beams,), np.float32),
            "fired": spaces.MultiBinary(beams),
            "goal": spaces.Box(-far.astype(np.float32), far.astype(np.float32)),
            "speed": spaces.Box(np.array([0, -room.FASTEST[1]], np.float32), room.FASTEST.astype(np.float32)),
            "moved": spaces.Box(-1, 1, (3,), np.float32),
        })  # fmt: skip

    def begin(self, seeds: Sequence[int]) -> Shot:
        """Return new episodes, with a whole scan for nothing."""
        world, count = room.make_worlds(seeds, **self.worlds), len(seeds)
        state = State(world, world.start, np.zeros((count, 2)), np.zeros(count, np.int64))
        all_ = np.ones((count, self.beams), bool)
        seen = self._look(state, all_, np.full(all_.shape, REACH), np.zeros((count, 3)))
        return Shot(state, seen, self._told(state, np.zeros(count)))

    def advance(self, state: State, action: Arrays) -> tuple[Shot, Array, NDArray[np.bool_]]:
        """Move, look, and say what it brought: reward, and whether it ended."""
        before = np.hypot(*(state.world.goal - state.pose[:, :2]).T)
        *there, moved = room.step(*state[:3], np.asarray(action["move"], np.float64))
        state = State(*there, state.steps + 1)
        fired, gates = np.asarray(action["beams"], bool), np.asarray(action["gates"], np.float64)
        told = self._told(state, sensing_energy(fired, gates, self.e0, self.e1))
        seen = self._look(state, fired, gates, moved)
        progress = before - np.hypot(*(state.world.goal - state.pose[:, :2]).T)
        reward = progress + 10.0 * told["success"] - told["collision"] - 0.01 - self.price * told["joules"]
        return Shot(state, seen, told), reward, told["success"] | told["collision"]

    def _look(self, state: State, fired: NDArray[np.bool_], gates: Array, moved: Array) -> Arrays:
        """Return observations; a beam that was not fired, or met nothing before its gate, shows its gate's range."""
        ranges = room.cast(state.world, state.pose, self.angles)
        ranges = ranges + self.noise * draws(state.world.seeds, state.steps, self.beams)
        ranges = np.where(fired, np.clip(ranges, 0.0, np.minimum(gates, REACH)), REACH)
        off = state.world.goal - state.pose[:, :2]
        c, s = np.cos(state.pose[:, 2]), np.sin(state.pose[:, 2])
        goal = np.stack([c * off[:, 0] + s * off[:, 1], c * off[:, 1] - s * off[:, 0]], axis=1)
        found = {"scan": ranges, "fired": fired.astype(np.int8), "goal": goal, "speed": state.speed, "moved": moved}
        return {name: part if name == "fired" else part.astype(np.float32) for name, part in found.items()}

    def _told(self, state: State, joules: Array) -> Arrays:
        clear = room.clearance(state.world, state.pose)
        there = np.hypot(*(state.world.goal - state.pose[:, :2]).T) < GOAL
        return {"joules": joules, "clearance": clear, "success": there & (clear >= 0), "collision": clear < 0,
                "pose": state.pose.copy()}  # fmt: skip


def draws(seeds: NDArray[np.uint64], steps: NDArray[np.int64], beams: int) -> Array:
    """Return numbers of mean 0 and variance 1 for world, step and beam, (B, N): sums of four uniform ones, hashed."""
    place = (seeds * np.uint64(1_000_003) + steps.astype(np.uint64))[:, None] * np.uint64(beams)
    z = (place + np.arange(1, beams + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    z = z ^ (z >> np.uint64(31))
    four = sum(((z >> np.uint64(16 * part)) & np.uint64(0xFFFF)).astype(np.float64) for part in range(4))
    return (four / 65536 - (2 - 2 / 65536)) * np.sqrt(3)


def _world_seed(seed: int | None, rng: np.random.Generator) -> int:
    """A seed that is given is the world's; those drawn after it lie beyond all that one would give."""
    return seed if seed is not None else int(rng.integers(2**31, 2**32))


class SenseNav(gymnasium.Env[Arrays, Arrays]):
    """Drive to a goal among discs, and choose at each step which beams of a range sensor to fire.

    Registered as ``edgebook/SenseNav-v0`` when this wing is imported. Rewards are metres of progress, 10 at the goal,
    -1 for a collision, both of which end the episode, -0.01 a step, and less the price of what the sensor took.
    Information: joules that the sensor took, clearance (m), success, collision, pose.

    Parameters
    ----------
    discs, movers, kind : as in `make_worlds`
    beams : int, N, all around
    seconds : float, after which an episode is cut off
    noise : float, m, standard deviation of a range
    e0, e1 : float, J, as in `sensing_energy`
    price : float, reward for a joule saved

    Raises
    ------
    ValueError
        As `make_worlds`; beams that are no whole number.

    Examples
    --------
    >>> env = gymnasium.make("edgebook/SenseNav-v0", movers=0, beams=8, price=1e3)
    >>> seen, told = env.reset(seed=2000)
    >>> action = {"move": np.float32([1.5, 0]), "beams": np.int8([1, 0] * 4), "gates": np.full(8, 10, np.float32)}
    >>> seen, reward, ended, cut, told = env.step(action)
    >>> round(float(told["joules"]), 9), seen["scan"][1::2].tolist()
    (4.4e-05, [10.0, 10.0, 10.0, 10.0])
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, **options: Any) -> None:
        self.rules = _Rules(**options)
        self.action_space, self.observation_space = self.rules.actions, self.rules.observations

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, Arrays]:
        """Begin an episode, in the world of this seed where one is given."""
        super().reset(seed=seed)
        self.now = self.rules.begin([_world_seed(seed, self.np_random)])
        return _first(self.now.seen), _first(self.now.told)

    def step(self, action: Arrays) -> tuple[Arrays, float, bool, bool, Arrays]:
        """Take one step of 0.1 s."""
        batch = {name: np.asarray(part)[None] for name, part in action.items()}
        self.now, reward, ended = self.rules.advance(self.now.state, batch)
        cut = bool(self.now.state.steps[0] >= self.rules.last)
        return _first(self.now.seen), float(reward[0]), bool(ended[0]), cut, _first(self.now.told)


def _first(arrays: Arrays) -> Arrays:
    return {name: part[0] for name, part in arrays.items()}


class SenseNavVector(VectorEnv[Arrays, Arrays, NDArray[Any]]):
    """Many `SenseNav` at once, step by step what Gymnasium's `SyncVectorEnv` makes of them.

    Parameters
    ----------
    num_envs : int, B
    autoreset_mode : gymnasium.vector.AutoresetMode or its value
        After its last step an episode begins anew ("NextStep"), or it stays as it is, charges and brings nothing
        ("Disabled"), until `reset`, whose options may have a ``reset_mask``.
    options : as in `SenseNav`

    Raises
    ------
    ValueError
        As `SenseNav`; another mode, or seeds that are not one for each world.

    Examples
    --------
    >>> envs = SenseNavVector(2, movers=0, beams=8, autoreset_mode="Disabled")
    >>> seen, told = envs.reset(seed=[2000, 2001])
    >>> seen["scan"].shape
    (2, 8)
    """

    def __init__(
        self, num_envs: int = 1, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **options: Any
    ) -> None:
        self.rules, self.num_envs = _Rules(**options), whole("num_envs", num_envs)
        self.mode = AutoresetMode(autoreset_mode)
        if self.mode is AutoresetMode.SAME_STEP:
            raise ValueError("autoreset_mode must be NextStep or Disabled, got SameStep.")
        self.metadata = {"render_modes": [], "autoreset_mode": self.mode}
        self.single_action_space, self.single_observation_space = self.rules.actions, self.rules.observations
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.chance = [seeding.np_random()[0] for _ in range(num_envs)]
        self.now: Shot | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Begin all episodes, or those of ``options["reset_mask"]``; a whole number seeds one world after the other."""
        one = seed is None or np.ndim(seed) == 0
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)] if one else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"There must be a seed for each of the {self.num_envs} worlds, got {len(seeds)}.")
        every = np.ones(self.num_envs, bool)
        which = every if self.now is None else np.asarray((options or {}).get("reset_mask", every), bool)
        self._begin(which, seeds)
        return self._shown()

    def step(self, actions: Arrays) -> tuple[Arrays, Array, NDArray[np.bool_], NDArray[np.bool_], Arrays]:
        """Take one step of 0.1 s in all worlds."""
        if self.now is None:
            raise ValueError("An episode begins with reset.")
        before, idle = self.now, self.ended | self.cut
        self.now, reward, ended = self.rules.advance(before.state, actions)
        cut = self.now.state.steps >= self.rules.last
        if self.mode is AutoresetMode.DISABLED:
            self.now = _map(lambda new, old: np.where(_rows(idle, new), old, new), self.now, before)
            self.now.told["joules"] = np.where(idle, 0.0, self.now.told["joules"])
            self.ended, self.cut = np.where(idle, self.ended, ended), np.where(idle, self.cut, cut)
        else:
            self.ended, self.cut = ended, cut
            self._begin(idle, [None] * self.num_envs)
        seen, told = self._shown()
        return seen, np.where(idle, 0.0, reward), self.ended.copy(), self.cut.copy(), told

    def _begin(self, which: NDArray[np.bool_], seeds: Sequence[int | None]) -> None:
        """Put new episodes in the place of some."""
        places = np.flatnonzero(which)
        if not len(places):
            return
        for place in places:
            if seeds[place] is not None:
                self.chance[place] = seeding.np_random(seeds[place])[0]
        new = self.rules.begin([_world_seed(seeds[place], self.chance[place]) for place in places])
        if which.all():
            self.now, self.ended, self.cut = new, ~which, ~which
        else:
            row = np.cumsum(which) - 1  # of each world among the new ones
            self.now = _map(lambda old, some: np.where(_rows(which, old), some[row], old), self.now, new)
            self.ended, self.cut = self.ended & ~which, self.cut & ~which

    def _shown(self) -> tuple[Arrays, Arrays]:
        """Return observations, and with each information that all worlds have it, as Gymnasium's wrappers expect."""
        every = np.ones(self.num_envs, bool)
        return self.now.seen, self.now.told | {f"_{name}": every for name in self.now.told}


def _rows(which: NDArray[np.bool_], array: NDArray[Any]) -> NDArray[np.bool_]:
    return which.reshape(-1, *[1] * (array.ndim - 1))


def _map(function: Callable[..., Any], first: Any, other: Any) -> Any:
    """Apply a function to the arrays of two structures alike."""
    if isinstance(first, dict):
        return {name: _map(function, part, other[name]) for name, part in first.items()}
    if isinstance(first, tuple):
        return type(first)(*(_map(function, *pair) for pair in zip(first, other, strict=True)))
    return function(first, other)


gymnasium.register(
    "edgebook/SenseNav-v0",
    entry_point="edgebook.autonomy.environment:SenseNav",
    vector_entry_point="edgebook.autonomy.environment:SenseNavVector",
)
