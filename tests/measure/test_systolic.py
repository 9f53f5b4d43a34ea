"""Counts of a systolic array beside a walk that moves and multiplies word by word, image by image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgebook.measure import LayerCost, SystolicArray, Traffic, inference_traffic, layer_costs

SMALL = SystolicArray(pes=4, cache_words=40, reuse=2, words_a_cycle=2)


class Layer:
    """Weights (O, I) that meet each of the places (P, I) of an image, and whose they are for each task."""

    def __init__(self, outputs: int, inputs: int, places: int, own_weights: bool, own_thresholds: bool) -> None:
        self.outputs, self.inputs, self.places = outputs, inputs, places
        self.own_weights, self.own_thresholds = own_weights, own_thresholds

    @property
    def cost(self) -> LayerCost:
        weights = self.outputs * self.inputs
        return LayerCost(weights * self.places, weights, self.inputs * self.places, self.outputs * self.places)


def walk(layer: Layer, tasks: Sequence[int], x: Tensor, y: Tensor, skip: bool, array: SystolicArray) -> Traffic:
    """Take inputs (B, P, I) and outputs (B, P, O) word by word; what is held is fetched only where it changes."""
    count: Counter[str] = Counter()
    held_weights = held_thresholds = None
    groups = -(-layer.outputs * layer.inputs // array.cache_words)
    for task, image, result in zip(tasks, x.tolist(), y.tolist(), strict=True):
        if held_weights != (task if layer.own_weights else "all"):
            held_weights = task if layer.own_weights else "all"
            for _ in range(layer.outputs * layer.inputs):
                count["dram"] += 1
        if layer.own_thresholds and held_thresholds != task:
            held_thresholds = task
            for _ in range(layer.outputs * layer.places):
                count["dram"] += 1
        for _ in range(groups):
            for place in image:
                for word in place:
                    count["dram"] += word != 0 or not skip
        for place in image:
            for word in place:
                for _ in range(layer.outputs if word != 0 or not skip else 0):
                    count["mac"] += 1
                    for _ in ("weight", "input", "sum"):
                        count["register"] += 1
                    for _ in ("weight", "input"):
                        count["fetched"] += 1
        for place in result:
            for word in place:
                count["cache"] += 1
                count["dram"] += word != 0 or not skip
                for _ in range(layer.own_thresholds):
                    count["cache"] += 1
                    count["comparator"] += 1
    cycles = max(count["mac"] / array.pes, count["dram"] / array.words_a_cycle)
    cache = count["cache"] + count["fetched"] / array.reuse
    return Traffic(count["dram"], cache, count["register"], count["mac"], count["comparator"], cycles)


def runs(tasks: Sequence[int]) -> int:
    """Count how often the task changes, the first included."""
    return sum(before != task for before, task in zip([None, *tasks], tasks, strict=False))


@settings(max_examples=40)
@given(
    tasks=st.lists(st.integers(0, 2), min_size=1, max_size=5),
    sizes=st.tuples(*[st.integers(1, 4)] * 3),
    places=st.integers(1, 3),
    mime=st.booleans(),
    skip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_network_of_two_layers_is_counted_as_a_walk_over_words_counts_it(
    tasks: list[int], sizes: tuple[int, int, int], places: int, mime: bool, skip: bool, seed: int
) -> None:
    first, hidden, out = 3 * sizes[0], 4 * sizes[1], sizes[2]
    draws = torch.Generator().manual_seed(seed)
    layers = [Layer(hidden, first, places, not mime, mime), Layer(out, hidden, places, True, False)]  # and a head
    widths = [first, hidden, out]
    maps = [torch.randn(len(tasks), places, width, generator=draws).relu() for width in widths]
    given_: dict[str, list[Any]] = {"weight_loads": [], "threshold_loads": [], "zeros_in": [], "zeros_out": []}
    found = []
    for layer, x, y in zip(layers, maps[:-1], maps[1:], strict=True):
        found.append(walk(layer, tasks, x, y, skip, SMALL))
        given_["weight_loads"].append(runs(tasks) if layer.own_weights else 1)
        given_["threshold_loads"].append(runs(tasks) if layer.own_thresholds else 0)
        given_["zeros_in"].append(float((x == 0).double().mean()) if skip else 0.0)
        given_["zeros_out"].append(float((y == 0).double().mean()) if skip else 0.0)
    images = len(tasks)
    for place, (layer, walked) in enumerate(zip(layers, found, strict=True)):
        own = {name: values[place] for name, values in given_.items()}
        assert inference_traffic([layer.cost], images=images, array=SMALL, **own) == pytest.approx(walked)
    total = inference_traffic([layer.cost for layer in layers], images=images, array=SMALL, **given_)
    assert total == pytest.approx([sum(level) for level in zip(*found, strict=True)])


def test_the_walk_goes_over_the_words_that_layer_costs_counts() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 5, 1))
    wanted = [Layer(8, 3, 4, True, True).cost, Layer(5, 8, 4, True, True).cost]
    assert list(layer_costs(net, (3, 2, 2)).values()) == wanted


def test_a_layer_that_the_cache_does_not_hold_reads_its_inputs_once_for_each_group() -> None:
    cost = LayerCost(macs=1000, weights=100, inputs=10, outputs=10)
    arrays = [SystolicArray(cache_words=words) for words in (100, 99, 50, 33)]
    drams = [inference_traffic([cost], images=2, weight_loads=1, array=array).dram for array in arrays]
    assert drams == [100 + 2 * (10 * groups + 10) for groups in (1, 2, 2, 4)]


def test_energy_is_the_sum_of_accesses_at_their_prices() -> None:
    array = SystolicArray(energies=(200, 6, 2, 1, 0.5))
    energy = array.energy(Traffic(1, 10, 100, 1000, 8, 5))
    assert energy == {"dram": 200, "cache": 60, "register": 200, "mac": 1000, "comparator": 4}


def test_cycles_are_those_of_the_slower_of_products_and_memory() -> None:
    cost = LayerCost(macs=8000, weights=10, inputs=10, outputs=10)
    arrays = [SystolicArray(words_a_cycle=words) for words in (1, 30)]
    cycles = [inference_traffic([cost], images=1, weight_loads=1, array=array).cycles for array in arrays]
    assert cycles == [30, 8000 / 1024]


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"images": 0}, "images must be at least 1, got 0."),
        ({"weight_loads": 1.5}, "weight_loads must be a whole number, got 1.5."),
        ({"threshold_loads": -1}, "threshold_loads must be at least 0, got -1."),
        ({"zeros_in": 1.1}, "zeros_in must be a share from 0 to 1, got 1.1."),
        ({"zeros_out": float("nan")}, "zeros_out must be a share from 0 to 1, got nan."),
        ({"zeros_out": [0.5]}, "zeros_out must be one value for each of 2 layers, got 1."),
        ({"costs": []}, "At least one layer is needed."),
    ],
)
def test_what_cannot_be_is_refused(given_: dict[str, Any], words: str) -> None:
    usual = {"costs": [LayerCost(4, 4, 2, 2)] * 2, "images": 1, "weight_loads": 1}
    with pytest.raises(ValueError, match=re.escape(words)):
        inference_traffic(**{**usual, **given_})


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"pes": 0}, "pes must be at least 1, got 0."),
        ({"cache_words": 0.5}, "cache_words must be a whole number, got 0.5."),
        ({"words_a_cycle": 0}, "words_a_cycle must be a finite number above 0, got 0."),
        (
            {"energies": (200, 6, 2, 1)},
            "energies must be five finite numbers that are not negative, got (200, 6, 2, 1).",
        ),
    ],
)
def test_an_array_that_cannot_be_is_refused(given_: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        SystolicArray(**given_)
