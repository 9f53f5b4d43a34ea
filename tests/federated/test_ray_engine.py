"""Flower's simulation engine gives what the engine "local" gives, to the last bit, and fails as clearly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Message

from edgebook.federated import ClientError, FedAdam, FedAvg, RoundPlan, simulate, traffic

pytestmark = [pytest.mark.slow]
pytest.importorskip("ray")

STRATEGIES: dict[str, Callable[[], Any]] = {
    "averaging": lambda: FedAvg(RoundPlan(4)),
    "stragglers": lambda: FedAvg(RoundPlan(4, stragglers=0.5, noise=0.3, weighting="samples")),
    "Adam": lambda: FedAdam(RoundPlan(4, 2, evaluated=2), eta=0.1),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_both_engines_give_the_same_arrays(small: Any, name: str) -> None:
    server = small.server(STRATEGIES[name])
    found = {
        engine: simulate(server, small.client(), num_clients=4, engine=engine, seed=5, progress=False, workers=2)
        for engine in ("local", "ray")
    }
    assert found["local"].state == found["ray"].state
    assert traffic(found["local"].exchanges) == traffic(found["ray"].exchanges)
    assert found["local"].exchanges == found["ray"].exchanges


@pytest.mark.parametrize(("kind", "words"), [
    ("raises", r"(?m)^Client 2 failed in round 2: ZeroDivisionError: no data\.$"),
    ("never answers", r"(?m)^Client 2 failed in round 2: no answer within 5 s\.$"),
])  # fmt: skip
def test_a_client_that_fails_is_named_and_nothing_hangs(small: Any, kind: str, words: str) -> None:
    def fail(client: int, number: int, message: Message) -> None:
        if (client, number) == (2, 2):
            if kind == "raises":
                raise ZeroDivisionError("no data")
            import time

            time.sleep(600)

    server = small.server(lambda: FedAvg(RoundPlan(4)), timeout=5.0)
    with pytest.raises(ClientError, match=words):
        simulate(server, small.client(fail), num_clients=4, engine="ray", progress=False, workers=2)
