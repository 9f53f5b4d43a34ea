"""A spiking network as a whole: direct coding in front, layers of neurons, a linear read-out behind."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from edgebook.measure.arguments import whole
from edgebook.spiking.layers import SpikingLayer
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.normalization import StepBatchNorm, TemporalBatchNorm

Output = Literal["steps", "mean", "last"]


class SpikingNetwork(nn.Module):
    """A first layer that codes the image, spiking layers, and a linear read-out of each step.

    Images (B, C, H, W) are coded directly: the first layer computes its current once, and its neurons see that
    current at every step. A sequence (T, B, C, H, W), such as `poisson_coding` makes, goes in step by step. The network
    keeps no state between calls. Neurons would swallow a pixel that is not finite, so it makes the logits of its sample
    NaN from its step on, and where batch norms in training mix samples or steps, those of all that it is mixed with.

    Parameters
    ----------
    first : SpikingLayer, holds the image
    features, hidden : nn.Sequential, from spikes to spikes: (T, B, C, H', W'), and averaged or flattened (T, B, inputs)
    linear : nn.Linear, the read-out
    steps : int, number of steps T of direct coding; may be set later
    output : {"steps", "mean", "last"}, what is returned unless a call says otherwise; may be set later
    channels, size : int, and int or None, of an image; where its size is fixed, features are flattened, else averaged

    Examples
    --------
    >>> from edgebook.spiking import spiking_vgg
    >>> net = spiking_vgg((8, "M", 16), in_channels=3, classes=10, steps=4, beta=0.5)
    >>> net(torch.rand(2, 3, 16, 16), steps=6, output="mean").shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        first: SpikingLayer,
        features: nn.Sequential,
        hidden: nn.Sequential,
        linear: nn.Linear,
        *,
        steps: int,
        output: Output,
        channels: int,
        size: int | None,
    ) -> None:
        super().__init__()
        one_of("output", output, get_args(Output))
        self.first, self.features, self.hidden, self.linear = first, features, hidden, linear
        self.steps, self.output = steps, output
        self.channels, self.size = channels, size

    def forward(self, x: Tensor, steps: int | None = None, output: Output | None = None) -> Tensor:
        """Return the logits (T, B, classes) of each step, or (B, classes): their mean or the last of them."""
        output = self.output if output is None else output
        one_of("output", output, get_args(Output))
        steps = self._check(x, steps)
        spikes = self.first(x[None], steps) if x.ndim == 4 else self.first(x)  # (T, B, C', H, W)
        spikes = self.features(spikes)  # (T, B, C, H, W), or (T, B, inputs) without convolutions
        if spikes.ndim == 5:
            spikes = spikes.mean(dim=(3, 4)) if self.size is None else spikes.flatten(2)  # (T, B, inputs)
        logits = self.linear(self.hidden(spikes))  # (T, B, classes)
        logits = logits + self._spoilt(x).to(logits.dtype)
        return logits if output == "steps" else logits.mean(dim=0) if output == "mean" else logits[-1]

    def _spoilt(self, x: Tensor) -> Tensor:
        """Return 0, and NaN for samples and steps that a pixel which is not finite has spoilt: (T or 1, B or 1, 1)."""
        images = x.detach() if x.ndim == 5 else x.detach()[None]
        zeros = (0 * images).sum(dim=(2, 3, 4)).cumsum(dim=0)  # (T or 1, B)
        mixing = [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
        if mixing:
            zeros = zeros.sum(dim=1, keepdim=True)
        if not all(isinstance(m, StepBatchNorm | TemporalBatchNorm) for m in mixing):
            zeros = zeros.sum(dim=0, keepdim=True)
        return zeros.unsqueeze(-1)

    def _check(self, x: Tensor, steps: int | None) -> int:
        """Return the number of steps."""
        side = "height, width" if self.size is None else f"{self.size}, {self.size}"
        fits = x.ndim in (4, 5) and x.shape[-3] == self.channels
        if not fits or (self.size is not None and tuple(x.shape[-2:]) != (self.size, self.size)):
            raise ValueError(
                f"Inputs must be images (batch, {self.channels}, {side}) or a sequence of them with the steps as the "
                f"first axis, got the shape {tuple(x.shape)}."
            )
        if not x.is_floating_point():
            raise ValueError(f"Inputs must be floating-point, got {str(x.dtype).removeprefix('torch.')}.")
        if x.ndim == 4:
            return whole("steps", self.steps if steps is None else steps)
        if len(x) < 1 or (steps is not None and whole("steps", steps, None) != len(x)):
            wanted = "at least 1" if steps is None else f"the {steps} asked for"
            raise ValueError(f"A sequence of {len(x)} steps came in, and its steps must be {wanted}.")
        return len(x)
