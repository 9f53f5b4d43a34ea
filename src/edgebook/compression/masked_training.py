r"""Training with masks: SGD on a cosine, pruned weights held at zero, and a loss at each time step.

The loss of arXiv 2207.01382 is the mean of the cross-entropies of all steps,

.. math:: L = \frac1T \sum_t \mathrm{CE}(o_t, y) ,

over as many steps as have been run. (The released code divides by the full T also where it runs fewer steps.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.compression.early_bird import cosine_rate
from edgebook.compression.holding import hold_masks
from edgebook.networks.training import fit


def step_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the logits of each step, mean over steps and batch.

    Parameters
    ----------
    logits : Tensor, (T, B, classes)
    labels : Tensor, (B,), int64

    Returns
    -------
    Tensor, (), in nats

    Raises
    ------
    ValueError
        Logits without an axis of steps, or another number of labels.
    """
    if logits.ndim != 3 or logits.shape[1:2] != labels.shape:
        raise ValueError(
            f"Logits must be (steps, batch, classes) and labels (batch,), got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}."
        )
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))


def train_masked(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    masks: Mapping[str, Tensor],
    *,
    epochs: int,
    lr: float,
    batch_size: int = 128,
    seed: int = 0,
    speed: float = 1.0,
    loss: Callable[[Tensor, Tensor], Tensor] = step_cross_entropy,
    on_epoch: Callable[[int], bool | None] | None = None,
) -> int:
    """Train a network in place while its masks hold, and return the number of epochs trained.

    Parameters
    ----------
    model : torch.nn.Module, pruned by the masks at once; left in training mode
    x, y : Tensor, images (N, ...) and labels int64 (N,), on the model's device
    masks : mapping of str to Tensor, which weights are alive; weights without a mask are free
    epochs : int, passes over the data, over which the learning rate goes through its schedule; 0 is allowed
    lr : float, rate at the start, of a fresh SGD with momentum 0.9 and weight decay 5e-4
    batch_size : int, images per step; the batches of an epoch differ by at most one image
    seed : int, decides the order of the images, and nothing else: the same as in `edgebook.networks.training.fit`
    speed : float, as in `cosine_rate`: 2 repeats the released schedule of Early-Bird's retraining
    loss : callable, outputs and labels to a scalar
    on_epoch : callable, optional, as for `edgebook.networks.fit`; it may change the model's number of steps

    Returns
    -------
    int

    Raises
    ------
    ValueError
        Images and labels differ in number, or fewer than two images; and as in `hold_masks`.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    hold_masks(optimizer, model, masks)
    if speed != 1:  # the shared loop has set the rate of the intended schedule by now
        done, total = count(), epochs * max(1, math.ceil(len(x) / batch_size))

        def set_rate(optimizer: torch.optim.Optimizer, *_: object) -> None:
            optimizer.param_groups[0]["lr"] = cosine_rate(next(done) / total, lr, speed=speed)

        optimizer.register_step_pre_hook(set_rate)

    def after(epoch: int) -> bool | None:
        ended = on_epoch(epoch) if on_epoch is not None else None
        model.train()
        return ended

    return fit(
        model, x, y, epochs=epochs, batch_size=batch_size, seed=seed, optimizer=optimizer, loss=loss, on_epoch=after
    )
