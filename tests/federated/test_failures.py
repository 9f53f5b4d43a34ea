"""A client that fails in any way ends the run with one sentence that names it and the round, or is tolerated."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp import strategy as flower

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
    if kind == "echo":
        return message
    if kind == "a message of its own":
        return Message(RecordDict({"arrays": to_record(arrays)}), 1, "train")
    if kind == "exits":
        raise SystemExit(3)
    if kind == "interrupts":
        raise KeyboardInterrupt
    if kind == "cannot be told":
        raise Untellable
    if kind == "says that it failed":
        return Message(Error(code=17), reply_to=message)
    if kind == "large metric":
        told = MetricRecord({"num-examples": 1, "steps": 10**400})
        return Message(RecordDict({"arrays": to_record(arrays), "metrics": told}), reply_to=message)
    if kind == "NaN":
        arrays["w"][1, 1] = np.nan
    if kind == "infinite once it is single":
        arrays["w"] = np.full((2, 3), 1e39)
    if kind == "complex":
        arrays["w"] = arrays["w"] * 1j
    if kind == "words":
        arrays["b"] = np.array(["0.5"])
    if kind == "fractions":
        arrays["count"] = np.array(7.5)
    if kind == "wrong keys":
        arrays["v"] = arrays.pop("b")
    if kind == "wrong shape":
        arrays["b"] = np.zeros(4, np.float32)
    content = RecordDict() if kind == "no arrays" else RecordDict({"arrays": to_record(arrays)})
    if kind == "cut off":
        content["arrays"]["b"].data = content["arrays"]["b"].data[:-1]
    if kind == "no bytes":
        content["arrays"]["b"].data = None
    reply = Message(content, reply_to=message)
    if kind == "no content":
        reply.content = {"arrays": 5}
    return reply


KINDS = {
    "raises": "ZeroDivisionError: no data",
    "NaN": "its array 'w' holds values that are not finite",
    "infinite once it is single": "its array 'w' holds values that are not finite",
    "complex": "its array 'w' is of the type complex64, which cannot be averaged as float32",
    "words": "its array 'b' is of the type <U3, which cannot be averaged as float32",
    "fractions": "its array 'count' is of the type float64, which cannot be averaged as int64",
    "wrong keys": r"it returned other arrays than it was sent: \['b'\] are missing, \['v'\] are unknown",
    "wrong shape": r"its array 'b' has the shape \(4,\) and not \(1,\)",
    "cut off": "its arrays cannot be read: .* expected 4 bytes got 3",
    "never answers": "no answer within 3 s",
    "no message": "it returned int and no Message",
    "echo": "it returned a message that is no reply to the one it was sent",
    "a message of its own": "it returned a message that is no reply to the one it was sent",
    "no bytes": "its answer or its state cannot be read: .*",
    "no content": "it returned a message that holds dict and no RecordDict",
    "exits": "SystemExit: 3",
    "interrupts": "KeyboardInterrupt",
    "cannot be told": "Untellable",
    "says that it failed": "error 17",
    "large metric": "its metric 'steps' has more than 64 bits",
    "no arrays": "it returned 0 array records, and one is needed",
}


class Untellable(Exception):
    """An error that fails to say what it is."""

    def __str__(self) -> str:
        raise OSError


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

    with pytest.raises(ClientError, match=r"(?m)^Client 0 failed in round 1: OSError: gone\.$") as caught:
        simulate(small.server(lambda: strategy), small.client(fail), num_clients=4, progress=False)
    assert len(strategy.failures) == 4
    assert caught.value.__notes__[1:] == [f"Client {k} failed in round 1: OSError: gone." for k in (1, 2, 3)]


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


def test_a_late_client_draws_nothing_that_others_should_have_drawn(small: Any) -> None:
    """A client that goes on after its time, from the generators of all: what others draw is what they draw without."""
    late: list[threading.Thread] = []

    def act(client: int, number: int, message: Message) -> None:
        if (client, number) == (2, 2):
            late.append(threading.current_thread())
            while True:
                random.random()

    drawn = []
    for client in (small.client(act), small.client(lambda *seen: fails(small, "raises", *seen))):
        strategy = FedAvg(RoundPlan(4, tolerated=1))
        done = simulate(small.server(lambda made=strategy: made, timeout=LIMIT), client, num_clients=4, progress=False)
        assert [one[:2] for one in strategy.failures] == [(2, 2)]
        drawn.append([done.state[f"train {number}"]["drawn"] for number in (1, 2, 3)])
    assert drawn[0] == drawn[1]
    late[0].join(30)
    assert not late[0].is_alive()


def test_a_reply_of_an_earlier_round_is_no_answer(small: Any) -> None:
    kept: list[Message] = []

    def act(client: int, number: int, message: Message) -> Message | None:
        if client == 1 and not kept:
            kept.append(Message(RecordDict({"arrays": to_record(small.start())}), reply_to=message))
        return kept[0] if client == 1 else None

    strategy = FedAvg(RoundPlan(4, tolerated=1))
    simulate(small.server(lambda: strategy), small.client(act), num_clients=4, progress=False)
    no_reply = "it returned a message that is no reply to the one it was sent"
    assert [one[:3] for one in strategy.failures] == [(2, 1, no_reply), (3, 1, no_reply)]


@pytest.mark.parametrize("count", [0, -1, float("nan"), float("inf"), 1e308])
def test_a_client_without_examples_is_left_out_where_that_is_tolerated(small: Any, count: float) -> None:
    def act(client: int, number: int, message: Message) -> Message:
        arrays = {name: array + client if name == "w" else array for name, array in small.start().items()}
        told = MetricRecord({"num-examples": count if client == 1 else client + 1})
        return Message(RecordDict({"arrays": to_record(arrays), "metrics": told}), reply_to=message)

    def go(tolerated: int) -> Any:
        plan = RoundPlan(4, weighting="samples", tolerated=tolerated)
        server = small.server(lambda: FedAvg(plan), rounds=1)
        return simulate(server, small.client(act), num_clients=4, progress=False).state

    expected = small.start()["w"] + (0 * 1 + 2 * 3 + 3 * 4) / (1 + 3 + 4)
    np.testing.assert_allclose(to_arrays(go(1)["arrays"])["w"], expected, rtol=1e-6)
    with pytest.raises(ClientError, match=r"Client 1 failed in round 1: it must report 'num-examples' above 0"):
        go(0)


def test_failures_that_flowers_own_strategies_pass_over_are_told(small: Any) -> None:
    """All clients that train fail: an error. Some of them, or all that evaluate: a warning, by client and round."""

    def go(act: Any, **options: Any) -> Any:
        server = small.server(lambda: flower.FedAvg(**options), rounds=2)
        return simulate(server, small.client(act), num_clients=2, progress=False)

    def fail(client: int, number: int, message: Message) -> None:
        raise ZeroDivisionError("no data")

    with pytest.raises(ClientError, match=r"(?m)^Client 0 failed in round 1: ZeroDivisionError: no data\.$") as caught:
        go(fail, fraction_evaluate=0.0)
    assert "Traceback" in caught.value.__notes__[0]
    once = r"went on after 1 failures\. Client 1 failed in round 2: ZeroDivisionError: no data\.$"
    with pytest.warns(UserWarning, match=once):
        found = go(lambda *seen: fail(*seen) if seen[:2] == (1, 2) else None, fraction_evaluate=0.0)
    assert "arrays" in found.state

    app, client = ServerApp(), small.client()

    @client.evaluate("wrong")
    def evaluate(message: Message, context: Any) -> Message:
        raise ZeroDivisionError("no data")

    @app.main()
    def main(grid: Any, context: Any) -> None:
        for kind in ("train", "evaluate.wrong"):
            content = RecordDict({"arrays": to_record(small.start()), "config": ConfigRecord({"server-round": 5})})
            grid.send_and_receive([Message(content, grid.partitions[1], kind)])

    with pytest.warns(UserWarning, match=r"after 1 failures\. Client 1 failed in round 5: ZeroDivisionError: no data"):
        simulate(app, client, num_clients=2, progress=False)


def test_a_client_that_fails_to_evaluate_is_named(small: Any) -> None:
    client = small.client()
    client._registered_funcs["evaluate.default"] = lambda message, context: 1 // 0
    server = small.server(lambda: FedAvg(RoundPlan(4, evaluated=2)))
    first = RoundPlan(4, evaluated=2).tested(1)[0]
    with pytest.raises(ClientError, match=f"Client {first} failed in round 1: ZeroDivisionError"):
        simulate(server, client, num_clients=4, progress=False)


def test_an_error_of_the_server_says_which_clients_had_failed(small: Any) -> None:
    app = ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        messages = [Message(RecordDict(), node, "train") for node in grid.get_node_ids()]
        for reply in grid.send_and_receive(messages):
            reply.content["metrics"]

    with pytest.raises(ValueError, match="content is None") as caught:
        simulate(app, small.client(), num_clients=2, progress=False)
    assert [note.partition(":")[0] for note in caught.value.__notes__] == [
        "Client 0 failed in round 0", "Client 1 failed in round 0",
    ]  # fmt: skip


def test_a_client_that_spoils_its_own_context_spoils_no_other_call(small: Any) -> None:
    client = small.client()
    trained = client._registered_funcs["train.default"]

    def spoil(message: Message, context: Any) -> Message:
        reply = trained(message, context)
        context.node_config["partition-id"] = 0
        message.metadata.group_id, message.metadata.dst_node_id = "7", 99
        return reply

    client._registered_funcs["train.default"] = spoil
    found = simulate(small.server(lambda: FedAvg(RoundPlan(4))), client, num_clients=4, progress=False)
    expected = simulate(small.server(lambda: FedAvg(RoundPlan(4))), small.client(), num_clients=4, progress=False)
    assert found.state == expected.state
    assert found.exchanges == expected.exchanges
