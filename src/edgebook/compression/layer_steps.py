r"""What the search for a ticket costs, in simulated layer-steps: counted, and so the same on every machine.

One layer that runs for one image at one time step is one layer-step. Under direct coding the first layer computes its
current once per image and not at each step, so an image costs

.. math:: N(T) = 1 + (L - 1)\, T

layer-steps forward in a network of `L` layers; a backward pass is a fixed multiple and cancels in ratios. A search at
T' instead of T saves at most :math:`N(T) / N(T') < T / T'`: about 1.62 for 5 layers from 5 steps to 3, not 5 / 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgebook.measure.arguments import whole


class SearchPhase(NamedTuple):
    """A stretch of training."""

    epochs: float  #: epochs trained
    images: int  #: images in an epoch
    steps: int  #: time steps T of each image


def image_layer_steps(layers: int, steps: int) -> int:
    """Count the layer-steps N(T) of one forward pass of one image."""
    return 1 + (whole("layers", layers) - 1) * whole("steps", steps)


def search_layer_steps(phases: Sequence[SearchPhase], layers: int) -> float:
    """Count the layer-steps of a whole search.

    Parameters
    ----------
    phases : sequence of SearchPhase, all training that the search needs, without the final one of the ticket
    layers : int, layers with weights

    Returns
    -------
    float, forward layer-steps

    Raises
    ------
    ValueError
        No layer, no step, or a negative number of epochs or images.
    """
    if not all(0 <= phase.epochs < math.inf and 0 <= phase.images < math.inf for phase in phases):
        raise ValueError("Epochs and images must be finite and not negative.")
    return sum(phase.epochs * phase.images * image_layer_steps(layers, phase.steps) for phase in phases)


def largest_saving(layers: int, steps: int, early: int) -> float:
    """Return by how much a search at fewer steps can be cheaper at most: where all of it runs at them.

    Parameters
    ----------
    layers : int, layers with weights
    steps, early : int, T and T'

    Returns
    -------
    float

    Raises
    ------
    ValueError
        No layer or no step.
    """
    return image_layer_steps(layers, steps) / image_layer_steps(layers, early)
