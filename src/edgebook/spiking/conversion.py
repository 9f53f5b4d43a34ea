r"""Between networks with and without spikes that share layers and weights.

A neuron that keeps all it is given (leak 1, reset by subtraction) fires at the rate
:math:`r = \mathrm{clip}(\bar I / \theta, 0, 1)` of its mean current :math:`\bar I`, to within one spike, as ReLU would
be active if it were divided by the threshold and could not exceed 1. Thresholds are what a conversion must find.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor, nn

from edgebook.measure.watching import probed
from edgebook.spiking.layers import SpikingLayer
from edgebook.spiking.leaky import LeakyLoop, hooked
from edgebook.spiking.neuron.lif import LIF


def without_spikes(network: nn.Module) -> nn.Module:
    """Put ReLU in the place of every neuron, in place, and return the network: its twin without spikes.

    Parameters
    ----------
    network : torch.nn.Module
        A network with neurons of the types `LIF` and `LeakyLoop`, such as that of `spiking_vgg`. Its layers, weights,
        modes and number of steps stay; a network whose neurons have no memory needs one step only.

    Returns
    -------
    torch.nn.Module, the same network

    Raises
    ------
    ValueError
        There is no neuron in the network, or one with hooks, which would be lost.

    Examples
    --------
    >>> from edgebook.spiking import spiking_vgg
    >>> twin = without_spikes(spiking_vgg((8, "M", 16), in_channels=1, classes=10, steps=1, beta=0.5))
    >>> sum(isinstance(layer, nn.ReLU) for layer in twin.modules())
    2
    """
    kinds = (LIF, LeakyLoop)
    places = [
        (m, name, part) for m in network.modules() for name, part in m._modules.items() if isinstance(part, kinds)
    ]
    if not places:
        raise ValueError("The network has no neuron that could be replaced.")
    if any(hooked(neuron) for *_, neuron in places):
        raise ValueError("A neuron with hooks would lose them: remove them first.")
    for layer, name, neuron in places:
        layer.add_module(name, nn.ReLU().train(neuron.training))
    return network


def balance_thresholds(
    network: nn.Module, inputs: Tensor, *, percentile: float = 100.0, scale: float = 1.0
) -> list[float]:
    r"""Set the threshold of each layer of neurons to the largest current that it gets, in place, in one pass.

    A layer's whole sequence of currents is there before its neurons run, so that they fire at their new threshold at
    once and the next layer sees the spikes that it will see in use. The released code of the paper finds the same
    numbers with a run of the network for each layer.

    Parameters
    ----------
    network : torch.nn.Module, with neurons `LIF`, such as that of `spiking_vgg`; run in evaluation mode
    inputs : Tensor, what it takes, all of it at once: of a `SpikingNetwork`, spikes (T, B, C, H, W) or images
    percentile : float, above 0 up to 100: the smallest current that is not exceeded by this share of all currents, over
        steps, samples and neurons, is taken for the largest
    scale : float, above 0, what the thresholds are multiplied by

    Returns
    -------
    list of float, the thresholds in the order in which the layers run; their product is what the outputs of a network
    without biases, once it is converted, are smaller by

    Raises
    ------
    ValueError
        Percentile or scale outside its range, no neuron of this type, one that does not run, runs twice in a pass, or
        gets no current above zero or one that is not finite. All thresholds are then as they were.

    References
    ----------
    Kim et al., *PrivateSNN*, arXiv 2104.03414, and its code (percentile 100, scale 1); Sengupta et al., *Going deeper
    in spiking neural networks*, arXiv 1802.02627, algorithm 1.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), LIF(1.0, reset="subtract"))
    >>> _ = nn.init.constant_(net[0].weight, 2.0)
    >>> balance_thresholds(net, torch.tensor([[0.5], [1.5]]))
    [3.0]
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must lie above 0 and at most at 100, got {percentile}.")
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be a finite number above 0, got {scale}.")
    neurons = {name: module for name, module in network.named_modules() if isinstance(module, LIF)}
    if not neurons:
        raise ValueError("The network has no neurons of the type LIF whose thresholds could be balanced.")
    before = [(neuron, neuron.convention) for neuron in neurons.values()]
    found: dict[str, float] = {}

    def balance(name: str) -> Callable[..., None]:
        def hook(neuron: LIF, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            if name in found:
                raise ValueError(
                    f"The neurons {name!r} run more than once in a pass: give each place neurons of its own."
                )
            found[name] = scale * _largest(name, given[0] if given else named["currents"], percentile)
            neuron.convention = replace(neuron.convention, threshold=found[name])

        return hook

    try:
        with ExitStack() as stack, probed(network), torch.compiler.set_stance("force_eager"):
            for name, neuron in neurons.items():
                stack.callback(neuron.register_forward_pre_hook(balance(name), with_kwargs=True).remove)
            network(inputs)
        if idle := sorted(neurons.keys() - found.keys()):
            raise ValueError(f"The neurons {idle[0]!r} did not run, and their threshold cannot be balanced.")
    except BaseException:
        for neuron, convention in before:
            neuron.convention = convention
        raise
    return list(found.values())


def _largest(name: str, currents: Tensor, percentile: float) -> float:
    """Return the largest current but for a share above it, refused where it is no threshold."""
    largest = float(currents.amax()) if currents.numel() else math.nan  # NaN where one is
    if math.isfinite(largest) and percentile < 100:
        rank = max(1, math.ceil(percentile / 100 * currents.numel()))
        largest = float(currents.flatten().kthvalue(rank).values)  # torch.quantile takes 16 million numbers at most
    if not 0 < largest < math.inf:
        raise ValueError(f"The neurons {name!r} need a finite current above 0 as their threshold, got {largest}.")
    return largest


def rescaled_weights(network: nn.Module) -> dict[str, Tensor]:
    r"""Weights of the network without spikes whose activations are the firing rates of this one.

    .. math:: r_l = \mathrm{clip}\!\left(\frac{W_l r_{l-1} + b_l}{\theta_l}, 0, 1\right)

    so that each layer's weights and biases are divided by the threshold of its neurons, and those of the read-out stay.
    Whoever has weights and thresholds has this network: it is the first attack of the paper.

    Parameters
    ----------
    network : torch.nn.Module
        Of layers as `spiking_vgg` makes them with ``norm="none"``, ``beta=1`` and ``reset="subtract"``.

    Returns
    -------
    dict of str to Tensor, copies for ``without_spikes(...).load_state_dict``, of a network of the same configuration

    Raises
    ------
    ValueError
        No such layer, or neurons whose rate is something else: behind a norm, with a leak or another reset.

    References
    ----------
    Kim et al., *PrivateSNN*, arXiv 2104.03414.

    Examples
    --------
    >>> from edgebook.spiking import spiking_vgg
    >>> net = spiking_vgg((2,), in_channels=1, classes=2, steps=1, beta=1, threshold=4, reset="subtract", norm="none")
    >>> weight = net.first.weights.weight
    >>> torch.equal(rescaled_weights(net)["first.weights.weight"], weight / 4)
    True
    """
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    neurons = {name for name, module in network.named_modules() if isinstance(module, LIF | LeakyLoop)}
    layers = {name: module for name, module in network.named_modules() if isinstance(module, SpikingLayer)}
    for name, layer in layers.items():
        neuron = f"{name}.neuron"
        if neuron in neurons and isinstance(layer.norm, nn.Identity) and _counts(layer.neuron):
            neurons.remove(neuron)
            for part, _ in layer.weights.named_parameters():
                state[f"{name}.weights.{part}"] /= layer.neuron.convention.threshold
    if neurons or not layers:
        where = f"those of {min(neurons)!r} are others" if neurons else "there is none"
        raise ValueError(
            f"Rates follow from weights where each neuron is a LIF(beta=1, reset='subtract') behind them: {where}."
        )
    return state


def _counts(neuron: nn.Module) -> bool:
    """Return whether a neuron's rate is its mean current in thresholds."""
    if not isinstance(neuron, LIF):
        return False
    c = neuron.convention
    return c.beta == 1 and c.reset == "subtract" and not c.scale_input
