"""Images from a classifier alone: linear ones, whose best images are known, and loops over classes and images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgebook.spiking import (
    CodedNetwork,
    class_images,
    class_similarity,
    dirichlet_targets,
    impressions,
    spiking_vgg,
    without_spikes,
)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=chance(seed), dtype=torch.float64)


WEIGHT = drawn(4, 12, seed=1) / 4


def linear(x: Tensor) -> Tensor:
    """Logits of four classes for images (N, 3, 2, 2)."""
    return x.flatten(1) @ WEIGHT.T


def network(**options: Any) -> nn.Module:
    made: dict[str, Any] = {"in_channels": 1, "classes": 4, "steps": 3, "beta": 1.0, "reset": "subtract", "size": 8}
    return spiking_vgg((4, "M", 6), norm="none", hidden=(8,), output="mean", seed=2, **made | options).double()


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 999))
def test_similarity_is_that_of_a_loop_over_classes(classes: int, features: int, seed: int) -> None:
    weight = drawn(classes, features + 1, seed=seed).numpy()
    cosine = np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in weight] for a in weight])
    wanted = np.array([(row - row.min()) / (row.max() - row.min()) for row in cosine])
    np.testing.assert_allclose(class_similarity(torch.from_numpy(weight)), wanted, atol=1e-12)


def test_targets_have_the_mean_and_deviation_of_their_distribution() -> None:
    similarity = class_similarity(WEIGHT)
    labels = torch.arange(4).repeat(5000)
    targets = dirichlet_targets(similarity, labels, chance(), floor=0.05)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(20000, dtype=torch.float64))
    for label in range(4):
        concentration = similarity[label].clamp(min=0.05)
        share = concentration / concentration.sum()
        mine = targets[labels == label]
        torch.testing.assert_close(mine.mean(dim=0), share, atol=0.03, rtol=0)
        torch.testing.assert_close(mine.var(dim=0), share * (1 - share) / (1 + concentration.sum()), atol=0.01, rtol=0)


def test_targets_come_from_their_generator_also_at_tiny_concentrations() -> None:
    similarity = torch.eye(10)
    draws = [dirichlet_targets(similarity, torch.arange(10), chance(seed), floor=1e-4) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert draws[0].dtype == torch.float32 and bool(draws[0].isfinite().all())


@pytest.mark.parametrize(("temperature", "least"), [(0.5, 16), (1.0, 10)])
def test_impressions_of_a_linear_softmax_model_reach_its_optimum(temperature: float, least: int) -> None:
    """The loss is least where the logits are those of the target, tau log q, up to one number for each image."""
    targets = 0.2 + drawn(16, 4, seed=3).abs()
    targets /= targets.sum(dim=1, keepdim=True)
    start = 0.3 * drawn(16, 3, 2, 2, seed=4).clamp(-1, 1)
    found = impressions(linear, targets, start, steps=400, lr=1e-2, temperature=temperature)
    inside = found.abs().flatten(1).amax(dim=1) < 1  # what was cut off is no longer the optimum
    assert int(inside.sum()) >= least
    left = (linear(found) - temperature * targets.log())[inside]
    torch.testing.assert_close(left, left.mean(dim=1, keepdim=True).expand_as(left), atol=1e-6, rtol=0)
    torch.testing.assert_close((linear(found)[inside] / temperature).softmax(1), targets[inside])


def test_what_leaves_the_range_is_cut_off_at_the_end() -> None:
    """Two pixels are the logits of two classes: their optimum is known, and lies outside."""
    targets = torch.tensor([[0.8, 0.2]], dtype=torch.float64)
    start = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    found = impressions(lambda x: x.flatten(1), targets, start, steps=600, lr=1e-2, temperature=2.0)
    half = math.log(4)  # tau (log 0.8 - log 0.2) / 2, and by symmetry the other way for the other class
    assert half > 1 and found.flatten().tolist() == [1.0, -1.0]
    wide = impressions(lambda x: 2 * x.flatten(1), targets, start, steps=600, lr=1e-2, temperature=2.0)
    torch.testing.assert_close(wide.flatten(), torch.tensor([half / 2, -half / 2], dtype=torch.float64))


IMAGES = drawn(6, 1, 8, 8, seed=5).clamp(-1, 1)
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def made_by(name: str, logits: Callable[[Tensor], Tensor], some: slice = slice(None)) -> Tensor:
    if name == "impressions":
        targets = torch.nn.functional.one_hot(LABELS, 4).double()
        return impressions(logits, targets[some], IMAGES[some], steps=20, lr=1e-2)
    return class_images(logits, LABELS[some], IMAGES[some], steps=9, rate=0.5, sigma=0.6)


@pytest.mark.parametrize("name", ["impressions", "class images"])
def test_images_of_one_batch_are_those_made_one_by_one_and_nothing_else_changes(name: str) -> None:
    net, before = without_spikes(network()), IMAGES.clone()
    with torch.no_grad():  # gradients of the images are taken all the same
        many = made_by(name, net)
    alone = [made_by(name, net, slice(place, place + 1)) for place in range(len(IMAGES))]
    torch.testing.assert_close(torch.cat(alone), many, rtol=1e-9, atol=1e-9)
    assert not many.requires_grad and many.abs().max() <= 1 and not torch.allclose(many, IMAGES)
    assert torch.equal(IMAGES, before) and not IMAGES.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())


def test_class_images_of_a_linear_model_in_closed_form() -> None:
    """A step is x (1 - rate decay) + rate w, so that x - w / decay shrinks like a geometric sequence."""
    labels, start = torch.tensor([0, 3]), 0.1 * drawn(2, 3, 2, 2, seed=7)
    decay, rate, steps = 2.0, 0.05, 30
    weights = WEIGHT[labels].reshape(2, 3, 2, 2)
    rest = weights / decay
    assert rest.abs().max() < 1
    found = class_images(linear, labels, start, steps=steps, rate=rate, decay=decay)
    torch.testing.assert_close(found, rest + (start - rest) * (1 - rate * decay) ** steps)
    corners = class_images(linear, labels, start, steps=50, rate=6.0)
    torch.testing.assert_close(corners, weights.sign())


@pytest.mark.parametrize(("sigma", "reach"), [(0.5, 2), (0.8, 3)])
def test_the_blur_is_a_gaussian_before_every_fourth_step(sigma: float, reach: int) -> None:
    def flat(x: Tensor) -> Tensor:
        return 0 * x.flatten(1)[:, :4]

    found = class_images(flat, LABELS, IMAGES, steps=11, rate=1.0, sigma=sigma, decay=0.0)
    wanted = IMAGES.numpy()
    for _ in range(2):
        wanted = scipy.ndimage.gaussian_filter(wanted, sigma, mode="mirror", radius=reach, axes=(2, 3))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    kept = class_images(flat, LABELS, IMAGES, steps=11, rate=1.0, sigma=sigma, blur_every=12, decay=0.0)
    assert torch.equal(kept, IMAGES)


def test_a_spiking_network_is_attacked_through_its_coding() -> None:
    """Straight through the draws: the logits of the wanted classes rise, in networks with and without spikes."""
    net = network(xavier_gain=2.0, threshold=0.3)
    coded = CodedNetwork(net, "rate", 20, mean=0, std=1, gain=1, generator=chance(1))
    found = class_images(coded, LABELS, IMAGES, steps=15, rate=1.0)
    with torch.no_grad():
        before, after = (coded(x).gather(1, LABELS[:, None]).mean() for x in (IMAGES, found))
    assert after > before + 0.1 * before.abs()


TARGETS = torch.full((2, 4), 0.25, dtype=torch.float64)
START = torch.zeros(2, 3, 2, 2, dtype=torch.float64)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a row": (lambda: class_similarity(torch.ones(3)), r"weight must be \(classes, features\)"),
    "one class": (lambda: class_similarity(torch.ones(1, 3)), "at least two classes"),
    "equal classes": (lambda: class_similarity(torch.ones(2, 3)), "cannot be told apart"),
    "not a number": (lambda: class_similarity(torch.full((2, 3), math.nan)), "cannot be told apart"),
    "a rectangle": (lambda: dirichlet_targets(torch.ones(2, 3), torch.zeros(1).long(), chance()), "must be square"),
    "no floor": (lambda: dirichlet_targets(torch.eye(2), torch.zeros(1).long(), chance(), floor=0), "floor must be"),
    "a label too large": (lambda: dirichlet_targets(torch.eye(2), torch.tensor([2]), chance()), "from 0 to 1"),
    "a label below zero": (lambda: dirichlet_targets(torch.eye(2), torch.tensor([-1]), chance()), "from 0 to 1"),
    "labels of floats": (lambda: dirichlet_targets(torch.eye(2), torch.zeros(2), chance()), "int64 numbers"),
    "steps": (lambda: impressions(linear, TARGETS, START, steps=-1, lr=1.0), "steps must be at least 0"),
    "no rate": (lambda: impressions(linear, TARGETS, START, steps=1, lr=0.0), "lr must be a finite number above 0"),
    "cold": (lambda: impressions(linear, TARGETS, START, steps=1, lr=1.0, temperature=0.0), "temperature must be"),
    "targets": (lambda: impressions(linear, TARGETS[:1], START, steps=1, lr=1.0), r"targets must be \(2, classes\)"),
    "no distribution": (lambda: impressions(linear, 2 * TARGETS, START, steps=1, lr=1.0), "rows sum to 1"),
    "classes": (lambda: impressions(linear, TARGETS[:, :1] * 4, START, steps=1, lr=1.0), r"the shape \(2, 1\)"),
    "not finite": (
        lambda: impressions(lambda x: linear(x) * math.nan, TARGETS, START, steps=1, lr=1.0), "must be finite"
    ),
    "rate": (lambda: class_images(linear, LABELS[:2], START, steps=1, rate=math.inf), "rate must be a finite number"),
    "blur": (lambda: class_images(linear, LABELS[:2], START, steps=1, rate=1.0, sigma=-1.0), "sigma and decay"),
    "never": (lambda: class_images(linear, LABELS[:2], START, steps=1, rate=1.0, blur_every=0), "blur_every must be"),
    "labels": (lambda: class_images(linear, LABELS, START, steps=1, rate=1.0), "Each of the 2 images needs a label"),
    "no class": (lambda: class_images(linear, LABELS[:2] + 9, START, steps=1, rate=1.0), "from 0 to 3"),
    "no logits": (lambda: class_images(lambda x: x, LABELS[:2], START, steps=1, rate=1.0), r"shape \(2, classes\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_images_is_refused(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()
