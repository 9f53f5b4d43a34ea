"""Holding pruned weights at zero while an optimiser moves the others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from edgebook.compression.masks import apply_masks, named_parameters


class _Defaults(dict[str, Any]):
    """The defaults of an optimiser, which carry the weights that it holds and where these are pruned.

    PyTorch copies and pickles them together with the parameters, as it does with no hook of a single optimiser, and
    leaves them alone when a state is loaded. Wherever they are unpickled, this module is imported and its hook there.
    """

    held: OrderedDict[int, list[tuple[nn.Parameter, Tensor]]]  #: by the number of the handle that lets them go


def hold_masks(optimizer: torch.optim.Optimizer, model: nn.Module, masks: Mapping[str, Tensor]) -> RemovableHandle:
    """Set pruned weights to zero now and after every step of an optimiser, whatever it does in a step.

    Masking gradients is not enough: momentum, the moments of Adam and decoupled weight decay move weights whose
    gradient is zero. (One that evaluates the loss several times in a step, as L-BFGS, sees others in between.)

    A copy or pickle of model and optimiser together holds the same masks; a loaded `state_dict` neither brings nor
    removes any, so that a resumed training calls this again.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, any optimiser of the model's parameters
    model : torch.nn.Module
    masks : mapping of str to Tensor, weights without a mask are free

    Returns
    -------
    torch.utils.hooks.RemovableHandle
        Its `remove` lets the weights go; one that was copied along with the optimiser, those of the copy.

    Raises
    ------
    ValueError
        A name is no parameter of the model, or a mask is no bool tensor of its shape.
    """
    apply_masks(model, masks)
    if not isinstance(optimizer.defaults, _Defaults):
        optimizer.defaults = _Defaults(optimizer.defaults)
        optimizer.defaults.held = OrderedDict()
    held = optimizer.defaults.held
    handle = RemovableHandle(held)
    while handle.id in held:  # from another process
        handle = RemovableHandle(held)
    weights = named_parameters(model)
    held[handle.id] = [(weights[name], ~mask) for name, mask in masks.items()]
    return handle


@torch.no_grad()
def _zero(optimizer: torch.optim.Optimizer, *_: object) -> None:
    held = optimizer.defaults.held if isinstance(optimizer.defaults, _Defaults) else {}
    for pairs in held.values():
        for place, (weight, pruned) in enumerate(pairs):
            if pruned.device != weight.device:  # the model has been moved
                pairs[place] = weight, pruned = weight, pruned.to(weight.device)
            weight.masked_fill_(pruned, 0.0)


register_optimizer_step_post_hook(_zero)
