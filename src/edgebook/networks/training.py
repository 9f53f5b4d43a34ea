"""Supervised training, small and deterministic: the loop that notebooks share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.arguments import whole
from edgebook.measure.watching import evaluated

Schedule = Literal["constant", "cosine"]


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    lr: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
    schedule: Schedule = "cosine",
    optimizer: torch.optim.Optimizer | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    on_epoch: Callable[[int], bool | None] | None = None,
) -> int:
    """Train a classifier in place and return the number of epochs trained.

    Parameters
    ----------
    model : torch.nn.Module, images (N, C, H, W) to logits, or what else the loss takes; left in training mode
    x, y : Tensor, images float32 (N, C, H, W) and labels int64 (N,), on the model's device
    epochs : int, passes over the data; 0 is allowed
    lr, batch_size : float, int, peak rate of Adam, and images per step at most; never one image alone
    seed : int, at least 0, decides the order of the images, and nothing else
    schedule : {"constant", "cosine"}, learning rate over the whole run
    optimizer : torch.optim.Optimizer, optional, instead of Adam, at its own peak rate; a cosine leaves it at zero
    loss : callable, outputs of the model and labels to the number that training lowers
    on_epoch : callable, optional, called after each epoch with its number, from 1; returning True ends the training

    Returns
    -------
    int, epochs trained

    Raises
    ------
    ValueError
        Images and labels differ in number, fewer than two images, batches that leave one alone, an unknown
        schedule, or epochs, a batch size or a seed that are no whole number.
    TypeError
        Images or labels that are no tensors.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> fit(model, torch.rand(8, 1, 2, 2), torch.arange(8) % 2, epochs=3)
    3
    """
    _check_pairs(x, y, 2, "two images")
    if schedule not in get_args(Schedule):
        raise ValueError(f"schedule must be one of {', '.join(get_args(Schedule))}, got {schedule!r}.")
    epochs = whole("epochs", epochs, 0)
    batches = math.ceil(len(x) / whole("batch_size", batch_size))  # of sizes that differ by one at most
    if len(x) < 2 * batches:
        raise ValueError(f"{len(x)} images in batches of at most {batch_size} leave one alone: take larger batches.")
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=lr)
    order = torch.Generator().manual_seed(whole("seed", seed, 0))

    def cosine(step: int) -> float:
        epoch, batch = divmod(step, batches)
        return 0.5 + 0.5 * math.cos(math.pi * (epoch + batch / batches) / max(epochs, 1))

    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine) if schedule == "cosine" else None  # set at every step
    model.train()
    for epoch in range(epochs):
        for batch in torch.randperm(len(x), generator=order).tensor_split(batches):
            value = loss(model(x[batch]), y[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if rate is not None:
                rate.step()
        if on_epoch is not None and on_epoch(epoch + 1):
            return epoch + 1
    return epochs


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int = 500) -> float:
    """Return the share of images that a classifier labels rightly in evaluation mode, in percent.

    Parameters
    ----------
    model : torch.nn.Module, images (N, C, H, W) to logits (N, classes); each of its modules gets its own mode back
    x, y : Tensor, images, and labels (N,), integers from 0 up to the number of classes
    batch_size : int, images at a time

    Returns
    -------
    float, 0 to 100

    Raises
    ------
    ValueError
        No images, not one label each, labels that are no classes of the model, logits of another shape or with a NaN,
        or a batch size that is no whole number above 0.
    TypeError
        Images or labels that are no tensors.

    Examples
    --------
    >>> accuracy(nn.Flatten(), torch.eye(2).view(2, 2, 1, 1), torch.tensor([0, 0]))
    50.0
    """
    _check_pairs(x, y, 1, "one image")
    if y.ndim != 1 or y.is_floating_point() or y.is_complex():
        raise ValueError(f"labels must be {len(x)} integers, got {y.dtype} of the shape {tuple(y.shape)}.")
    at_a_time = whole("batch_size", batch_size)
    with evaluated(model):
        hits = sum(
            _hits(model(images), labels) for images, labels in zip(x.split(at_a_time), y.split(at_a_time), strict=True)
        )
    return 100.0 * hits / len(x)


def _check_pairs(x: Tensor, y: Tensor, least: int, images: str) -> None:
    for name, tensor in (("x", x), ("y", y)):
        if not isinstance(tensor, Tensor) or tensor.ndim < 1:
            raise TypeError(f"{name} must be a tensor with one entry for each image, got a {type(tensor).__name__}.")
    if len(x) != len(y) or len(x) < least:
        raise ValueError(f"At least {images} with one label each are needed, got {len(x)} and {len(y)}.")


def _hits(logits: Any, labels: Tensor) -> int:
    """Count the right labels of one batch (B,) by what a model returned for it, which is checked."""
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"The model must return logits ({len(labels)}, classes) of {len(labels)} images, got {shape}.")
    if logits.isnan().any():
        raise ValueError("The logits of the model hold a NaN, which is no label.")
    classes = logits.shape[1]
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels must lie between 0 and {classes - 1}, as the model has {classes} classes.")
    return int((logits.argmax(1) == labels).sum())
