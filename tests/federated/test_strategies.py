"""Adaptive optimisers against their formulas and against Flower's own; averages and counters in between."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp import strategy as flower

from edgebook.federated import FedAdagrad, FedAdam, FedAvg, FedYogi, RoundPlan, simulate, to_arrays, to_record

TARGETS = np.array([0.0, 1.0, 2.0])


def run(small: Any, strategy: Callable[[], Any], rounds: int, start: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Clients that go half of the way to their number, without noise of their own."""
    from flwr.app import MetricRecord

    def pull(client: int, number: int, message: Message) -> Message:
        arrays = to_arrays(message.content["arrays"])
        moved = {
            n: a + 1 if a.dtype.kind == "i" else (a + 0.5 * (client - a)).astype(a.dtype) for n, a in arrays.items()
        }
        content = {"arrays": to_record(moved), "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    server = small.server(strategy, rounds=rounds, start=start)
    return to_arrays(simulate(server, small.client(pull), num_clients=3, progress=False).state["arrays"])


def by_hand(kind: str, rounds: int, eta: float, tau: float) -> float:
    """The formulas of Reddi et al., with the bias correction that Flower has, for one number from 4."""
    x, m, v, b1, b2 = 4.0, 0.0, 0.0, 0.9, 0.99
    for number in range(1, rounds + 1):
        delta = float(np.mean(0.5 * (TARGETS - x)))
        rate = eta
        if kind == "adagrad":
            m, v = delta, v + delta**2
        else:
            m = b1 * m + (1 - b1) * delta
            v = b2 * v + (1 - b2) * delta**2 if kind == "adam" else v - (1 - b2) * delta**2 * np.sign(v - delta**2)
        if kind == "adam":
            rate = eta * np.sqrt(1 - b2 ** (number + 1)) / (1 - b1 ** (number + 1))
        x += rate * m / (np.sqrt(v) + tau)
    return x


KINDS: dict[str, tuple[type, type]] = {
    "adam": (FedAdam, flower.FedAdam),
    "yogi": (FedYogi, flower.FedYogi),
    "adagrad": (FedAdagrad, flower.FedAdagrad),
}


@pytest.mark.parametrize("kind", KINDS)
def test_adaptive_optimisers_follow_their_formulas(small: Any, kind: str) -> None:
    start = {"w": np.full(2, 4.0, np.float32)}
    found = run(small, lambda: KINDS[kind][0](RoundPlan(3), eta=0.2, tau=1e-3), 5, start)["w"]
    np.testing.assert_allclose(found, by_hand(kind, 5, 0.2, 1e-3), rtol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_without_counters_and_statistics_they_are_flowers_own(small: Any, kind: str) -> None:
    start = {"w": np.linspace(-1.1, 4, 6).reshape(2, 3), "b": np.array(2.5)}
    ours, theirs = KINDS[kind]
    found = run(small, lambda: ours(RoundPlan(3), eta=0.2), 4, start)
    flowers = run(small, lambda: theirs(eta=0.2, min_available_nodes=3, fraction_evaluate=0.0), 4, start)
    for name, array in flowers.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-9)


def test_statistics_are_averaged_and_counters_left_alone(small: Any) -> None:
    start = {"w": np.float32([4]), "n.running_var": np.float32([1.0]), "n.num_batches_tracked": np.array(3)}
    found = run(small, lambda: FedAdam(RoundPlan(3), eta=5.0), 2, start)
    plain = run(small, lambda: FedAvg(RoundPlan(3)), 2, start)
    np.testing.assert_allclose(found["n.running_var"], 1.0)  # the mean of 0, 1 and 2 is where it was
    np.testing.assert_array_equal(found["n.running_var"], plain["n.running_var"])
    for arrays in (found, plain):
        assert arrays["n.num_batches_tracked"] == 3
        assert {name: array.dtype for name, array in arrays.items()} == {n: a.dtype for n, a in start.items()}
    assert found["w"] < -1  # so large a step would have made a variance negative
    stepped = run(small, lambda: FedAdam(RoundPlan(3), eta=9.0), 1, start | {"n.var": np.float32([4])})
    assert stepped["n.var"] < 0  # under another name it does


def test_rounds_average_those_who_take_part(small: Any) -> None:
    plan = RoundPlan(3, 2, seed=5, stragglers=0.5)
    expected = 4.0
    for number in range(1, 9):
        expected = float(np.mean([0.5 * (expected + client) for client in plan.trained(number)]))
    found = run(small, lambda: FedAvg(plan), 8, {"w": np.float64([4])})
    np.testing.assert_allclose(found["w"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clients": 0}, "at least one client"),
        ({"clients": 3, "per_round": 4}, "per_round must lie between 1 and the 3 clients, got 4"),
        ({"clients": 3, "evaluated": 4}, "evaluated"),
        ({"clients": 3, "stragglers": 1.5}, "stragglers must lie between 0 and 1"),
        ({"clients": 3, "noise": float("nan")}, "noise"),
        ({"clients": 3, "weighting": "size"}, "weighting must be one of uniform, samples"),
        ({"clients": 3, "noise_scale": "big"}, "noise_scale must be one of relative, absolute"),
        ({"clients": 3, "wait": -1.0}, "seed, noise, tolerated and wait must be at least 0"),
        *(({"clients": 3, name: value}, f"{name} must be a finite number, got {value}")
          for name in ("stragglers", "noise", "wait") for value in (float("nan"), float("inf"))),
    ],
)  # fmt: skip
def test_plans_refuse_what_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RoundPlan(**options)


@pytest.mark.parametrize("name", ["clients", "per_round", "seed", "evaluated", "tolerated"])
def test_numbers_of_clients_are_whole(name: str) -> None:
    for value in (1.0, 1.5, "1", True, np.float64(1), np.array([1])):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            RoundPlan(**{"clients": 3} | {name: value})
    assert RoundPlan(**{"clients": 3} | {name: np.int64(2)}) == RoundPlan(**{"clients": 3} | {name: 2})


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_the_plan_overrules_are_refused(kind: str) -> None:
    ours, theirs = KINDS[kind]
    own = {"adam": {"eta", "beta_1", "beta_2", "tau"}, "yogi": {"eta", "beta_1", "beta_2", "tau"}}.get(
        kind, {"eta", "tau"}
    )
    for name, option in inspect.signature(theirs).parameters.items():
        if name in own:
            assert getattr(ours(RoundPlan(3), **{name: 0.5}), name) == 0.5
            for value in (float("nan"), float("inf"), -0.5, 1.0 if name.startswith("beta") else 0.0):
                with pytest.raises(ValueError, match=f"{name} must"):
                    ours(RoundPlan(3), **{name: value})
        else:
            with pytest.raises(TypeError, match=f"takes a plan and .*, and no {name}: "):
                ours(RoundPlan(3), **{name: option.default})
    with pytest.raises(TypeError, match="follows a RoundPlan, got 3"):
        ours(3)


def test_what_an_optimiser_does_not_step_along_is_no_trouble_to_it(small: Any) -> None:
    start = {"w": np.float32([4]), "mask": np.array([True, False]), "places": np.arange(3), "none": np.zeros((0, 2))}

    def keep(client: int, number: int, message: Message) -> Message:
        arrays = to_arrays(message.content["arrays"]) | {"w": np.float32([5])}
        return Message(RecordDict({"arrays": to_record(arrays)}), reply_to=message)

    server = small.server(lambda: FedAdam(RoundPlan(3), eta=0.2), rounds=2, start=start)
    found = to_arrays(simulate(server, small.client(keep), num_clients=3, progress=False).state["arrays"])
    assert 4 < found.pop("w") < 5
    for name, array in found.items():
        np.testing.assert_array_equal(array, start[name])


@pytest.mark.parametrize(("strategy", "start", "words"), [
    (lambda: FedAvg(RoundPlan(3)), {"w": np.float32([1, np.nan])}, "after round 0 is of no use: .*'w' holds values"),
    (lambda: FedAvg(RoundPlan(3)), {"w": np.array(["a"])}, "after round 0 is of no use: its array 'w' is of the type"),
    (lambda: FedAdam(RoundPlan(3)), {"w": np.complex64([1j])}, "steps along real arrays alone, and 'w' is complex64"),
    (lambda: FedAvg(RoundPlan(3, noise=1e39, noise_scale="absolute")), {"w": np.float32([1])}, "after round 1 is of"),
    (lambda: FedAdam(RoundPlan(3), eta=1e39), {"w": np.float32([4])}, "after round 1 is of no use: .*'w' holds values"),
], ids=["NaN", "words", "complex", "noise", "step"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_model_of_the_server_that_is_of_no_use_is_not_blamed_on_clients(
    small: Any, strategy: Callable[[], Any], start: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        run(small, strategy, 3, start)


@pytest.mark.parametrize(("options", "words"), [
    ({"rounds": 0}, "num_rounds must be at least 1, got 0"),
    ({"rounds": 1, "timeout": float("nan")}, "timeout must be above 0 and finite"),
    ({"rounds": 1, "timeout": 0.0}, "timeout must be above 0 and finite"),
    ({"rounds": 1, "start": {}}, "after round 0 is of no use: it has no array"),
])  # fmt: skip
def test_runs_in_which_nobody_could_train_are_refused(small: Any, options: dict[str, Any], words: str) -> None:
    options = {"start": {"w": np.float32([4])}} | options
    app, initial = ServerApp(), to_record(options.pop("start"))

    @app.main()
    def main(grid: Any, context: Any) -> None:
        FedAvg(RoundPlan(3)).start(grid, initial, options["rounds"], options.get("timeout"))

    with pytest.raises(ValueError, match=words):
        simulate(app, small.client(), num_clients=3, progress=False)
