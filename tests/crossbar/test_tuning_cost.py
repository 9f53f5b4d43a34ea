"""The cost of tuning, counted by hand for a network small enough."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgebook.crossbar import CrossbarConfig, Layout, on_crossbar, tuning_cost

CONFIG = CrossbarConfig(Layout(weight_bits=8, cell_bits=4))
IMAGE = (3, 6, 6)


def net() -> nn.Sequential:
    """Layers with (3 x 3 x 3 x 4) and (4 x 3 x 3 x 5) weights on 6 x 6 and 4 x 4 positions, and a classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 16, 2),
    )


MACS = [108 * 36, 180 * 16, 160]  # of the three layers for one image
WEIGHTS = [108, 180, 160]


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(
    ("tune", "parameters", "input_macs", "weight_macs", "writes"),
    [
        ("statistics", 0, 0, 0, 0),
        ("norms", 2 * (4 + 5), MACS[1] + MACS[2], 0, 0),  # the first norm lies behind the first layer
        ("all", sum(WEIGHTS) + 18 + 2, MACS[1] + MACS[2], sum(MACS), 2 * 2 * (108 + 180)),
    ],
)
def test_counts(batch: int, tune: str, parameters: int, input_macs: int, weight_macs: int, writes: int) -> None:
    found = tuning_cost(net(), IMAGE, CONFIG, tune=tune, batch=batch)
    assert (found.parameters, found.statistics, found.cell_writes) == (parameters, 2 * (4 + 5), writes)
    assert found.forward_macs == batch * sum(MACS)
    assert (found.input_macs, found.weight_macs) == (batch * input_macs, batch * weight_macs)
    assert found.macs == batch * (sum(MACS) + input_macs + weight_macs)
    assert (found.gradient_bytes, found.optimizer_bytes) == (4 * parameters, 4 * parameters)
    assert found.memory == 8 * parameters + found.activation_bytes


def test_activations_that_are_kept() -> None:
    """Of one image, in values: by hand what each layer's derivative needs."""
    first, second, classifier = 4 * 36, 5 * 16, 5 * 16
    means = 2 * (4 + 5)  # mean and deviation of the batch, which norms remember
    norms = first + second + means  # the inputs of both norms
    relus = first + classifier  # the outputs; the second is also what the classifier multiplies
    kept = {tune: tuning_cost(net(), IMAGE, CONFIG, tune=tune).activation_bytes / 4 for tune in ("norms", "all")}
    assert kept["norms"] == norms + relus
    assert kept["all"] == norms + relus + 3 * 36  # and the image, which the first convolution multiplies
    assert tuning_cost(net(), IMAGE, CONFIG, tune="statistics").activation_bytes == 0


def test_activations_grow_with_the_batch_and_parameters_do_not() -> None:
    one, many = (tuning_cost(net(), IMAGE, CONFIG, tune="norms", batch=n) for n in (1, 64))
    fixed = 4 * 2 * (4 + 5)
    assert many.activation_bytes - fixed == 64 * (one.activation_bytes - fixed)
    assert many.gradient_bytes == one.gradient_bytes


def test_linear_layers_are_written_where_they_are_on_crossbars() -> None:
    config = CrossbarConfig(Layout(weight_bits=5, cell_bits=4), linear=True)
    assert tuning_cost(net(), IMAGE, config, tune="all").cell_writes == 2 * sum(WEIGHTS)


def test_a_frozen_network_is_left_alone() -> None:
    model = net().eval().requires_grad_(False)
    assert tuning_cost(model, IMAGE, CONFIG, tune="norms").parameters == 18
    assert not any(p.requires_grad for p in model.parameters()) and not any(m.training for m in model.modules())
    assert all(p.device.type == "cpu" for p in model.parameters())
    assert int(model[1].num_batches_tracked) == 0


def test_a_network_of_doubles_keeps_twice_as_much() -> None:
    single, double = (tuning_cost(net().to(kind), IMAGE, CONFIG, tune="norms") for kind in (torch.float, torch.double))
    assert double.macs == single.macs and double.memory == 2 * single.memory


def test_skips_keep_gradients_flowing() -> None:
    """A residual block whose input has no gradient: only its second convolution passes one on."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
            self.two = nn.Conv2d(3, 3, 3, padding=1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.two(self.norm(self.one(x)).relu())

    found = tuning_cost(Block(), IMAGE, CONFIG, tune="norms")
    assert found.input_macs == 81 * 36 and found.forward_macs == 2 * 81 * 36


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tuning_cost(net(), IMAGE, CONFIG, tune="some"), "tune must be one of statistics, norms, all"),
        (lambda: tuning_cost(net(), IMAGE, CONFIG, tune="all", batch=0), "At least 1 image is needed, got 0"),
        (lambda: tuning_cost(on_crossbar(net(), CONFIG), IMAGE, CONFIG, tune="all"), "is on crossbars already"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
