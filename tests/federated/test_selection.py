"""Choice of clients against exhaustive search and plain sorting, and a federation that asks before it chooses."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from edgebook.federated import FedHeads, RoundPlan, choose, simulate, to_arrays, to_record, traffic
from edgebook.federated.sampling import sample_clients

PATHS = ["block"]
START = {"block.q.lora_A.weight": np.zeros((1, 2), np.float32), "block.q.lora_B.weight": np.zeros((4, 1), np.float32)}


@pytest.mark.parametrize("seed", range(20))
def test_greedy_cover_is_within_its_bound(seed: int) -> None:
    scores = np.random.default_rng(seed).random((8, 5)) ** 3
    best = max(scores[list(some)].max(0).sum() for some in combinations(range(8), 3))
    chosen = choose("cover", scores, 3)
    reached = scores[chosen].max(0).sum()
    assert len(set(chosen)) == 3
    assert (1 - 1 / math.e) * best <= reached <= best
    assert choose("cover", scores, 1) == [int(scores.sum(1).argmax())]


def test_losses_are_sorted_and_ties_go_to_the_first() -> None:
    assert choose("loss", [1, 3, 2, 3], 3) == [1, 3, 2]
    assert choose("gap", [0.1, np.inf, 0.1], 2) == [1, 0]
    assert choose("cover", [[1, np.nan], [1, 0]], 2) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "told", "count", "said"),
    [
        ("size", [1], 1, "can be asked"),
        ("loss", [[1]], 1, "shape"),
        ("cover", [[-1.0]], 1, "at least 0"),
        ("loss", [np.nan], 1, "number"),
        ("loss", [1.0], 2, "from 0 to 1"),
    ],
)
def test_bad_input_gets_a_sentence(kind: Any, told: Any, count: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        choose(kind, told, count)


def client_app() -> ClientApp:
    """Client k is sure of head k % 2, loses 10 - k, and sets its LoRA to k + 1."""
    app = ClientApp()

    @app.query("score")
    def score(message: Any, context: Any) -> Any:
        k = int(context.node_config["partition-id"])
        told = {"confidence": [0.9, 0.1] if k % 2 == 0 else [0.1, 0.9], "loss": 10.0 - k, "num-examples": 1}
        told["confidence"][0] += len(message.content["arrays"])  # the whole LoRA is sent to be asked anew
        return Message(RecordDict({"told": MetricRecord(told)}), reply_to=message)

    @app.train()
    def train(message: Any, context: Any) -> Any:
        k, arrays = int(context.node_config["partition-id"]), to_arrays(message.content["arrays"])
        arrays["lora"] = np.full_like(arrays["lora"], k + 1)
        told = MetricRecord({"num-examples": k + 1, "loss": 0.0})
        return Message(RecordDict({"arrays": to_record(arrays), "metrics": told}), reply_to=message)

    return app


def guide(client: int, confidence: np.ndarray) -> np.ndarray:
    return confidence == confidence.max()


def federate(small: Any, strategy: FedHeads, rounds: int = 1) -> tuple[dict[str, np.ndarray], Any]:
    server = small.server(lambda: strategy, start=START, rounds=rounds)
    done = simulate(server, client_app(), num_clients=4, progress=False)
    return to_arrays(done.state["arrays"]), done.exchanges


def test_heads_are_merged_over_those_who_keep_them(small: Any) -> None:
    plan = RoundPlan(4, weighting="samples")
    strategy = FedHeads(plan, PATHS, guide, merging="plain")
    arrays, exchanges = federate(small, strategy)
    even, odd = (1 * 1 + 3 * 3) / 4, (2 * 2 + 4 * 4) / 6  # by number of samples
    assert arrays["block.q.lora_B.weight"].ravel() == pytest.approx([even, even, odd, odd])
    assert arrays["block.q.lora_A.weight"].ravel() == pytest.approx([(1 + 4 + 9 + 16) / 10] * 2)
    assert strategy.shares[0].sum(0).tolist() == [[1.0, 1.0]]
    assert traffic(exchanges, "query").messages == 4 and traffic(exchanges).messages == 4
    assert [one.kind for one in exchanges].count("query.score") == 4


def test_everybody_is_asked_once_unless_anew(small: Any) -> None:
    asked = {}
    for anew in (False, True):
        _, exchanges = federate(small, FedHeads(RoundPlan(4), PATHS, guide, anew=anew), rounds=3)
        asked[anew] = traffic(exchanges, "query")
    assert asked[False].messages == 4 and asked[True].messages == 12
    sent = sum(array.nbytes for array in START.values())
    assert asked[True].down / 12 - asked[False].down / 4 > sent  # the LoRA goes along


@pytest.mark.parametrize(("selection", "chosen"), [("loss", [0, 1]), ("gap", [0, 1]), ("cover", [0, 1])])
def test_the_best_of_the_candidates_train(small: Any, selection: Any, chosen: list[int]) -> None:
    strategy = FedHeads(RoundPlan(4, 2), PATHS, guide, selection=selection)
    _, exchanges = federate(small, strategy)
    assert [one.client for one in exchanges if one.kind == "train"] == chosen


def test_candidates_are_drawn_by_seed_and_round(small: Any) -> None:
    strategy = FedHeads(RoundPlan(4, 1, seed=3), PATHS, guide, selection="loss", candidates=2)
    _, exchanges = federate(small, strategy, rounds=4)
    trained = [one.client for one in exchanges if one.kind == "train"]
    assert trained == [min(sample_clients(4, 2, seed=3, server_round=number)) for number in range(1, 5)]


def test_who_has_trained_gains_less(small: Any) -> None:
    _, exchanges = federate(small, FedHeads(RoundPlan(4, 1), PATHS, guide, selection="gap"), rounds=5)
    assert [one.client for one in exchanges if one.kind == "train"] == [0, 1, 2, 3, 0]
