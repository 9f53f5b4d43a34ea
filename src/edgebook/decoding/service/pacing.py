"""What the client waits for: outcomes that are due, and draft steps that take as long as on the device in question."""

from __future__ import annotations

import queue
import time
from dataclasses import asdict, dataclass
from typing import Any

from edgebook.decoding.edge import Drafting
from edgebook.decoding.service import bounds


@dataclass(frozen=True)
class Delay:
    """Times that are added for experiments, in seconds: to messages both ways, and to a draft step in all.

    A `ValueError` for one that nobody can wait for.
    """

    up: float = 0.0
    down: float = 0.0
    draft_step: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            bounds.seconds(name, value)


class Inbox:
    """Messages in the order of their coming, each seen only when its way is over."""

    def __init__(self, delay: float) -> None:
        self._delay, self._queue, self._first = delay, queue.SimpleQueue(), None

    def put(self, message: Any) -> None:
        self._queue.put((time.monotonic() + self._delay, message))

    def get(self, timeout: float) -> Any | None:
        """Return the next message if it is due within so many seconds, None otherwise."""
        until = time.monotonic() + timeout
        if self._first is None:
            try:
                self._first = self._queue.get(timeout=timeout) if timeout > 0 else self._queue.get_nowait()
            except queue.Empty:
                return None
        due, message = self._first
        now = time.monotonic()
        if due > max(until, now):
            time.sleep(max(0.0, until - now))
            return None
        time.sleep(max(0.0, due - now))
        self._first = None
        return message


class PacedDevice:
    """Draft steps that last a given time, and can be left before they are over."""

    def __init__(self, step_seconds: float) -> None:
        self._seconds, self._took = step_seconds, 0.0
        self._job: Drafting | None = None
        self._end: float | None = None
        self.steps = 0

    def switch(self, job: Drafting) -> None:
        """Work on this draft from now on."""
        if job is not self._job:
            self._job, self._end = job, None

    @property
    def busy(self) -> bool:
        return self._job is not None and not self._job.done

    def remaining(self) -> float:
        """Seconds until the step has to be computed; the step begins with the first question."""
        now = time.monotonic()
        if self._end is None:
            self._end = now + self._seconds
        return max(0.0, self._end - self._took - now)

    def complete(self) -> None:
        began = time.monotonic()
        self._job.step()
        self._took, self._end = min(self._seconds, time.monotonic() - began), None
        self.steps += 1
