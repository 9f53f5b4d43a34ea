"""A small federation: clients that pull a vector towards their own, and a network with batch norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from edgebook.federated import to_record

Vectors = dict[str, np.ndarray]


def start_vectors() -> Vectors:
    return {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([0.5]), "count": np.array(7)}


def make_server(
    strategy: Callable[[], Any], *, rounds: int = 3, timeout: float = 30.0, start: Vectors | None = None
) -> ServerApp:
    """A server that leaves its last arrays in its state."""
    app, initial = ServerApp(), start or start_vectors()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        result = strategy().start(grid, to_record(initial), num_rounds=rounds, timeout=timeout)
        context.state["arrays"] = result.arrays
        for number, metrics in result.train_metrics_clientapp.items():
            context.state[f"train {number}"] = metrics
        for number, metrics in result.evaluate_metrics_clientapp.items():
            context.state[f"evaluate {number}"] = metrics

    return app


def make_client(act: Callable[..., Any] | None = None) -> ClientApp:
    """A client that goes half of the way to (k, k, ...), counts its calls, and draws from all global generators."""
    app = ClientApp()

    @app.train()
    def train(message: Any, context: Any) -> Any:
        import random

        import numpy as np
        import torch
        from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

        from edgebook.federated import to_arrays, to_record

        client = int(context.node_config["partition-id"])
        number = int(message.content["config"]["server-round"])
        calls = int(context.state["calls"]["n"]) + 1 if "calls" in context.state else 1
        context.state["calls"] = ConfigRecord({"n": calls})
        if act is not None and (done := act(client, number, message)) is not None:
            return done
        arrays = to_arrays(message.content["arrays"])
        drawn = random.random() + np.random.rand() + float(torch.rand(1))  # noqa: NPY002
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                arrays[name] = (array + 0.5 * (client - array) + 0.01 * drawn).astype(array.dtype)
            else:
                arrays[name] = array + 1
        told = {"num-examples": 10 * (client + 1), "calls": calls, "drawn": drawn}
        content = {"arrays": to_record(arrays), "metrics": MetricRecord(told)}
        return Message(RecordDict(content), reply_to=message)

    @app.evaluate()
    def evaluate(message: Any, context: Any) -> Any:
        from flwr.app import Message, MetricRecord, RecordDict

        client = int(context.node_config["partition-id"])
        told = {"num-examples": client + 1, "score": float(client)}
        return Message(RecordDict({"metrics": MetricRecord(told)}), reply_to=message)

    return app


class Small(NamedTuple):
    """The parts of the small federation."""

    start: Callable[[], Vectors]
    server: Callable[..., ServerApp]
    client: Callable[..., ClientApp]


@pytest.fixture(scope="session")
def small() -> Small:
    """Four clients at most times, three rounds."""
    return Small(start_vectors, make_server, make_client)
