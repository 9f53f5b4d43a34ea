"""The twin without spikes, compared with the same layers run one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgebook.spiking import LIF, LeakyLoop, spiking_vgg, to_leaky, without_spikes


def test_the_twin_keeps_layers_and_weights_and_has_relu_for_neurons() -> None:
    made = {"in_channels": 1, "classes": 10, "steps": 1, "beta": 0.5, "norm": "none", "seed": 0}
    net = spiking_vgg((4, "M", 6), **made)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    twin = without_spikes(net)
    assert twin is net
    assert all(torch.equal(value, before[name]) for name, value in twin.state_dict().items() if name in before)
    neurons = [layer.neuron for layer in net.modules() if hasattr(layer, "neuron")]
    assert neurons and all(isinstance(neuron, nn.ReLU) for neuron in neurons)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    # Without spikes and norms a network without biases is homogeneous: twice the image, twice the logits.
    plain = without_spikes(spiking_vgg((4, "M", 6), **made | {"bias": False, "linear_bias": False}))
    torch.testing.assert_close(plain(2 * x), 2 * plain(x))


def test_a_network_without_neurons_is_refused() -> None:
    with pytest.raises(ValueError, match="no neuron"):
        without_spikes(nn.Linear(2, 2))


def test_neurons_are_found_wherever_they_are_and_keep_their_mode() -> None:
    pytest.importorskip("snntorch")
    shared = LIF(0.5)
    net = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared, LeakyLoop(to_leaky(LIF(0.5)))).eval()
    without_spikes(net)
    assert [type(layer).__name__ for layer in net] == ["Linear", "ReLU", "Linear", "ReLU", "ReLU"]
    assert not any(module.training for module in net.modules())


def test_a_neuron_with_hooks_is_refused() -> None:
    net = nn.Sequential(LIF(0.5), LIF(0.5))
    net[1].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="hooks would lose them"):
        without_spikes(net)
    assert all(isinstance(layer, LIF) for layer in net)
