"""A node that is gone is named and said to be gone: Flower's server speaks in its place, under its own number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.server.superlink.linkstate.utils import create_message_error_unavailable_res_message
from flwr.serverapp import ServerApp

from edgebook.federated import ClientError, FedAvg, RoundPlan, simulate
from edgebook.federated.clients import PARTITION_QUERY
from edgebook.federated.sampling import Directory

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


class Nodes:
    """A grid whose nodes say what they hold, or are gone though they are listed."""

    def __init__(self, held: dict[int, dict[str, int] | None]) -> None:
        self.held, self.asked = held, list[int]()

    def get_node_ids(self) -> list[int]:
        return list(self.held)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        for number, message in enumerate(messages):
            message.metadata.__dict__["_message_id"] = str(number)
            node = message.metadata.dst_node_id
            self.asked.append(node)
            if (told := self.held[node]) is None:
                yield create_message_error_unavailable_res_message(message.metadata, "node_unavail")
            else:
                yield Message(RecordDict({"partition": MetricRecord(told)} if told else {}), reply_to=message)


@pytest.fixture
def of_nodes() -> Callable[[Callable[[], None]], None]:
    """Run something where messages can be made, which is within a run."""

    def within(act: Callable[[], None]) -> None:
        app = ServerApp()
        app.main()(lambda grid, context: act())
        with pytest.warns(UserWarning, match="asked no client"):
            simulate(app, ClientApp(), num_clients=1, progress=False)

    return within


def of(partition: int, partitions: int = 2) -> dict[str, int]:
    return {"partition-id": partition, "num-partitions": partitions}


@pytest.mark.parametrize(("held", "words"), [
    ({11: of(0), 12: of(1), 13: of(1)}, "The nodes 12 and 13 both have the partition 1"),
    ({11: of(0), 12: of(1, 3)}, r"Nodes disagree on the number of partitions: \[2, 3\]"),
    ({11: of(0), 12: of(2)}, "has the partition 2, but there are 2 clients"),
    ({11: of(0), 12: {}}, "did not say which partition it has"),
], ids=["twice", "other numbers", "too many", "silent"])  # fmt: skip
def test_nodes_that_do_not_hold_the_partitions_are_refused(
    of_nodes: Any, held: dict[int, dict[str, int] | None], words: str
) -> None:
    def act() -> None:
        with pytest.raises(ValueError, match=words):
            Directory(2).connected(Nodes(held), wait=0.0)

    of_nodes(act)


def test_a_node_that_was_started_anew_takes_the_place_of_the_one_that_is_gone(of_nodes: Any) -> None:
    """The old one is still listed, since Flower's server misses it after a minute only."""

    def act() -> None:
        directory, grid = Directory(2), Nodes({11: of(0), 14: of(1)})
        assert directory.connected(grid, wait=0.0) == {0: 11, 1: 14}
        grid.held = {11: of(0), 12: of(1), 14: None}
        assert directory.connected(grid, wait=0.0) == {0: 11, 1: 12}
        assert grid.asked == [11, 14, 12, 12, 14]

    of_nodes(act)
