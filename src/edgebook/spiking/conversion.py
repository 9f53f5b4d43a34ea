"""Between networks with and without spikes that share layers and weights."""

from __future__ import annotations

from torch import nn

from edgebook.spiking.neuron.lif import LIF


def without_spikes(network: nn.Module) -> nn.Module:
    """Put ReLU in the place of every neuron, in place, and return the network: its twin without spikes.

    Parameters
    ----------
    network : torch.nn.Module
        A spiking network whose layers hold their neuron as ``neuron``, such as those of `spiking_vgg`. Its layers,
        weights and number of steps stay; a network whose neurons have no memory needs one step only.

    Returns
    -------
    torch.nn.Module, the same network

    Raises
    ------
    ValueError
        There is no neuron in the network.

    Examples
    --------
    >>> from edgebook.spiking import spiking_vgg
    >>> twin = without_spikes(spiking_vgg((8, "M", 16), in_channels=1, classes=10, steps=1, beta=0.5))
    >>> sum(isinstance(layer, nn.ReLU) for layer in twin.modules())
    2
    """
    layers = [layer for layer in network.modules() if isinstance(getattr(layer, "neuron", None), LIF)]
    if not layers:
        raise ValueError("The network has no neuron that could be replaced.")
    for layer in layers:
        layer.neuron = nn.ReLU()
    return network
