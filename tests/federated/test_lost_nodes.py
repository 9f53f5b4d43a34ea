"""A node that is gone is named and said to be gone: Flower's server speaks in its place, under its own number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.server.superlink.linkstate.utils import create_message_error_unavailable_res_message
from flwr.serverapp import ServerApp

from edgebook.federated import ClientError, FedAvg, RoundPlan, simulate
from edgebook.federated.clients import PARTITION_QUERY

LOST = "Error: Node Unavailable"


class Lossy:
    """A grid that does not know partitions, as none of Flower's does, and in which some nodes are gone."""

    def __init__(self, grid: Any, gone: dict[str, int]) -> None:
        self._grid, self.gone = grid, gone  # type of message -> partition

    def get_node_ids(self) -> list[int]:
        return list(self._grid.get_node_ids())

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = []
        for message in messages:
            (reply,) = self._grid.send_and_receive([message], timeout=timeout)
            lost = self.gone.get(message.metadata.message_type)
            if lost is not None and self._grid.partitions[lost] == message.metadata.dst_node_id:
                reply = create_message_error_unavailable_res_message(message.metadata, "node_unavail")
                assert reply.metadata.src_node_id not in self.get_node_ids()
            replies.append(reply)
        return replies[::-1]


def run(small: Any, gone: dict[str, int], tolerated: int) -> tuple[list[tuple[int, int, str]], RecordDict]:
    strategy, app = FedAvg(RoundPlan(4, tolerated=tolerated, wait=0.0)), ServerApp()

    @app.main()
    def main(grid: Any, context: Context) -> None:
        small.server(lambda: strategy, rounds=1)(Lossy(grid, gone), context)

    done = simulate(app, small.client(), num_clients=4, progress=False)
    return [(one.round, one.client, one.reason[: len(LOST)]) for one in strategy.failures], done.state


@pytest.mark.parametrize(("kind", "reason"), [("train", LOST), (PARTITION_QUERY, "it is not connected")])
def test_a_node_that_is_gone_is_named(small: Any, kind: str, reason: str) -> None:
    found, state = run(small, {kind: 2}, tolerated=1)
    assert found == [(1, 2, reason[: len(LOST)])]
    assert "arrays" in state
    with pytest.raises(ClientError, match=f"(?m)^Client 2 failed in round 1: {reason}"):
        run(small, {kind: 2}, tolerated=0)
