"""One way to run a Flower app: in this process, or on Flower's simulation engine, with the same numbers."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from flwr.app import Context, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.task_identity import TaskIdentity
from tqdm import tqdm

from edgebook.federated.clients import SupervisedApp, Worker
from edgebook.federated.grid import RUN_ID, Calls, LocalGrid
from edgebook.federated.randomness import derived_rng, global_seed
from edgebook.federated.ray_engine import run_ray
from edgebook.federated.replies import ClientError
from edgebook.federated.traffic import Exchange
from edgebook.measure.arguments import whole

Engine = Literal["local", "ray"]
IDENTITY = ("run_id", "node_id", "task_id")  # what Flower knows of the one task of a process
RUNNING: dict[int, object] = {}  # process -> its one simulation, so that a fork may have one of its own


class Simulation(NamedTuple):
    """What is left of a run."""

    state: RecordDict  #: what the server app has put into `context.state`, for example its last arrays
    exchanges: tuple[Exchange, ...]  #: what was sent, message by message; `traffic` adds it up


def simulate(
    server_app: ServerApp,
    client_app: ClientApp,
    *,
    num_clients: int,
    engine: Engine = "local",
    run_config: UserConfig | None = None,
    seed: int = 0,
    progress: bool = True,
    workers: int | None = None,
) -> Simulation:
    """Run an ordinary Flower app with simulated clients.

    The engine "local" calls one client after the other in this process, so that what they keep in global variables is
    seen by all of them, unlike with "ray"; what belongs to a client goes into `context.state`.

    Same seed, same result, to the last bit: between two runs of "local" for any app that draws from the global
    generators of Python, NumPy and PyTorch or from seeds of its own, and between "local" and "ray" with the strategies
    of this package, which neither ask for Flower's random node ids nor for the order in which answers arrive.
    Clients compute on one thread, and so does the server in the engine "local".

    What fails is said: a strategy of this package raises or keeps it in its `failures`; of other failures, which
    Flower's own strategies and a loop over a grid may pass over, a warning tells at the end of the run.
    A client that is out of time is ended at its next step, so that it draws nothing that others should have drawn.

    Parameters
    ----------
    server_app : flwr.serverapp.ServerApp
        With a function for `main`; it hands over results through `context.state`, or to what it closes over.
    client_app : flwr.clientapp.ClientApp
        Finds `partition-id` and `num-partitions` in `context.node_config`.
    num_clients, workers : int
        Clients in all, and those that work at the same time with "ray"; by default one for each core.
    engine : {"local", "ray"}
        This process, or Flower's simulation engine, which needs the extra `ray`.
    run_config : dict, optional
        What both apps find in `context.run_config`.
    seed : int
        Seeds the global generators of the server once, and those of each client for each message.
    progress : bool
        Show a bar that counts answers of clients.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError, TypeError
        An unknown engine, fewer than one client, a negative seed, Ray where it is not installed, a strategy that waits
        for more nodes than there are, or a second simulation at the same time in this process.
    ClientError
        Clients were asked to train, and none of them did.
    """
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(get_args(Engine))}, got {engine!r}.")
    if not isinstance(server_app, ServerApp) or not isinstance(client_app, ClientApp):
        raise TypeError(f"A ServerApp and a ClientApp are needed, got {server_app!r} and {client_app!r}.")
    num_clients, seed = whole("num_clients", num_clients, least=1), whole("seed", seed, least=0)
    workers = None if workers is None else whole("workers", workers, least=1)
    config = dict(run_config or {})
    state = RecordDict()
    with _alone(), tqdm(desc="answers", unit="", disable=not progress) as bar, _quiet_logs():
        calls = Calls(seed, bar.update)
        app = SupervisedApp(client_app, config)
        serve = partial(_serve, server_app, config, seed, state)
        with _failures_told(calls):
            if engine == "ray":
                run_ray(serve, app, num_clients, workers, calls)
            else:
                _run_local(serve, app, num_clients, calls)
    return Simulation(state, tuple(calls.exchanges))


@contextmanager
def _alone() -> Iterator[None]:
    """Own what a process has once, global generators and Flower's identity and log, or raise a ValueError."""
    process, this = os.getpid(), object()
    if isinstance(threading.current_thread(), Worker) or RUNNING.setdefault(process, this) is not this:
        raise ValueError(
            "A simulation is running in this process, and a second one would draw from the same global generators: "
            "run it afterwards, or in a process of its own."
        )
    identity = [vars(TaskIdentity)[f"_{name}"] for name in IDENTITY]
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        for name, value in zip(IDENTITY, identity, strict=True):
            setattr(TaskIdentity, name, value)
        torch.set_num_threads(threads)
        del RUNNING[process]


@contextmanager
def _failures_told(calls: Calls) -> Iterator[None]:
    """Tell of failures that the server app has passed over, and raise a ClientError if nobody trained."""
    try:
        yield
    except Exception as error:
        for failure in calls.failures.values():
            error.add_note(str(failure))
        raise
    trained = [one for one in calls.exchanges if one.kind.partition(".")[0] == "train"]
    if trained and not any(one.answered for one in trained):
        raise ClientError(min(trained, key=lambda one: (one.round, one.client)).failure)
    if calls.failures:
        said = " ".join(map(str, calls.failures.values()))
        warnings.warn(f"The server app went on after {len(calls.failures)} failures. {said}", stacklevel=4)
    elif not calls.numbers:
        warnings.warn("The server app has asked no client for anything.", stacklevel=4)


def _serve(server_app: ServerApp, config: UserConfig, seed: int, state: RecordDict, grid: Grid, _: Context) -> None:
    """Run the server app with its own configuration and state."""
    context = Context(RUN_ID, 0, {}, state, dict(config))
    with global_seed(int(derived_rng(seed, "server").integers(2**32))):
        server_app(grid, context)
    if context.state is not state:
        state.update(context.state)


def _run_local(serve: Callable[[Grid, Context], None], app: SupervisedApp, clients: int, calls: Calls) -> None:
    for name, value in zip(IDENTITY, (RUN_ID, 1, 1), strict=True):
        setattr(TaskIdentity, name, value)
    torch.set_num_threads(1)
    serve(LocalGrid(app, clients, calls), Context(RUN_ID, 0, {}, RecordDict(), {}))


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Let Flower warn, and not tell of its progress."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)
