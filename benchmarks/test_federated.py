"""A federation in this process beside Flower's simulation engine: the same two apps, the same last arrays.

A small perceptron on images of handwritten digits' size, and a spiking VGG of five layers with weights (S-VGG5) scaled
down; 10 clients in each round of 10 or 100. A run is timed whole, start-up included, since a sweep pays it every time;
both engines have one worker, and this process has compiled and loaded what it needs. The row "clients alone" is their
own work without a federation, a network with the arrays that came, SGD, and arrays to return; a table of its own
divides what is left by the number of messages. Memory is that of a new process and of all that it starts, with shared
pages counted once, at its highest.

Needs Ray. On an otherwise idle machine:
`OMP_NUM_THREADS=1 python -m pytest benchmarks/test_federated.py`
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from edgebook.federated import FedAvg, RoundPlan, Simulation, simulate, to_arrays

DRAWN = 10
IMAGES = 40  # of each client
ENGINES = {"local": "edgebook, engine local", "ray": "Flower's engine, Ray"}
# Network, rounds, clients, repetitions.
RUNS = [
    ("perceptron", 10, 10, 3), ("perceptron", 10, 100, 3), ("perceptron", 100, 10, 1), ("perceptron", 100, 100, 1),
    ("S-VGG5", 10, 10, 3), ("S-VGG5", 10, 100, 3),
]  # fmt: skip


def new_model(network: str) -> Any:
    from torch import nn

    if network == "S-VGG5":
        from edgebook.spiking import spiking_vgg

        return spiking_vgg(
            (12, "M", 24, 24, "M"), in_channels=3, classes=10, steps=6, beta=0.95, norm="bntt", size=12, hidden=(48,),
            output="mean", seed=0,
        )  # fmt: skip
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def images_of(network: str, client: int) -> tuple[Any, Any]:
    """Return noise and labels: what is timed does not depend on what they show."""
    import torch

    draws = torch.Generator().manual_seed(client)
    shape = (3, 12, 12) if network == "S-VGG5" else (1, 8, 8)
    return torch.rand(IMAGES, *shape, generator=draws), torch.randint(10, (IMAGES,), generator=draws)


def apps(network: str, rounds: int, clients: int) -> tuple[ServerApp, ClientApp]:
    """Return server and client; functions inside this one travel to Ray's workers whole."""
    server, client = ServerApp(), ClientApp()
    model, images = local(new_model), local(images_of)

    @client.train()
    def train(message: Any, context: Any) -> Any:
        from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

        from edgebook.federated import train_locally

        net, own = model(network), int(context.node_config["partition-id"])
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        x, y = images(network, own)
        done = train_locally(net, x, y, epochs=1, batch_size=20, lr=0.05, seed=own)
        told = MetricRecord({"num-examples": len(x), "loss": done.loss})
        return Message(RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": told}), reply_to=message)

    @server.main()
    def main(grid: Any, context: Any) -> None:
        from flwr.app import ArrayRecord

        plan = RoundPlan(clients, min(DRAWN, clients))
        result = FedAvg(plan).start(grid, ArrayRecord(new_model(network).state_dict()), num_rounds=rounds)
        context.state["arrays"] = result.arrays

    return server, client


def local(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy that belongs to no module, so that it is sent by value."""
    import types

    copy = types.FunctionType(function.__code__, {"__builtins__": __builtins__, "IMAGES": IMAGES}, function.__name__)
    copy.__module__ = "__main__"
    return copy


def federation(engine: str, network: str, rounds: int, clients: int) -> Simulation:
    server, client = apps(network, rounds, clients)
    return simulate(server, client, num_clients=clients, engine=engine, progress=False, workers=1)


def clients_alone(network: str, rounds: int) -> None:
    from flwr.app import ArrayRecord

    from edgebook.federated import train_locally

    sent = ArrayRecord(new_model(network).state_dict())
    for _ in range(rounds):
        for client in range(DRAWN):
            net = new_model(network)
            net.load_state_dict(sent.to_torch_state_dict())
            train_locally(net, *images_of(network, client), epochs=1, batch_size=20, lr=0.05, seed=client)
            ArrayRecord(net.state_dict())


@pytest.mark.parametrize(("network", "rounds", "clients", "repeats"), RUNS)
def test_engines(contest: Any, report: Any, network: str, rounds: int, clients: int, repeats: int) -> None:
    pytest.importorskip("ray")
    found = {engine: federation(engine, network, rounds, clients) for engine in ENGINES}
    one, other = (to_arrays(done.state["arrays"]) for done in found.values())
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])
    title = f"federation, {network}, {clients} clients, {rounds} rounds"
    steps = {name: lambda engine=engine: federation(engine, network, rounds, clients)
             for engine, name in ENGINES.items()}  # fmt: skip
    seconds = contest(title, steps | {"clients alone": lambda: clients_alone(network, rounds)}, repeats)
    alone = seconds.pop("clients alone")
    messages = rounds * min(DRAWN, clients)
    left = {name: [1e3 * (a - b) / messages for a, b in zip(kept, alone, strict=True)]
            for name, kept in seconds.items()}  # fmt: skip
    report(f"overhead for each message of {title}", "ms", left)
    if rounds == 10:
        report(f"memory of {title}", "MB", {name: [peak(engine, network, clients)] for engine, name in ENGINES.items()})


def peak(engine: str, network: str, clients: int) -> float:
    """Return the most memory in MB that a process of its own and its children hold during a run."""
    call = f"import test_federated as t; t.federation({engine!r}, {network!r}, 10, {clients})"
    process, highest = subprocess.Popen([sys.executable, "-c", call], cwd=Path(__file__).parent), 0.0
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
