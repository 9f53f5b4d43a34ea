"""How the tensors of a sequence lie in memory, for kernels that take flat arrays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NUMPY = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


def layout(x: Tensor) -> tuple[list[int], list[int]]:
    """Return the order in which the axes of (T, ...) lie in memory, which spares a copy, and the way back."""
    order = [0, *sorted(range(1, x.ndim), key=x.stride, reverse=True)]  # behind the steps, the widest stride first
    return order, sorted(range(x.ndim), key=order.__getitem__)


def flat(x: Tensor) -> tuple[Tensor, int]:
    """Return the memory of (T, ...) as a flat tensor, and how far apart its steps lie: 0 where they repeat one."""
    x, size = x.detach(), x.numel() // len(x)
    if x.is_contiguous():
        return x.view(-1), size  # (T size,)
    if x.stride(0) == 0 and x[0].is_contiguous():
        return x[0].view(-1), 0  # (size,), read again at every step
    return x.contiguous().view(-1), size
