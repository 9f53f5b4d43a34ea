"""The engine "ray": Flower's own simulation, with the same supervision and the same counting."""

from __future__ import annotations

import logging
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run

from edgebook.federated.grid import Calls, PartitionGrid
from edgebook.federated.replies import answers
from edgebook.federated.sampling import Directory

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # else Ray kills clients on a machine whose memory others have filled
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_prestart_worker_first_driver": "0",  # workers that Flower's own variables would make useless
}
START = 300.0  # seconds within which all simulated clients must have come up; a busy machine starts Ray slowly
SLACK = 60.0  # seconds beyond the clients' own limits, within which an answer must have arrived


class RelayGrid(PartitionGrid):
    """Flower's grid, with a record on each message that the supervised app reads; `workers` clients work at a time."""

    def __init__(self, grid: Grid, clients: int, workers: int, calls: Calls) -> None:
        partitions = Directory(clients).connected(grid, wait=START)
        if len(partitions) < clients:
            raise RuntimeError(f"Only {len(partitions)} of {clients} simulated clients came up.")
        super().__init__(partitions, calls)
        self._grid, self._workers = grid, workers
        self._pushed: dict[str, Message] = {}  # message -> as the server sent it, until it is answered

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def get_nodes(self) -> Iterable[NodeInfo]:
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        sent = list(messages)
        numbers = list(self._grid.push_messages([self._relayed(message, None) for message in sent]))
        self._pushed |= {message.metadata.message_id: message for message in sent}
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = list(self._grid.pull_messages(message_ids))
        for reply in replies:
            if message := self._pushed.pop(reply.metadata.reply_to_message_id, None):
                self._calls.keep(message, reply, self.client(message))
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages on and wait for the answers; each client has all of the timeout to itself."""
        sent = list(messages)
        if not sent:
            return []
        relayed = [self._relayed(message, timeout) for message in sent]
        patience = None if timeout is None else timeout * math.ceil(len(sent) / self._workers) + SLACK
        replies = list(self._grid.send_and_receive(relayed, timeout=patience))
        for number, reply in answers(dict(enumerate(sent)), replies).items():
            self._calls.keep(sent[number], reply, self.client(sent[number]))
        order = {message.metadata.message_id: self.client(message) for message in sent}
        return sorted(replies, key=lambda reply: order[reply.metadata.reply_to_message_id])

    def _relayed(self, message: Message, timeout: float | None) -> Message:
        self.client(message)  # which there must be
        return Message(self._calls.content(message, timeout), metadata=message.metadata)


def run_ray(
    serve: Callable[[Grid, Context], None], app: ClientApp, clients: int, workers: int | None, calls: Calls
) -> None:
    """Run Flower's simulation with one CPU for each client at work, or raise a ValueError where Ray is missing."""
    if find_spec("ray") is None:
        raise ValueError("engine 'ray' needs Ray, which is not installed: install edgebook[ray], or use 'local'.")
    workers = workers or os.cpu_count() or 1
    server, failures, over = ServerApp(), list[BaseException](), threading.Event()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        try:
            _heed(grid, over)
            serve(RelayGrid(grid, clients, workers, calls), context)
        except BaseException as error:
            failures.append(error)

    with _quiet_flower():
        from flwr.simulation import run_simulation

        try:
            run_simulation(server, app, clients, backend_config=_resources(workers))
        finally:
            over.set()
    if failures:
        raise failures[0]


def _heed(grid: Grid, over: threading.Event) -> None:
    """Let the server stop waiting for answers once there is nobody left to give them."""
    pull = grid.pull_messages

    def pull_messages(message_ids: Iterable[str]) -> Iterable[Message]:
        if over.is_set():
            raise RuntimeError("Flower's simulation has ended before the server has.")
        return pull(message_ids)

    grid.pull_messages = pull_messages


def _resources(workers: int) -> dict[str, dict[str, int | float | bool]]:
    init = {"num_cpus": workers, "include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    return {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": init}


@contextmanager
def _quiet_flower() -> Iterator[None]:
    """Keep Flower and Ray from reporting over the network, from warning, and from changing the environment for good."""
    from flwr.supercore import telemetry

    kept, logger = dict(os.environ), logging.getLogger("flwr")
    reports = telemetry.FLWR_TELEMETRY_ENABLED
    telemetry.FLWR_TELEMETRY_ENABLED = os.environ.get("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in kept})
    logger.addFilter(_of_its_users)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's warnings are about its own future
            yield
    finally:
        logger.removeFilter(_of_its_users)
        telemetry.FLWR_TELEMETRY_ENABLED = reports
        for name in os.environ.keys() - kept.keys():
            del os.environ[name]
        os.environ.update(kept)


def _of_its_users(record: logging.LogRecord) -> bool:
    """Return whether Flower speaks of the apps, and not of how this module calls it."""
    return "`run_simulation`" not in record.getMessage()
