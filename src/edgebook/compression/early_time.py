r"""Early-Time tickets: the fewest time steps whose predictions are near those of all steps.

With :math:`P_t = \operatorname{softmax}(\frac1t \sum_{i \le t} o_i)` of the logits :math:`o_i` of each step,

.. math:: d_t = \mathrm{KL}(P_t \,\|\, P_T), \qquad T' = \min \{ t \ge 2 : d_t / d_2 < \lambda \} .

Since :math:`d_2 / d_2 = 1`, the rule cannot return its first candidate for any :math:`\lambda \le 1`: it asks how fast
the divergence falls, not how small it is. And as :math:`d_T = 0`, it always returns some step for :math:`\lambda > 0`.
Divided by the largest candidate instead, as in the released code, it can return the first one, but only where
:math:`d_t` rises after it.

Source: Kim et al., arXiv 2207.01382; the released code takes the divergence the other way round and its mean over
classes, which is a constant factor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Direction = Literal["early", "late"]
Reference = Literal["first", "largest"]


class EarlyTimestep(NamedTuple):
    """Which step was chosen, and everything that it was chosen by.

    Attributes
    ----------
    steps : int
        T', the chosen number of steps.
    candidates : list of int
        2, ..., T, or from another first candidate on.
    curve : list of float
        Divergence of each candidate from T, in nats; the last is 0.
    normalised : list of float
        The same, divided by the reference.
    """

    steps: int
    candidates: list[int]
    curve: list[float]
    normalised: list[float]


def divergence_curve(logits: Tensor, *, first: int = 2, direction: Direction = "early") -> list[float]:
    """Divergence between the prediction after t steps and after all of them, for each t.

    Parameters
    ----------
    logits : Tensor, (T, B, classes)
        Of each step; their running mean is what predicts.
    first : int
        The smallest t, 1 to T.
    direction : {"early", "late"}
        KL(P_t || P_T) as in the paper, or KL(P_T || P_t) as in its code.

    Returns
    -------
    list of float, (T - first + 1,)
        Mean over the batch, in nats.

    Raises
    ------
    ValueError
        Logits of another shape, none at all, or that are not finite; a first step outside 1 to T; another direction.
    """
    if logits.ndim != 3 or logits.numel() == 0 or not torch.isfinite(logits).all():
        raise ValueError(f"Logits must be finite and of shape (steps, batch, classes), got {tuple(logits.shape)}.")
    if not 1 <= first <= len(logits):
        raise ValueError(f"first must lie between 1 and the {len(logits)} steps, got {first}.")
    if direction not in ("early", "late"):
        raise ValueError(f"direction must be early or late, got {direction!r}.")
    logits = logits.detach().double()
    counts = torch.arange(1, len(logits) + 1, device=logits.device, dtype=logits.dtype)
    log_p = F.log_softmax(logits.cumsum(0) / counts[:, None, None], dim=-1)[first - 1 :]  # (T - first + 1, B, classes)
    final = log_p[-1:].expand_as(log_p)
    p, q = (log_p, final) if direction == "early" else (final, log_p)
    return (p.exp() * (p - q)).sum(-1).mean(-1).clamp(min=0).tolist()  # never below 0 but by rounding


def pick_timestep(curve: list[float], *, threshold: float = 0.6, first: int = 2, reference: Reference = "first") -> int:
    """Return the first candidate whose normalised divergence lies below the threshold, else the last.

    Parameters
    ----------
    curve : list of float
        What `divergence_curve` returned.
    threshold : float
        :math:`\\lambda`, not negative.
    first : int
        Number of steps of the first entry.
    reference : {"first", "largest"}
        What the curve is divided by: its first entry as in the paper, or its largest as in the released code.

    Returns
    -------
    int
        A number of steps. Where the reference is 0, nothing differs and the first candidate is returned.

    Raises
    ------
    ValueError
        An empty curve, a negative threshold or another reference.
    """
    if threshold < 0:
        raise ValueError(f"threshold must not be negative, got {threshold}.")
    below = [value < threshold for value in normalise_curve(curve, reference=reference)]
    if _reference(curve, reference) == 0:
        return first
    return first + (below.index(True) if any(below) else len(curve) - 1)


def normalise_curve(curve: list[float], *, reference: Reference = "first") -> list[float]:
    """Divide a curve of divergences by its first or its largest entry; all zeros where that is 0.

    Parameters
    ----------
    curve : list of float
        What `divergence_curve` returned.
    reference : {"first", "largest"}
        As in `pick_timestep`.

    Returns
    -------
    list of float
        Of the same length.

    Raises
    ------
    ValueError
        An empty curve or another reference.
    """
    scale = _reference(curve, reference)
    return [value / scale if scale else 0.0 for value in curve]


def select_early_timestep(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    threshold: float = 0.6,
    first: int = 2,
    direction: Direction = "early",
    reference: Reference = "first",
    batch_size: int = 500,
) -> EarlyTimestep:
    """Choose the number of steps for the search of a ticket, and return the whole curve behind the choice.

    Parameters
    ----------
    model : callable
        Images (B, ...) to logits (T, B, classes). A `torch.nn.Module` runs in evaluation mode and is then set back;
        the released code leaves it in training mode, which moves the running statistics of its norms.
    images : Tensor
        Training images (N, ...); the paper takes 1,000.
    threshold, first, reference
        As in `pick_timestep`.
    direction : {"early", "late"}
        As in `divergence_curve`.
    batch_size : int
        Images at a time.

    Returns
    -------
    EarlyTimestep
        The choice and its curve.

    Raises
    ------
    ValueError
        As in `divergence_curve` and `pick_timestep`.
    """
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        with torch.no_grad():
            logits = torch.cat([model(part) for part in images.split(batch_size)], dim=1)  # (T, N, classes)
    finally:
        if isinstance(model, nn.Module):
            model.train(training)
    curve = divergence_curve(logits, first=first, direction=direction)
    steps = pick_timestep(curve, threshold=threshold, first=first, reference=reference)
    candidates = list(range(first, len(logits) + 1))
    return EarlyTimestep(steps, candidates, curve, normalise_curve(curve, reference=reference))


def _reference(curve: list[float], reference: Reference) -> float:
    if reference not in ("first", "largest") or not curve:
        raise ValueError(f"A curve with values and the reference first or largest are needed, got {reference!r}.")
    return curve[0] if reference == "first" else max(curve)
