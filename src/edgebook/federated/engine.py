"""One way to run a Flower app: in this process, or on Flower's simulation engine, with the same numbers."""

from __future__ import annotations

import logging
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

from edgebook.federated.clients import SupervisedApp
from edgebook.federated.grid import RUN_ID, Calls, LocalGrid
from edgebook.federated.randomness import derived_rng, global_seed
from edgebook.federated.ray_engine import run_ray
from edgebook.federated.traffic import Exchange

Engine = Literal["local", "ray"]


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
    ValueError
        An unknown engine, fewer than one client, a negative seed, or Ray where it is not installed.
    """
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(get_args(Engine))}, got {engine!r}.")
    if num_clients < 1 or seed < 0 or (workers is not None and workers < 1):
        raise ValueError(
            f"num_clients and workers must be at least 1 and seed at least 0, got {num_clients}, {workers} and {seed}."
        )
    config = dict(run_config or {})
    state = RecordDict()
    with tqdm(desc="answers", unit="", disable=not progress) as bar, _quiet_logs():
        calls = Calls(seed, bar.update)
        app = SupervisedApp(client_app, config)
        serve = partial(_serve, server_app, config, seed, state)
        if engine == "ray":
            run_ray(serve, app, num_clients, workers, calls)
        else:
            _run_local(serve, app, num_clients, config, calls)
    return Simulation(state, tuple(calls.exchanges))


def _serve(server_app: ServerApp, config: UserConfig, seed: int, state: RecordDict, grid: Grid, _: Context) -> None:
    """Run the server app with its own configuration and state."""
    context = Context(RUN_ID, 0, {}, state, dict(config))
    with global_seed(int(derived_rng(seed, "server").integers(2**32))):
        server_app(grid, context)
    if context.state is not state:
        state.update(context.state)


def _run_local(
    serve: Callable[[Grid, Context], None], app: SupervisedApp, clients: int, config: UserConfig, calls: Calls
) -> None:
    identity = vars(TaskIdentity)["_run_id"], vars(TaskIdentity)["_node_id"], vars(TaskIdentity)["_task_id"]
    threads = torch.get_num_threads()
    try:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN_ID, 1, 1
        torch.set_num_threads(1)
        serve(LocalGrid(app, clients, config, calls), Context(RUN_ID, 0, {}, RecordDict(), {}))
    finally:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = identity
        torch.set_num_threads(threads)


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Let Flower speak of errors only."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
