"""The engine "local": it repeats, keeps clients apart, leaves its caller alone, and computes what a loop computes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp import strategy as flower
from torch import nn

from edgebook.federated import (
    FedAdam,
    FedAvg,
    RoundPlan,
    Simulation,
    client_seed,
    count_bytes,
    simulate,
    to_arrays,
    to_record,
    traffic,
    train_locally,
)

STRATEGIES: dict[str, Callable[[], Any]] = {
    "averaging": lambda: FedAvg(RoundPlan(4)),
    "two of four, stragglers, noise": lambda: FedAvg(RoundPlan(4, 3, stragglers=0.5, noise=0.3, weighting="samples")),
    "Adam": lambda: FedAdam(RoundPlan(4, 2), eta=0.1),
    "Flower's own": lambda: flower.FedAvg(fraction_train=0.5, fraction_evaluate=0.5),
}


def run(small: Any, strategy: Callable[[], Any], client: ClientApp | None = None, **options: Any) -> Simulation:
    shown = {"num_clients": 4, "progress": False, **options}
    return simulate(small.server(strategy), client or small.client(), **shown)


@pytest.mark.parametrize("name", STRATEGIES)
def test_two_runs_are_the_same_to_the_last_bit(small: Any, name: str) -> None:
    first, second, other = (run(small, STRATEGIES[name], seed=seed) for seed in (3, 3, 4))
    assert first.state["arrays"] == second.state["arrays"]
    assert first.exchanges == second.exchanges
    assert first.state["arrays"] != other.state["arrays"]


def test_rounds_are_those_of_a_loop_over_networks(small: Any) -> None:
    """Federated averaging of networks with batch norm, against a loop without Flower."""
    data = [
        (torch.randn(12, 5, generator=g), torch.randint(0, 3, (12,), generator=g))
        for g in (torch.Generator().manual_seed(k) for k in range(3))
    ]

    def net() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))

    def learn(model: nn.Module, client: int, number: int) -> None:
        train_locally(model, *data[client], epochs=2, batch_size=4, lr=0.1, seed=client_seed(0, client, number))

    client = ClientApp()

    @client.train()
    def train(message: Message, context: Any) -> Message:
        model = net()
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        learn(model, context.node_config["partition-id"], message.content["config"]["server-round"])
        return Message(RecordDict({"arrays": ArrayRecord(model.state_dict())}), reply_to=message)

    start = {name: value.numpy().copy() for name, value in net().state_dict().items()}
    server = small.server(lambda: FedAvg(RoundPlan(3)), start=start)
    found = to_arrays(simulate(server, client, num_clients=3, progress=False).state["arrays"])

    model = net()
    for number in (1, 2, 3):
        states = []
        for k in range(3):
            copy = net()
            copy.load_state_dict(model.state_dict())
            learn(copy, k, number)
            states.append(copy.state_dict())
        mean = {n: torch.stack([s[n].double() for s in states]).mean(0) for n in states[0]}
        model.load_state_dict({n: v if "num_batches" not in n else torch.tensor(0) for n, v in mean.items()})
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-6, atol=1e-7)


def test_clients_keep_a_state_each(small: Any) -> None:
    found = run(small, lambda: FedAvg(RoundPlan(4, 2, evaluated=3)))
    rounds = [found.state[f"train {number}"]["calls"] for number in (1, 2, 3)]
    plan = RoundPlan(4, 2)
    seen = dict.fromkeys(range(4), 0)
    for number, mean in zip((1, 2, 3), rounds, strict=True):
        for client in plan.trained(number):
            seen[client] += 1
        assert mean == np.mean([seen[client] for client in plan.trained(number)])
    tested = RoundPlan(4, 2, evaluated=3).tested(2)
    assert found.state["evaluate 2"]["score"] == np.mean(tested)
    assert found.state["evaluate 2"]["num-examples"] == sum(client + 1 for client in tested)


def test_a_client_cannot_reach_the_arrays_of_the_server_or_of_others(small: Any) -> None:
    seen: list[RecordDict] = []

    def spoil(client: int, number: int, message: Message) -> Message | None:
        seen.append(message.content)
        if client == 0:
            for array in message.content["arrays"].values():
                array.data = b"spoiled"
            message.content["config"]["server-round"] = 99
            message.content["arrays"].clear()
            return Message(RecordDict({"arrays": to_record(small.start())}), reply_to=message)
        assert list(message.content["arrays"]) == ["w", "b", "count"]
        assert message.content["config"]["server-round"] == number < 99
        assert [*message.content] == ["arrays", "config"]
        return None

    plain, spoiled = (
        run(small, STRATEGIES["averaging"], small.client(spoil)),
        run(small, STRATEGIES["averaging"], small.client(spoil)),
    )
    assert len(seen) == 24
    assert plain.state["arrays"] == spoiled.state["arrays"]


def test_what_a_client_keeps_of_its_answer_cannot_change_it_later(small: Any) -> None:
    kept: list[Message] = []

    def keep(client: int, number: int, message: Message) -> Message | None:
        for reply in kept:
            reply.content["arrays"]["w"] = reply.content["arrays"]["b"]
        kept.append(Message(RecordDict({"arrays": to_record(small.start())}), reply_to=message))
        return kept[-1]

    found = to_arrays(run(small, STRATEGIES["averaging"], small.client(keep)).state["arrays"])
    np.testing.assert_array_equal(found["w"], small.start()["w"])


def test_the_caller_is_left_alone(small: Any) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(1), random.seed(1), np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(1), random.seed(1), np.random.seed(1)  # noqa: NPY002
    threads = torch.get_num_threads()
    run(small, STRATEGIES["averaging"])
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected[0])
    assert (random.random(), np.random.rand()) == expected[1:]  # noqa: NPY002
    torch.set_num_threads(1)


def test_both_apps_see_the_configuration_and_the_server_speaks_to_any_action(small: Any) -> None:
    server, client = ServerApp(), ClientApp()
    told: list[Any] = []

    @client.query("sum")
    def add(message: Message, context: Any) -> Message:
        told.append((context.run_config["lr"], context.node_config["num-partitions"]))
        context.run_config["lr"] = -1.0
        total = sum(message.content["numbers"]["values"])
        return Message(RecordDict({"sum": MetricRecord({"value": total})}), reply_to=message)

    @server.main()
    def main(grid: Any, context: Any) -> None:
        content = RecordDict({"numbers": ConfigRecord({"values": [1, 2, 3]})})
        messages = [Message(content, node, "query.sum", group_id="5") for node in grid.get_node_ids()]
        context.state["sums"] = MetricRecord(
            {"values": [reply.content["sum"]["value"] for reply in grid.pull_messages(grid.push_messages(messages))]}
        )
        context.state["lr"] = ConfigRecord({"lr": context.run_config["lr"]})

    found = simulate(server, client, num_clients=2, run_config={"lr": 0.5}, progress=False)
    assert found.state["sums"]["values"] == [6, 6]
    assert found.state["lr"]["lr"] == 0.5
    assert told == [(0.5, 2)] * 2
    assert [(one.round, one.kind, one.client) for one in found.exchanges] == [(5, "query.sum", 0), (5, "query.sum", 1)]


def test_bytes_are_those_that_flower_counts(small: Any) -> None:
    found = run(small, lambda: FedAvg(RoundPlan(4, 3, evaluated=2)))
    model = to_record(small.start())
    down = count_bytes(RecordDict({"arrays": model, "config": ConfigRecord({"server-round": 1})}))
    up = count_bytes(
        RecordDict({"arrays": model, "metrics": MetricRecord({"num-examples": 1, "calls": 1, "drawn": 0.0})})
    )
    assert down == model.count_bytes() + 8 + len("server-round")
    assert traffic(found.exchanges) == (9, 9, 9 * down, 9 * up)
    assert traffic(found.exchanges, "evaluate")[:3] == (6, 6, 6 * down)
    assert traffic(found.exchanges, None).messages == 15


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "rai"}, "engine must be one of local, ray"),
        ({"num_clients": 0}, "num_clients"),
        ({"seed": -1}, "seed"),
        ({"num_clients": 4.0}, "num_clients must be a whole number"),
        ({"num_clients": True}, "num_clients must be a whole number"),
        ({"workers": 0}, "workers"),
    ],
)
def test_what_cannot_be_is_refused(small: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        run(small, STRATEGIES["averaging"], **options)


def test_apps_in_each_others_place_are_refused(small: Any) -> None:
    with pytest.raises(TypeError, match="A ServerApp and a ClientApp are needed"):
        simulate(small.client(), small.server(STRATEGIES["averaging"]), num_clients=4, progress=False)


@pytest.mark.parametrize("options", [
    {}, {"min_available_nodes": 5}, {"min_train_nodes": 5}, {"min_evaluate_nodes": 5}, {"fraction_train": 5.0},
], ids=str)  # fmt: skip
def test_a_strategy_that_waits_for_more_nodes_than_there_are_is_told_so(small: Any, options: dict[str, Any]) -> None:
    clients = 2 if options else 1
    words = f"waits for [25]|10 nodes, and this simulation has {clients}: look at its fractions and at min_available"
    with pytest.raises(ValueError, match=words):
        run(small, lambda: flower.FedAvg(**options), num_clients=clients)


def test_a_server_that_asks_nobody_is_told_of(small: Any) -> None:
    server = ServerApp()
    server.main()(lambda grid, context: flower.FedAvg().start(grid, to_record(small.start()), num_rounds=0))
    with pytest.warns(UserWarning, match="has asked no client for anything"):
        simulate(server, small.client(), num_clients=2, progress=False)


def test_one_process_runs_one_federation_at_a_time(small: Any) -> None:
    """Others give what they give alone or are refused: in another thread, in a client, in the server."""
    alone = run(small, STRATEGIES["averaging"])
    found, refused = list[Simulation](), list[str]()

    def another() -> None:
        try:
            found.append(run(small, STRATEGIES["averaging"]))
        except ValueError as error:
            refused.append(str(error))

    def act(client: int, number: int, message: Message) -> None:
        if (client, number) == (1, 1):
            another()  # a federation of the client's own
            threads = [threading.Thread(target=another) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)

    outer = run(small, STRATEGIES["averaging"], small.client(act))
    assert outer.state == alone.state
    assert (len(found), len(refused)) == (0, 3)
    assert all("a second one would draw from the same global generators" in one for one in refused)
    another()
    assert found[0].state == alone.state


def test_an_error_of_the_server_comes_through(small: Any) -> None:
    server = ServerApp()

    @server.main()
    def main(grid: Any, context: Any) -> None:
        raise KeyError("of the server")

    with pytest.raises(KeyError, match="of the server"):
        simulate(server, small.client(), num_clients=2, progress=False)
    assert threading.active_count() < 20
