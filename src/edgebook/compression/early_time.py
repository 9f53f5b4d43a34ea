r"""Early-Time tickets: the fewest time steps whose predictions are near those of all steps.

With :math:`P_t = \operatorname{softmax}(\frac1t \sum_{i \le t} o_i)` of the logits :math:`o_i` of each step,

.. math:: d_t = \mathrm{KL}(P_t \,\|\, P_T), \qquad T' = \min \{ t \ge 2 : d_t / d_2 < \lambda \} .

As :math:`d_2 / d_2 = 1`, the rule never returns its first candidate for :math:`\lambda \le 1`: it asks how fast the
divergence falls, not how small it is. As :math:`d_T = 0`, it returns some step for any :math:`\lambda > 0`.

Source: Kim et al., arXiv 2207.01382. The released code takes the divergence the other way round and its mean over
classes, which is a constant factor, and divides by the largest candidate: it can return the first one, but only where
:math:`d_t` rises after it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.watching import evaluated

FIRST = 2  # the smallest candidate
_AT_A_TIME = 500  # images


class EarlyTimestep(NamedTuple):
    """Which number of steps was chosen, and what it was chosen by."""

    steps: int  #: T', the chosen number of steps
    curve: list[float]  #: divergence of each candidate 2, ..., T from T, in nats; the last is 0


def divergence_curve(logits: Tensor) -> list[float]:
    """Divergence KL(P_t || P_T) between the prediction after t steps and after all of them, for t = 2, ..., T.

    Parameters
    ----------
    logits : Tensor, (T, B, classes), of each step; their running mean is what predicts

    Returns
    -------
    list of float, (T - 1,), mean over the batch, in nats

    Raises
    ------
    ValueError
        Logits of another shape, of one step, none at all, or that are not finite.
    """
    if logits.ndim != 3 or logits.numel() == 0 or len(logits) < FIRST or not torch.isfinite(logits).all():
        raise ValueError(f"Logits must be finite and of shape (2 or more, batch, classes), got {tuple(logits.shape)}.")
    logits = logits.detach().double()
    counts = torch.arange(1, len(logits) + 1, device=logits.device, dtype=logits.dtype)
    means = logits.cumsum(0) / counts[:, None, None]  # (T, B, classes)
    log_p = F.log_softmax(means, dim=-1)[FIRST - 1 :]  # (T - 1, B, classes)
    gaps = log_p - log_p[-1:]  # to the prediction of all steps
    return (log_p.exp() * gaps).sum(-1).mean(-1).clamp(min=0).tolist()  # never below 0 but by rounding


def pick_timestep(curve: list[float], *, threshold: float = 0.6) -> int:
    """Return the first candidate whose normalised divergence lies below the threshold, else the last.

    Parameters
    ----------
    curve : list of float, what `divergence_curve` returned
    threshold : float, :math:`\\lambda`, not negative

    Returns
    -------
    int, a number of steps; the first candidate where the curve begins at 0, for nothing differs then

    Raises
    ------
    ValueError
        An empty curve or a negative threshold.
    """
    if threshold < 0:
        raise ValueError(f"threshold must not be negative, got {threshold}.")
    below = [value < threshold for value in normalise_curve(curve)]
    if curve[0] == 0:
        return FIRST
    return FIRST + (below.index(True) if any(below) else len(curve) - 1)


def normalise_curve(curve: list[float]) -> list[float]:
    """Divide a curve of divergences by its first entry; all zeros where that is 0.

    Parameters
    ----------
    curve : list of float, what `divergence_curve` returned

    Returns
    -------
    list of float

    Raises
    ------
    ValueError
        An empty curve.
    """
    if not curve:
        raise ValueError("A curve has at least one value.")
    return [value / curve[0] if curve[0] else 0.0 for value in curve]


def select_early_timestep(
    model: Callable[[Tensor], Tensor], images: Tensor, *, threshold: float = 0.6
) -> EarlyTimestep:
    """Choose the number of steps for the search of a ticket, and return the whole curve behind the choice.

    Parameters
    ----------
    model : callable
        Images (B, ...) to logits (T, B, classes), in evaluation mode where it is a `torch.nn.Module`; the released code
        leaves it in training mode, which moves the running statistics of its norms.
    images : Tensor, training images (N, ...); the paper takes 1,000
    threshold : float, as in `pick_timestep`

    Returns
    -------
    EarlyTimestep

    Raises
    ------
    ValueError
        As in `divergence_curve` and `pick_timestep`.
    """
    with evaluated(model) if isinstance(model, nn.Module) else nullcontext(), torch.no_grad():
        logits = torch.cat([model(part) for part in images.split(_AT_A_TIME)], dim=1)  # (T, N, classes)
    curve = divergence_curve(logits)
    return EarlyTimestep(pick_timestep(curve, threshold=threshold), curve)
