"""What a federation sends: one entry per message and its answer, and their sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from edgebook.federated.replies import Failure


class Exchange(NamedTuple):
    """One message to a client and its answer."""

    round: int  #: number of the round, 0 where the message named none
    kind: str  #: "train", "evaluate" or "query", with the name of the action behind a dot if it has one
    client: int  #: its partition
    down: int  #: bytes to the client, as Flower counts them
    up: int  #: bytes of its answer
    failure: Failure | None  #: what the client did instead of answering

    @property
    def answered(self) -> bool:
        """Whether there was an answer, other than that it failed."""
        return self.failure is None


class Traffic(NamedTuple):
    """Sums over messages."""

    messages: int  #: how many were sent
    answers: int  #: how many came back
    down: int  #: bytes from the server to clients
    up: int  #: bytes from clients to the server


def traffic(exchanges: Iterable[Exchange], kind: str | None = "train") -> Traffic:
    """Add up what was sent.

    Parameters
    ----------
    exchanges : iterable of Exchange
        As `Simulation.exchanges` holds them.
    kind : str, optional
        Count messages of this kind alone; None counts all.

    Returns
    -------
    Traffic
    """
    kept = [one for one in exchanges if kind is None or one.kind.partition(".")[0] == kind]
    return Traffic(len(kept), *(sum(getattr(one, field) for one in kept) for field in ("answered", "down", "up")))
