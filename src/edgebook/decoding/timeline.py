"""An event-driven clock of edge, cloud and network, under which a recorded text is made again.

What happens in a round does not depend on time (`trace`), so one trace serves any device, network and rule of sending.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from edgebook.decoding.generation import Ahead, DraftRound


@dataclass(frozen=True)
class Times:
    """What steps and messages take, in seconds.

    Parameters
    ----------
    draft_step, verify, adapter : float
        One token of the draft, the target's pass over a draft without adapters, and what each exit adds to it.
    up, down : float
        A draft's way to the cloud, and an outcome's way back.
    exits : mapping of int to float
        Exits in use, by their number in the trace, with the share of the pass that lies before each; none where empty.

    Raises
    ------
    ValueError
        A time that is negative or not finite, no time at all for the pass, a negative number of an exit, or shares that
        do not ascend within (0, 1).
    """

    draft_step: float
    verify: float
    up: float = 0.0
    down: float = 0.0
    exits: Mapping[int, float] = field(default_factory=dict)
    adapter: float = 0.0

    def __post_init__(self) -> None:
        times = (self.draft_step, self.verify, self.up, self.down, self.adapter)
        if not all(0 <= time < math.inf for time in times) or self.verify == 0:
            raise ValueError(f"Times must not be negative and verify must be above 0, all finite, got {self}.")
        shares = [self.exits[number] for number in sorted(self.exits)]
        right = all(number >= 0 and 0 < share < 1 for number, share in self.exits.items())
        if shares != sorted(set(shares)) or not right:
            raise ValueError(f"Exits must lie at ascending shares strictly between 0 and 1, got {dict(self.exits)}.")

    @property
    def whole_pass(self) -> float:
        """Seconds of the pass with all its adapters."""
        return self.verify + len(self.exits) * self.adapter


class Timeline(NamedTuple):
    """What a text took."""

    seconds: float  #: from the beginning of the first draft until the last outcome is at the edge
    tokens: int  #: new ones
    rounds: int  #: calls of the cloud
    hits: int  #: rounds after the first whose draft had been begun on the right text ahead of time
    edge_busy: float  #: seconds of drafting
    cloud_busy: float  #: seconds of the target's passes
    draft_steps: float  #: tokens drafted in all, parts of a step counted as such
    wasted_steps: float  #: those of drafts that were dropped
    messages: int  #: provisional outcomes that were sent

    @property
    def per_token(self) -> float:
        """Seconds per token."""
        return self.seconds / self.tokens

    @property
    def hit_rate(self) -> float:
        """Share of the rounds after the first that began with a draft made ahead; 0 where there is one round."""
        return self.hits / max(1, self.rounds - 1)

    @property
    def edge_idle(self) -> float:
        """Share of the time in which the edge does nothing."""
        return 1 - self.edge_busy / self.seconds

    @property
    def cloud_idle(self) -> float:
        """Share of the time in which the cloud does nothing for this text."""
        return 1 - self.cloud_busy / self.seconds


def replay(rounds: Sequence[DraftRound], times: Times, *, ahead: Ahead = "exits", threshold: float = 0.0) -> Timeline:
    """Let a recorded text be made on given devices over a given network.

    A draft in the making can be left at any moment; what is there of it is kept until the round is over.

    Parameters
    ----------
    rounds : sequence of DraftRound
        From `trace`, with the exits or guesses that `ahead` needs; at least one.
    times : Times
        Of both sides and the network.
    ahead : {"none", "exits", "full acceptance", "both"}
        What the edge drafts on while it waits.
    threshold : float
        Confidence from which an exit's outcome is sent.

    Returns
    -------
    Timeline
        Every step is charged, those of dropped drafts too.

    Raises
    ------
    ValueError
        No round, an unknown `ahead`, or one that the trace has no record for, or a threshold that is no number.
    """
    if not rounds:
        raise ValueError("A timeline needs at least one round.")
    if ahead not in get_args(Ahead):
        raise ValueError(f"ahead must be one of {', '.join(get_args(Ahead))}, got {ahead!r}.")
    if math.isnan(threshold):
        raise ValueError("threshold must be a number, got NaN.")
    if ahead in ("full acceptance", "both") and any(step.guess is None for step in rounds):
        raise ValueError("The trace has no guesses; make it with ahead='full acceptance' or 'both'.")
    if ahead in ("exits", "both") and times.exits and max(times.exits) >= min(len(step.exits) for step in rounds):
        raise ValueError(f"The trace has no exit {max(times.exits)}.")
    return _Clock(rounds, times, ahead, threshold).run()


Key = tuple[int, int]


class _Clock:
    """Events in a heap: a draft is complete, arrives, an outcome is there, arrives."""

    def __init__(self, rounds: Sequence[DraftRound], times: Times, ahead: Ahead, threshold: float) -> None:
        self.rounds, self.times, self.ahead, self.threshold = rounds, times, ahead, threshold
        last = rounds[-1]
        self.end = last.position + last.outcome.accepted + 1
        self.longest = max(step.drafted for step in rounds)
        # The text may have so many tokens: a last draft that is shorter than others says so, and one that is accepted
        # as a whole; else the text met its stop token, and its devices did not know that it would.
        most = last.position + last.drafted + 1
        self.limit = most if last.drafted < self.longest or self.end == most else math.inf
        self.now, self.order, self.events = 0.0, 0, []
        self.number = self.hits = self.messages = self.job = 0
        self.edge_busy = self.cloud_busy = self.wasted = 0.0
        self.key: Key | None = None  # of the draft in the making; None for that of the round itself
        self.since = 0.0
        self.left: dict[Key | None, float] = {None: rounds[0].drafted * times.draft_step}  # seconds of each draft
        self.whole: dict[Key | None, float] = dict(self.left)
        self.working = self.sent = False

    def run(self) -> Timeline:
        self._work(None)
        while self.events:
            self.now, _, name, value = heapq.heappop(self.events)
            getattr(self, name)(value)
        steps = self.edge_busy / self.times.draft_step if self.times.draft_step else 0.0
        wasted = self.wasted / self.times.draft_step if self.times.draft_step else 0.0
        tokens = self.end - self.rounds[0].position
        return Timeline(self.now, tokens, len(self.rounds), self.hits, self.edge_busy, self.cloud_busy, steps, wasted,
                        self.messages)  # fmt: skip

    def _at(self, delay: float, name: str, value: object = None) -> None:
        self.order += 1
        heapq.heappush(self.events, (self.now + delay, self.order, name, value))

    def _pause(self) -> None:
        """Leave the draft in the making where it is."""
        if self.working:
            done = self.now - self.since
            self.edge_busy += done
            self.left[self.key] -= done
            self.working = False

    def _work(self, key: Key | None) -> None:
        """Begin a draft, or go on with it."""
        self._pause()
        self.job += 1
        self.key, self.since, self.working = key, self.now, True
        self._at(max(0.0, self.left[key]), "drafted", self.job)

    def drafted(self, job: int) -> None:
        if job != self.job or not self.working:
            return  # it was left before
        self._pause()
        self.left[self.key] = 0.0
        if not self.sent and self.key is None:
            self._send()
        elif self.key == (-1, -1):  # the device's own next token is known now, and its draft can begin
            self._prepare(self.rounds[self.number].guess)

    def _send(self) -> None:
        self.sent = True
        self._at(self.times.up, "arrived")
        if self.ahead in ("full acceptance", "both"):
            self.left[-1, -1] = self.whole[-1, -1] = self.times.draft_step
            self._work((-1, -1))

    def arrived(self, _: object) -> None:
        """The cloud begins its pass; when its exits speak is known already."""
        step, said = self.rounds[self.number], None
        if self.ahead in ("exits", "both"):
            for count, number in enumerate(sorted(self.times.exits), 1):
                outcome = step.exits[number]
                key = (outcome.accepted, outcome.token)
                if outcome.confidence >= self.threshold and key != said:
                    said, self.messages = key, self.messages + 1
                    reached = self.times.exits[number] * self.times.verify + count * self.times.adapter
                    self._at(reached + self.times.down, "provisional", (self.number, key))
            whole = self.times.whole_pass
        else:
            whole = self.times.verify
        self.cloud_busy += whole
        self._at(whole + self.times.down, "final")

    def provisional(self, value: tuple[int, Key]) -> None:
        number, key = value
        if number == self.number and self.sent and (self.key != key or not self.working):
            self._prepare(key)

    def _prepare(self, key: Key) -> None:
        if key not in self.left:
            position = self.rounds[self.number].position + key[0] + 1
            count = max(0, min(self.longest, self.limit - position - 1))
            self.left[key] = self.whole[key] = count * self.times.draft_step
        self._work(key)

    def final(self, _: object) -> None:
        self._pause()
        outcome = self.rounds[self.number].outcome
        key = (outcome.accepted, outcome.token)
        self.number += 1
        ready = key in self.left
        self.wasted += sum(self.whole[k] - self.left[k] for k in self.left if k not in (None, key))
        self.sent = False
        if self.number == len(self.rounds):
            self.events.clear()
            return
        self.hits += ready
        seconds = self.left[key] if ready else self.rounds[self.number].drafted * self.times.draft_step
        self.left, self.whole = {None: seconds}, {None: seconds}
        self._work(None)
