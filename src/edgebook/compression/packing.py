"""Masks as JSON values, one bit a weight."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgebook.compression.arguments import check_masks
from edgebook.compression.masks import Masks


def pack_masks(masks: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Write masks as JSON values, one bit a weight.

    Parameters
    ----------
    masks : mapping of str to Tensor

    Returns
    -------
    dict of str to dict, for each name its ``shape``, and its ``bits`` in base64

    Raises
    ------
    ValueError
        A mask is no bool tensor.
    """
    check_masks(masks)

    def bits(mask: Tensor) -> str:
        return base64.b64encode(np.packbits(mask.cpu().numpy().reshape(-1)).tobytes()).decode("ascii")

    return {name: {"shape": list(mask.shape), "bits": bits(mask)} for name, mask in masks.items()}


def unpack_masks(packed: Mapping[str, Mapping[str, Any]]) -> Masks:
    """Read masks written by `pack_masks`.

    Parameters
    ----------
    packed : mapping of str to mapping

    Returns
    -------
    dict of str to Tensor, the masks, on the CPU

    Raises
    ------
    ValueError
        Bits that are no base64, or too few or too many for their shape.
    """
    masks = {}
    for name, entry in packed.items():
        size = int(np.prod(entry["shape"], dtype=np.int64))
        found = np.frombuffer(base64.b64decode(entry["bits"], validate=True), dtype=np.uint8)
        if min(entry["shape"], default=0) < 0 or len(found) != -(-size // 8):
            raise ValueError(f"The packed mask of {name} has {len(found)} bytes for the shape {entry['shape']}.")
        masks[name] = torch.from_numpy(np.unpackbits(found, count=size).astype(bool)).reshape(tuple(entry["shape"]))
    return masks
