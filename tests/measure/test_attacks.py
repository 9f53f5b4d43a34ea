"""Attacks: a linear classifier, whose worst case is known, and what every attack must keep to."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgebook.measure import fgsm, pgd

WEIGHTS = torch.randn(3, 12, generator=torch.Generator().manual_seed(0))
PIXELS = torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
LABELS = torch.tensor([0, 1, 0, 1, 0, 1])


def two_classes(pixels: torch.Tensor) -> torch.Tensor:
    """Logits of a linear classifier of two classes."""
    score = pixels.flatten(1) @ WEIGHTS[0]
    return torch.stack([score, -score], dim=1)


@pytest.mark.parametrize("steps", [0, 8])
def test_a_linear_classifier_is_moved_to_its_worst_case(steps: int) -> None:
    """With two classes the loss falls in the margin, which is linear: the worst image is known in closed form."""
    away = torch.where(LABELS == 0, -1.0, 1.0)[:, None] * WEIGHTS[0].sign()
    worst = PIXELS + 0.1 * away.reshape(PIXELS.shape)
    found = (
        pgd(two_classes, PIXELS, LABELS, 0.1, steps=steps, seed=0) if steps else fgsm(two_classes, PIXELS, LABELS, 0.1)
    )
    torch.testing.assert_close(found, worst)


def test_tiny_gradients_are_gradients() -> None:
    """A confident network has gradients far below a millionth; they must not be taken for zero."""

    def sure(pixels: torch.Tensor) -> torch.Tensor:
        return 40 * two_classes(pixels).sign() + two_classes(pixels)

    hits = sure(PIXELS).argmax(1)
    assert float(F.cross_entropy(sure(PIXELS), hits)) < 1e-6
    assert ((fgsm(sure, PIXELS, hits, 0.05) - PIXELS).abs() > 0.04).all()


@settings(max_examples=20, deadline=None)
@given(eps=st.floats(0.001, 1), seed=st.integers(0, 99))
def test_changes_stay_within_the_bound_and_pixels_within_their_range(eps: float, seed: int) -> None:
    for found in (pgd(two_classes, PIXELS, LABELS, eps, steps=3, seed=seed), fgsm(two_classes, PIXELS, LABELS, eps)):
        assert (found - PIXELS).abs().max() <= eps + 1e-6
        assert found.min() >= 0 and found.max() <= 1


def test_a_seed_decides_the_start_and_leaves_the_global_state() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, same, other = (pgd(two_classes, PIXELS, LABELS, 0.2, steps=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_loss_over_draws_is_attacked_as_their_sum() -> None:
    def drawn(pixels: torch.Tensor) -> torch.Tensor:
        return torch.stack([two_classes(pixels), two_classes(pixels)])  # (draws, B, classes)

    def summed(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), reduction="none")

    assert torch.equal(fgsm(drawn, PIXELS, LABELS, 0.1, loss=summed), fgsm(two_classes, PIXELS, LABELS, 0.1))
