r"""Images as sequences: the same current at every step, or spikes whose rate is the pixel.

Source: Kim et al., *Rate Coding or Direct Coding*, arXiv 2202.03133; the signs and the gain of 1/2 are those of
its code. The straight-through gradient is that of Sharmin et al., whose attack the paper uses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgebook.measure.arguments import whole


def direct_coding(currents: Tensor, steps: int) -> Tensor:
    """Present the same current at every step, such as that of a first layer, which so runs once per image.

    Parameters
    ----------
    currents : Tensor, (B, ...), currents or images, of any type
    steps : int, number of steps T, at least 1

    Returns
    -------
    Tensor, (T, B, ...), a view that repeats the currents and takes no memory of its own

    Raises
    ------
    ValueError
        Fewer than one step.

    Examples
    --------
    >>> direct_coding(torch.rand(2, 3), 4).shape
    torch.Size([4, 2, 3])
    """
    return currents.expand(whole("steps", steps), *currents.shape)


def poisson_coding(
    images: Tensor, steps: int, generator: torch.Generator, *, gain: float = 1.0, signed: bool = False
) -> Tensor:
    r"""Draw at every step a spike with a probability that grows with the pixel.

    .. math:: P(s_t \ne 0) = \min(1, g |x|), \qquad s_t \in \{0, \mathrm{sign}(x)\}

    The gradient goes straight through the draw: :math:`\partial s_t / \partial x = g`, also at a saturated rate.

    Parameters
    ----------
    images : Tensor, (B, ...), pixels `x`, floating-point; from 0 up unless signed
    steps : int, number of steps T, at least 1
    generator : torch.Generator, where the draws come from; its device is where they are made
    gain : float, `g`, above zero; 1/2 in the rate coding of the paper, whose pixels are standardised
    signed : bool, whether pixels below zero send spikes of -1

    Returns
    -------
    Tensor, (T, B, ...), spikes 0 and 1, and -1 where signed

    Raises
    ------
    ValueError
        Fewer than one step, a gain that is not above zero, pixels of an integer type, or below zero without signs, or
        a pass that checkpointing computes again.

    Examples
    --------
    >>> poisson_coding(torch.tensor([0.0, 1.0]), 2, torch.Generator().manual_seed(0))
    tensor([[0., 1.],
            [0., 1.]])
    """
    steps = whole("steps", steps)
    if not (math.isfinite(gain) and gain > 0):
        raise ValueError(f"gain must be a finite number above 0, got {gain}.")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating-point, got {str(images.dtype).removeprefix('torch.')}.")
    pixels = images.detach()
    if not signed and bool((pixels < 0).any()):
        raise ValueError("images must not lie below 0 for unsigned coding: use signed=True or scale them to [0, 1].")
    if torch._C._current_graph_task_id() >= 0:  # in a backward pass, so that checkpointing runs the forward one again
        raise ValueError(
            "A pass that is computed again for its gradient would draw other spikes: draw them before, outside of what "
            "is checkpointed."
        )
    shape, device = (steps, *images.shape), generator.device
    exact = torch.promote_types(images.dtype, torch.float32)  # half types would round chances and draws
    drawn = torch.rand(shape, generator=generator, device=device, dtype=exact).to(images.device)
    spikes = (drawn < gain * pixels.to(exact).abs()) * pixels.sign()  # (T, B, ...), the images broadcast over the steps
    expected = gain * images
    return spikes + (expected - expected.detach())  # the bracket is zero, and carries the gradient
