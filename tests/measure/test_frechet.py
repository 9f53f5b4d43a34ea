"""The distance of two Gaussians, beside closed forms and beside SciPy's root of a matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgebook.measure import frechet_distance


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sample(mean: Tensor, root: Tensor, seed: int, count: int = 40) -> Tensor:
    """Return features whose mean is exactly this and whose covariance is exactly root root^T."""
    x = drawn(count, len(mean), seed=seed)
    white = np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x.numpy(), rowvar=False))))
    return mean + (x - x.mean(dim=0)) @ torch.from_numpy(white).T @ root.T


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_two_gaussians_in_closed_form(seed: int, width: int) -> None:
    """Along common axes the distance is the sum of squared differences of means and of deviations."""
    means, deviations = drawn(2, width, seed=seed), drawn(2, width, seed=seed + 1).abs()
    axes = torch.linalg.qr(drawn(width, width, seed=seed + 2)).Q
    a, b = (sample(axes @ means[i], axes @ deviations[i].diag(), seed + 3 + i) for i in (0, 1))
    wanted = float((means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum())
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert frechet_distance(b, a) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_covariances_that_do_not_commute() -> None:
    roots = drawn(2, 5, 5, seed=0)
    means = drawn(2, 5, seed=1)
    a, b = (sample(means[i], roots[i], seed=2 + i) for i in (0, 1))
    first, second = (np.cov(x.numpy(), rowvar=False) for x in (a, b))
    wanted = float((means[0] - means[1]).square().sum()) + np.trace(first + second)
    wanted -= 2 * np.trace(scipy.linalg.sqrtm(first @ second)).real
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-9)


def test_fewer_samples_than_features() -> None:
    """By the eigenvalues of the root's square, which SciPy takes of symmetric matrices."""
    a, b = drawn(4, 9, seed=0), 2 * drawn(6, 9, seed=1) + 1
    first, second = (np.cov(x.numpy(), rowvar=False) for x in (a, b))
    values, vectors = scipy.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(scipy.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    wanted = float((a.mean(dim=0) - b.mean(dim=0)).square().sum()) + np.trace(first + second) - 2 * shared
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6)


def test_equal_samples_moved_samples_and_single_precision() -> None:
    a = drawn(30, 7, seed=3).float().requires_grad_()
    assert frechet_distance(a, a.detach().flip(0)) == pytest.approx(0.0, abs=1e-12)
    moved = a.detach().double() + 3.0
    assert frechet_distance(a, moved) == pytest.approx(9.0 * 7, rel=1e-6)
    assert frechet_distance(a.detach() * 0, moved * 0) == 0.0


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.zeros(3), torch.zeros(3), r"got \(3,\) and \(3,\)"),
        (torch.zeros(3, 2), torch.zeros(3, 4), r"as many features in both"),
        (torch.zeros(1, 2), torch.zeros(3, 2), "two samples or more"),
        (torch.zeros(3, 0), torch.zeros(3, 0), "Features must be"),
        (torch.full((3, 2), math.nan), torch.zeros(3, 2), "must be finite"),
    ],
)
def test_what_has_no_distance_is_refused(a: Tensor, b: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        frechet_distance(a, b)
