"""Pruning while training: phases that last until the density of every layer has settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgebook.compression.density import DensityMeter, saturated


class DensityPhase(NamedTuple):
    """What one phase of training showed."""

    epochs: int  #: trained until saturation, or the longest allowed
    history: list[list[float]]  #: (epochs, widths), density of each width in each epoch
    channels: list[Tensor]  #: float64 (C,) for each width, density of each channel in the last epoch

    @property
    def density(self) -> list[float]:
        """Density of each width in the last epoch."""
        return self.history[-1]


def density_phase(
    model: nn.Module,
    activations: Sequence[Sequence[str]],
    train: Callable[[Callable[[int], bool]], int],
    *,
    window: int = 3,
    tolerance: float = 0.01,
) -> DensityPhase:
    """Train a network while counting its activations, and stop when their density has saturated.

    Densities are counted in training mode, over every image of an epoch. Where several layers share
    a width, the densest of them decides: it is the one that needs the channels.

    Parameters
    ----------
    model : torch.nn.Module
    activations : sequence of sequences of str, for each width, the ReLU modules that have it
    train : callable
        Trains the model, calls its argument after each epoch until that returns True, and returns the epochs trained.
    window, tolerance : int, float, as for `saturated`

    Returns
    -------
    DensityPhase
    """
    history: list[list[float]] = []
    channels: list[Tensor] = []
    with DensityMeter(model, [name for group in activations for name in group]) as meter:

        def on_epoch(epoch: int) -> bool:
            per_channel = meter.channel_density()
            meter.reset()
            groups = [torch.stack([per_channel[name] for name in group]) for group in activations]  # (layers, C)
            history.append([float(group.mean(1).max()) for group in groups])
            channels[:] = [group.mean(0).cpu() for group in groups]
            return saturated(history, window=window, tolerance=tolerance)

        epochs = train(on_epoch)
    return DensityPhase(epochs, history, channels)
