"""What was counted while a spiking network ran: records that add up to operations, and so to energy."""

from __future__ import annotations

from typing import NamedTuple


class Operations(NamedTuple):
    """Multiply-accumulates and additions for one sample, as `edgebook.measure.arithmetic_energy` takes them."""

    macs: float
    adds: float


class LayerActivity(NamedTuple):
    """A convolution or linear layer at work on one sample, the mean over a batch."""

    analog: bool  #: whether it multiplies, with no neuron before it and inputs that are not all -1, 0 or 1
    evaluations: float  #: how often it ran, T times, or once where its current is held
    macs: int  #: multiply-accumulates of one evaluation if every input were used
    connections: int  #: those of them that exist, neither to the zero padding nor through a weight of zero
    rate: float  #: mean of the absolute inputs; an average over a 2x2 pool makes a quarter of each spike
    events: float  #: spikes times the connections that each of them has, summed over all evaluations

    def operations(self, evaluations: float | None = None, *, exact: bool = False) -> Operations:
        """Return the layer's operations; `evaluations` replaces how often it ran, if it multiplies."""
        if self.analog:
            runs = self.evaluations if evaluations is None else evaluations
            return Operations(runs * (self.connections if exact else self.macs), 0.0)
        return Operations(0.0, self.events if exact else self.macs * self.rate * self.evaluations)


class NeuronActivity(NamedTuple):
    """A layer of neurons at work on one sample, the mean over a batch.

    Examples
    --------
    >>> NeuronActivity(neurons=10, steps=4, spikes=8.0).rate
    0.2
    """

    neurons: int
    steps: int  #: T
    spikes: float  #: of all neurons in all steps

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return self.spikes / (self.neurons * self.steps)


class NetworkActivity(NamedTuple):
    """A network at work on one sample, the mean over a batch.

    Examples
    --------
    >>> first = LayerActivity(analog=True, evaluations=1.0, macs=100, connections=90, rate=0.5, events=0.0)
    >>> NetworkActivity({"first": first}, {}, steps=4).operations(cached=False)
    Operations(macs=400.0, adds=0.0)
    """

    layers: dict[str, LayerActivity]  #: by name, and size beyond the first, in the order of execution
    neurons: dict[str, NeuronActivity]  #: by name, and size beyond the first, in the order of execution
    steps: int  #: T

    @property
    def spikes(self) -> float:
        """Spikes of all neurons in all steps."""
        return sum(activity.spikes for activity in self.neurons.values())

    def operations(self, *, cached: bool = True, exact: bool = False) -> Operations:
        """Add up the operations of all layers for one sample; `exact` leaves out zero padding and weights.

        Where `cached` is off, layers that multiply count at each of the T steps, as on hardware that keeps no current.
        """
        runs = None if cached else float(self.steps)
        counts = [layer.operations(runs, exact=exact) for layer in self.layers.values()]
        return Operations(sum(count.macs for count in counts), sum(count.adds for count in counts))
