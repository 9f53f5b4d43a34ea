"""Masks: which weights of a network are alive, as tensors under the names of the weights.

A mask is a bool tensor of the shape of its weight, and masks are a plain dictionary of them. They therefore go through
`torch.save` and `torch.load(..., weights_only=True)` as they are, and through JSON by `pack_masks`.

`torch.nn.utils.prune` is the reference of the tests alone: it renames each weight to `weight_orig`, which rewinding,
saving and the optimiser would have to know, and its global ranking fails on weights that lie channels-last in memory.
Here a pruned network is an ordinary network with zeros in it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Masks = dict[str, Tensor]

_PRUNABLE = (nn.Linear, nn.modules.conv._ConvNd)


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of all convolutions and linear layers; norms and biases are never pruned.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict of str to torch.nn.Parameter, by name, in the order of the modules; a weight that two layers share counts once
    """
    found: dict[str, nn.Parameter] = {}
    for name, module in model.named_modules():
        if isinstance(module, _PRUNABLE) and all(module.weight is not known for known in found.values()):
            found[f"{name}.weight" if name else "weight"] = module.weight
    return found


def dense_masks(model: nn.Module) -> Masks:
    """Return masks in which every prunable weight is alive.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict of str to Tensor, bool tensors of the shapes of the weights, on their devices
    """
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable_weights(model).items()}


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the pruned weights of a network to zero, in place; raises what `hold_masks` does."""
    with torch.no_grad():
        for weight, mask in _pairs(model, masks):
            weight.masked_fill_(~mask.to(weight.device), 0.0)  # not a product, which would keep NaN and make -0


def hold_masks(optimizer: torch.optim.Optimizer, model: nn.Module, masks: Mapping[str, Tensor]) -> RemovableHandle:
    """Set pruned weights to zero now and after every step of an optimiser, whatever it does in a step.

    Masking gradients is not enough: momentum, the moments of Adam and decoupled weight decay move weights whose
    gradient is zero. (One that evaluates the loss several times in a step, as L-BFGS, sees others in between.)

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, any optimiser of the model's parameters
    model : torch.nn.Module
    masks : mapping of str to Tensor, weights without a mask are free

    Returns
    -------
    torch.utils.hooks.RemovableHandle, its `remove` lets the weights go

    Raises
    ------
    ValueError
        A name is no parameter of the model, or a mask is no bool tensor of its shape.
    """
    apply_masks(model, masks)
    pairs = [(weight, ~mask.to(weight.device)) for weight, mask in _pairs(model, masks)]

    @torch.no_grad()
    def zero(*_: object) -> None:
        for weight, pruned in pairs:
            weight.masked_fill_(pruned, 0.0)

    return optimizer.register_step_post_hook(zero)


def count_alive(masks: Mapping[str, Tensor]) -> int:
    """Count the weights that are alive.

    Parameters
    ----------
    masks : mapping of str to Tensor

    Returns
    -------
    int
    """
    return sum(int(mask.count_nonzero()) for mask in masks.values())


def sparsity(masks: Mapping[str, Tensor]) -> float:
    """Return the share of prunable weights that are pruned.

    Parameters
    ----------
    masks : mapping of str to Tensor

    Returns
    -------
    float, 0 (dense) to 1, over prunable weights alone; counting norms and biases too makes it smaller

    Raises
    ------
    ValueError
        The masks hold no entry.

    Examples
    --------
    >>> sparsity({"a": torch.tensor([True, False]), "b": torch.tensor([True, True])})
    0.25
    """
    total = sum(mask.numel() for mask in masks.values())
    if total == 0:
        raise ValueError("Masks must hold at least one entry.")
    return 1 - count_alive(masks) / total


def layer_density(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the share of alive weights in each layer; a layer at 0 passes nothing on and has collapsed.

    Parameters
    ----------
    masks : mapping of str to Tensor

    Returns
    -------
    dict of str to float, 0 to 1, by the name of the weight
    """
    return {name: int(mask.count_nonzero()) / mask.numel() for name, mask in masks.items()}


def pack_masks(masks: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Write masks as JSON values, one bit a weight.

    Parameters
    ----------
    masks : mapping of str to Tensor

    Returns
    -------
    dict of str to dict, for each name its ``shape``, and its ``bits`` in base64
    """

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
    """
    masks = {}
    for name, entry in packed.items():
        size = int(np.prod(entry["shape"], dtype=np.int64))
        bits = np.unpackbits(np.frombuffer(base64.b64decode(entry["bits"]), dtype=np.uint8), count=size)
        masks[name] = torch.from_numpy(bits.astype(bool)).reshape(tuple(entry["shape"]))
    return masks


def _pairs(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"The model has no parameter named {name}.")
        if mask.dtype != torch.bool or mask.shape != parameters[name].shape:
            raise ValueError(
                f"The mask of {name} must be bool of the shape {tuple(parameters[name].shape)}, "
                f"got {str(mask.dtype).removeprefix('torch.')} of {tuple(mask.shape)}."
            )
    return [(parameters[name], mask) for name, mask in masks.items()]
