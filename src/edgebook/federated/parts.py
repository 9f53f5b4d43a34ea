"""Messages that hold the parts of a model that their client trains and nothing else, merged part by part.

A part is a dictionary of some of the server's arrays. What a client gets and how its answer is put back are two
methods of a strategy, so that a task's bucket, the paths of a sub-network and kept heads are all the same to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from edgebook.federated.averaging import average, average_metrics, client_weights, noisy_updates
from edgebook.federated.plans import RoundPlan
from edgebook.federated.records import Arrays, mismatch, to_arrays, to_record
from edgebook.federated.replies import Failure, Update, answers, collect
from edgebook.federated.strategies import Planned


def merge_parts(parts: Sequence[Arrays], weights: Sequence[float], current: Arrays) -> Arrays:
    r"""Average each array over those who returned it, and leave what nobody returned as it is.

    .. math:: \bar\theta_a = \sum_{k \in K_a} w_k \theta_{k,a} \Big/ \sum_{k \in K_a} w_k

    with :math:`K_a` the clients whose part holds the array :math:`a`. Where all parts are whole this is `average`, to
    the last bit. A masked array of NumPy counts value by value, where it is not masked: a client that trains some
    channels of an array returns it with the others masked.

    Parameters
    ----------
    parts, weights : sequence of dict of str to ndarray, sequence of float
        Some of the server's arrays each; one share of the whole each, above 0.
    current : dict of str to ndarray
        The server's model, whose integer arrays and types are kept.

    Returns
    -------
    dict of str to ndarray
        New arrays of all names of the current model, in its order.

    Raises
    ------
    ValueError
        No part, another number of weights, a weight that is not above 0, an array that the current model does not
        have, or one of another shape or type.

    Examples
    --------
    >>> current = {"a": np.zeros(2), "b": np.zeros(1), "c": np.ones(1)}
    >>> merge_parts([{"a": np.ones(2)}, {"a": np.full(2, 3.0), "b": np.full(1, 3.0)}], [0.5, 0.5], current)
    {'a': array([2., 2.]), 'b': array([3.]), 'c': array([1.])}
    """
    if not parts or len(parts) != len(weights) or not all(weight > 0 for weight in weights):
        raise ValueError(f"Parts with one weight above 0 each are needed, got {len(parts)} and {list(weights)}.")
    for number, part in enumerate(parts):
        if unknown := sorted(part.keys() - current.keys()):
            raise ValueError(f"Part {number} holds {unknown}, which the current model does not have.")
        if problem := mismatch(part, {name: current[name] for name in part}):
            raise ValueError(f"Part {number} is none of the current model: {problem}.")
    merged: Arrays = {}
    shared = defaultdict[tuple[int, ...], list[str]](list)  # who returned an array -> all arrays that they returned
    for name, array in current.items():
        who = tuple(k for k, part in enumerate(parts) if name in part)
        if any(isinstance(parts[k][name], np.ma.MaskedArray) for k in who):
            merged[name] = _by_value([parts[k][name] for k in who], [weights[k] for k in who], array)
        elif who:
            shared[who].append(name)
        else:
            merged[name] = array.copy()
    for who, names in shared.items():
        all_of_it = sum(weights[k] for k in who) if len(who) < len(parts) else 1  # whole parts are weighted as given
        held = [{name: parts[k][name] for name in names} for k in who]
        merged |= average(held, [weights[k] / all_of_it for k in who], {name: current[name] for name in names})
    return {name: merged[name] for name in current}


def _by_value(arrays: Sequence[NDArray], weights: Sequence[float], current: NDArray) -> NDArray:
    """Average each value over the arrays in which it is not masked."""
    if current.dtype.kind not in "fc":
        return current.copy()
    total = np.zeros(current.shape, np.complex128 if current.dtype.kind == "c" else np.float64)
    weight = np.zeros(current.shape)
    for w, array in zip(weights, arrays, strict=True):
        held = ~np.ma.getmaskarray(array)
        total += w * np.ma.filled(array, 0).astype(total.dtype)  # what is masked may be any bits, NaN too
        weight += w * held
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1), current).astype(current.dtype)


class FedParts(Planned):
    """Federated averaging of parts over the rounds of a plan.

    As it stands it is `FedAvg`. A subclass says in `send` what a client gets, in `read` what its answer is of the
    server's model, and perhaps in `merge` what becomes of all of them. What was sent decides what must come back:
    arrays of its names, shapes and types. Arrays that are sent as they are in the server's model are serialised once
    for all clients.

    Parameters
    ----------
    plan : RoundPlan
        Who takes part, how clients are weighted, and what goes wrong on purpose.

    Examples
    --------
    >>> class EachItsHead(FedParts):
    ...     def send(self, server_round, client, arrays):
    ...         return {"body": arrays["body"], "head": arrays[f"head {client}"]}
    ...     def read(self, server_round, client, answer, arrays):
    ...         return {"body": answer["body"], f"head {client}": answer["head"]}
    >>> EachItsHead(RoundPlan(2)).send(1, 1, {"body": 0, "head 0": 1, "head 1": 2})
    {'body': 0, 'head': 2}
    """

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__()
        self._begin(plan)
        self._parts: dict[int, Arrays] = {}  # client -> what it was sent

    def send(self, server_round: int, client: int, arrays: Arrays) -> Arrays:
        """Return what a client is sent, to train or to evaluate, of the server's arrays, which nobody may change."""
        return arrays

    def read(self, server_round: int, client: int, answer: Arrays, arrays: Arrays) -> Arrays:
        """Return an answer under the names and in the shapes of the server's arrays, perhaps masked."""
        return answer

    def merge(self, server_round: int, updates: Sequence[Update], weights: Sequence[float], arrays: Arrays) -> Arrays:
        """Return the server's next arrays; the updates hold what `read` has returned."""
        return merge_parts([update.arrays for update in updates], weights, arrays)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Merge the parts of a round."""
        plan = self.plan
        updates = noisy_updates(
            self._heard(server_round, replies, self._sent), self._sent, plan.noise, seed=plan.seed,
            server_round=server_round, scale=plan.noise_scale,
        )  # fmt: skip
        weights = client_weights(updates, plan.weighting)
        merged = self.merge(server_round, updates, weights, dict(self._sent))
        self._checked(merged, server_round)
        return to_record(merged), MetricRecord(average_metrics(updates, weights))

    def _addressed(
        self, clients: list[int], kind: str, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return the messages to the clients that are connected, each with its part."""
        messages = super()._addressed(clients, kind, server_round, arrays, config, grid)
        current = self._sent if kind == MessageType.TRAIN else to_arrays(arrays)
        written = {id(array): arrays[name] for name, array in current.items()}
        self._parts = {client: self.send(server_round, client, dict(current)) for client in self._asked}
        for client, message in self._asked.items():
            part = {n: written[id(a)] if id(a) in written else Array(a) for n, a in self._parts[client].items()}
            message.content = RecordDict({"arrays": ArrayRecord(part), "config": message.content["config"]})
        return messages

    def _heard(self, server_round: int, replies: Iterable[Message], sent: Arrays | None) -> list[Update]:
        """Return the updates of a round, each checked against what its client was sent."""
        replies, parts = list(replies), dict[int, Arrays]()
        if sent is not None:
            for client, reply in answers(self._asked, replies).items():
                part = self._part(server_round, client, reply)
                if isinstance(part, Failure):  # counted with those that are absent, since it has been read
                    self._absent.append(part)
                    self._untold.pop(self._asked.pop(client).metadata.message_id, None)
                else:
                    parts[client] = part
        return [
            update._replace(arrays=parts.get(update.client, {}))
            for update in super()._heard(server_round, replies, None)
        ]

    def _part(self, server_round: int, client: int, reply: Message | None) -> Arrays | Failure:
        """Return what an answer is of the server's arrays, or why there is nothing to use."""
        updates, failures = collect(
            [reply] if reply else [], {client: self._asked[client]}, server_round=server_round,
            sent=self._parts[client], timeout=self._timeout,
        )  # fmt: skip
        return failures[0] if failures else self.read(server_round, client, updates[0].arrays, self._sent)
