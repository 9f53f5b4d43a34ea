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
        self._held: dict[int, tuple[int, int | None]] = {}  # node -> its partition, and of how many

    def connected(self, grid: Grid, *, wait: float) -> dict[int, int]:
        """Return partition -> node of the nodes that are connected, in the order of partitions.

        Waits so many seconds for all clients; those that did not come are left out. A node that has a partition that
        there is not, or that another one has, or that does not say which it has, is a ValueError.
        """
        known = getattr(grid, "partitions", None)  # the engine "local" knows
        if known is not None:
            return dict(known)
        ends = time.monotonic() + wait
        while True:
            nodes = sorted(grid.get_node_ids())
            self._ask(grid, [node for node in nodes if node not in self._held], ends)
            # A node that was started anew has another number, and the old one is listed until it is missed: ask again.
            again = [node for several in self._holders(nodes).values() if len(several) > 1 for node in several]
            self._held = {node: held for node, held in self._held.items() if node not in again}
            self._ask(grid, again, ends)
            holders = self._holders(nodes)
            self._check(holders)
            if len(holders) >= self.clients or time.monotonic() >= ends:
                return {partition: several[0] for partition, several in sorted(holders.items())}
            time.sleep(0.2)

    def _holders(self, nodes: list[int]) -> dict[int, list[int]]:
        """Return partition -> the nodes that have it."""
        holders: dict[int, list[int]] = {}
        for node in nodes:
            if node in self._held:
                holders.setdefault(self._held[node][0], []).append(node)
        return holders

    def _check(self, holders: dict[int, list[int]]) -> None:
        for partition, several in holders.items():
            if not 0 <= partition < self.clients:
                raise ValueError(f"A node has the partition {partition}, but there are {self.clients} clients.")
            if len(several) > 1:
                who = " and ".join(map(str, several))
                raise ValueError(f"The nodes {who} both have the partition {partition}, and each needs its own.")
        counts = {self._held[node][1] for several in holders.values() for node in several} - {None}
        if len(counts) > 1:
            raise ValueError(f"Nodes disagree on the number of partitions: {sorted(counts)}.")

    def _ask(self, grid: Grid, nodes: list[int], ends: float) -> None:
        questions = [Message(RecordDict(), node, PARTITION_QUERY) for node in nodes]
        patience = max(60.0, ends - time.monotonic())
        for answer in grid.send_and_receive(questions, timeout=patience) if questions else ():
            if answer.has_error() and answer.error.code in GONE:
                continue
            told = {} if answer.has_error() else answer.content.get("partition", {})
            if not isinstance(told.get("partition-id"), int):
                reason = (answer.error.reason or "nothing").strip() if answer.has_error() else "nothing"
                raise ValueError(
                    "A node did not say which partition it has; its ClientApp needs "
                    f"edgebook.federated.announce_partition. It said: {reason}"
                )
            self._held[answer.metadata.src_node_id] = told["partition-id"], told.get("num-partitions")
