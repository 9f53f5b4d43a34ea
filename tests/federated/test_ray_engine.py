"""Flower's simulation engine gives what the engine "local" gives, to the last bit, and fails as clearly."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp import strategy as flower
from tqdm import tqdm

from edgebook.federated import (
    ClientError,
    FedAdam,
    FedAvg,
    FedStep,
    RoundPlan,
    Simulation,
    simulate,
    to_arrays,
    to_record,
    traffic,
)

pytestmark = [pytest.mark.alone, pytest.mark.slow]
ray = pytest.importorskip("ray")


class Parts(FedStep):
    """Clients of even numbers are not sent the array `b`."""

    def send(self, server_round: int, client: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array for name, array in arrays.items() if client % 2 or name != "b"}


STRATEGIES: dict[str, Callable[[], Any]] = {
    "averaging": lambda: FedAvg(RoundPlan(4)),
    "stragglers": lambda: FedAvg(RoundPlan(4, stragglers=0.5, noise=0.3, weighting="samples")),
    "Adam": lambda: FedAdam(RoundPlan(4, 2, evaluated=2), eta=0.1),
    "parts": lambda: Parts(RoundPlan(4, 3, evaluated=2, weighting="samples", noise=0.1), "yogi", eta=0.1),
}
TRIES = 3


@pytest.fixture(autouse=True)
def _patient_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give Ray time to start, and a folder of its own that is gone afterwards; sockets in it need a short path."""
    folder = tempfile.mkdtemp(prefix="ray-")
    for name, value in {"RAY_TMPDIR": folder, "RAY_raylet_start_wait_time_s": "60"}.items():
        monkeypatch.setenv(name, value)
    yield
    end_ray(folder)
    shutil.rmtree(folder, ignore_errors=True)


def end_ray(folder: str) -> None:
    """Stop Ray, and what a start that failed has left running."""
    ray.shutdown()
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # another user's, or ended by now
            if process.pid != os.getpid() and process.environ().get("RAY_TMPDIR") == folder:
                process.kill()
                process.wait(15)
    with warnings.catch_warnings():  # Ray forgets the processes of a failed start, and Python says so in a later test
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def on_ray(server: ServerApp, client: ClientApp, **options: Any) -> Simulation:
    """Run on Ray, which ends its node if one of its own processes takes more than 30 s to start."""
    for _ in range(TRIES):
        try:
            return simulate(server, client, num_clients=4, engine="ray", progress=False, workers=2, **options)
        except RuntimeError as error:
            causes = [error]
            while causes[-1].__cause__ is not None:
                causes.append(causes[-1].__cause__)
            if "timed out" not in str(causes[-1]).lower():  # of a process's start, or of the file that tells its port
                raise
            end_ray(os.environ["RAY_TMPDIR"])
    pytest.skip(f"This machine is too busy for Ray: it did not start within its own limits in {TRIES} attempts.")


def test_a_ray_that_does_not_start_leaves_nothing_running(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend

    def fail(*_: Any) -> None:
        raise OSError("no sockets")

    monkeypatch.setattr(RayBackend, "__init__", fail)
    before = set(threading.enumerate())
    server = small.server(lambda: FedAvg(RoundPlan(4)))
    with pytest.raises(RuntimeError, match="An error was encountered") as caught:
        simulate(server, small.client(), num_clients=4, engine="ray", progress=False)
    assert "no sockets" in str(caught.value.__cause__.__cause__)
    for thread in set(threading.enumerate()) - before - {tqdm.monitor}:  # which stays after the first bar
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("name", STRATEGIES)
def test_both_engines_give_the_same_arrays(small: Any, name: str) -> None:
    server = small.server(STRATEGIES[name], timeout=300.0)
    config = {"of the run": 0.5}
    one = simulate(server, small.client(), num_clients=4, seed=5, progress=False, run_config=config)
    other = on_ray(server, small.client(), seed=5, run_config=config)
    assert one.state == other.state
    assert traffic(one.exchanges) == traffic(other.exchanges)
    assert one.exchanges == other.exchanges


def test_a_client_that_never_answers_is_named_and_nothing_hangs(small: Any) -> None:
    def fail(client: int, number: int, message: Message) -> None:
        if (client, number) == (2, 2):
            import time

            time.sleep(600)

    server = small.server(lambda: FedAvg(RoundPlan(4)), timeout=20.0)
    with pytest.raises(ClientError, match=r"(?m)^Client 2 failed in round 2: no answer within 20 s\.$"):
        on_ray(server, small.client(fail))


def test_failures_of_all_kinds_are_those_of_the_engine_local(small: Any) -> None:
    def fail(client: int, number: int, message: Message) -> Message | None:
        if client != number:
            return None
        if number == 1:
            raise ZeroDivisionError("no data")
        arrays = to_arrays(message.content["arrays"])
        if number == 2:
            arrays["w"][1, 1] = np.nan
        else:
            arrays["v"] = arrays.pop("b")
        return Message(RecordDict({"arrays": to_record(arrays)}), reply_to=message)

    told, states = {}, {}
    for engine in ("local", "ray"):
        made: list[FedAvg] = []

        def strategy(made: list[FedAvg] = made) -> FedAvg:
            made.append(FedAvg(RoundPlan(4, tolerated=1)))
            return made[-1]

        server, client = small.server(strategy, timeout=300.0), small.client(fail)
        done = on_ray(server, client) if engine == "ray" else simulate(server, client, num_clients=4, progress=False)
        told[engine], states[engine] = [failure[:3] for failure in made[-1].failures], done.state
    assert told["ray"] == told["local"] == [
        (1, 1, "ZeroDivisionError: no data"),
        (2, 2, "its array 'w' holds values that are not finite"),
        (3, 3, "it returned other arrays than it was sent: ['b'] are missing, ['v'] are unknown"),
    ]  # fmt: skip
    assert states["ray"] == states["local"]


def test_what_flowers_own_strategies_pass_over_is_told_as_by_the_engine_local(small: Any) -> None:
    def fail(client: int, number: int, message: Message) -> Message | None:
        if client == 0:
            raise SystemExit(3)
        if client == 1:
            from flwr.clientapp import ClientApp
            from flwr.serverapp import ServerApp

            from edgebook.federated import simulate

            simulate(ServerApp(), ClientApp(), num_clients=1, progress=False)
        return message if client == 2 else None

    server = small.server(lambda: flower.FedAvg(fraction_evaluate=0.0), rounds=1, timeout=300.0)
    told = []
    for go in (on_ray, lambda *apps: simulate(*apps, num_clients=4, progress=False)):
        with pytest.warns(UserWarning, match="went on after 3 failures") as caught:
            state = go(server, small.client(fail)).state
        ours = [str(one.message) for one in caught if one.category is UserWarning]  # beside what a closed Ray leaves
        told.append((ours, state))
    assert told[0] == told[1]
    for words in ("Client 0 failed in round 1: SystemExit: 3.", "Client 1 failed in round 1: ValueError: A simulation",
                  "Client 2 failed in round 1: it returned a message that is no reply"):  # fmt: skip
        assert words in told[0][0][0]


def test_a_strategy_that_waits_for_more_nodes_than_there_are_is_told_so(small: Any) -> None:
    server = small.server(lambda: flower.FedAvg(min_available_nodes=9), timeout=300.0)
    with pytest.raises(ValueError, match="waits for 9 nodes, and this simulation has 4"):
        on_ray(server, small.client())
