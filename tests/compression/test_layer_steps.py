"""Layer-steps against a count of the calls that a network really makes, and the bound on the saving."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgebook.compression import SearchPhase, largest_saving, search_layer_steps
from edgebook.compression.layer_steps import image_layer_steps
from edgebook.spiking import spiking_vgg


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_layer_steps_are_what_a_spiking_network_runs(steps: int) -> None:
    net = spiking_vgg((4, "M", 6, 6), in_channels=1, classes=3, steps=steps, beta=0.5)
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    runs = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        nonlocal runs
        x = inputs[0]  # (T * B, C, H, W) or (T, B, features)
        runs += len(x) if isinstance(module, nn.Conv2d) else x.shape[:-1].numel()

    for layer in layers:
        layer.register_forward_hook(count)
    net(torch.rand(3, 1, 8, 8))
    assert runs == 3 * image_layer_steps(len(layers), steps)


def test_five_layers_from_five_steps_to_three() -> None:
    assert largest_saving(5, 5, 3) == pytest.approx(21 / 13)


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9))
def test_the_saving_stays_below_the_ratio_of_the_steps_and_tends_to_it(layers: int, one: int, two: int) -> None:
    early, steps = sorted((one, two))
    saving = largest_saving(layers, steps, early)
    assert 1 <= saving <= Fraction(steps, early) + Fraction(1, 10**12)
    assert largest_saving(100_000, steps, early) == pytest.approx(steps / early, rel=1e-4)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500), st.integers(1, 6)), max_size=5), st.integers(1, 9))
def test_phases_add_up(phases: list[tuple[int, int, int]], layers: int) -> None:
    brute = sum(1 + (layers - 1) * steps for epochs, images, steps in phases for _ in range(epochs)
                for _ in range(images))  # fmt: skip
    assert search_layer_steps([SearchPhase(*phase) for phase in phases], layers) == brute


def test_a_search_that_warms_up_at_all_steps_saves_less_than_the_bound() -> None:
    full = search_layer_steps([SearchPhase(20, 100, 5)], 5)
    early = search_layer_steps([SearchPhase(2, 100, 5), SearchPhase(18, 100, 3)], 5)
    assert 1 < full / early < largest_saving(5, 5, 3)


@pytest.mark.parametrize(("arguments", "words"), [
    ((0, 5), "at least 1"),
    ((3, 0), "at least 1"),
    ((2.5, 3), "layers must be a whole number"),
    ((3, True), "steps must be a whole number"),
])  # fmt: skip
def test_networks_of_nothing_are_refused(arguments: tuple[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        image_layer_steps(*arguments)


def test_negative_phases_are_refused() -> None:
    for phase in (SearchPhase(-1, 10, 5), SearchPhase(math.nan, 10, 5), SearchPhase(1, math.inf, 5)):
        with pytest.raises(ValueError, match="finite and not negative"):
            search_layer_steps([phase], 3)
