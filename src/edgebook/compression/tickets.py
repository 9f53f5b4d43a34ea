"""Lottery tickets: train, prune, rewind, again.

Sources: Frankle and Carbin, *The Lottery Ticket Hypothesis*, arXiv 1803.03635; late rewinding: Frankle et al., *Linear
Mode Connectivity and the Lottery Ticket Hypothesis*, arXiv 1912.05671; in spiking networks: Kim et al., *Exploring
Lottery Ticket Hypothesis in Spiking Neural Networks*, arXiv 2207.01382. Any `torch.nn.Module` will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgebook.compression.arguments import check_masks
from edgebook.compression.masks import Masks, apply_masks, dense_masks, named_parameters, sparsity
from edgebook.compression.selection import Scope, prune_by_magnitude
from edgebook.measure.arguments import whole

Train = Callable[[int, Masks, Callable[[int], None]], Any]


def copy_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Copy all parameters, biases and the scales and shifts of norms included; running statistics are none.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict of str to Tensor
    """
    return {name: parameter.detach().clone() for name, parameter in named_parameters(model).items()}


def rewind(model: nn.Module, parameters: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Set a network back to earlier parameters and prune it, in place.

    Living weights, biases and norms get their earlier values bit by bit, pruned weights are zero. Running statistics
    stay as they are, as in the paper's code: measure a rewound network only after it has been trained.

    Parameters
    ----------
    model : torch.nn.Module
    parameters : mapping of str to Tensor, what `copy_parameters` returned
    masks : mapping of str to Tensor

    Raises
    ------
    ValueError
        Names or shapes are not those of the model's parameters, or masks do not fit; the model is then unchanged.
    """
    own = named_parameters(model)
    shapes, copied = ({(name, values.shape) for name, values in some.items()} for some in (own, parameters))
    if shapes != copied:
        others = sorted({name for name, _ in shapes ^ copied})
        raise ValueError(f"The copy has other parameters than the model: {others}.")
    check_masks(masks, own)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(parameters[name])
    apply_masks(model, masks)


class PruningRound(NamedTuple):
    """One round of training and what came before it."""

    index: int  #: 0 for the dense network
    masks: Masks  #: that it was trained with
    sparsity: float  #: their share of pruned weights
    result: Any  #: what `train` returned
    rewound: dict[str, Tensor]  #: the parameters that later rounds start from


def iterative_pruning(
    model: nn.Module,
    train: Train,
    *,
    rounds: int,
    fraction: float = 0.25,
    rewind_epoch: int = 0,
    scope: Scope = "global",
) -> Iterator[PruningRound]:
    """Iterative magnitude pruning with late rewinding: yield each round once it is trained.

    The first round trains the dense network. Every later one prunes a fraction of the living weights by their size,
    sets all parameters back to what they were after `rewind_epoch` epochs of the *first* round, and trains again.

    Parameters
    ----------
    model : torch.nn.Module, trained in place; between two rounds it holds the weights at the end of a round
    train : callable
        `train(index, masks, on_epoch)` trains the model with these masks (`hold_masks`) and must call `on_epoch`
        with the number of each epoch that is finished, from 1; what it returns is handed on.
    rounds : int, rounds of training, the dense one included
    fraction : float, share of the living weights that is pruned between two rounds
    rewind_epoch : int, 0 rewinds to the initial weights
    scope : {"global", "layer"}, as in `prune_by_magnitude`

    Yields
    ------
    PruningRound, with a sparsity of 1 - (1 - fraction)^index up to rounding

    Raises
    ------
    ValueError
        Fewer than one round, a negative epoch, or a first round that ends before the epoch to rewind to; and as in
        `prune_by_magnitude`, before the first training.
    """
    rounds, rewind_epoch = whole("rounds", rounds), whole("rewind_epoch", rewind_epoch, 0)
    kept: dict[str, Tensor] = copy_parameters(model) if rewind_epoch == 0 else {}

    def on_epoch(epoch: int) -> None:
        if index == 0 and epoch == rewind_epoch:
            kept.update(copy_parameters(model))

    masks = dense_masks(model)
    prune_by_magnitude(model, masks, fraction, scope=scope)  # what it refuses is refused before the training
    for index in range(rounds):
        if index > 0:
            masks = prune_by_magnitude(model, masks, fraction, scope=scope)
            rewind(model, kept, masks)
        result = train(index, masks, on_epoch)
        if not kept:
            raise ValueError(f"The first round must report epoch {rewind_epoch}, to which weights are rewound.")
        yield PruningRound(index, masks, sparsity(masks), result, kept)
