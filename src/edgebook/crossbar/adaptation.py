"""Mending a chip from outside: batch norms are adapted, conductances stay as they are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgebook.crossbar.plain import copied
from edgebook.measure.watching import evaluated

_BATCH_NORM, _WITH_STATISTICS = nn.modules.batchnorm._BatchNorm, nn.modules.batchnorm._NormBase
NORMS = (_WITH_STATISTICS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


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
        No batch, one without images, or a network without batch norms that track statistics or with another norm that
        does (it is named).

    Examples
    --------
    >>> with_statistics(nn.BatchNorm2d(1), [torch.ones(2, 1, 2, 2)]).running_mean
    tensor([1.])
    """
    result = copied(model)
    tracking = {n: m for n, m in result.named_modules() if isinstance(m, _WITH_STATISTICS) and m.track_running_stats}
    for name, norm in tracking.items():
        if not isinstance(norm, _BATCH_NORM):
            raise ValueError(f"Layer {name!r} is a {type(norm).__name__}; only batch norms get new statistics.")
    norms = list(tracking.values())
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
            if len(images) == 0:
                raise ValueError("A batch for statistics needs at least one image.")
            result(images)
            seen += 1
    if seen == 0:
        raise ValueError("At least one batch is needed for statistics.")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return result


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return scales and shifts of all normalisations of PyTorch's: what fine-tuning hands to its optimiser.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    list of torch.nn.Parameter, in the order of the modules, each once

    Raises
    ------
    ValueError
        A network without any.

    Examples
    --------
    >>> [len(p) for p in norm_parameters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))]
    [8, 8]
    """
    found = [p for m in model.modules() if isinstance(m, NORMS) for p in m.parameters()]
    if not found:
        raise ValueError("The model has no normalisation with scales or shifts.")
    return list(dict.fromkeys(found))
