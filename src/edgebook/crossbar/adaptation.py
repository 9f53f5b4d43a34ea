"""Mending a chip from outside: batch norms are adapted, conductances stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgebook.measure.watching import evaluated

_NORMS = nn.modules.batchnorm._BatchNorm


@torch.no_grad()
def with_statistics(model: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Return a copy of a network whose batch norms have the running statistics of these inputs, and no memory of older.

    Batches count equally, so they should be equal in size. Only batch norms run in training mode meanwhile
    (`torch.optim.swa_utils.update_bn` would let dropout draw too); noise of reads is drawn as ever.

    Parameters
    ----------
    model : torch.nn.Module, such as one from `on_crossbar`; left as it is
    batches : iterable of Tensor (N, C, H, W), images; no labels are needed

    Returns
    -------
    torch.nn.Module, in the mode of the original

    Raises
    ------
    ValueError
        No batch, or a network without batch norms that track statistics.

    Examples
    --------
    >>> with_statistics(nn.BatchNorm2d(1), [torch.ones(2, 1, 2, 2)]).running_mean
    tensor([1.])
    """
    result = copy.deepcopy(model)
    norms = [m for m in result.modules() if isinstance(m, _NORMS) and m.track_running_stats]
    if not norms:
        raise ValueError("The model has no batch norm with running statistics.")
    momenta = [norm.momentum for norm in norms]
    seen = 0
    with evaluated(result):  # dropout included
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative average
            norm.train()
        for images in batches:
            result(images)
            seen += 1
    if seen == 0:
        raise ValueError("At least one batch is needed for statistics.")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return result


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return scales and shifts of all batch norms: what fine-tuning hands to its optimiser.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    list of torch.nn.Parameter, in the order of the modules, each once

    Examples
    --------
    >>> [len(p) for p in norm_parameters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))]
    [8, 8]
    """
    found = [p for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)]
    return list(dict.fromkeys(found))
