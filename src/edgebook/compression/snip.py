r"""SNIP: pruning before training, by what the loss would notice.

With a mask entry :math:`m_j` in front of each weight, the sensitivity of the loss is

.. math:: s_j = \left| \frac{\partial L(m \odot w)}{\partial m_j} \right|_{m = 1}
    = \left| w_j \frac{\partial L}{\partial w_j} \right| .

Source: Lee, Ajanthan and Torr, *SNIP: Single-shot Network Pruning based on Connection Sensitivity*, arXiv 1810.02340.
There the scores are divided by their sum, which changes no ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.compression.arguments import check_finite
from edgebook.compression.masks import prunable_weights


@torch.inference_mode(mode=False)
def snip_scores(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> dict[str, Tensor]:
    """Score every prunable weight by the size of its weight times its gradient.

    Feed the scores to `keep_largest`; `layer_density` then tells whether a layer has collapsed.

    Parameters
    ----------
    model : torch.nn.Module
        In the mode in which the gradient is wanted; left as it was, running statistics too. Frozen weights have scores
        like others.
    batches : iterable of (Tensor, Tensor), images and labels; gradients are averaged before their size is taken
    loss : callable, outputs and labels to a scalar, the mean over the batch

    Returns
    -------
    dict of str to Tensor, scores of the shapes of the weights, not negative, at least float32

    Raises
    ------
    ValueError
        There is no batch, or a score is not finite; and as in `prunable_weights`.
    """
    weights = prunable_weights(model)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    wide = {name: torch.promote_types(weight.dtype, torch.float32) for name, weight in weights.items()}
    totals = {name: torch.zeros_like(weight, dtype=wide[name]) for name, weight in weights.items()}
    frozen = [weight.requires_grad_() for weight in weights.values() if not weight.requires_grad]
    seen = 0
    try:
        for images, labels in batches:
            with torch.enable_grad():
                gradients = torch.autograd.grad(loss(model(images), labels), list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    totals[name] += len(images) * gradient.to(wide[name])
            seen += len(images)
    finally:
        for weight in frozen:
            weight.requires_grad_(False)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
    if seen == 0:
        raise ValueError("At least one image is needed for a gradient.")
    scores = {name: (weight.detach() * totals[name] / seen).abs() for name, weight in weights.items()}
    for name, score in scores.items():
        check_finite(f"The scores of {name}", score)
    return scores
