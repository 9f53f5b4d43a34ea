r"""A spiking network from pixels to logits: standardise, code, run, with fresh spikes at every call.

Source of the two codings: Kim et al., *Rate Coding or Direct Coding*, arXiv 2202.03133. The other two stand between
them: both present one image at every step, as direct coding does, and hold what rate coding makes of that image.
An attack must reach through the coding, and has to be bounded before it: hence pixels come in, in [0, 1].
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from edgebook.measure.arguments import whole
from edgebook.spiking.classifier import SpikingNetwork
from edgebook.spiking.coding import poisson_coding
from edgebook.spiking.neuron.choice import one_of

Coding = Literal["direct", "rate", "average", "expected"]


class CodedNetwork(nn.Module):
    r"""Pixels (B, C, H, W) to logits (B, classes), the mean over the steps.

    With standardised pixels :math:`x = (p - \mu) / \sigma` and signed spikes
    :math:`P(s_t = \mathrm{sign}(x)) = \min(1, g |x|)`:

    =========== ================================================== ===========================
    coding      what the first layer sees at step t                draws spikes
    =========== ================================================== ===========================
    direct      :math:`x`                                          no
    rate        :math:`s_t`                                        at every step of every call
    average     :math:`\frac{1}{gT} \sum_i s_i`, the same image    at every call
                at every step
    expected    :math:`\min(1, \max(-1, g x))`, the mean of a      no
                spike
    =========== ================================================== ===========================

    Gradients go straight through the draws, as in `poisson_coding`; "expected" has none where the rate is saturated.

    Parameters
    ----------
    network : SpikingNetwork, shared, not copied: two codings of one network share its weights
    coding : {"direct", "rate", "average", "expected"}, see above
    steps : int, number of steps T, at least 1
    mean, std : float, :math:`\mu` and :math:`\sigma`, in pixels
    generator : torch.Generator, where the spikes are drawn from; advanced by every call that draws
    gain : float, `g`, above zero; 1/2 in the paper's code

    Raises
    ------
    ValueError
        An unknown coding, fewer than one step, or a standard deviation or gain that is not above zero.

    Examples
    --------
    >>> from edgebook.spiking import spiking_vgg
    >>> net = spiking_vgg((8,), in_channels=1, classes=10, steps=4, beta=0.5)
    >>> coded = CodedNetwork(net, "rate", 4, mean=0.5, std=0.25, generator=torch.Generator())
    >>> coded(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        network: SpikingNetwork,
        coding: Coding,
        steps: int,
        *,
        mean: float,
        std: float,
        generator: torch.Generator,
        gain: float = 0.5,
    ) -> None:
        super().__init__()
        one_of("coding", coding, get_args(Coding))
        if not (0 < std < math.inf and 0 < gain < math.inf and math.isfinite(mean)):
            raise ValueError(f"std and gain must be above 0, and finite as mean is, got {std}, {gain} and {mean}.")
        self.network, self.coding, self.steps = network, coding, whole("steps", steps)
        self.mean, self.std, self.gain, self.generator = mean, std, gain, generator

    def coded(self, pixels: Tensor) -> Tensor:
        """Return what the network takes: images (B, C, H, W), or spikes (T, B, C, H, W) under rate coding."""
        x = (pixels - self.mean) / self.std
        if self.coding == "direct":
            return x
        if self.coding == "expected":
            return torch.where(x.isinf(), x, (self.gain * x).clamp(-1, 1))  # what is not finite stays so
        spikes = poisson_coding(x, self.steps, self.generator, gain=self.gain, signed=True)  # (T, B, C, H, W)
        return spikes if self.coding == "rate" else spikes.mean(dim=0) / self.gain

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (B, classes) of one draw of the spikes."""
        return self.network(self.coded(pixels), self.steps, "mean")

    def draws(self, pixels: Tensor, count: int) -> Tensor:
        """Return logits (count, B, classes) of independent draws, at least one, in one run of `count` times the batch.

        The mean gradient over them is the expectation over transformation that an adaptive attack needs.
        """
        if whole("count", count, None) < 1:
            raise ValueError(f"At least one draw is needed, got {count}.")
        repeated = pixels.expand(count, *pixels.shape).flatten(0, 1)  # (count B, C, H, W)
        return self(repeated).unflatten(0, (count, len(pixels)))
