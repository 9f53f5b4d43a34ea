"""Taking whole channels out of a trained network."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgebook.measure.watching import evaluated


def filter_norms(model: nn.Module, convolutions: Sequence[str]) -> Tensor:
    """L1 norm of each output filter, summed over convolutions that share their output channels.

    Parameters
    ----------
    model : torch.nn.Module
    convolutions : sequence of str, names of convolutions with weights (C, inputs, k, k) of the same C

    Returns
    -------
    Tensor, norms (C,)

    Raises
    ------
    ValueError
        No name is given.
    """
    if not convolutions:
        raise ValueError("At least one convolution is needed.")
    modules = dict(model.named_modules())
    norms = [modules[name].weight.detach().abs().sum(dim=(1, 2, 3)) for name in convolutions]
    return torch.stack(norms).sum(0)


def top_channels(score: Tensor, count: int, *, tie_break: Tensor | None = None) -> list[int]:
    """Indices of the `count` channels with the largest score (C,), in rising order of index.

    Parameters
    ----------
    score : Tensor, one value per channel (C,); larger is better
    count : int, channels to choose, 1 to C
    tie_break : Tensor, optional, decides between equal scores (C,); what is still equal goes by the lower index

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        The count is not between 1 and C.
    """
    if not 1 <= count <= len(score):
        raise ValueError(f"count must lie between 1 and {len(score)}, got {count}.")
    second = torch.zeros_like(score) if tie_break is None else tie_break
    order = sorted(range(len(score)), key=lambda c: (-float(score[c]), -float(second[c]), c))
    return sorted(order[:count])


def keep_channels(model: nn.Module, keep: Mapping[str, Sequence[int]], example: Tensor) -> nn.Module:
    """Return a copy of a network in which the named convolutions have only the given output channels.

    Batch norm, the inputs of later layers and the other convolutions of a residual sum follow, as found by
    Torch-Pruning's dependency graph. Weights that stay are unchanged: where the others were zero, so is the function.

    Parameters
    ----------
    model : torch.nn.Module
    keep : mapping of convolution name to channel indices, one entry per group of coupled convolutions
    example : Tensor, an input (1, C, H, W) with which the graph is traced

    Returns
    -------
    torch.nn.Module, the smaller network, in the mode of the original

    Raises
    ------
    ValueError
        A name is no convolution of the model, an index is out of range, or none would be left.
    """
    import torch_pruning

    slim = copy.deepcopy(model)
    with evaluated(slim):  # traced in evaluation mode: one image has no batch variance
        for name, kept in keep.items():
            module = dict(slim.named_modules()).get(name)
            if not isinstance(module, nn.Conv2d):
                raise ValueError(f"The model has no convolution named {name!r}.")
            if not kept or not set(kept) <= set(range(module.out_channels)):
                raise ValueError(f"{name} has channels 0 to {module.out_channels - 1}; asked to keep {list(kept)}.")
            dropped = sorted(set(range(module.out_channels)) - set(kept))
            if dropped:
                graph = torch_pruning.DependencyGraph().build_dependency(slim, example_inputs=example)
                prune = torch_pruning.prune_conv_out_channels
                graph.get_pruning_group(module, prune, idxs=dropped).prune()
    return slim
