"""The twin without spikes, compared with the same layers run one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgebook.spiking import spiking_vgg, without_spikes


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
