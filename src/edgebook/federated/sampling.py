"""Who takes part in a round, by partition: Flower's node ids are random, so that nothing drawn by them repeats."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from edgebook.federated.clients import PARTITION_QUERY
from edgebook.federated.randomness import derived_rng


def sample_clients(
    clients: int, count: int, *, seed: int, server_round: int, purpose: Literal["sampling", "evaluation"] = "sampling"
) -> list[int]:
    """Draw clients uniformly without replacement, and return partitions in the order in which they were drawn.

    Seed and round alone decide, so that arms of an experiment that share a seed share their schedule; training and
    evaluation are drawn independently.
    """
    if not 0 <= count <= clients:
        raise ValueError(f"At most the {clients} clients that there are can be drawn, got {count}.")
    return derived_rng(seed, purpose, server_round).choice(clients, count, replace=False).tolist()


def late_clients(chosen: Iterable[int], probability: float, *, seed: int, server_round: int) -> list[int]:
    """Draw the stragglers: each chosen client but the first is late with one probability.

    Whatever the probability, the same numbers are drawn: who is late at a smaller one is late at a larger one too.
    Source: the code of Venkatesha et al., arXiv 2106.06579, whose first client keeps a round from being empty.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"The probability of a straggler must lie between 0 and 1, got {probability}.")
    chosen = list(chosen)
    drawn = derived_rng(seed, "stragglers", server_round).random(len(chosen))
    return [client for client, u in zip(chosen[1:], drawn[1:], strict=True) if u < probability]


# What Flower's server says in the place of a node that is gone.
GONE = (ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE, ErrorCode.NODE_UNAVAILABLE)


class Directory:
    """Which node holds which of so many partitions; asks every node that it has not met before."""

    def __init__(self, clients: int) -> None:
        self.clients = clients
        self._partition_of: dict[int, int] = {}  # node -> partition

    def connected(self, grid: Grid, *, wait: float) -> dict[int, int]:
        """Return partition -> node of the nodes that are connected, in the order of partitions.

        Waits so many seconds for all clients; those that did not come are left out. A node that has a partition that
        there is not, or does not say which it has, is a ValueError.
        """
        known = getattr(grid, "partitions", None)  # the engine "local" knows
        if known is not None:
            return dict(known)
        ends = time.monotonic() + wait
        while True:
            nodes = sorted(grid.get_node_ids())
            asked = [node for node in nodes if node not in self._partition_of]
            self._ask(grid, asked, patience=max(60.0, ends - time.monotonic()))
            found = {self._partition_of[node]: node for node in nodes if node in self._partition_of}
            if len(found) >= self.clients or time.monotonic() >= ends:
                return dict(sorted(found.items()))
            time.sleep(0.2)

    def _ask(self, grid: Grid, nodes: list[int], *, patience: float) -> None:
        questions = [Message(RecordDict(), node, PARTITION_QUERY) for node in nodes]
        for answer in grid.send_and_receive(questions, timeout=patience) if questions else ():
            if answer.has_error():
                if answer.error.code in GONE:
                    continue
                reason = answer.error.reason.strip()
                raise ValueError(
                    "A node did not say which partition it has; its ClientApp needs "
                    f"edgebook.federated.announce_partition. It said: {reason}"
                )
            partition = int(answer.content["partition"]["partition-id"])
            if not 0 <= partition < self.clients:
                raise ValueError(f"A node has the partition {partition}, but there are {self.clients} clients.")
            self._partition_of[answer.metadata.src_node_id] = partition
