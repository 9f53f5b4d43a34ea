"""The loss over horizons against a loop over steps, finite differences and plain training."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from edgebook.spiking import horizon_loss


def drawn(steps: int, batch: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(steps, batch, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (batch,), generator=generator)


def by_hand(logits: Tensor, labels: Tensor, weights: list[float], floor: float) -> float:
    """Sum over horizons, images and classes, without a library's cross-entropy."""
    total = 0.0
    for t, weight in enumerate(weights):
        rows = logits[: t + 1].sum(0) / (t + 1)
        nats = [math.log(sum(math.exp(v) for v in row)) - row[k] for row, k in zip(rows.tolist(), labels, strict=True)]
        total += weight / sum(weights) * abs(sum(nats) / len(nats) - floor)
    return total + floor


@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(2, 4), st.integers(0, 100), st.floats(0, 3),
    st.lists(st.floats(0.01, 2), min_size=5, max_size=5),
)  # fmt: skip
def test_is_the_weighted_sum_over_horizons(
    steps: int, batch: int, classes: int, seed: int, floor: float, weights: list[float]
) -> None:
    logits, labels = drawn(steps, batch, classes, seed)
    found = float(horizon_loss(logits, labels, weights[:steps], floor))
    assert found == pytest.approx(by_hand(logits, labels, weights[:steps], floor), rel=1e-12)
    assert found >= floor


def test_all_weight_on_the_last_horizon_is_plain_training() -> None:
    logits, labels = drawn(6, 5, 4, seed=1)
    plain, ours = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    F.cross_entropy(plain.mean(0), labels).backward()
    horizon_loss(ours, labels, [0, 0, 0, 0, 0, 2.0]).backward()
    assert plain.grad is not None and ours.grad is not None
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("floor", [0.0, 0.7])
def test_gradient_equals_finite_differences(floor: float) -> None:
    logits, labels = drawn(3, 2, 3, seed=2)
    assert torch.autograd.gradcheck(lambda x: horizon_loss(x, labels, [1, 2, 3], floor), logits.requires_grad_())


def test_below_the_floor_the_gradient_turns_round() -> None:
    _, labels = drawn(3, 4, 3, seed=3)
    sure = (10 * F.one_hot(labels, 3)).double().expand(3, 4, 3)  # cross-entropy near zero, far below the floor
    above, below = (x.clone().requires_grad_() for x in (sure, sure))
    horizon_loss(above, labels, [1, 1, 1]).backward()
    horizon_loss(below, labels, [1, 1, 1], floor=0.5).backward()
    assert above.grad is not None and below.grad is not None
    torch.testing.assert_close(below.grad, -above.grad)
    assert above.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("shape", "count", "weights", "floor", "said"),
    [
        ((4, 3), 4, [1.0] * 4, 0.0, r"steps, batch, classes.*\(4, 3\)"),
        ((2, 4, 3), 5, [1.0] * 2, 0.0, r"labels \(batch,\), got \(2, 4, 3\) and \(5,\)"),
        ((2, 0, 3), 0, [1.0] * 2, 0.0, r"none of them 0, .* got \(2, 0, 3\)"),
        ((2, 4, 3), 4, [1.0] * 3, 0.0, "2 weights are needed"),
        ((2, 4, 3), 4, [1.0, -1.0], 0.0, "none below 0"),
        ((2, 4, 3), 4, [0.0, 0.0], 0.0, "not all 0"),
        ((2, 4, 3), 4, [1.0, math.nan], 0.0, "none below 0"),
        ((2, 4, 3), 4, [1.0, 1.0], -0.1, "floor must be at least 0"),
        ((2, 4, 3), 4, [1.0, 1.0], math.inf, "finite"),
    ],
)
def test_says_what_is_wrong(shape: tuple[int, ...], count: int, weights: list[float], floor: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        horizon_loss(torch.zeros(shape), torch.zeros(count, dtype=torch.int64), weights, floor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_means_of_half_types_round_once(dtype: torch.dtype) -> None:
    """Sums of 600 steps and their number do not fit into half types; the mean of what they hold does."""
    logits = torch.tensor([0.25, 0.0], dtype=dtype).expand(600, 1, 2)
    labels, weights = torch.tensor([0]), [0.0] * 599 + [1.0]
    have = float(horizon_loss(logits, labels, weights))
    assert have == pytest.approx(math.log1p(math.exp(-0.25)), rel=2e-2)
