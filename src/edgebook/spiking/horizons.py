r"""A loss that says when a spiking network should know its answer.

With logits :math:`o_1, \dots, o_T` and the prediction after `t` steps :math:`z_t = \frac1t \sum_{i \le t} o_i`,

.. math:: L = \sum_t w_t \, \lvert \mathrm{CE}(z_t, y) - b \rvert + b, \qquad \sum_t w_t = 1 .

All weight on the last horizon and :math:`b = 0` is plain training by the mean logit; weight on earlier horizons makes
prefixes answer too, and a floor :math:`b > 0` keeps the loss, and with it the gradient, from vanishing.

Source: a reconstruction of the loss in Kim et al., *Exploring Temporal Information Dynamics in Spiking Neural
Networks*, arXiv 2211.14406, whose form was not published with its code; the floor is the flooding of Ishida et al.,
*Do We Need Zero Training Loss After Achieving Zero Training Error?*, arXiv 2002.08709.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebook.spiking.gradients import mean_logits


def horizon_loss(logits: Tensor, labels: Tensor, weights: Sequence[float], floor: float = 0.0) -> Tensor:
    """Weighted cross-entropy of the predictions after 1, 2, ... T steps, each no lower than a floor.

    Parameters
    ----------
    logits : Tensor, (T, B, classes), of each step alone; the means over the first steps are taken here
    labels : Tensor, (B,), int64
    weights : sequence of float, (T,), what each horizon counts, none below zero; scaled to a sum of 1
    floor : float, the mean cross-entropy of the batch is pulled to this many nats and not below, at every horizon

    Returns
    -------
    Tensor, (), in nats, at least `floor`

    Raises
    ------
    ValueError
        Logits, labels or weights that do not fit, a weight or floor below zero or not finite, or weights all zero.

    Examples
    --------
    >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])
    >>> round(float(horizon_loss(logits, torch.tensor([0]), weights=(0, 1))), 4)  # the two steps cancel
    0.6931
    """
    if logits.ndim != 3 or 0 in logits.shape or logits.shape[1:2] != labels.shape:
        raise ValueError(
            f"Logits must be (steps, batch, classes), none of them 0, and labels (batch,), got {tuple(logits.shape)} "
            f"and {tuple(labels.shape)}."
        )
    steps, batch = logits.shape[:2]
    share = torch.tensor(list(weights), dtype=logits.dtype, device=logits.device)
    if len(share) != steps or not bool((share.isfinite() & (share >= 0)).all()) or share.sum() == 0:
        raise ValueError(f"{steps} weights are needed, none below 0 and not all 0, got {list(weights)}.")
    if not 0 <= floor < float("inf"):
        raise ValueError(f"floor must be at least 0 and finite, got {floor}.")
    means = mean_logits(logits).flatten(0, 1)  # (T * B, classes)
    losses = F.cross_entropy(means, labels.repeat(steps), reduction="none").view(steps, batch).mean(1)  # (T,)
    return (share / share.sum() * (losses - floor).abs()).sum() + floor
