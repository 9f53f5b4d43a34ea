"""What spiking networks are built from: weights, norm and neurons over sequences (T, B, ...).

Weights, norms and pooling see the T * B samples of a sequence at once; only the neurons walk through time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypedDict, get_args

from torch import Tensor, nn

from edgebook.measure.arguments import whole
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.convention import Reset
from edgebook.spiking.neuron.lif import LIF
from edgebook.spiking.neuron.recurrence import Backend
from edgebook.spiking.neuron.surrogates import Surrogate
from edgebook.spiking.normalization import StepBatchNorm, TemporalBatchNorm, ThresholdBatchNorm

Norm = Literal["batch", "td", "bntt", "none"]


class NeuronOptions(TypedDict, total=False):
    """Further choices of the neuron; `edgebook.spiking.lif` explains each."""

    scale_input: bool
    relative: bool
    strict: bool
    detach_reset: bool
    delay: bool
    backend: Backend


def folded(module: nn.Module, x: Tensor) -> Tensor:
    """Run a module without memory once on all samples of all steps: (T, B, ...) -> (T, B, ...)."""
    return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Folded(nn.Module):
    """A module without memory, such as pooling, for sequences."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:  # (T, B, ...) -> (T, B, ...)
        return folded(self.module, x)


class SpikingLayer(nn.Module):
    """A convolution or linear layer, its norm and its neurons, each of the last two perhaps the identity."""

    def __init__(self, weights: nn.Conv2d | nn.Linear, norm: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.weights, self.norm, self.neuron = weights, norm, neuron
        self.flattens = isinstance(weights, nn.Linear)  # whatever takes its place later, such as a quantised one

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """Return spikes (T, B, ...); one step of input is held for as many, its current computed once."""
        # (T or 1, B, ...): a linear layer takes (T, B, inputs)
        currents = folded(self.weights, x.flatten(2) if self.flattens else x)
        late = isinstance(self.norm, TemporalBatchNorm)
        shape = (len(x) if steps is None else steps, *currents.shape[1:])  # one step is repeated without a copy
        return self.neuron(self.norm(currents.expand(shape)) if late else self.norm(currents).expand(shape))


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, added up as currents of the last neurons, so that only spikes travel on.

    A shortcut picks its pixels before its 1x1 convolution, as in `edgebook.networks.convolutional`, which says why.
    """

    def __init__(self, recipe: Recipe, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        same = stride == 1 and inputs == outputs
        share = 0.5**0.5  # of each of two branches, where the norm aims at the threshold
        self.first = recipe.convolution(inputs, outputs, stride=stride)
        self.second = recipe.convolution(outputs, outputs, fires=False, alpha=share)
        self.skip = nn.Identity() if same else recipe.convolution(inputs, outputs, 1, fires=False, alpha=share)
        self.stride = stride
        self.neuron = recipe.neurons()

    def forward(self, x: Tensor) -> Tensor:  # (T, B, C, H, W) -> (T, B, C', H', W')
        return self.neuron(self.second(self.first(x)) + self.skip(x[..., :: self.stride, :: self.stride]))


@dataclass(frozen=True)
class Recipe:
    """How the layers of one network are made; the builders of `edgebook.spiking.networks` explain each field."""

    steps: int
    beta: float
    threshold: float
    reset: Reset
    surrogate: Surrogate
    norm: Norm
    bias: bool
    linear_bias: bool
    options: NeuronOptions = field(default_factory=NeuronOptions)

    def __post_init__(self) -> None:
        one_of("norm", self.norm, get_args(Norm))
        for name in self.options:
            one_of("An option of the neuron", name, tuple(NeuronOptions.__annotations__))
        object.__setattr__(self, "steps", whole("steps", self.steps))

    def neurons(self) -> LIF:
        return LIF(self.beta, self.threshold, self.reset, surrogate=self.surrogate, **self.options)

    def normalise(self, channels: int, alpha: float = 1.0) -> nn.Module:
        if self.norm == "batch":
            return StepBatchNorm(channels)
        if self.norm == "td":
            return ThresholdBatchNorm(channels, self.threshold, alpha)
        return TemporalBatchNorm(channels, self.steps) if self.norm == "bntt" else nn.Identity()

    def convolution(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, fires: bool = True, alpha: float = 1.0
    ) -> SpikingLayer:
        """Return a convolution that keeps the resolution up to its stride, with or without neurons."""
        weights = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=self.bias)
        return SpikingLayer(weights, self.normalise(outputs, alpha), self.neurons() if fires else nn.Identity())

    def linear(self, inputs: int, outputs: int) -> SpikingLayer:
        """Return a fully connected layer of neurons."""
        weights = nn.Linear(inputs, outputs, bias=self.linear_bias)
        return SpikingLayer(weights, self.normalise(outputs), self.neurons())
