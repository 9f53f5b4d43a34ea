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

from edgebook.measure.multiplications import multiplications
from edgebook.measure.watching import probed, watched
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
    NetworkActivity
        Means over the batch. What runs at several sizes has an entry for each, named as in "conv at 8x4x4" after the
        first.

    Raises
    ------
    ValueError
        The model has no neurons of these types, something else in it multiplies, or the batch is empty or not finite.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 3), LIF(0.5))
    >>> measure_activity(net, torch.zeros(6, 2, 4)).neurons["1"].steps
    6
    """
    if not torch.isfinite(inputs).all():
        raise ValueError("Activity needs inputs that are finite.")
    watch = _Watch()
    layers, neurons = (
        {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
        for kinds in ((nn.Conv2d, nn.Linear), (LIF, LeakyLoop))
    )
    with probed(model), watched(layers, watch.layer), watched(neurons, watch.neuron), multiplications(model) as counted:
        model(inputs)
    counted.within(layers)
    return watch.summary()


class _Tally:
    """Sums over the calls of one layer."""

    def __init__(self) -> None:
        self.analog, self.rows, self.macs, self.drive = False, 0, 0, torch.zeros(())


class _Watch:
    """What the hooks of one run have seen."""

    def __init__(self) -> None:
        self.tallies: dict[str, _Tally] = {}
        self.modules: dict[str, nn.Module] = {}
        self.fired: dict[str, NeuronActivity] = {}
        self.sizes: dict[str, torch.Size] = {}
        self.batch = self.steps = 0

    def layer(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
            raise ValueError(f"Layer {name!r} pads with {module.padding_mode!r}, and only zero padding is counted.")
        x = inputs[0]
        shape = x.shape[-3:] if isinstance(module, nn.Conv2d) else x.shape[-1:]
        x = x.reshape(-1, *shape)  # one row for each step and sample
        place = self._place(name, shape)
        tally = self.tallies.setdefault(place, _Tally())
        self.modules[place] = module
        tally.analog |= not self.fired and not bool((x == x.sign()).all())
        tally.rows += len(x)
        tally.macs = output.numel() // max(len(x), 1) * module.weight[0].numel()
        tally.drive = tally.drive.to(x.device) + x.abs().sum(dim=0, dtype=torch.float64)

    def neuron(self, name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        spikes = output if isinstance(output, Tensor) else output[0]
        if spikes.ndim < 2:
            raise ValueError(f"Neurons {name!r} must see (steps, batch, ...), got the shape {tuple(spikes.shape)}.")
        steps, self.batch = spikes.shape[:2]
        if not self.batch:
            raise ValueError("Activity is a mean over samples, and the batch is empty.")
        count = float(spikes.sum(dtype=torch.float64)) / self.batch
        place = self._place(name, spikes.shape[2:])
        before = self.fired.get(place, NeuronActivity(spikes[0, 0].numel(), 0, 0.0))
        self.fired[place] = before._replace(steps=before.steps + steps, spikes=before.spikes + count)
        self.steps = max(self.steps, steps)

    def _place(self, name: str, size: torch.Size) -> str:
        """Return the name of what runs at this size: its own at the first that was seen."""
        first = self.sizes.setdefault(name, size)
        return name if size == first else f"{name} at {'x'.join(map(str, size))}"

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
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.zeros_like(like).requires_grad_()
        alive = (module.weight.detach() != 0).to(like.dtype)
        if isinstance(module, nn.Conv2d):
            total = F.conv2d(x[None], alive, None, module.stride, module.padding, module.dilation, module.groups).sum()
        else:
            total = F.linear(x, alive).sum()
    return torch.autograd.grad(total, x)[0]
