r"""What a spiking network computes for one sample, counted while it runs: multiply-accumulates, additions, spikes.

A layer that spikes flow into adds a weight for each spike and connection; one that real values flow into multiplies.
By convention

.. math:: \mathrm{additions}_l = \mathrm{MAC}_l \cdot r_l \cdot T

with :math:`r_l` the mean spike per input and step, and MACs as `edgebook.measure.layer_costs` counts them, zero
padding and zero weights included; the exact number leaves both out, spike by spike. Not counted: norms, biases, the
leak and the threshold of the neurons, and memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.spiking.activity import LayerActivity, NetworkActivity, NeuronActivity
from edgebook.spiking.leaky import LeakyLoop
from edgebook.spiking.neuron.lif import LIF


def measure_activity(model: nn.Module, inputs: Tensor) -> NetworkActivity:
    """Run a spiking network once, in evaluation mode, and count what its layers and neurons do.

    Parameters
    ----------
    model : torch.nn.Module, of `Conv2d` (zero padding) and `Linear` layers, with neurons in `LIF` or `LeakyLoop`
    inputs : Tensor, what the model takes: of a `SpikingNetwork`, images (B, C, H, W) or a sequence (T, B, C, H, W)

    Returns
    -------
    NetworkActivity, means over the batch

    Raises
    ------
    ValueError
        The model has no neurons of these types, or the batch is empty.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 3), LIF(0.5))
    >>> measure_activity(net, torch.zeros(6, 2, 4)).neurons["1"].steps
    6
    """
    watch = _Watch()
    modes = [(module, module.training) for module in model.modules()]
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name, see=see: see(name, m, i[0], o))
        for name, module in model.named_modules()
        for kinds, see in (((nn.Conv2d, nn.Linear), watch.layer), ((LIF, LeakyLoop), watch.neuron))
        if isinstance(module, kinds)
    ]
    try:
        with torch.no_grad():
            model.eval()(inputs)
    finally:
        for module, mode in modes:
            module.training = mode
        for handle in handles:
            handle.remove()
    return watch.summary()


class _Tally:
    """Sums over the calls of one layer."""

    def __init__(self) -> None:
        self.analog, self.rows, self.macs, self.drive = False, 0, 0, torch.zeros(())


class _Watch:
    """What the hooks of one run have seen."""

    def __init__(self) -> None:
        self.tallies: dict[str, _Tally] = {}
        self.modules: dict[str, nn.Conv2d | nn.Linear] = {}
        self.fired: dict[str, NeuronActivity] = {}
        self.batch = self.steps = 0

    def layer(self, name: str, module: nn.Conv2d | nn.Linear, x: Tensor, output: Tensor) -> None:
        shape = x.shape[-3:] if isinstance(module, nn.Conv2d) else x.shape[-1:]
        x = x.reshape(-1, *shape)  # one row for each step and sample
        tally = self.tallies.setdefault(name, _Tally())
        self.modules[name] = module
        tally.analog |= not self.fired and not bool((x == x.sign()).all())
        tally.rows += len(x)
        tally.macs = output.numel() // max(len(x), 1) * module.weight[0].numel()
        tally.drive = tally.drive.to(x.device) + x.abs().sum(dim=0, dtype=torch.float64)

    def neuron(self, name: str, module: nn.Module, x: Tensor, output: Tensor | tuple[Tensor, ...]) -> None:
        spikes = output if isinstance(output, Tensor) else output[0]
        steps, self.batch = spikes.shape[:2]
        if not self.batch:
            raise ValueError("Activity is a mean over samples, and the batch is empty.")
        count = float(spikes.sum(dtype=torch.float64)) / self.batch
        before = self.fired.get(name, NeuronActivity(spikes[0, 0].numel(), 0, 0.0))
        self.fired[name] = before._replace(steps=before.steps + steps, spikes=before.spikes + count)
        self.steps = max(self.steps, self.fired[name].steps)

    def summary(self) -> NetworkActivity:
        if not self.fired:
            raise ValueError("The model has no neurons of the types looked for, LIF and LeakyLoop.")
        layers = {name: self._activity(self.modules[name], tally) for name, tally in self.tallies.items()}
        return NetworkActivity(layers, self.fired, self.steps)

    def _activity(self, module: nn.Conv2d | nn.Linear, tally: _Tally) -> LayerActivity:
        fan_out = _fan_out(module, tally.drive)
        return LayerActivity(
            tally.analog,
            tally.rows / self.batch,
            tally.macs,
            round(float(fan_out.sum())),
            float(tally.drive.mean()) / tally.rows,
            float((tally.drive * fan_out).sum()) / self.batch,  # both of the shape of one input
        )


def _fan_out(module: nn.Conv2d | nn.Linear, like: Tensor) -> Tensor:
    """Return how many connections each input has: the gradient of the layer's sum, if every living weight were 1."""
    x = torch.zeros_like(like).requires_grad_()
    alive = (module.weight.detach() != 0).to(like.dtype)
    with torch.enable_grad():
        if isinstance(module, nn.Conv2d):
            total = F.conv2d(x[None], alive, None, module.stride, module.padding, module.dilation, module.groups).sum()
        else:
            total = F.linear(x, alive).sum()
    return torch.autograd.grad(total, x)[0]
