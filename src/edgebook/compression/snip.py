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

from edgebook.compression.masks import prunable_weights


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
    model : torch.nn.Module, in the mode in which the gradient is wanted; left as it was, running statistics too
    batches : iterable of (Tensor, Tensor), images and labels; gradients are averaged before their size is taken
    loss : callable, outputs and labels to a scalar, the mean over the batch

    Returns
    -------
    dict of str to Tensor, scores of the shapes of the weights, not negative

    Raises
    ------
    ValueError
        There is no batch.
    """
    weights = prunable_weights(model)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    totals = [torch.zeros_like(weight) for weight in weights.values()]
    seen = 0
    for images, labels in batches:
        gradients = torch.autograd.grad(loss(model(images), labels), list(weights.values()), allow_unused=True)
        totals = [t if g is None else t + len(images) * g for t, g in zip(totals, gradients, strict=True)]
        seen += len(images)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    if seen == 0:
        raise ValueError("At least one image is needed for a gradient.")
    pairs = zip(weights.items(), totals, strict=True)
    return {name: (weight.detach() * total / seen).abs() for (name, weight), total in pairs}
