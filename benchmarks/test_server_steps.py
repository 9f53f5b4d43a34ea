"""Rounds of server optimisation on the engine "local": `FedStep` beside Flower's own strategies, with the same clients.

Five clients return 100 arrays of 10,000 numbers at once, so that what is timed is the server's work and the messages.
Momentum gives the same arrays in both, which is checked first; Adam does not, since Flower begins elsewhere.

`OMP_NUM_THREADS=1 python -m pytest benchmarks/test_server_steps.py`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp import strategy as flower

from edgebook.federated import FedStep, RoundPlan, simulate, to_arrays, to_record

CLIENTS, ROUNDS = 5, 3
ALL = {"fraction_evaluate": 0.0, "min_available_nodes": CLIENTS}
PAIRS: dict[str, dict[str, Callable[[], Any]]] = {
    "momentum": {
        "edgebook, FedStep": lambda: FedStep(RoundPlan(CLIENTS), "momentum", eta=0.5),
        "Flower's strategy": lambda: flower.FedAvgM(server_learning_rate=0.5, server_momentum=0.9, **ALL),
    },
    "Adam": {
        "edgebook, FedStep": lambda: FedStep(RoundPlan(CLIENTS), "adam", eta=0.01),
        "Flower's strategy": lambda: flower.FedAdam(eta=0.01, **ALL),
    },
}


def run(strategy: Callable[[], Any], start: ArrayRecord, answers: list[ArrayRecord]) -> ArrayRecord:
    server, client, last = ServerApp(), ClientApp(), []

    @client.train()
    def train(message: Message, context: Any) -> Message:
        arrays = answers[context.node_config["partition-id"]]
        content = {"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    @server.main()
    def main(grid: Any, context: Any) -> None:
        last.append(strategy().start(grid, start, num_rounds=ROUNDS).arrays)

    simulate(server, client, num_clients=CLIENTS, progress=False)
    return last[0]


@pytest.mark.parametrize("rule", PAIRS)
def test_rounds_of_server_optimisation(rule: str, contest: Any) -> None:
    rng = np.random.default_rng(0)
    made = [{f"a{k}": rng.normal(size=(100, 100)).astype(np.float32) for k in range(100)} for _ in range(CLIENTS + 1)]
    start, *answers = map(to_record, made)
    if rule == "momentum":
        ours, theirs = (to_arrays(run(strategy, start, answers)) for strategy in PAIRS[rule].values())
        for name, array in ours.items():
            np.testing.assert_allclose(array, theirs[name], rtol=1e-4, atol=1e-5)
    steps = {name: lambda strategy=strategy: run(strategy, start, answers) for name, strategy in PAIRS[rule].items()}
    contest(f"{ROUNDS} rounds of server optimisation, {rule}, 1 M numbers in 100 arrays", steps, 3)
