"""A client app under supervision: seeded, on one thread, within its time, and with failures that are answers.

Both engines run this around the client app that they are given, so that a client sees the same in either.
"""

from __future__ import annotations

import os
import threading
import traceback
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import torch
from flwr.app import ConfigRecord, Context, Error, Message, MetricRecord, RecordDict, UserConfig
from flwr.clientapp import ClientApp

from edgebook.federated.randomness import derived_rng, global_seed
from edgebook.federated.records import copied

CALL = "edgebook.call"  # a record that travels with each message of a simulation, and that no client sees
PARTITION_QUERY = "query.partition"
RAISED = 2  # Flower's code for a client app that raised


def announce_partition(app: ClientApp) -> ClientApp:
    """Let a client app answer which partition it holds, which the strategies of this package ask first.

    Node ids are random in Flower, so sampling by them could not be repeated. In a simulation the engine answers.

    Parameters
    ----------
    app : flwr.clientapp.ClientApp
        Of nodes whose configuration has a `partition-id`.

    Returns
    -------
    flwr.clientapp.ClientApp
    """
    app.query(PARTITION_QUERY.partition(".")[2])(partition_answer)
    return app


def partition_answer(message: Message, context: Context) -> Message:
    if "partition-id" not in context.node_config:
        raise ValueError("The node's configuration must have a partition-id, for example 'partition-id=0'.")
    number = int(context.node_config["partition-id"])
    return Message(RecordDict({"partition": MetricRecord({"partition-id": number})}), reply_to=message)


class SupervisedApp(ClientApp):
    """Runs a client app for one message at a time.

    Python's, NumPy's and PyTorch's global generators are seeded from the federation's seed, the client's partition and
    the number of its call, and put back afterwards. A client that raises, takes too long or returns no message has
    answered with an error, and its state is as it was before.
    """

    def __init__(self, app: ClientApp, run_config: UserConfig) -> None:
        super().__init__()
        self.app, self.run_config = app, run_config

    def __call__(self, message: Message, context: Context) -> Message:
        call = message.content.pop(CALL, None) or ConfigRecord({"seed": 0, "number": 0, "timeout": 0.0})
        if message.metadata.message_type == PARTITION_QUERY:
            return partition_answer(message, context)
        before = copied(context.state)
        context.run_config = dict(self.run_config)
        partition = int(context.node_config["partition-id"])
        drawn = derived_rng(int(call["seed"]), "client", partition, int(call["number"]))
        with global_seed(int(drawn.integers(2**32))):
            done = _within(float(call["timeout"]), self.app, message, context)
        if done is not None and isinstance(done.answer, Message):
            return done.answer
        context.state = before
        if done is None:
            reason = f"no answer within {call['timeout']:g} s"
        else:
            reason = done.failure or f"it returned {type(done.answer).__name__} and no Message"
        return Message(Error(code=RAISED, reason=reason), reply_to=message)


class _Done(NamedTuple):
    answer: Any
    failure: str


class _Worker(threading.Thread):
    """A thread that calls apps, one at a time, and that can be left behind if a call never ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.calls: SimpleQueue[tuple[ClientApp, Message, Context]] = SimpleQueue()
        self.done: SimpleQueue[_Done] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            app, message, context = self.calls.get()
            try:
                torch.set_num_threads(1)  # the order of a sum depends on how many threads share it
                torch.set_grad_enabled(True)  # whatever the call before has left in this thread
                self.done.put(_Done(app(message, context), ""))
            except BaseException as error:
                self.done.put(_Done(None, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
            del app, message, context


_IDLE: list[_Worker] = []  # starting a thread for each call would take longer than most of what else is done for it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDLE.clear)


def _within(timeout: float, app: ClientApp, message: Message, context: Context) -> _Done | None:
    """Return what a call came to, or None if it takes more than so many seconds; 0 stands for no limit."""
    worker = _IDLE.pop() if _IDLE else _Worker()
    worker.calls.put((app, message, context))
    try:
        done = worker.done.get(timeout=timeout or None)
    except Empty:
        return None
    _IDLE.append(worker)
    return done
