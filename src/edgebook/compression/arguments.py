"""What masks and scores must be: checked here, and refused in one sentence that names them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def check_finite(name: str, values: Tensor) -> None:
    """Refuse what cannot be ranked: a NaN spoils the order of all others without a word."""
    if not isinstance(values, Tensor) or values.is_complex() or not torch.isfinite(values).all():
        raise ValueError(f"{name} must be a tensor of real, finite numbers.")


def check_masks(masks: Mapping[str, Tensor], like: Mapping[str, Tensor] | None = None, of: str = "parameter") -> None:
    """Refuse masks that are no bool tensors, or have not the names and shapes of what they belong to."""
    for name, mask in masks.items():
        if like is not None and name not in like:
            raise ValueError(f"The model has no {of} named {name}.")
        fits = isinstance(mask, Tensor) and mask.dtype == torch.bool
        if not fits or (like is not None and mask.shape != like[name].shape):
            wanted = "" if like is None else f" of the shape {tuple(like[name].shape)}"
            got = f"{mask.dtype} of {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"The mask of {name} must be bool{wanted}, got {got.removeprefix('torch.')}.")
