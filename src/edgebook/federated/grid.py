"""The grid of the engine "local": clients are called one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flwr.app import ConfigRecord, Context, Message, RecordDict, UserConfig
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from edgebook.federated.clients import CALL, SupervisedApp
from edgebook.federated.records import copied, count_bytes
from edgebook.federated.traffic import Exchange

FIRST_NODE = 2  # Flower's number of the server is 1
RUN_ID = 1


class Calls:
    """Numbers the calls of each client, with which the federation's seed travels, and keeps what they sent."""

    def __init__(self, seed: int, on_answer: Callable[[], None]) -> None:
        self.seed, self.on_answer = seed, on_answer
        self.numbers: dict[int, int] = {}  # node -> calls so far
        self.exchanges: list[Exchange] = []

    def content(self, message: Message, timeout: float | None) -> RecordDict:
        """Return a copy of what is sent, with what the supervised app has to know."""
        node = message.metadata.dst_node_id
        self.numbers[node] = number = self.numbers.get(node, -1) + 1
        content = copied(message.content)
        content[CALL] = ConfigRecord({"seed": self.seed, "number": number, "timeout": float(timeout or 0)})
        return content

    def keep(self, message: Message, reply: Message | None, client: int) -> None:
        """Note one exchange; the message is as the server sent it."""
        answered = reply is not None and not reply.has_error()
        up = count_bytes(reply.content) if answered else 0
        kind, down = message.metadata.message_type, count_bytes(message.content)
        self.exchanges.append(Exchange(_round(message), kind, client, down, up, answered))
        self.on_answer()


def _round(message: Message) -> int:
    """Return the round that a message belongs to, 0 where it does not say."""
    if message.metadata.group_id.isdigit():
        return int(message.metadata.group_id)
    numbers = [record.get("server-round", 0) for record in message.content.config_records.values()]
    return next((int(number) for number in numbers if isinstance(number, int)), 0)


class PartitionGrid(Grid):
    """What both engines' grids share: nodes in the order of partitions, and Flower's older way of making messages."""

    partitions: dict[int, int]  # partition -> node

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self.partitions.values())


class LocalGrid(PartitionGrid):
    """A federation in this process, whose client k holds partition k and is node k + 2.

    Each client has all of the timeout to itself, as if all of them worked at the same time.
    """

    def __init__(self, app: SupervisedApp, clients: int, run_config: UserConfig, calls: Calls) -> None:
        self.partitions = {client: FIRST_NODE + client for client in range(clients)}
        self._app, self._run_config, self._calls = app, run_config, calls
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
        node = message.metadata.dst_node_id
        if node not in self._states:
            raise ValueError(f"There is no node {node}: the nodes are {FIRST_NODE} to {max(self._states)}.")
        self._count += 1
        message.metadata.__dict__["_message_id"] = number = str(self._count)  # as Flower's own grids do
        client = node - FIRST_NODE
        config = {"partition-id": client, "num-partitions": len(self._states)}
        context = Context(RUN_ID, node, config, copied(self._states[node]), dict(self._run_config))
        seen = Message(self._calls.content(message, timeout), metadata=message.metadata)
        reply = self._app(seen, context)
        if not reply.has_error():
            self._states[node] = copied(context.state)
            reply = Message(copied(reply.content), metadata=reply.metadata)
        self._calls.keep(message, reply, client)
        self._replies[number] = reply
        return number
