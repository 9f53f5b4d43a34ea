"""Taking whole channels out of a trained network."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgebook.compression.arguments import check_finite
from edgebook.compression.masks import prunable_weights
from edgebook.compression.surgery import cut, objection
from edgebook.measure.arguments import whole


def filter_norms(model: nn.Module, convolutions: Sequence[str]) -> Tensor:
    """L1 norm of each output filter, summed over convolutions that share their output channels.

    Parameters
    ----------
    model : torch.nn.Module
    convolutions : sequence of str, names of convolutions with weights (C, inputs, k, k) of the same C

    Returns
    -------
    Tensor, norms (C,), at least float32

    Raises
    ------
    ValueError
        No name is given, one is no convolution of the model, or they differ in their channels; and as in
        `edgebook.compression.prunable_weights`.
    """
    weights = [_convolution(model, name).weight.detach().abs() for name in convolutions]
    if len({len(weight) for weight in weights}) != 1:
        raise ValueError(
            f"At least one convolution is needed, and all with as many channels, got {list(convolutions)}."
        )
    wide = [torch.promote_types(weight.dtype, torch.float32) for weight in weights]
    return torch.stack([w.sum(dim=(1, 2, 3), dtype=dtype) for w, dtype in zip(weights, wide, strict=True)]).sum(0)


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
        The count is not between 1 and C, or a score is not finite or not one per channel.
    """
    scores = {"score": score} | ({} if tie_break is None else {"tie_break": tie_break})
    for name, values in scores.items():
        check_finite(name, values)
        if values.ndim != 1 or values.shape != score.shape:
            raise ValueError(f"{name} must have one value per channel, got the shape {tuple(values.shape)}.")
    if not 1 <= whole("count", count, None) <= len(score):
        raise ValueError(f"count must lie between 1 and {len(score)}, got {count}.")
    order = sorted(range(len(score)), key=lambda c: (*(-float(values[c]) for values in scores.values()), c))
    return sorted(order[:count])


@torch.inference_mode(mode=False)  # whose tensors no training could use
def keep_channels(
    model: nn.Module, keep: Mapping[str, Sequence[int]], example: Tensor | tuple[Tensor, ...]
) -> nn.Module:
    """Return a copy of a network in which the named convolutions have only the given output channels.

    Batch norm, the inputs of later layers and the other convolutions of a residual sum follow, as found by
    Torch-Pruning's dependency graph. The copy computes what the original does with the removed weights at zero. This
    is tried before anything is returned, in float64 and with disturbed weights, so that no weight of zero hides what
    should differ.

    Parameters
    ----------
    model : torch.nn.Module
    keep : mapping of convolution name to channel indices, one entry per group of coupled convolutions
    example : Tensor or tuple of Tensor, an input (1, C, H, W), or several, with which the graph is traced

    Returns
    -------
    torch.nn.Module, the smaller network, in the modes of the original; channels stay in their order

    Raises
    ------
    ValueError
        A name is no convolution of the model, an index is out of range or given twice, none would be left, or the
        smaller network would compute something else: where channels are counted, grouped or mixed by other means than
        the weights of convolutions and linear layers. And as in `edgebook.compression.prunable_weights`.
    """
    keep = {name: [whole(f"A channel of {name}", channel, None) for channel in kept] for name, kept in keep.items()}
    for name, kept in keep.items():
        channels = _convolution(model, name).out_channels
        if not kept or len(set(kept)) < len(kept) or not set(kept) <= set(range(channels)):
            raise ValueError(f"{name} has channels 0 to {channels - 1}, each once; asked to keep {kept}.")
    inputs = example if isinstance(example, tuple) else (example,)
    if not all(isinstance(x, Tensor) and x.numel() for x in inputs):
        raise ValueError("The example must be a tensor, or a tuple of them, of at least one image.")
    inputs = tuple(x.clone() for x in inputs)
    with torch.no_grad():
        copy.deepcopy(model).eval()(*inputs)  # what cannot run says so itself
    if reason := objection(model, keep, inputs):
        raise ValueError(
            f"{', '.join(keep)} cannot lose channels here: {reason}. Channels can go where each passes alone through "
            "norms, activations, pools and sums to the weights that read it."
        )
    return cut(model, keep, inputs)


def _convolution(model: nn.Module, name: str) -> nn.Conv2d:
    prunable_weights(model)  # refuses weights that are no parameters
    module = dict(model.named_modules()).get(name)
    if not isinstance(module, nn.Conv2d):
        raise ValueError(f"The model has no convolution named {name!r}.")
    return module
