"""A federation in this process beside Flower's simulation engine: the same two apps, the same last arrays.

A small network on handwritten digits, 10 clients in each round of 10 or 100. A run is timed whole, start-up included,
since a sweep pays it every time; both engines have one worker. The row "training alone" is the clients' own SGD on the
same images, without messages, averaging or evaluation. Memory is that of the process and of all that it starts, with
shared pages counted once, at its highest.

Needs Ray. On an otherwise idle machine:
`OMP_NUM_THREADS=1 python -m pytest benchmarks/test_federated.py`
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from edgebook.federated import FedAvg, RoundPlan, Simulation, simulate, to_arrays

DRAWN = 10
IMAGES = 40  # of each client


def new_model() -> Any:
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def images_of(client: int) -> tuple[Any, Any]:
    """Return noise and labels: what is timed does not depend on what they show."""
    import torch

    draws = torch.Generator().manual_seed(client)
    return torch.rand(IMAGES, 1, 8, 8, generator=draws), torch.randint(10, (IMAGES,), generator=draws)


def apps(rounds: int, clients: int) -> tuple[ServerApp, ClientApp]:
    """Return server and client; functions inside this one travel to Ray's workers whole."""
    server, client = ServerApp(), ClientApp()
    model, images = local(new_model), local(images_of)

    @client.train()
    def train(message: Any, context: Any) -> Any:
        from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

        from edgebook.federated import train_locally

        net, own = model(), int(context.node_config["partition-id"])
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        x, y = images(own)
        done = train_locally(net, x, y, epochs=1, batch_size=20, lr=0.05, seed=own)
        told = MetricRecord({"num-examples": len(x), "loss": done.loss})
        return Message(RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": told}), reply_to=message)

    @server.main()
    def main(grid: Any, context: Any) -> None:
        from flwr.app import ArrayRecord

        plan = RoundPlan(clients, min(DRAWN, clients))
        result = FedAvg(plan).start(grid, ArrayRecord(new_model().state_dict()), num_rounds=rounds)
        context.state["arrays"] = result.arrays

    return server, client


def local(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy that belongs to no module, so that it is sent by value."""
    import types

    copy = types.FunctionType(function.__code__, {"__builtins__": __builtins__, "IMAGES": IMAGES}, function.__name__)
    copy.__module__ = "__main__"
    return copy


def federation(engine: str, rounds: int, clients: int) -> Simulation:
    server, client = apps(rounds, clients)
    return simulate(server, client, num_clients=clients, engine=engine, progress=False, workers=1)


def training_alone(rounds: int) -> None:
    from edgebook.federated import train_locally

    net, held = new_model(), [images_of(client) for client in range(DRAWN)]
    for _ in range(rounds):
        for client, (x, y) in enumerate(held):
            train_locally(net, x, y, epochs=1, batch_size=20, lr=0.05, seed=client)


@pytest.mark.parametrize(("rounds", "clients", "repeats"), [(10, 10, 3), (10, 100, 3), (100, 10, 1), (100, 100, 1)])
def test_engines(contest: Any, report: Any, rounds: int, clients: int, repeats: int) -> None:
    pytest.importorskip("ray")
    found = {engine: federation(engine, rounds, clients) for engine in ("local", "ray")}
    one, other = (to_arrays(done.state["arrays"]) for done in found.values())
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])
    title = f"federation, {clients} clients, {rounds} rounds"
    names = {"local": "edgebook, engine local", "ray": "Flower's engine, Ray"}
    steps = {name: lambda engine=engine: federation(engine, rounds, clients) for engine, name in names.items()}
    contest(title, steps | {"training alone": lambda: training_alone(rounds)}, repeats)
    if rounds == 10:
        report(f"memory of {title}", "MB", {name: [peak(engine, clients)] for engine, name in names.items()})


def peak(engine: str, clients: int) -> float:
    """Return the most memory in MB that a process of its own and its children hold during a run."""
    call = f"import test_federated as t; t.federation({engine!r}, 10, {clients})"
    process, highest = subprocess.Popen([sys.executable, "-c", call], cwd=__file__.rpartition("/")[0]), 0.0
    while process.poll() is None:
        held = 0
        try:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for member in family:
            try:
                held += getattr(member.memory_full_info(), "pss", member.memory_info().rss)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        highest = max(highest, held / 1e6)
        time.sleep(0.1)
    assert process.wait() == 0
    return highest
