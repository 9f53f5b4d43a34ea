"""Server optimisers against closed forms of one and two steps, PyTorch's optimisers, and Flower's strategies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from edgebook.federated import (
    FedAdam,
    FedAvg,
    FedStep,
    RoundPlan,
    server_step,
    simulate,
    to_arrays,
    to_record,
)
from edgebook.federated.server_steps import ServerState

Arrays = dict[str, np.ndarray]
B1, B2, ETA = 0.9, 0.99, 0.3
RULES = ("average", "momentum", "adagrad", "adam", "yogi")


def deltas(rounds: int = 6) -> list[np.ndarray]:
    return list(np.random.default_rng(1).normal(size=(rounds, 5)))


def walked(rule: Any, start: np.ndarray, **options: Any) -> list[np.ndarray]:
    """Where a model goes whose mean update is given, round by round."""
    places, state = [start], None
    for delta in deltas():
        moved, state = server_step(rule, {"w": places[-1]}, {"w": places[-1] + delta}, state, **options)
        places.append(moved["w"])
    return places[1:]


@pytest.mark.parametrize("rule", RULES)
def test_one_and_two_steps_have_a_closed_form(rule: Any) -> None:
    tau, (a, b) = 0.1, (0.5, -0.25)
    one, state = server_step(rule, {"w": np.array(1.0)}, {"w": np.array(1.0 + a)}, eta=ETA, tau=tau)
    two, _ = server_step(rule, one, {"w": one["w"] + b}, state, eta=ETA, tau=tau)
    m, v = [0.1 * a, 0.09 * a + 0.1 * b], [np.nan, np.nan]
    if rule == "adagrad":
        v = [0.01 + 0.25, 0.01 + 0.25 + 0.0625]
    elif rule == "adam":
        v = [0.99 * 0.01 + 0.01 * 0.25, 0.99 * (0.99 * 0.01 + 0.01 * 0.25) + 0.01 * 0.0625]
    elif rule == "yogi":  # the second moment is below the square both times, and grows
        v = [0.01 + 0.01 * 0.25, 0.01 + 0.01 * 0.25 + 0.01 * 0.0625]
    steps = [m_ / (v_**0.5 + tau) for m_, v_ in zip(m, v, strict=True)]
    steps = {"average": [a, b], "momentum": [a, 0.9 * a + b]}.get(rule, steps)
    np.testing.assert_allclose(one["w"], 1 + ETA * steps[0], rtol=1e-12)
    np.testing.assert_allclose(two["w"], 1 + ETA * (steps[0] + steps[1]), rtol=1e-12)


def torchs(make: Callable[[list[torch.Tensor]], torch.optim.Optimizer], start: np.ndarray) -> list[np.ndarray]:
    w, places = torch.tensor(start), []
    optimizer = make([w])
    for delta in deltas():
        w.grad = -torch.tensor(delta)
        optimizer.step()
        places.append(w.numpy().copy())
    return places


def test_rules_are_pytorchs_where_they_coincide() -> None:
    start = np.linspace(-1, 1, 5)
    sgd = torchs(lambda w: torch.optim.SGD(w, lr=ETA), start)
    np.testing.assert_allclose(walked("average", start, eta=ETA), sgd, rtol=1e-12)
    heavy = torchs(lambda w: torch.optim.SGD(w, lr=ETA, momentum=B1), start)
    np.testing.assert_allclose(walked("momentum", start, eta=ETA), heavy, rtol=1e-12)
    adagrad = torchs(lambda w: torch.optim.Adagrad(w, lr=ETA, initial_accumulator_value=1e-4, eps=1e-2), start)
    np.testing.assert_allclose(walked("adagrad", start, eta=ETA, beta_1=0.0, tau=1e-2), adagrad, rtol=1e-12)
    adam = torchs(lambda w: torch.optim.Adam(w, lr=ETA, betas=(B1, B2), eps=1e-12), start)
    places, state = [start], None  # its correction of both biases is a rate of its own in each step
    for number, delta in enumerate(deltas(), start=1):
        eta = ETA * (1 - B2**number) ** 0.5 / (1 - B1**number)
        mean = {"w": places[-1] + delta}
        moved, state = server_step("adam", {"w": places[-1]}, mean, state, eta=eta, tau=1e-12)
        places.append(moved["w"])
    np.testing.assert_allclose(places[1:], adam, rtol=1e-9)


def pull(client: int, number: int, message: Message) -> Message:
    arrays = to_arrays(message.content["arrays"])
    moved = {name: (a + (client - a) / 2).astype(a.dtype) for name, a in arrays.items()}
    content = {"arrays": to_record(moved), "metrics": MetricRecord({"num-examples": 1})}
    return Message(RecordDict(content), reply_to=message)


def run(small: Any, strategy: Callable[[], Any], rounds: int, start: Arrays) -> Arrays:
    server = small.server(strategy, rounds=rounds, start=start)
    return to_arrays(simulate(server, small.client(pull), num_clients=3, progress=False).state["arrays"])


def test_federations_are_flowers_where_they_coincide(small: Any) -> None:
    start, flowers = {"w": np.linspace(-1, 4, 6).reshape(2, 3)}, {"fraction_evaluate": 0.0, "min_available_nodes": 3}
    found = run(small, lambda: FedStep(RoundPlan(3), "average"), 3, start)
    np.testing.assert_array_equal(found["w"], run(small, lambda: FedAvg(RoundPlan(3)), 3, start)["w"])
    found = run(small, lambda: FedStep(RoundPlan(3), "momentum", eta=0.5, beta_1=0.7), 4, start)
    theirs = run(
        small, lambda: flower.FedAvgM(server_learning_rate=0.5, server_momentum=0.7, **flowers), 4, start
    )  # fmt: skip
    np.testing.assert_allclose(found["w"], theirs["w"], rtol=1e-12)
    mean = {"w": (start["w"] + np.mean([0, 1, 2])) / 2}
    zero = ServerState({"w": np.zeros((2, 3))}, {"w": np.zeros((2, 3))})
    eta = 0.2 * (1 - B2**2) ** 0.5 / (1 - B1**2)  # Flower corrects the first round as if it were the second
    moved, _ = server_step("adam", start, mean, zero, eta=eta)
    np.testing.assert_allclose(moved["w"], run(small, lambda: FedAdam(RoundPlan(3), eta=0.2), 1, start)["w"])


def test_what_nobody_returned_keeps_its_place_and_its_moments() -> None:
    current = {"a": np.float32([1, 2]), "b": np.float32([3])}
    moved, state = server_step("adam", current, {"a": np.float32([2, 2]), "b": np.float32([4])}, eta=0.1)
    again, later = server_step("adam", moved, {"a": moved["a"] + 1}, state, eta=0.1)
    np.testing.assert_array_equal(again["b"], moved["b"])
    assert again["b"].dtype == np.float32
    for moments, before in zip(later, state, strict=True):
        np.testing.assert_array_equal(moments["b"], before["b"])
        assert (moments["a"] != before["a"]).all()
    assert set(server_step("yogi", current, {})[1].first) == set()


def test_statistics_take_their_mean_and_whole_numbers_stay() -> None:
    current = {"n.running_var": np.float32([1]), "n.num_batches_tracked": np.array(3), "w": np.float32([1])}
    mean = {"n.running_var": np.float32([0.5]), "n.num_batches_tracked": np.array(9), "w": np.float32([2])}
    moved, state = server_step("adam", current, mean, eta=5.0)
    assert (moved["n.running_var"], moved["n.num_batches_tracked"]) == (0.5, 3)
    assert set(state.first) == set(state.second) == {"w"}


class Half(FedStep):
    """Clients 0 and 1 train the array of their number, client 2 both."""

    def send(self, server_round: int, client: int, arrays: Arrays) -> Arrays:
        return {name: array for name, array in arrays.items() if client == 2 or name == "ab"[client]}


def test_a_federation_steps_along_what_was_returned_and_forgets_when_told(small: Any) -> None:
    plan, start = RoundPlan(3, 2, seed=1), {"a": np.array([4.0]), "b": np.array([-3.0]), "c": np.array([1.0])}
    found = run(small, lambda: Half(plan, "yogi", eta=0.2, anew={3}), 4, start)
    x, state = dict(start), None
    for number in (1, 2, 3, 4):
        mean = {}
        for name, owners in {"a": (0, 2), "b": (1, 2), "c": (2,)}.items():
            if who := [k for k in plan.trained(number) if k in owners]:
                mean[name] = np.mean([(x[name] + k) / 2 for k in who], axis=0)
        x, state = server_step("yogi", x, mean, None if number == 3 else state, eta=0.2)
    for name, array in x.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12)


@pytest.mark.parametrize(("options", "words"), [
    ({"rule": "sgd"}, "rule must be one of average, momentum, adagrad, adam, yogi, got 'sgd'"),
    ({"eta": 0.0}, "eta must be above 0"),
    ({"tau": float("nan")}, "tau must be above 0"),
    ({"beta_1": 1.0}, "beta_1 must lie between 0 and 1, 1 excluded, got 1.0"),
    ({"beta_2": -0.1}, "beta_2 must lie"),
    ({"mean": {"z": np.zeros(1)}}, r"The mean holds \['z'\], which the current model does not have"),
    ({"mean": {"w": np.zeros(2)}}, "The mean is no version of the current model: its array 'w' has the shape"),
    ({"current": {"w": np.zeros(1, complex)}}, "steps along real arrays alone, and 'w' is complex128"),
])  # fmt: skip
def test_what_no_step_can_be_made_with_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        server_step(**{"rule": "adam", "current": {"w": np.zeros(1)}, "mean": {"w": np.ones(1)}} | options)
