"""From `snntorch.Leaky` and back, where the two are the same neuron, and a loop that runs it over a sequence.

They are the same for reset "zero" and "none", and for reset "subtract" where it is delayed or nothing leaks.
snnTorch subtracts the threshold after the leak, `beta * h - threshold * s`; the papers subtract it before,
`beta * (h - threshold * s)`, which is (1 - beta) * threshold less per spike.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from edgebook.spiking.neuron.convention import Reset
from edgebook.spiking.neuron.lif import LIF
from edgebook.spiking.neuron.surrogates import Surrogate, atan, fast_sigmoid

if TYPE_CHECKING:
    import snntorch

_STATES = {
    "subtract": "_base_sub",
    "zero": "_base_zero",
    "none": "_base_int",
}  # what snnTorch computes by at each reset


def to_leaky(neuron: LIF) -> snntorch.Leaky:
    """Return the `snntorch.Leaky` that spikes and learns as a neuron does.

    Parameters
    ----------
    neuron : LIF; where it scales its input, the caller of the `Leaky` has to, as `LeakyLoop` does

    Returns
    -------
    snntorch.Leaky, the same neuron for one step at a time, with its membrane handed in and out

    Raises
    ------
    ValueError
        `Leaky` cannot be that neuron.

    Examples
    --------
    >>> leaky = to_leaky(LIF(0.5))
    >>> leaky(torch.tensor([1.5]), torch.tensor([0.2]))  # spike and membrane, which is reset one step later
    (tensor([1.]), tensor([1.6000]))
    """
    import snntorch

    if type(neuron) is not LIF:
        raise ValueError(f"to_leaky takes exactly a LIF, got {_kind(neuron)}.")
    c = neuron.convention
    if not c.strict:
        raise ValueError("snntorch.Leaky stays silent at the threshold, so that only a strict neuron converts.")
    if c.relative and c.threshold != 1:
        raise ValueError("snntorch.Leaky has no surrogate of the membrane relative to a threshold other than 1.")
    if c.reset == "subtract" and not c.delay and c.beta != 1:
        raise ValueError("snntorch.Leaky subtracts the threshold after the leak: only delay=True or beta=1 converts.")
    if c.reset == "subtract" and not c.detach_reset:
        raise ValueError("snntorch.Leaky lets no gradient through a subtraction: only detach_reset=True converts.")
    # Its immediate reset to zero is its delayed one with a gradient through it: both come before the next current.
    return snntorch.Leaky(
        torch.tensor(c.beta, dtype=torch.float64),
        torch.tensor(c.threshold, dtype=torch.float64),
        spike_grad=_spike_grad(c.surrogate),
        reset_mechanism=c.reset,
        reset_delay=c.detach_reset or c.reset == "none",
    )


def from_leaky(leaky: snntorch.Leaky) -> LIF:
    """Return the neuron that spikes and learns as a `snntorch.Leaky` does, over whole sequences.

    Parameters
    ----------
    leaky : snntorch.Leaky
        Exactly this class, with one fixed leak and threshold, its membrane handed in and out, without hooks, and with
        `atan`, `fast_sigmoid` or a surrogate from here.

    Returns
    -------
    LIF, the same neuron

    Raises
    ------
    ValueError
        No `LIF` is that neuron.

    Examples
    --------
    >>> import snntorch
    >>> from_leaky(snntorch.Leaky(beta=0.5, reset_mechanism="zero"))
    LIF(beta=0.5, threshold=1, reset='zero', surrogate=atan)
    """
    import snntorch

    if type(leaky) is not snntorch.Leaky:
        raise ValueError(f"from_leaky takes exactly a snntorch.Leaky, got {_kind(leaky)}.")
    if leaky.init_hidden or leaky.output or hooked(leaky):
        raise ValueError(
            "A Leaky with init_hidden, output or hooks does not convert: LIF takes currents, returns spikes."
        )
    for name, value in (("beta", leaky.beta), ("threshold", leaky.threshold)):
        if value.requires_grad:
            raise ValueError(f"A Leaky that learns its {name} does not convert: LIF takes a fixed one.")
        if value.numel() != 1:
            raise ValueError(f"A Leaky with {value.numel()} values of {name} does not convert: LIF takes one.")
    if leaky.inhibition or leaky.state_quant or leaky.surrogate_disable:
        raise ValueError("A Leaky with inhibition, quantised state or no surrogate does not convert.")
    if leaky.graded_spikes_factor.requires_grad or not bool((leaky.graded_spikes_factor == 1).all()):
        raise ValueError("A Leaky with graded spikes does not convert: the spikes of LIF are 0 or 1.")
    if leaky.state_function.__name__ != _STATES[leaky.reset_mechanism]:
        raise ValueError("A Leaky whose reset_mechanism was set later does not convert: it would reset in two ways.")
    if leaky.reset_mechanism == "subtract" and not leaky.reset_delay:
        raise ValueError("A Leaky that subtracts without delay does not convert: it counts twice above two thresholds.")
    return LIF(
        float(leaky.beta.clamp(0, 1)),
        float(leaky.threshold),
        cast(Reset, leaky.reset_mechanism),
        surrogate=_surrogate(leaky.spike_grad),
        delay=leaky.reset_mechanism == "subtract",
        detach_reset=bool(leaky.reset_delay),
    )


class LeakyLoop(nn.Module):
    """A `snntorch.Leaky` over a whole sequence, step by step: what `LIF` replaces, with the same call.

    Parameters
    ----------
    leaky : snntorch.Leaky, a neuron that hands its membrane in and out (`init_hidden` off)
    gain : float, what the current is multiplied by, 1 - beta for a neuron that scales its input

    Raises
    ------
    ValueError
        The neuron is no `snntorch.Leaky`, or keeps its membrane to itself.

    Examples
    --------
    >>> LeakyLoop(to_leaky(LIF(0.5)))(torch.tensor([0.6, 0.8, 0.6]))
    tensor([0., 1., 0.])
    """

    def __init__(self, leaky: snntorch.Leaky, gain: float = 1.0) -> None:
        import snntorch

        super().__init__()
        if not isinstance(leaky, snntorch.Leaky):  # others hand in and out more
            raise ValueError(f"A LeakyLoop takes a snntorch.Leaky, got {_kind(leaky)}.")
        if leaky.init_hidden:
            raise ValueError("A Leaky in a LeakyLoop hands its membrane in and out: make it with init_hidden=False.")
        self.leaky, self.gain = leaky, gain

    def forward(self, currents: Tensor, membranes: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Return the spikes (T, ...), and on request the membranes, before the reset if that is delayed."""
        if currents.ndim < 1 or not len(currents):
            raise ValueError(f"currents need a first axis of at least one step, got the shape {tuple(currents.shape)}.")
        membrane, fired, held = torch.zeros_like(currents[0]), [], []  # (B, ...)
        for current in currents:
            spike, membrane = self.leaky(self.gain * current if self.gain != 1 else current, membrane)
            fired.append(spike.to(currents.dtype))
            held.append(membrane)
        self.leaky.reset_mem()
        return (torch.stack(fired), torch.stack(held)) if membranes else torch.stack(fired)


def hooked(module: nn.Module) -> bool:
    """Return whether a module has hooks, which what takes its place would not have."""
    return any((module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks))


def _kind(neuron: object) -> str:
    return f"{type(neuron).__module__.split('.')[0]}.{type(neuron).__name__}"


def _spike_grad(surrogate: Surrogate) -> Callable[[Tensor], Tensor]:
    """Return snnTorch's own function where it has one."""
    from snntorch import surrogate as functions

    if surrogate.kind == "atan" and surrogate == atan(2 * surrogate.height):
        return functions.atan(alpha=2 * surrogate.height)
    if surrogate.kind == "fast_sigmoid" and surrogate.height == 1:
        return functions.fast_sigmoid(slope=surrogate.steepness)
    return surrogate


def _surrogate(function: Callable[[Tensor], Tensor]) -> Surrogate:
    """Return the surrogate behind a function of snnTorch, which keeps its parameter in a closure."""
    if isinstance(function, Surrogate):
        return function
    name = getattr(function, "__qualname__", "").split(".")[0]
    if getattr(function, "__module__", "") == "snntorch.surrogate" and name in ("atan", "fast_sigmoid"):
        held = inspect.getclosurevars(function).nonlocals
        return atan(float(held["alpha"])) if name == "atan" else fast_sigmoid(float(held["slope"]))
    raise ValueError("Only the surrogates atan and fast_sigmoid of snnTorch convert, and those of edgebook.spiking.")
