"""A spiking network as a whole: direct coding in front, layers of neurons, a linear read-out behind."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from edgebook.spiking.layers import SpikingLayer
from edgebook.spiking.neuron.choice import one_of

Output = Literal["steps", "mean", "last"]


class SpikingNetwork(nn.Module):
    """A first layer that codes the image, spiking layers, and a linear read-out of each step.

    Images (B, C, H, W) are coded directly: the first layer computes its current once, and its neurons see that
    current at every step. A sequence (T, B, C, H, W), such as `poisson_coding` makes, goes in step by step. The network
    keeps no state between calls.

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
        self._check(x, steps)
        if x.ndim == 4:
            spikes = self.first(x[None], self.steps if steps is None else steps)  # (T, B, C', H, W)
        else:
            spikes = self.first(x)
        spikes = self.features(spikes)  # (T, B, C, H, W), or (T, B, inputs) without convolutions
        if spikes.ndim == 5:
            spikes = spikes.mean(dim=(3, 4)) if self.size is None else spikes.flatten(2)  # (T, B, inputs)
        logits = self.linear(self.hidden(spikes))  # (T, B, classes)
        return logits if output == "steps" else logits.mean(dim=0) if output == "mean" else logits[-1]

    def _check(self, x: Tensor, steps: int | None) -> None:
        side = "height, width" if self.size is None else f"{self.size}, {self.size}"
        fits = x.ndim in (4, 5) and x.shape[-3] == self.channels
        if not fits or (self.size is not None and tuple(x.shape[-2:]) != (self.size, self.size)):
            raise ValueError(
                f"Inputs must be images (batch, {self.channels}, {side}) or a sequence of them with the steps as the "
                f"first axis, got the shape {tuple(x.shape)}."
            )
        if not x.is_floating_point():
            raise ValueError(f"Inputs must be floating-point, got {str(x.dtype).removeprefix('torch.')}.")
        if x.ndim == 5 and (len(x) < 1 or steps not in (None, len(x))):
            wanted = "at least 1" if steps is None else f"the {steps} asked for"
            raise ValueError(f"A sequence of {len(x)} steps came in, and its steps must be {wanted}.")
        if x.ndim == 4 and (self.steps if steps is None else steps) < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps if steps is None else steps}.")
