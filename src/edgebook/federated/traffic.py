"""What a federation sends: one entry per message and its answer, and their sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Exchange(NamedTuple):
    """One message to a client and its answer.

    Attributes
    ----------
    round : int
        Number of the round, 0 where the message named none.
    kind : str
        "train", "evaluate" or "query", with the name of the action behind a dot if it has one.
    client : int
        Partition of the client.
    down, up : int
        Bytes to the client, and of its answer; as Flower counts them.
    answered : bool
        Whether there was an answer, other than that it failed.
    """

    round: int
    kind: str
    client: int
    down: int
    up: int
    answered: bool


class Traffic(NamedTuple):
    """Sums over messages.

    Attributes
    ----------
    messages, answers : int
        How many were sent, and how many came back.
    down, up : int
        Bytes from the server to clients, and back.
    """

    messages: int
    answers: int
    down: int
    up: int


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
        Messages and bytes, both ways.
    """
    kept = [one for one in exchanges if kind is None or one.kind.partition(".")[0] == kind]
    return Traffic(
        len(kept), sum(one.answered for one in kept), sum(one.down for one in kept), sum(one.up for one in kept)
    )
