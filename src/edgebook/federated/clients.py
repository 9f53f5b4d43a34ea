"""A client app under supervision: seeded, on one thread, within its time, and with failures that are answers.

Both engines run this around the client app that they are given, so that a client sees the same in either.
"""

from __future__ import annotations

import ctypes
import os
import threading
import traceback
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import torch
from flwr.app import ConfigRecord, Context, Error, Message, MetricRecord, RecordDict, UserConfig
from flwr.clientapp import ClientApp

from edgebook.federated.randomness import derived_rng, global_seed
from edgebook.federated.records import copied, passed_on
from edgebook.measure.arguments import whole

CALL = "edgebook.call"  # a record that travels with each message of a simulation, and that no client sees
PARTITION_QUERY = "query.partition"
RAISED = 2  # Flower's code for a client app that raised
GRACE = 1.0  # seconds that a call which is out of time gets to end by itself


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
    told = {name: value for name, value in context.node_config.items() if name in ("partition-id", "num-partitions")}
    numbers = {name: whole(name, value, least=0) for name, value in told.items()}
    return Message(RecordDict({"partition": MetricRecord(numbers)}), reply_to=message)


class SupervisedApp(ClientApp):
    """Runs a client app for one message at a time.

    Python's, NumPy's and PyTorch's global generators are seeded from the federation's seed, the client's partition and
    the number of its call, and put back afterwards. A client that raises, takes too long or returns no reply has
    answered with an error, and its state is as it was before.
    """

    def __init__(self, app: ClientApp, run_config: UserConfig) -> None:
        super().__init__()
        self.app, self.run_config = app, run_config

    def __call__(self, message: Message, context: Context) -> Message:
        call = message.content.pop(CALL, None) or ConfigRecord({"seed": 0, "number": 0, "timeout": 0.0})
        if message.metadata.message_type == PARTITION_QUERY:
            return partition_answer(message, context)
        before, node, asked = copied(context.state), dict(context.node_config), message.metadata.message_id
        given, context.run_config = context.run_config, dict(self.run_config)
        drawn = derived_rng(int(call["seed"]), "client", int(node["partition-id"]), int(call["number"]))
        with global_seed(int(drawn.integers(2**32))):
            done = _within(float(call["timeout"]), self.app, message, context)
        context.node_config, context.run_config = node, given  # Flower's engine refuses another
        if done is None:
            failure = f"no answer within {call['timeout']:g} s"
        elif not (failure := done.failure or _no_answer(done.answer, asked, context)):
            if done.answer.has_error():
                context.state = before
                return done.answer
            try:  # copies, since the client may keep its own
                context.state, content = copied(context.state), copied(done.answer.content)
                return passed_on(done.answer, content)
            except Exception as error:
                failure = f"its answer or its state cannot be read: {error}"
        context.state = before
        return Message(Error(code=RAISED, reason=failure), reply_to=message)


def _no_answer(answer: Any, asked: str, context: Context) -> str:
    """Say why what a client app returned is no answer to the message of this number, or nothing where it is one."""
    if not isinstance(answer, Message):
        return f"it returned {type(answer).__name__} and no Message"
    if answer.metadata.reply_to_message_id != asked:
        return "it returned a message that is no reply to the one it was sent"
    if not answer.has_error() and not isinstance(answer.content, RecordDict):
        return f"it returned a message that holds {type(answer.content).__name__} and no RecordDict"
    if not isinstance(context.state, RecordDict):
        return f"it left {type(context.state).__name__} and no RecordDict as its state"
    return ""


class _Done(NamedTuple):
    answer: Any
    failure: str


def _said(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}" if str(error) else name
    except Exception:  # an error that cannot even be told must not leave its caller waiting
        return name


class Worker(threading.Thread):
    """A thread that calls apps, one at a time, and that can be left behind if a call never ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.calls: SimpleQueue[tuple[ClientApp, Message, Context] | None] = SimpleQueue()
        self.done: SimpleQueue[_Done] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            app, message, context = call
            try:
                torch.set_num_threads(1)  # the order of a sum depends on how many threads share it
                torch.set_grad_enabled(True)  # whatever the call before has left in this thread
                self.done.put(_Done(app(message, context), ""))
            except BaseException as error:
                self.done.put(_Done(None, f"{_said(error)}\n{traceback.format_exc()}"))
            del call, app, message, context

    def leave(self) -> None:
        """Have the call end at its next step, before it can draw from generators that others have by then."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(SystemExit))
        self.calls.put(None)  # after it, since a thread that has ended may have given its number to another
        self.join(GRACE)


_IDLE: list[Worker] = []  # starting a thread for each call would take longer than most of what else is done for it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDLE.clear)


def _within(timeout: float, app: ClientApp, message: Message, context: Context) -> _Done | None:
    """Return what a call came to, or None if it takes more than so many seconds; 0 stands for no limit."""
    worker = _IDLE.pop() if _IDLE else Worker()
    worker.calls.put((app, message, context))
    try:
        done = worker.done.get(timeout=timeout or None)
    except Empty:
        worker.leave()
        return None
    except BaseException:
        worker.leave()
        raise
    _IDLE.append(worker)
    return done
