"""The grid of the engine "local": clients are called one after the other in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy.strategy_utils import sample_nodes
from flwr.supercore.run import Run

from edgebook.federated.checks import limit
from edgebook.federated.clients import CALL, SupervisedApp
from edgebook.federated.records import copied, count_bytes, passed_on
from edgebook.federated.replies import Failure, failure_of
from edgebook.federated.traffic import Exchange

FIRST_NODE = 2  # Flower's number of the server is 1
RUN_ID = 1


class Calls:
    """Numbers the calls of each client, with which the federation's seed travels, and keeps what they sent."""

    def __init__(self, seed: int, on_answer: Callable[[], None]) -> None:
        self.seed, self.on_answer = seed, on_answer
        self.numbers: dict[int, int] = {}  # node -> calls so far
        self.exchanges: list[Exchange] = []
        self.failures: dict[str, Failure] = {}  # message -> what its client did, until a strategy hears of it

    def content(self, message: Message, timeout: float | None) -> RecordDict:
        """Return a copy of what is sent, with what the supervised app has to know."""
        node = message.metadata.dst_node_id
        self.numbers[node] = number = self.numbers.get(node, -1) + 1
        content = copied(message.content)
        content[CALL] = ConfigRecord({"seed": self.seed, "number": number, "timeout": limit(timeout)})
        return content

    def keep(self, message: Message, reply: Message | None, client: int) -> None:
        """Note one exchange; the message is as the server sent it."""
        number = _round(message)
        failure = failure_of(reply, client, number)
        up = 0 if failure else count_bytes(reply.content)
        kind, down = message.metadata.message_type, count_bytes(message.content)
        self.exchanges.append(Exchange(number, kind, client, down, up, failure))
        if failure:
            self.failures[message.metadata.message_id] = failure
        self.on_answer()


def _round(message: Message) -> int:
    """Return the round that a message belongs to, 0 where it does not say."""
    if message.metadata.group_id.isdecimal():
        return int(message.metadata.group_id)
    numbers = [record.get("server-round", 0) for record in message.content.config_records.values()]
    return next((int(number) for number in numbers if isinstance(number, int)), 0)


class PartitionGrid(Grid):
    """What both engines' grids share: nodes in the order of partitions, and Flower's older way of making messages."""

    def __init__(self, partitions: dict[int, int], calls: Calls) -> None:
        self.partitions, self._calls = partitions, calls  # partition -> node
        self._client_of = {node: client for client, node in partitions.items()}

    @property
    def failures(self) -> dict[str, Failure]:
        """Failures of which no strategy has heard, which takes out those that it tells of itself."""
        return self._calls.failures

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return all nodes; who waits for more of them as Flower's own strategies do is told that none will come."""
        asks = sys._getframe(1)
        if asks.f_code is sample_nodes.__code__ and asks.f_locals["min_available_nodes"] > len(self.partitions):
            raise ValueError(
                f"The strategy waits for {asks.f_locals['min_available_nodes']} nodes, and this simulation has "
                f"{len(self.partitions)}: look at its fractions and at min_available_nodes, min_train_nodes and "
                "min_evaluate_nodes, which are 2 unless they are set."
            )
        return list(self.partitions.values())

    def client(self, message: Message) -> int:
        """Return the partition that a message goes to."""
        node = message.metadata.dst_node_id
        if node not in self._client_of:
            raise ValueError(f"There is no node {node}: the nodes are {', '.join(map(str, self._client_of))}.")
        return self._client_of[node]


class LocalGrid(PartitionGrid):
    """A federation in this process, whose client k holds partition k and is node k + 2.

    Each client has all of the timeout to itself, as if all of them worked at the same time.
    """

    def __init__(self, app: SupervisedApp, clients: int, calls: Calls) -> None:
        super().__init__({client: FIRST_NODE + client for client in range(clients)}, calls)
        self._app = app
        self._states: dict[int, RecordDict] = {node: RecordDict() for node in self.partitions.values()}
        self._replies: dict[str, Message] = {}
        self._run = Run.create_empty(RUN_ID)
        self._count = 0

    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    def run(self) -> Run:
        return self._run

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Have each message answered at once; the answers wait to be pulled."""
        return [self._deliver(message, None) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(number) for number in message_ids if number in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Call the client of each message in turn and return the answers, errors among them."""
        return self.pull_messages([self._deliver(message, timeout) for message in messages])

    def _deliver(self, message: Message, timeout: float | None) -> str:
        node, client = message.metadata.dst_node_id, self.client(message)
        self._count += 1
        message.metadata.__dict__["_message_id"] = number = str(self._count)  # as Flower's own grids do
        config = {"partition-id": client, "num-partitions": len(self._states)}
        context = Context(RUN_ID, node, config, copied(self._states[node]), {})
        reply = self._app(passed_on(message, self._calls.content(message, timeout)), context)
        if not reply.has_error():
            self._states[node] = copied(context.state)
        self._calls.keep(message, reply, client)
        self._replies[number] = reply
        return number
