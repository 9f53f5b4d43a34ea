"""Masks: which weights of a network are alive, as tensors under the names of the weights.

A mask is a bool tensor of the shape of its weight, and masks are a plain dictionary of them. They therefore go through
`torch.save` and `torch.load(..., weights_only=True)` as they are, and through JSON by `pack_masks`.

`torch.nn.utils.prune` is the reference of the tests alone: it renames each weight to `weight_orig`, which rewinding,
saving and the optimiser would have to know, and its global ranking fails on weights that lie channels-last in memory.
Here a pruned network is an ordinary network with zeros in it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from edgebook.compression.arguments import check_masks

Masks = dict[str, Tensor]

_PRUNABLE = (nn.Linear, nn.modules.conv._ConvNd)


def named_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return all parameters, each under the name that PyTorch gives it first; refuse those without values."""
    found = dict(model.named_parameters())
    for name, parameter in found.items():
        if is_lazy(parameter) or parameter.is_meta:
            raise ValueError(
                f"{name} has no values yet: a lazy layer must have run, and none may be on the meta device."
            )
    return found


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of all convolutions and linear layers; norms and biases are never pruned.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict of str to torch.nn.Parameter
        In the order of the modules, under their names in `model.named_parameters()`; a weight that several layers
        share counts once.

    Raises
    ------
    ValueError
        A weight has no values yet, is of whole numbers, or is no parameter but computed from others.

    Examples
    --------
    >>> list(prunable_weights(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 4))))
    ['0.weight', '3.weight']
    """
    names = {parameter: name for name, parameter in named_parameters(model).items()}
    found: dict[str, nn.Parameter] = {}
    for path, module in model.named_modules():
        if isinstance(module, _PRUNABLE):
            weight = dict(module.named_parameters(recurse=False)).get("weight")
            if weight is None or not (weight.is_floating_point() or weight.is_complex()):
                raise ValueError(
                    f"{f'{path}.weight'.lstrip('.')} must be a floating-point parameter. Where weight norm, spectral "
                    "norm or PyTorch's pruning computes it from others, make it one with `torch.nn.utils.prune.remove` "
                    "or `torch.nn.utils.parametrize.remove_parametrizations`."
                )
            found[names[weight]] = weight
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
    weights = named_parameters(model)
    check_masks(masks, weights)
    with torch.no_grad():
        for name, mask in masks.items():  # not a product, which would keep NaN and make -0
            weights[name].masked_fill_(~mask.to(weights[name].device), 0.0)


def count_alive(masks: Mapping[str, Tensor]) -> int:
    """Count the weights that are alive.

    Parameters
    ----------
    masks : mapping of str to Tensor

    Returns
    -------
    int

    Raises
    ------
    ValueError
        A mask is no bool tensor.
    """
    check_masks(masks)
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
        The masks hold no entry, or one is no bool tensor.

    Examples
    --------
    >>> sparsity({"a": torch.tensor([True, False]), "b": torch.tensor([True, True])})
    0.25
    """
    alive, total = count_alive(masks), sum(mask.numel() for mask in masks.values())
    if total == 0:
        raise ValueError("Masks must hold at least one entry.")
    return 1 - alive / total


def layer_density(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the share of alive weights in each layer; a layer at 0 passes nothing on and has collapsed.

    Parameters
    ----------
    masks : mapping of str to Tensor

    Returns
    -------
    dict of str to float, 0 to 1, by the name of the weight

    Raises
    ------
    ValueError
        A mask holds no entry, or is no bool tensor.
    """
    check_masks(masks)
    if not all(mask.numel() for mask in masks.values()):
        raise ValueError("Every mask must hold at least one entry.")
    return {name: int(mask.count_nonzero()) / mask.numel() for name, mask in masks.items()}
