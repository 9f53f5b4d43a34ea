"""A spiking network as a whole: direct coding in front, layers of neurons, an integrator behind."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from edgebook.spiking.layers import SpikingLayer, one_of
from edgebook.spiking.neuron.lif import Integrator

Output = Literal["steps", "mean", "last"]


class SpikingNetwork(nn.Module):
    """A first layer that codes the image, spiking layers, and a linear read-out into an integrator.

    Images (B, C, H, W) are coded directly: the first layer computes its current once, and its neurons see that
    current at every step. A sequence (T, B, C, H, W), such as `poisson_coding` makes, goes in step by step.

    The network keeps no state between calls.

    Parameters
    ----------
    first : SpikingLayer
        Holds the image.
    features, hidden : nn.Sequential
        From its spikes to spikes (T, B, C, H', W'), and from those, averaged or flattened, to spikes (T, B, inputs).
    linear : nn.Linear
        The read-out.
    integrator : Integrator
        What the read-out flows into.
    steps : int
        Number of steps T of direct coding; may be set later.
    output : {"steps", "mean", "last"}
        What is returned unless a call says otherwise; may be set later.
    channels, size : int and int or None
        Channels of an image, and its height and width where they are fixed: features are then flattened, and
        else averaged over positions.
    """

    def __init__(
        self,
        first: SpikingLayer,
        features: nn.Sequential,
        hidden: nn.Sequential,
        linear: nn.Linear,
        integrator: Integrator,
        *,
        steps: int,
        output: Output,
        channels: int,
        size: int | None,
    ) -> None:
        super().__init__()
        one_of("output", output, get_args(Output))
        self.first, self.features, self.hidden = first, features, hidden
        self.linear, self.integrator = linear, integrator
        self.steps, self.output = steps, output
        self.channels, self.size = channels, size

    def forward(self, x: Tensor, steps: int | None = None, output: Output | None = None) -> Tensor:
        """Return the logits: (T, B, classes) per step, or (B, classes) for their mean or the last of them.

        `steps` and `output` replace what the network was built with, for this call.
        """
        output = self.output if output is None else output
        one_of("output", output, get_args(Output))
        self._check(x, steps)
        if x.ndim == 4:
            spikes = self.first(x[None], self.steps if steps is None else steps)
        else:
            spikes = self.first(x)
        spikes = self.features(spikes)
        if spikes.ndim == 5:
            spikes = spikes.mean(dim=(3, 4)) if self.size is None else spikes.flatten(2)
        logits = self.integrator(self.linear(self.hidden(spikes)))
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
