"""From a trained network to one that spikes, and back to images: threshold balancing and synthesis beside their peers.

Thresholds of a network of five layers at 40 steps: in one pass; as the code of PrivateSNN finds them, with a run for
each layer, step by step, where the numbers must be the same; and by SpikingJelly's converter, which scales by the
largest activations of the network without spikes instead, so that the accuracy of what it makes is compared too, on the
same spikes.
Images from a classifier: all in one batch, and one after the other as released; both must make the same images.

The comparison with SpikingJelly needs spikingjelly and loguru, as the page "Speed" says. On an otherwise idle core:
`OMP_NUM_THREADS=1 python -m pytest benchmarks/test_conversion.py`
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from edgebook.data import split
from edgebook.networks import fit
from edgebook.spiking import (
    SpikingNetwork,
    balance_thresholds,
    class_similarity,
    dirichlet_targets,
    impressions,
    poisson_coding,
    spiking_vgg,
    without_spikes,
)

STEPS, CALIBRATION, TESTED = 40, 200, 200
IMAGES, UPDATES = 40, 30
TITLE = f"thresholds of five layers, {STEPS} steps x {CALIBRATION} images"
ACCURACY = f"{TITLE}, accuracy of what comes of it"


def network() -> SpikingNetwork:
    return spiking_vgg(
        (16, "M", 32, 32, "M"), in_channels=1, classes=10, steps=1, beta=1.0, reset="subtract", norm="none", size=12,
        hidden=(64,), bias=False, linear_bias=False, output="mean",
    )  # fmt: skip


class Given(NamedTuple):
    """A trained network without spikes, and spikes to balance with and to test on."""

    plain: SpikingNetwork
    balancing: Tensor
    testing: Tensor
    labels: Tensor
    images: Tensor


@pytest.fixture(scope="module")
def given() -> Given:
    digits = split("digits", size=12, train=1000, test=TESTED, seed=0, standard=False, channels_last=False)
    plain, chance = without_spikes(network()), torch.Generator().manual_seed(0)
    fit(plain, 2 * digits.train.x - 1, digits.train.y, epochs=12, lr=2e-3)
    images = 2 * digits.train.x[:CALIBRATION] - 1
    balancing, testing = (poisson_coding(x, STEPS, chance, signed=True) for x in (images, 2 * digits.test.x - 1))
    return Given(plain.eval().requires_grad_(False), balancing, testing, digits.test.y, images)


def converted(plain: nn.Module) -> SpikingNetwork:
    net = network()
    net.load_state_dict(plain.state_dict())
    return net.requires_grad_(False)


def in_a_row(net: SpikingNetwork) -> nn.Sequential:
    """Return the layers of the network without spikes as a chain, which others can trace."""
    parts: list[nn.Module] = [net.first.weights, nn.ReLU()]
    for part in net.features:
        parts += [part.weights, nn.ReLU()] if hasattr(part, "weights") else [part.module]
    parts += [nn.Flatten(), *(p for part in net.hidden for p in (part.weights, nn.ReLU())), net.linear]
    return nn.Sequential(*copy.deepcopy(parts))


@torch.no_grad()
def one_by_one(chain: nn.Sequential, spikes: Tensor) -> list[float]:
    """Find the threshold of each layer in a run of its own, step by step, stopping at that layer."""
    found: list[float] = []
    for wanted in [place for place, part in enumerate(chain) if isinstance(part, nn.ReLU)]:
        held: dict[int, Any] = {}
        largest = 0.0
        for x in spikes:
            thresholds = iter(found)
            for place, part in enumerate(chain):
                if place == wanted:
                    largest = max(largest, float(x.max()))
                    break
                if isinstance(part, nn.ReLU):  # a neuron in its place
                    threshold = next(thresholds)
                    membrane = held.get(place, 0.0) + x
                    x = (membrane / threshold - 1 > 0).to(x.dtype)
                    held[place] = membrane - threshold * x
                else:
                    x = part(x)
        found.append(largest)
    return found


def test_thresholds(contest: Any, report: Any, given: Given) -> None:
    net, chain = converted(given.plain), in_a_row(given.plain)
    ours, theirs = balance_thresholds(net, given.balancing), one_by_one(chain, given.balancing)
    assert ours == pytest.approx(theirs, rel=0.03)  # a membrane within a rounding of its threshold may fall either way
    assert ours[:2] == pytest.approx(theirs[:2], rel=1e-5)
    steps: dict[str, Callable[[], object]] = {
        "edgebook, one pass": lambda: balance_thresholds(net, given.balancing),
        "a run for each layer, as released": lambda: one_by_one(chain, given.balancing),
    }
    contest(TITLE, steps, 5)
    report(ACCURACY, "%", {"edgebook, one pass": [share_right(net(given.testing), given.labels)]})


@pytest.mark.filterwarnings("default")
def test_thresholds_beside_spikingjelly(contest: Any, report: Any, given: Given) -> None:
    pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed: see benchmarks/requirements.txt")
    ann2snn = pytest.importorskip("spikingjelly.activation_based.ann2snn", exc_type=ImportError)
    from spikingjelly.activation_based import functional

    images, chain = given.images, in_a_row(given.plain)

    def convert() -> nn.Module:
        batches = [(images, torch.zeros(len(images)))]
        if hasattr(ann2snn, "RateCodingRecipe"):  # from version 2 on
            return ann2snn.Converter(ann2snn.RateCodingRecipe(batches, mode="max")).convert(copy.deepcopy(chain))
        return ann2snn.Converter(batches, mode="max")(copy.deepcopy(chain))

    other, net = convert().eval(), converted(given.plain)
    functional.reset_net(other)
    with torch.no_grad():
        logits = sum(other(x) for x in given.testing)
    contest(f"{TITLE}, SpikingJelly", {
        "edgebook, one pass": lambda: balance_thresholds(net, given.balancing),
        "SpikingJelly, Converter": convert,
    }, 5)  # fmt: skip
    report(ACCURACY, "%", {"SpikingJelly, Converter": [share_right(logits, given.labels)]})


def share_right(logits: Tensor, labels: Tensor) -> float:
    return 100 * float((logits.argmax(1) == labels).double().mean())


def test_synthesis(contest: Any, given: Given) -> None:
    chance = torch.Generator().manual_seed(1)
    labels = torch.arange(IMAGES) % 10
    targets = dirichlet_targets(class_similarity(given.plain.linear.weight), labels, chance)
    start = 2 * torch.rand(IMAGES, 1, 12, 12, generator=chance) - 1

    def batch() -> Tensor:
        return impressions(given.plain, targets, start, steps=UPDATES, lr=1e-2)

    def alone() -> Tensor:
        pairs = zip(targets.split(1), start.split(1), strict=True)
        return torch.cat([impressions(given.plain, *pair, steps=UPDATES, lr=1e-2) for pair in pairs])

    torch.testing.assert_close(batch(), alone(), atol=1e-3, rtol=0)
    contest(
        f"{IMAGES} images from a classifier, {UPDATES} updates",
        {"edgebook, one batch": batch, "one by one, as released": alone},
        3,
    )
