"""From answers to updates: in the order of partitions, checked, with failures that name the client and the round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from flwr.app import Message

from edgebook.federated.records import Arrays, to_arrays, unusable

EXAMPLES = "num-examples"  # Flower's name for the number of samples of a client
MOST = 2**53  # up to which a float counts one by one


class Failure(NamedTuple):
    """A client that was asked and gave nothing to use."""

    round: int  #: number of the round
    client: int  #: its partition
    reason: str  #: what it did instead
    details: str = ""  #: its traceback, if there is one

    def __str__(self) -> str:
        return f"Client {self.client} failed in round {self.round}: {self.reason}."


class ClientError(RuntimeError):
    """A client failed; the message names it and the round, and `failure` holds both and the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure
        if failure.details:
            self.add_note(failure.details)


class Update(NamedTuple):
    """What one client contributes to a round."""

    client: int  #: its partition
    arrays: Arrays  #: its model, all of it
    metrics: dict[str, object]  #: what it reports, for example `num-examples`


def collect(
    replies: Iterable[Message],
    asked: Mapping[int, Message],
    *,
    server_round: int,
    sent: Arrays | None,
    timeout: str,
    samples: bool = False,
) -> tuple[list[Update], list[Failure]]:
    """Read the answers of a round, which come in any order; return updates and failures in the order of partitions.

    `asked` maps partitions to what was sent to their nodes. Answers must hold arrays of the names and shapes of the
    model `sent`, with finite values; it is None where only metrics are expected. `timeout` is said of who is silent.
    With `samples`, a number of examples that can be a weight is needed too.
    """
    updates, failures = [], []
    for client, reply in answers(asked, replies).items():
        failure = failure_of(reply, client, server_round, timeout)
        if failure is None:
            arrays, metrics, problem = _read(reply, sent)
            problem = problem or (uncounted(metrics) and f"it {uncounted(metrics)}" if samples else "")
            failure = Failure(server_round, client, problem) if problem else None
        if failure is None:
            updates.append(Update(client, arrays, metrics))
        else:
            failures.append(failure)
    return updates, failures


def failure_of(reply: Message | None, client: int, server_round: int, timeout: str = "in time") -> Failure | None:
    """Return the failure that stands in the place of an answer, None where there is an answer."""
    if reply is None:
        return Failure(server_round, client, f"no answer {timeout}")
    if not reply.has_error():
        return None
    text = (reply.error.reason or "").strip() or f"error {reply.error.code}"
    first, _, rest = text.partition("\n")
    return Failure(server_round, client, " ".join(first.split()).rstrip("."), rest.strip())


def uncounted(metrics: Mapping[str, object]) -> str:
    """Say what is wrong with the number of examples that a client reports, or nothing where it can be a weight."""
    count = metrics.get(EXAMPLES)
    if isinstance(count, int | float) and not isinstance(count, bool) and 0 < count <= MOST:
        return ""
    return f"must report '{EXAMPLES}' above 0 and at most 2**53, got {count!r}"


def answers(asked: Mapping[int, Message], replies: Iterable[Message]) -> dict[int, Message | None]:
    """Return which reply answers whom, None where there is none, in the order of partitions.

    The node that a reply comes from does not say so: of a node that is gone Flower's server speaks itself.
    """
    found = {reply.metadata.reply_to_message_id: reply for reply in replies}
    return {client: found.get(message.metadata.message_id) for client, message in sorted(asked.items())}


def _read(reply: Message, sent: Arrays | None) -> tuple[Arrays, dict[str, object], str]:
    """Return the arrays and metrics of a reply, and what is wrong with it or nothing."""
    records, reports = reply.content.array_records, reply.content.metric_records
    if len(reports) > 1:
        return {}, {}, f"it returned {len(reports)} metric records, and at most one is allowed"
    metrics = dict(next(iter(reports.values()), {}))
    for name, value in metrics.items():
        if isinstance(value, int) and abs(value) >= 2**63:
            return {}, {}, f"its metric '{name}' has more than 64 bits"
    if sent is None:
        return {}, metrics, ""
    if len(records) != 1:
        return {}, {}, f"it returned {len(records)} array records, and one is needed"
    try:
        arrays = to_arrays(next(iter(records.values())))
    except (ValueError, TypeError) as error:
        return {}, {}, f"its arrays cannot be read: {error}"
    return arrays, metrics, unusable(arrays, sent)
