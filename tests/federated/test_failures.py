"""A client that fails in any way ends the run with one sentence that names it and the round, or is tolerated."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message, RecordDict

from edgebook.federated import ClientError, FedAvg, RoundPlan, simulate, to_arrays, to_record

NEVER = threading.Event()
LIMIT = 3.0  # seconds for an answer: on a busy machine also the clients that do answer take a while


def fails(small: Any, kind: str, client: int, number: int, message: Message) -> Any:
    """Let client 2 fail in round 2."""
    if (client, number) != (2, 2):
        return None
    arrays = small.start()
    if kind == "raises":
        raise ZeroDivisionError("no data\nsecond line")
    if kind == "never answers":
        NEVER.wait(20)
    if kind == "no message":
        return 5
    if kind == "NaN":
        arrays["w"][1, 1] = np.nan
    if kind == "wrong keys":
        arrays["v"] = arrays.pop("b")
    if kind == "wrong shape":
        arrays["b"] = np.zeros(4, np.float32)
    content = RecordDict() if kind == "no arrays" else RecordDict({"arrays": to_record(arrays)})
    if kind == "cut off":
        content["arrays"]["b"].data = content["arrays"]["b"].data[:-1]
    return Message(content, reply_to=message)


KINDS = {
    "raises": "ZeroDivisionError: no data",
    "NaN": "its array 'w' holds values that are not finite",
    "wrong keys": r"it returned other arrays than it was sent: \['b'\] are missing, \['v'\] are unknown",
    "wrong shape": r"its array 'b' has the shape \(4,\) and not \(1,\)",
    "cut off": "its arrays cannot be read: .* expected 4 bytes got 3",
    "never answers": "no answer within 3 s",
    "no message": "it returned int and no Message",
    "no arrays": "it returned 0 array records, and one is needed",
}


def federation(small: Any, kind: str, tolerated: int = 0, **options: Any) -> tuple[Any, FedAvg]:
    strategy = FedAvg(RoundPlan(4, tolerated=tolerated))
    server = small.server(lambda: strategy, timeout=LIMIT)
    client = small.client(lambda *seen: fails(small, kind, *seen))
    return (lambda: simulate(server, client, num_clients=4, progress=False, **options)), strategy


@pytest.mark.parametrize("kind", KINDS)
def test_one_sentence_names_client_and_round(small: Any, kind: str) -> None:
    go, _ = federation(small, kind)
    with pytest.raises(ClientError, match=rf"(?m)^Client 2 failed in round 2: {KINDS[kind]}\.$") as caught:
        go()
    assert (caught.value.failure.client, caught.value.failure.round) == (2, 2)
    if kind == "raises":
        assert "Traceback" in caught.value.__notes__[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tolerated_failure_is_noted_and_left_out(small: Any, kind: str) -> None:
    go, strategy = federation(small, kind, tolerated=1)
    found = to_arrays(go().state["arrays"])
    assert [(one.round, one.client) for one in strategy.failures] == [(2, 2)]
    whole, _ = federation(small, "none")
    assert not np.array_equal(found["w"], to_arrays(whole().state["arrays"])["w"])


def test_a_round_without_any_answer_is_never_tolerated(small: Any) -> None:
    strategy = FedAvg(RoundPlan(4, tolerated=4))

    def fail(client: int, number: int, message: Message) -> None:
        raise OSError("gone")

    with pytest.raises(ClientError, match=r"(?m)^Client 0 failed in round 1: OSError: gone\.$"):
        simulate(small.server(lambda: strategy), small.client(fail), num_clients=4, progress=False)
    assert len(strategy.failures) == 4


def test_a_failed_call_leaves_no_trace_in_the_state_of_a_client(small: Any) -> None:
    go, _ = federation(small, "raises", tolerated=1)
    found = go()
    # Each client counts its calls: in round 3 three clients have been called three times, client 2 twice that counted.
    assert found.state["train 3"]["calls"] == (3 + 3 + 2 + 3) / 4


def test_a_call_that_never_ends_is_left_behind_and_no_other_call_sees_its_thread(small: Any) -> None:
    """Threads are used again, but not one that hangs; and what a client leaves in its thread reaches nobody else."""
    seen: list[tuple[str, bool]] = []

    def act(client: int, number: int, message: Message) -> None:
        seen.append((threading.current_thread().name, torch.is_grad_enabled()))
        torch.set_grad_enabled(False)
        if (client, number) == (2, 2):
            NEVER.wait(20)

    strategy = FedAvg(RoundPlan(4, tolerated=1))
    simulate(small.server(lambda: strategy, timeout=LIMIT), small.client(act), num_clients=4, progress=False)
    names, gradients = zip(*seen, strict=True)
    assert all(gradients)
    assert len(set(names[:7])) == 1  # up to client 2 in round 2
    assert len(set(names[7:])) == 1
    assert names[6] != names[7]


def test_clients_that_are_not_connected_are_named(small: Any) -> None:
    server = small.server(lambda: FedAvg(RoundPlan(6, wait=0.0)))
    with pytest.raises(ClientError, match=r"(?m)^Client 4 failed in round 1: it is not connected\.$"):
        simulate(server, small.client(), num_clients=4, progress=False)
