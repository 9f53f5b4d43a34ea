"""From answers to updates: in the order of partitions, checked, with failures that name the client and the round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from flwr.app import Message

from edgebook.federated.records import Arrays, to_arrays


class Failure(NamedTuple):
    """A client that was asked and gave nothing to use."""

    round: int  #: number of the round
    client: int  #: its partition
    reason: str  #: what it did instead
    details: str = ""  #: its traceback, if there is one


class ClientError(RuntimeError):
    """A client failed; the message names it and the round, and `failure` holds both and the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"Client {failure.client} failed in round {failure.round}: {failure.reason}.")
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
) -> tuple[list[Update], list[Failure]]:
    """Read the answers of a round, which come in any order; return updates and failures in the order of partitions.

    `asked` maps partitions to what was sent to their nodes. Answers must hold arrays of the names and shapes of the
    model `sent`, with finite values; it is None where only metrics are expected. `timeout` is said of who is silent.
    """
    updates, failures = [], []
    for client, reply in answers(asked, replies).items():
        arrays, problem, details = {}, "", ""
        if reply is None:
            problem = f"no answer {timeout}"
        elif reply.has_error():
            problem, details = _reason(reply)
        else:
            arrays, problem = _read(reply, sent)
        if problem:
            failures.append(Failure(server_round, client, problem.rstrip("."), details))
        else:
            updates.append(Update(client, arrays, dict(next(iter(reply.content.metric_records.values()), {}))))
    return updates, failures


def answers(asked: Mapping[int, Message], replies: Iterable[Message]) -> dict[int, Message | None]:
    """Return which reply answers whom, None where there is none, in the order of partitions.

    The node that a reply comes from does not say so: of a node that is gone Flower's server speaks itself.
    """
    found = {reply.metadata.reply_to_message_id: reply for reply in replies}
    return {client: found.get(message.metadata.message_id) for client, message in sorted(asked.items())}


def _reason(reply: Message) -> tuple[str, str]:
    """Return the error of a reply in one line, and what else it says."""
    text = reply.error.reason.strip() or f"error {reply.error.code}"
    first, _, rest = text.partition("\n")
    return " ".join(first.split()), rest.strip()


def _read(reply: Message, sent: Arrays | None) -> tuple[Arrays, str]:
    """Return the arrays of a reply, and what is wrong with it or nothing."""
    records, metrics = reply.content.array_records, reply.content.metric_records
    if len(metrics) > 1:
        return {}, f"it returned {len(metrics)} metric records, and at most one is allowed"
    if sent is None:
        return {}, ""
    if len(records) != 1:
        return {}, f"it returned {len(records)} array records, and one is needed"
    try:
        arrays = to_arrays(next(iter(records.values())))
    except (ValueError, TypeError) as error:
        return {}, f"its arrays cannot be read: {error}"
    if arrays.keys() != sent.keys():
        missing, unknown = sorted(sent.keys() - arrays.keys()), sorted(arrays.keys() - sent.keys())
        return {}, f"it returned other arrays than it was sent: {missing} are missing, {unknown} are unknown"
    for name, array in arrays.items():
        if array.shape != sent[name].shape:
            return {}, f"its array '{name}' has the shape {array.shape} and not {sent[name].shape}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return {}, f"its array '{name}' holds values that are not finite"
    return arrays, ""
