"""What a monitor of scans computes: likelihood regret of a variational autoencoder, residuals, thresholds, alarms.

Likelihood regret (Xiao, Yan & Amit, 2020) is by how much the evidence bound of one scan rises when its own posterior is
fitted to it; STARNet fits without gradients. Here the bound is taken over points on the axes of the posterior instead
of draws (Janjos et al., 2023), exact where the decoder is linear: before and after are compared without any noise.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgebook.autonomy.world import REACH
from edgebook.measure.arguments import whole

Array = NDArray[np.float64]
Corruption = Literal["fog", "snow", "crosstalk", "stuck", "phantom", "bias", "stale"]


class ScanVAE(nn.Module):
    """A variational autoencoder of scans: Gaussian posterior, Gaussian ranges with a spread for each beam.

    Parameters
    ----------
    beams : int, N
    latent : int, L, dimensions of the code
    hidden : int, units of each of the two layers of encoder and decoder; 0 makes both linear

    Examples
    --------
    >>> vae = ScanVAE(8, latent=2)
    >>> vae(torch.rand(3, 8)).shape
    torch.Size([3])
    """

    def __init__(self, beams: int = 64, latent: int = 8, hidden: int = 64) -> None:
        super().__init__()
        self.latent = whole("latent", latent)
        self.encoder = _layers(whole("beams", beams), hidden, 2 * latent)
        self.decoder = _layers(latent, hidden, beams)
        self.log_spread = nn.Parameter(torch.full((beams,), -1.0))

    def posterior(self, scans: Tensor) -> Tensor:
        """Return mean and logarithm of the variance of each code, (B, 2, L)."""
        return self.encoder(scans).unflatten(-1, (2, self.latent))

    def bound(self, scans: Tensor, posterior: Tensor) -> Tensor:
        """Return the evidence lower bound of scans (B, N) under posteriors (B, 2, L), nats, (B,)."""
        mean, log_variance = posterior.unbind(1)
        axes = math.sqrt(self.latent) * torch.eye(self.latent, dtype=mean.dtype, device=mean.device)
        points = torch.cat([axes, -axes])  # (2 L, L), of mean 0 and covariance 1
        codes = mean[:, None] + torch.exp(0.5 * log_variance)[:, None] * points
        off = (scans[:, None] - self.decoder(codes)) / self.log_spread.exp()  # (B, 2 L, N)
        likelihood = -(0.5 * off.square() + self.log_spread + 0.5 * math.log(2 * math.pi)).sum(-1).mean(-1)
        return likelihood + 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)

    def forward(self, scans: Tensor) -> Tensor:
        """Return what training lowers, minus the bound of each scan, (B,)."""
        return -self.bound(scans, self.posterior(scans))


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    if whole("hidden", hidden, 0) == 0:
        return nn.Sequential(nn.Linear(inputs, outputs))
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
    )


@torch.no_grad()
def likelihood_regret(vae: ScanVAE, scans: Tensor, steps: int, seed: int = 0, rate: float = 0.1) -> Tensor:
    """Return by how much a few steps without gradients raise the bound of each scan, by its posterior alone.

    Simultaneous perturbation: both sides of one random direction for each step, the same for all scans. Means move in
    units of their own spread, at most one `rate` a step. The highest bound that was met counts.

    Parameters
    ----------
    vae : ScanVAE
    scans : Tensor, (B, N)
    steps : int, K; 2 K + 1 bounds are computed besides the first one, and none with 0 steps
    seed : int, at least 0, of the directions
    rate : float, length of the first step along each axis, where the bound is steep; later ones are shorter

    Returns
    -------
    Tensor, (B,), nats, at least 0

    Raises
    ------
    ValueError
        Steps or a seed that are no whole number, or below 0.

    Examples
    --------
    >>> vae = ScanVAE(8, latent=2)
    >>> bool((likelihood_regret(vae, torch.rand(3, 8), steps=5) >= 0).all())
    True
    """
    chance = torch.Generator().manual_seed(whole("seed", seed, 0))
    start = vae.posterior(scans)
    unit = torch.stack([torch.exp(0.5 * start[:, 1]), torch.ones_like(start[:, 1])], dim=1)
    here, side = torch.zeros_like(start), 0.5 * rate

    def bound(moved: Tensor) -> Tensor:
        return vae.bound(scans, start + unit * moved)

    first = best = bound(here)
    for step in range(whole("steps", steps, 0)):
        way = (2 * torch.randint(2, start.shape[1:], generator=chance) - 1).to(start)
        up, down = bound(here + side * way), bound(here - side * way)
        slope = ((up - down) / (2 * side)).clamp(-1, 1)[:, None, None]
        here = here + rate / (1 + 0.1 * step) ** 0.602 * slope * way
        best = torch.maximum(best, torch.maximum(up, down))
    return torch.maximum(best, bound(here)) - first if steps else torch.zeros_like(first)


def residual_score(scan: Array, expected: Array, fired: NDArray[np.bool_], spread: Array | float = 0.5) -> Array:
    """Return the mean distance of what the fired beams return from what was expected, in spreads.

    Parameters
    ----------
    scan, expected : numpy.ndarray, (B, N), m
    fired : numpy.ndarray of bool, (B, N)
    spread : numpy.ndarray or float, (B, N), m, how far an expectation may be off

    Returns
    -------
    numpy.ndarray, (B,); 0 where no beam was fired

    Examples
    --------
    >>> residual_score(np.array([[1.0, 5.0]]), np.array([[2.0, 0.0]]), np.array([[True, False]]), 0.5).tolist()
    [2.0]
    """
    off = np.where(fired, np.abs(scan - expected) / spread, 0.0).sum(axis=1)
    return off / np.maximum(fired.sum(axis=1), 1)


def threshold_at(scores: Array, per_minute: float, step_seconds: float = 0.1) -> float:
    """Return the lowest threshold from which on runs without a fault raise at most so many alarms a minute.

    An alarm is raised when a score comes to lie above the threshold; while it stays there it is the same alarm.

    Parameters
    ----------
    scores : numpy.ndarray, (T, B), steps of B runs, NaN after the end of one
    per_minute : float, alarms allowed
    step_seconds : float, s

    Returns
    -------
    float, one of the scores

    Raises
    ------
    ValueError
        No scores.

    Examples
    --------
    >>> threshold_at(np.array([[0.0], [3.0], [0.0], [2.0]]), per_minute=60, step_seconds=0.25)
    2.0
    """
    values = np.unique(scores[~np.isnan(scores)])
    if not values.size:
        raise ValueError("A threshold needs scores of at least one step.")
    before = np.concatenate([np.full((1, scores.shape[1]), -np.inf), scores[:-1]])
    rises = scores > before  # NaN rises nowhere
    # At threshold v a rise from at most v to above v is an alarm: the rises begun by then, less those that are over.
    begun = np.searchsorted(np.sort(before[rises]), values, side="right")
    over = np.searchsorted(np.sort(scores[rises]), values, side="right")
    minutes = np.count_nonzero(~np.isnan(scores)) * step_seconds / 60
    too_many = np.flatnonzero(begun - over > per_minute * minutes)
    return float(values[too_many[-1] + 1 if too_many.size else 0])


def alarms(scores: Array, threshold: float, onset: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Return how late each fault is found, and how many alarms were raised before it.

    Parameters
    ----------
    scores : numpy.ndarray, (T, B), NaN after the end of a run
    threshold : float, above which a score is an alarm
    onset : numpy.ndarray of int, (B,), step at which the fault begins

    Returns
    -------
    tuple of numpy.ndarray, (B,), steps from the onset to the first score above, NaN where there is none, and
    numpy.ndarray of int, (B,), false alarms

    Examples
    --------
    >>> late, false = alarms(np.array([[9.0], [0.0], [0.0], [9.0]]), 1.0, np.array([2]))
    >>> late.tolist(), false.tolist()
    ([1.0], [1])
    """
    above = scores > threshold
    after = np.arange(len(scores))[:, None] >= onset
    found = above & after
    late = np.where(found.any(axis=0), found.argmax(axis=0) - onset, np.nan)
    rising = above & ~np.concatenate([np.zeros_like(above[:1]), above[:-1]])
    return late, (rising & ~after).sum(axis=0)


def corrupt(kind: Corruption, scan: Array, active: NDArray[np.bool_], past: Array, rng: np.random.Generator) -> Array:
    """Return scans with a fault where it is active, and all others as they are.

    Parameters
    ----------
    kind : {"fog", "snow", "crosstalk", "stuck", "phantom", "bias", "stale"}
        Ranges cut off at 4 m in the mean; 15 % short returns; 30 % from the other side; the front quarter shows `past`;
        a wall 1.5 m ahead; all 0.6 m too far; all show `past`
    scan, past : numpy.ndarray, (B, N), m, true ranges now and then: at the onset for "stuck", 0.5 s ago for "stale"
    active : numpy.ndarray of bool, (B,)
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, (B, N), m

    Raises
    ------
    ValueError
        An unknown kind.

    Examples
    --------
    >>> scan = np.full((2, 4), 3.0)
    >>> corrupt("bias", scan, np.array([False, True]), scan, np.random.default_rng(0)).tolist()
    [[3.0, 3.0, 3.0, 3.0], [3.6, 3.6, 3.6, 3.6]]
    """
    beams = np.arange(scan.shape[1])
    chance = rng.random(scan.shape)
    ahead = np.cos(2 * np.pi * beams / len(beams))
    if kind == "fog":
        wrong = np.minimum(scan, rng.exponential(4.0, scan.shape))
    elif kind == "snow":
        wrong = np.where(chance < 0.15, np.minimum(scan, rng.uniform(0.3, 3.0, scan.shape)), scan)
    elif kind == "crosstalk":
        wrong = np.where(chance < 0.3, np.roll(scan, len(beams) // 2, axis=1), scan)
    elif kind == "stuck":
        wrong = np.where(beams < len(beams) // 8, past, np.where(beams >= len(beams) * 7 // 8, past, scan))
    elif kind == "phantom":
        wrong = np.where(ahead > 0.7, np.minimum(scan, 1.5 / np.maximum(ahead, 0.7)), scan)
    elif kind in ("bias", "stale"):
        wrong = np.minimum(scan + 0.6, REACH) if kind == "bias" else past
    else:
        raise ValueError(f"kind must be one of {', '.join(get_args(Corruption))}, got {kind!r}.")
    return np.where(active[:, None], wrong, scan)
