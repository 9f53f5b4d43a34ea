"""How tensors whose first axis is that of steps or samples lie in memory, for kernels that take flat arrays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NUMPY = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


def layout(x: Tensor) -> list[int]:
    """Return the order in which the axes of (T, ...) lie in memory, which spares a copy: the steps, then the widest."""
    if x.is_contiguous():
        return list(range(x.ndim))
    return [0, *sorted(range(1, x.ndim), key=x.stride, reverse=True)]


def blank(x: Tensor) -> Tensor:
    """Return new memory of the shape and layout of (T, ...); it is no view, so that what is in it may be changed."""
    strides, width = [1] * x.ndim, 1
    for axis in reversed(layout(x)):
        strides[axis], width = width, width * x.shape[axis]
    return x.new_empty_strided(x.shape, strides)


def flat(x: Tensor, order: list[int]) -> tuple[Tensor, int]:
    """Return the memory of (T, ...) as a flat tensor, and how far apart its steps lie: 0 where they repeat one."""
    x, size = x.detach().permute(order), x.numel() // len(x)
    if x.stride(0) == 0 and not x.is_contiguous():
        return x[0].reshape(-1), 0  # (size,), read again at every step
    return x.reshape(-1), size  # (T size,), a copy only where it lies otherwise
