"""Parts of a model in messages: merging against a loop over single numbers, and federations in which parts differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.federated import (
    ClientError,
    FedAvg,
    FedParts,
    RoundPlan,
    Simulation,
    average,
    count_bytes,
    merge_parts,
    simulate,
    to_arrays,
    to_record,
    traffic,
)

Arrays = dict[str, np.ndarray]


class OwnBias(FedParts):
    """Each client has a bias of its own at the server, is sent it as `b`, and never sees the counter."""

    def send(self, server_round: int, client: int, arrays: Arrays) -> Arrays:
        return {"w": arrays["w"], "b": arrays[f"b{client}"]}

    def read(self, server_round: int, client: int, answer: Arrays, arrays: Arrays) -> Arrays:
        return {"w": answer["w"], f"b{client}": answer["b"]}


def start() -> Arrays:
    own = {f"b{k}": np.float32([10 * k]) for k in range(4)}
    return {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(7)} | own


def run(small: Any, strategy: Any, client: Any = None, **options: Any) -> Simulation:
    server = small.server(strategy, start=options.pop("start", start()), rounds=options.pop("rounds", 3))
    return simulate(server, client or small.client(), num_clients=4, progress=False, **options)


def by_hand(parts: Sequence[Arrays], weights: Sequence[float], current: Arrays) -> Arrays:
    """One number after the other."""
    merged = {name: array.copy() for name, array in current.items()}
    for name, array in merged.items():
        for place in np.ndindex(array.shape):
            held = [
                (w, part[name][place])
                for w, part in zip(weights, parts, strict=True)
                if name in part and part[name][place] is not np.ma.masked
            ]
            if held and array.dtype.kind == "f":
                array[place] = sum(w * float(value) for w, value in held) / sum(w for w, _ in held)
    return merged


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_merging_is_that_of_a_loop_over_numbers(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    current = {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=2).astype(np.float32), "n": np.array(5)}
    parts: list[Arrays] = []
    for _ in range(data.draw(st.integers(1, 4))):
        part = {name: rng.normal(size=a.shape).astype(a.dtype) for name, a in current.items() if name != "n"}
        part = {name: a for name, a in part.items() if data.draw(st.booleans())}
        if "a" in part and data.draw(st.booleans()):
            part["a"] = np.ma.masked_array(part["a"], rng.random((2, 3)) < 0.5)
        parts.append(part | {"n": np.array(9)})
    weights = rng.dirichlet(np.full(len(parts), 3.0)).tolist()
    found, expected = merge_parts(parts, weights, current), by_hand(parts, weights, current)
    assert list(found) == list(current)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert not isinstance(found[name], np.ma.MaskedArray)
        np.testing.assert_allclose(found[name], array, rtol=1e-6 if name == "b" else 1e-12)


def test_what_is_masked_may_be_any_bits() -> None:
    signalling = np.array([0x3F800000, 0x7F800001], np.uint32).view(np.float32)  # 1, and a NaN that warns when cast
    part = {"a": np.ma.masked_array(signalling, [False, True])}
    with np.errstate(all="raise"):
        merged = merge_parts([part], [1.0], {"a": np.full(2, 5, np.float32)})
    np.testing.assert_array_equal(merged["a"], [1, 5])


def test_whole_parts_are_averaged_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    models = [{name: rng.normal(size=30).astype(np.float32) for name in "ab"} for _ in range(7)]
    weights = rng.dirichlet(np.ones(7)).tolist()
    found, expected = merge_parts(models, weights, models[0]), average(models, weights, models[0])
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(("parts", "weights", "words"), [
    ([], [], "Parts with one weight above 0 each are needed, got 0"),
    ([{}], [0.0], r"got 1 and \[0.0\]"),
    ([{"z": np.zeros(2)}], [1.0], r"Part 0 holds \['z'\], which the current model does not have"),
    ([{}, {"a": np.zeros(3)}], [1.0, 1.0], r"Part 1 is none of the current model: its array 'a' has the shape \(3,\)"),
])  # fmt: skip
def test_what_is_no_part_is_refused(parts: list[Arrays], weights: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        merge_parts(parts, weights, {"a": np.zeros(2)})


@pytest.mark.parametrize("options", [{}, {"per_round": 2, "weighting": "samples", "noise": 0.3, "evaluated": 2}])
def test_a_federation_of_whole_models_is_federated_averaging(small: Any, options: dict[str, Any]) -> None:
    plain = run(small, lambda: FedAvg(RoundPlan(4, **options)))
    parts = run(small, lambda: FedParts(RoundPlan(4, **options)))
    assert parts.state == plain.state
    assert parts.exchanges == plain.exchanges


def test_parts_are_those_of_a_loop_over_clients(small: Any) -> None:
    """Clients go half of the way to their number, and draw; the draws are told in the metrics."""
    plan = RoundPlan(4, 2, seed=3)
    found = run(small, lambda: OwnBias(plan), small.client(pull))
    arrays = start()
    for number in (1, 2, 3):
        who = plan.trained(number)
        for k in who:
            arrays[f"b{k}"] = (arrays[f"b{k}"] + k) / 2
        arrays["w"] = np.mean([(arrays["w"] + k) / 2 for k in who], axis=0)
    last = to_arrays(found.state["arrays"])
    assert list(last) == list(start())
    for name, array in arrays.items():
        np.testing.assert_allclose(last[name], array, rtol=1e-6)
    assert last["count"] == 7


def pull(client: int, number: int, message: Message) -> Message:
    arrays = to_arrays(message.content["arrays"])
    moved = {name: ((a + client) / 2).astype(a.dtype) for name, a in arrays.items()}
    content = {"arrays": to_record(moved), "metrics": MetricRecord({"num-examples": 1})}
    return Message(RecordDict(content), reply_to=message)


def test_messages_hold_the_parts_and_nothing_else(small: Any) -> None:
    part = to_record({name: start()[key] for name, key in (("w", "w"), ("b", "b0"))})
    down = count_bytes(RecordDict({"arrays": part, "config": ConfigRecord({"server-round": 1})}))
    up = count_bytes(RecordDict({"arrays": part, "metrics": MetricRecord({"num-examples": 1})}))
    found = run(small, lambda: OwnBias(RoundPlan(4, 3, evaluated=2)), small.client(pull))
    assert traffic(found.exchanges) == (9, 9, 9 * down, 9 * up)
    assert traffic(found.exchanges, "evaluate")[:3] == (6, 6, 6 * down)


def test_answers_are_checked_against_what_their_client_was_sent(small: Any) -> None:
    def fail(client: int, number: int, message: Message) -> Message | None:
        if client != number:
            return pull(client, number, message)
        if number == 1:
            raise ZeroDivisionError("no data")
        arrays = to_arrays(message.content["arrays"])
        arrays |= {"b1": arrays.pop("b")} if number == 2 else {"b": np.float32([np.nan])}
        return Message(RecordDict({"arrays": to_record(arrays)}), reply_to=message)

    made: list[OwnBias] = []

    def strategy(tolerated: int) -> OwnBias:
        made.append(OwnBias(RoundPlan(4, tolerated=tolerated)))
        return made[-1]

    run(small, lambda: strategy(1), small.client(fail))  # and no warning of failures that nobody heard of
    assert [failure[:3] for failure in made[-1].failures] == [
        (1, 1, "ZeroDivisionError: no data"),
        (2, 2, "it returned other arrays than it was sent: ['b'] are missing, ['b1'] are unknown"),
        (3, 3, "its array 'b' holds values that are not finite"),
    ]
    with pytest.raises(ClientError, match=r"^Client 1 failed in round 1: ZeroDivisionError: no data\."):
        run(small, lambda: strategy(0), small.client(fail))


def test_a_model_that_is_of_no_use_after_merging_is_the_servers_fault(small: Any) -> None:
    class Broken(FedParts):
        def merge(self, server_round: int, updates: Any, weights: Any, arrays: Arrays) -> Arrays:
            return arrays | {"w": np.full((2, 3), np.inf, np.float32)}

    with pytest.raises(ValueError, match="The server's model after round 1 is of no use: its array 'w' holds values"):
        run(small, lambda: Broken(RoundPlan(4)), start=small.start())
