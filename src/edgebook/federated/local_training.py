"""What a client does with the model that it receives: a few epochs of SGD with a new optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.federated.checks import finite
from edgebook.measure.arguments import whole


class LocalResult(NamedTuple):
    """What a client reports of its training."""

    loss: float  #: mean over the batches of the last epoch
    steps: int  #: batches in all


def train_locally(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float = 0.0,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> LocalResult:
    """Train a classifier in place by SGD, with a momentum of 0.9 that starts from zero, over full batches alone.

    Source: the client of Venkatesha et al., arXiv 2106.06579, whose code drops the last incomplete batch and has a
    new optimiser in every round.

    Parameters
    ----------
    model : torch.nn.Module
        Images (N, ...) to logits (N, classes); left in training mode.
    x, y : Tensor
        The client's images and labels int64 (N,).
    epochs, batch_size, seed : int
        Passes over the data, images in a step, and what decides their order.
    lr, weight_decay : float
        Of SGD.
    loss : callable
        Logits and labels to the number that training lowers.

    Returns
    -------
    LocalResult

    Raises
    ------
    ValueError, TypeError
        Fewer images than a batch, no image, fewer than one epoch, or a rate that is no number.
    """
    epochs, batch_size = whole("epochs", epochs, None), whole("batch_size", batch_size, None)
    finite("lr", lr), finite("weight_decay", weight_decay)
    if len(x) != len(y) or len(x) < 1 or epochs < 1 or batch_size < 1:
        raise ValueError(
            f"Images with one label each, an epoch and a batch are needed, got {len(x)} images, {len(y)} labels, "
            f"{epochs} epochs and a batch of {batch_size}."
        )
    if len(x) < batch_size:
        raise ValueError(
            f"A client with {len(x)} images has no full batch of {batch_size}, and would train on nothing."
        )
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        full = torch.randperm(len(x), generator=order)[: len(x) // batch_size * batch_size]
        losses: list[Tensor] = []
        for batch in full.split(batch_size):
            value = loss(model(x[batch]), y[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.detach())
    return LocalResult(float(sum(losses)) / len(losses), epochs * len(losses))
