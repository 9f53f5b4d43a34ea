"""Regret against its closed form, thresholds and alarms against known changes, faults where they are active."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgebook.autonomy import ScanVAE, alarms, corrupt, likelihood_regret, residual_score, threshold_at
from edgebook.measure.seeding import SeededDraws
from edgebook.networks import fit

KINDS = ("fog", "snow", "crosstalk", "stuck", "phantom", "bias", "stale")


def linear() -> tuple[ScanVAE, torch.Tensor]:
    """A linear model with two codes and six beams, and scans that it has not seen."""
    with SeededDraws(0):
        return ScanVAE(6, latent=2, hidden=0).double(), torch.randn(4, 6, dtype=torch.float64)


def evidence(vae: ScanVAE, scans: torch.Tensor) -> torch.Tensor:
    """Return log p(x) of a linear-Gaussian model."""
    w, bias = vae.decoder[0].weight, vae.decoder[0].bias
    covariance = w @ w.T + torch.diag(vae.log_spread.exp() ** 2)
    return torch.distributions.MultivariateNormal(bias, covariance).log_prob(scans)


def best_posterior(vae: ScanVAE, scans: torch.Tensor) -> torch.Tensor:
    """Return the best posterior with independent codes: means of the exact one, variances of its inverse's diagonal."""
    w, bias = vae.decoder[0].weight, vae.decoder[0].bias
    precision = vae.log_spread.exp() ** -2
    inverse = torch.eye(2, dtype=w.dtype) + w.T @ (precision[:, None] * w)
    mean = torch.linalg.solve(inverse, (w.T @ (precision * (scans - bias)).T)).T
    return torch.stack([mean, -inverse.diagonal().log().expand_as(mean)], dim=1)


def test_the_bound_is_below_the_evidence_by_the_divergence() -> None:
    """Exactly, where the model is linear."""
    vae, scans = linear()
    posterior = vae.posterior(scans)
    mean, log_variance = posterior.unbind(1)
    w, precision = vae.decoder[0].weight, vae.log_spread.exp() ** -2
    inverse = torch.eye(2, dtype=w.dtype) + w.T @ (precision[:, None] * w)
    exact = torch.distributions.MultivariateNormal(best_posterior(vae, scans)[:, 0], precision_matrix=inverse)
    ours = torch.distributions.MultivariateNormal(mean, torch.diag_embed(log_variance.exp()))
    gap = torch.distributions.kl_divergence(ours, exact)
    torch.testing.assert_close(vae.bound(scans, posterior), evidence(vae, scans) - gap)


def test_regret_reaches_its_closed_form_and_never_passes_it() -> None:
    vae, scans = linear()
    limit = vae.bound(scans, best_posterior(vae, scans)) - vae.bound(scans, vae.posterior(scans))
    regrets = [likelihood_regret(vae, scans, steps=steps) for steps in (0, 1, 10, 400)]
    assert not regrets[0].any()
    for fewer, more in pairwise(regrets):
        assert (more >= fewer).all() and (more <= limit + 1e-9).all()
    assert (regrets[-1] > 0.9 * limit - 0.05).all() and limit.max() > 0.5
    torch.testing.assert_close(likelihood_regret(vae, scans[2:3], steps=10), regrets[2][2:3])  # whatever is beside it
    assert not torch.equal(likelihood_regret(vae, scans, steps=10, seed=1), regrets[2])


def test_a_trained_model_regrets_what_it_has_not_seen() -> None:
    chance = torch.Generator().manual_seed(1)
    codes = torch.randn(400, 2, generator=chance)
    scans = torch.tanh(codes @ torch.randn(2, 12, generator=chance)) + 0.05 * torch.randn(400, 12, generator=chance)
    with SeededDraws(0):
        vae = ScanVAE(12, latent=3, hidden=16)
    before = vae(scans).mean()
    fit(vae, scans, scans, epochs=15, lr=1e-2, loss=lambda bound, _: bound.mean())
    assert vae(scans).mean() < before - 2
    odd = scans[:50].roll(3, dims=1)
    clean, strange = (likelihood_regret(vae, some, steps=10) for some in (scans[:50], odd))
    assert (clean >= 0).all() and strange.median() > 2 * clean.median()


def test_a_residual_counts_fired_beams_alone() -> None:
    scan, expected = np.array([[1.0, 9.0, 4.0]]), np.array([[2.0, 0.0, 4.5]])
    fired = np.array([[True, False, True]])
    np.testing.assert_allclose(residual_score(scan, expected, fired, np.array([[0.5, 1.0, 0.25]])), [2.0])
    assert residual_score(scan, expected, np.zeros_like(fired)).tolist() == [0.0]


def count(scores: np.ndarray, threshold: float) -> int:
    """Count alarms one step after the other."""
    raised = 0
    for run in scores.T:
        on = False
        for score in run:
            raised += bool(score > threshold and not on)
            on = bool(score > threshold)
    return raised


@settings(max_examples=20)
@given(arrays.arrays(np.int64, (9, 3), elements=st.integers(0, 6)), st.integers(0, 8))
def test_a_threshold_is_the_lowest_that_keeps_its_promise(scores: np.ndarray, allowed: int) -> None:
    scores = scores.astype(float)
    scores[7:, 0] = np.nan
    minutes = np.count_nonzero(~np.isnan(scores)) / 60
    found = threshold_at(scores, allowed / minutes * (1 + 1e-9), step_seconds=1.0)
    values = np.unique(scores[~np.isnan(scores)])
    good = [all(count(scores, higher) <= allowed for higher in values[values >= value]) for value in values]
    assert found == values[good.index(True)]


def test_alarms_of_a_simulation_with_known_changes() -> None:
    """Scores that jump by a known amount: half of the noise lies above its median, and delays are geometric."""
    rng, runs = np.random.default_rng(0), 4000
    scores = rng.normal(size=(60, runs))
    onset = rng.integers(20, 30, runs)
    scores += 1.5 * (np.arange(60)[:, None] >= onset)
    late, false = alarms(scores, 1.5, onset)
    assert np.nanmean(late) == pytest.approx(1.0, abs=0.1)  # found with probability 1 / 2 at each step
    above = 0.0668072
    assert false.mean() == pytest.approx(onset.mean() * above * (1 - above), rel=0.05)
    scores[50:], never = np.nan, alarms(scores, 9.0, onset)
    assert np.isnan(never[0]).all() and not never[1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_changes_what_it_is_active_in_and_nothing_else(kind: str) -> None:
    rng = np.random.default_rng(0)
    scan, past = rng.uniform(0.5, 10, (6, 32)), rng.uniform(0.5, 10, (6, 32))
    active = np.arange(6) >= 2
    wrong = corrupt(kind, scan, active, past, np.random.default_rng(1))
    assert np.array_equal(wrong[:2], scan[:2])
    assert (wrong[2:] != scan[2:]).any(axis=1).all()
    assert ((wrong >= 0) & (wrong <= 10)).all()
    assert np.array_equal(corrupt(kind, scan, active, past, np.random.default_rng(1)), wrong)
    if kind in ("fog", "snow", "phantom"):
        assert (wrong <= scan).all()
    elif kind in ("stuck", "stale"):
        assert ((wrong == scan) | (wrong == past))[2:].all()


def test_a_phantom_is_a_wall_and_another_fault_is_refused() -> None:
    far = np.full((1, 64), 10.0)
    wall = corrupt("phantom", far, np.ones(1, bool), far, np.random.default_rng(0))[0]
    angles = 2 * np.pi * np.arange(64) / 64
    np.testing.assert_allclose((wall * np.cos(angles))[wall < 10], 1.5)
    with pytest.raises(ValueError, match="kind must be one of fog, snow"):
        corrupt("rain", far, np.ones(1, bool), far, np.random.default_rng(0))
