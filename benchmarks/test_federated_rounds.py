"""A federation of the page on client drift and one of that on divided search, in this process beside Flower's engine.

Both are as those pages have them at tier full, with parts of their own for each client, on noise instead of images and
without what the servers measure between rounds. Equal arrays first; then runs are timed whole, and single rounds once a
first one has loaded what clients need. The row "clients alone" is their own work without messages and a server.

Needs Ray. On an otherwise idle machine:
`OMP_NUM_THREADS=1 python -m pytest benchmarks/test_federated_rounds.py`
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from torch import nn

from edgebook import networks
from edgebook.federated import (
    FedParts,
    FedStep,
    RoundPlan,
    Supernet,
    Tailored,
    for_task,
    made_once,
    of_task,
    path_masks,
    simulate,
    task_orders,
    to_arrays,
    to_record,
    train_locally,
    with_tasks,
)

ROUNDS, TASKS, CLASSES = 10, 6, 5
WIDTHS, PATHS = (16, 32), 16  # of a supernet
ENGINES = {"local": "edgebook, engine local", "ray": "Flower's engine, Ray"}
Arrays = dict[str, np.ndarray]
Part = tuple[torch.Tensor, torch.Tensor]  # images and labels
Made = tuple[nn.Module, torch.Tensor, torch.Tensor]


class Task(NamedTuple):
    """What a page's federation is made of; a client's network and images are made from what it was sent."""

    clients: int
    made: Callable[[int, Arrays], Made]
    strategy: Callable[[], FedParts]
    start: Callable[[], Arrays]


class Drifting(FedStep):
    """Each client at the bucket of its own task, three rounds for each, as where each task has its own parts."""

    def task(self, number: int, client: int) -> int:
        return int(task_orders(self.plan.clients, TASKS, 0.0, seed=0)[client, (number - 1) // 3 % TASKS])

    def send(self, server_round: int, client: int, arrays: Arrays) -> Arrays:
        return of_task(arrays, self.task(server_round, client))

    def read(self, server_round: int, client: int, answer: Arrays, arrays: Arrays) -> Arrays:
        return for_task(answer, self.task(server_round, client), arrays)


class Divided(FedParts):
    """Each client with half of the paths, drawn anew in every round, whose mask travels along."""

    def send(self, server_round: int, client: int, arrays: Arrays) -> Arrays:
        mask = path_masks(self.plan.clients, PATHS, PATHS // 2, seed=server_round)[client]
        part = Supernet(WIDTHS, mask=mask).state_dict()
        return {name: arrays[name] for name in part} | {"mask": mask}

    def read(self, server_round: int, client: int, answer: Arrays, arrays: Arrays) -> Arrays:
        return {name: array for name, array in answer.items() if name in arrays}


def noise(client: int, images: int, channels: int, classes: int) -> Part:
    """Return images and labels: what is timed does not depend on what they show."""
    draws = torch.Generator().manual_seed(client)
    x = torch.rand(images, channels, 12, 12, generator=draws)
    return x, torch.randint(classes, (images,), generator=draws)


def tailored() -> Tailored:
    """Return a tailored residual network, whose backbone stays as it was drawn."""
    family = networks.resnet_architecture([16, 32, 64], in_channels=1, classes=12)
    stem, *blocks = networks.initialised(family.build, family.widths, 0).eval().features
    for block in blocks:
        block.relu = nn.Identity()
    return Tailored(stem, blocks, shape=(1, 12, 12), classes=CLASSES)


def begun(clients: int) -> tuple[Tailored, list[Part]]:
    """Return the network, and for each client what its frozen part gives for the images, which is run once."""
    net = tailored()
    parts = [noise(client, 40, 1, CLASSES) for client in range(clients)]
    return net, [(net.started(x), y) for x, y in parts]


def trained_of(net: nn.Module) -> Arrays:
    """Return what is trained of a network."""
    return {name: p.detach().numpy().copy() for name, p in net.named_parameters() if p.requires_grad}


def drifting_client(client: int, sent: Arrays) -> Made:
    net, parts = made_once(begun, 6)
    net = copy.deepcopy(net)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in sent.items()}, strict=False)
    return net, *parts[client]


def divided_client(client: int, sent: Arrays) -> Made:
    net = Supernet(WIDTHS, mask=sent["mask"]).to(memory_format=torch.channels_last)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in sent.items() if name != "mask"})
    return net, *noise(client, 200, 3, 10)


TASK_OF = {
    "client drift": Task(
        6, drifting_client, lambda: Drifting(RoundPlan(6), "adam", eta=0.03),
        lambda: with_tasks(trained_of(tailored()), TASKS, lambda name: True),
    ),
    "divided search": Task(
        8, divided_client, lambda: Divided(RoundPlan(8)), lambda: trained_of(Supernet(WIDTHS)),
    ),
}  # fmt: skip


def trained(page: str, client: int, sent: Arrays) -> tuple[Arrays, int]:
    """Return what a client makes of what it was sent, and the number of its images."""
    net, x, y = TASK_OF[page].made(client, sent)
    train_locally(net, x, y, epochs=2, batch_size=20, lr=0.03, seed=client)
    return sent | trained_of(net), len(x)


def federation(page: str, engine: str, at: list[float] | None = None) -> Arrays:
    """Run the rounds of a page, note when each is over, and return the last arrays."""
    server, client, task, last = ServerApp(), ClientApp(), TASK_OF[page], list[Arrays]()

    @client.train()
    def train(message: Message, context: Any) -> Message:
        arrays, images = trained(page, int(context.node_config["partition-id"]), to_arrays(message.content["arrays"]))
        content = RecordDict({"arrays": to_record(arrays), "metrics": MetricRecord({"num-examples": images})})
        return Message(content, reply_to=message)

    @server.main()
    def main(grid: Any, context: Any) -> None:
        def over(number: int, arrays: Any) -> None:
            if at is not None:
                at.append(time.perf_counter())

        done = task.strategy().start(grid, to_record(task.start()), num_rounds=ROUNDS, evaluate_fn=over)
        last.append(to_arrays(done.arrays))

    simulate(server, client, num_clients=task.clients, engine=engine, progress=False, workers=1)
    return last[0]


def clients_alone(page: str) -> None:
    """Let every client train in every round on what it would be sent at first."""
    task, strategy = TASK_OF[page], TASK_OF[page].strategy()
    start = task.start()
    for number in range(1, ROUNDS + 1):
        for client in range(task.clients):
            trained(page, client, strategy.send(number, client, start))


@pytest.fixture
def by_value() -> Iterator[None]:
    """Send what is defined here to Ray's workers whole, since they cannot import it."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.usefixtures("by_value")
@pytest.mark.parametrize("page", TASK_OF)
def test_engines(page: str, contest: Any, report: Any) -> None:
    at = {engine: list[float]() for engine in ENGINES}
    found = {engine: federation(page, engine) for engine in ENGINES}
    start = TASK_OF[page].start()
    assert any((found["local"][name] != array).any() for name, array in start.items())
    for name, array in found["local"].items():
        np.testing.assert_array_equal(array, found["ray"][name])
    steps = {name: lambda engine=engine: federation(page, engine, at[engine]) for engine, name in ENGINES.items()}
    size = f"{page}, {TASK_OF[page].clients} clients"
    contest(f"{ROUNDS} rounds of {size}", steps | {"clients alone": lambda: clients_alone(page)}, 3)
    rounds = {engine: np.diff(np.reshape(found, (-1, ROUNDS + 1)))[:, 1:] for engine, found in at.items()}
    report(f"a round of {size}", "ms", {name: list(1e3 * rounds[engine].ravel()) for engine, name in ENGINES.items()})
