"""Between networks with and without spikes that share layers and weights."""

from __future__ import annotations

from torch import nn

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
