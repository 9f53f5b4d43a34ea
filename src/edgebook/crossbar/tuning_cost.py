"""What one step of tuning costs: batch norms alone against all weights, counted and not estimated.

Activations kept for the backward pass are those that PyTorch's autograd keeps for just these trainable parameters;
multiply-accumulates are those of convolutions and linear layers whose gradients are needed. Normalisation, additions
and converters are not counted.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from edgebook.crossbar.adaptation import norm_parameters
from edgebook.crossbar.chip import CrossbarConfig
from edgebook.crossbar.layers import crossbar_layers
from edgebook.measure import layer_costs
from edgebook.measure.watching import blank_input, watched

Tuning = Literal["statistics", "norms", "all"]


class TuningCost(NamedTuple):
    """Cost of one step, that is of one batch."""

    parameters: int  #: values that the optimiser changes
    statistics: int  #: running means and variances that are renewed
    cell_writes: int  #: devices that may have to be programmed anew
    forward_macs: int
    input_macs: int  #: of gradients with respect to inputs of layers
    weight_macs: int  #: of gradients with respect to weights
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int  #: what the backward pass needs of the forward pass

    @property
    def macs(self) -> int:
        """All multiply-accumulates of the step."""
        return self.forward_macs + self.input_macs + self.weight_macs

    @property
    def memory(self) -> int:
        """Bytes that training needs beyond the network itself."""
        return self.gradient_bytes + self.optimizer_bytes + self.activation_bytes


def tuning_cost(
    model: nn.Module, shape: Sequence[int], config: CrossbarConfig, *, tune: Tuning, batch: int = 1
) -> TuningCost:
    """Count one step of tuning, by descent with momentum, a network whose convolutions are on crossbars.

    Parameters
    ----------
    model : torch.nn.Module, the plain network, before `on_crossbar`; left as it is
    shape : sequence of int, shape (C, H, W) of one image
    config : CrossbarConfig, says how many devices a weight takes, and whether linear layers are on crossbars
    tune : {"statistics", "norms", "all"}, running statistics alone, scales and shifts of batch norms, or all parameters
    batch : int, images in the step; from 2 on where a batch norm sees one position only

    Returns
    -------
    TuningCost

    Raises
    ------
    ValueError
        An unknown `tune`, less than one image, or a network that is on crossbars already.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    >>> tuning_cost(net, (3, 8, 8), CrossbarConfig(), tune="norms")  # doctest: +ELLIPSIS
    TuningCost(parameters=16, statistics=16, cell_writes=0, ...)
    """
    if tune not in get_args(Tuning):
        raise ValueError(f"tune must be one of {', '.join(get_args(Tuning))}, got {tune!r}.")
    if batch < 1:
        raise ValueError(f"At least 1 image is needed, got {batch}.")
    if crossbar_layers(model):
        raise ValueError("Costs are counted on the plain network, and this one is on crossbars already.")
    net = copy.deepcopy(model).to("meta").train()  # shapes without arithmetic
    trained = {"statistics": [], "norms": norm_parameters(net), "all": list(net.parameters())}[tune]
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)
    macs = {name: cost.macs for name, cost in layer_costs(net, shape).items()}
    kept, input_macs = _backward(net, (batch, *shape), macs)
    held = sum(p.numel() * p.element_size() for p in trained)
    return TuningCost(
        parameters=sum(p.numel() for p in trained),
        statistics=sum(b.numel() for name, b in net.named_buffers() if name.endswith(("running_mean", "running_var"))),
        cell_writes=_cells(net, config) if tune == "all" else 0,
        forward_macs=batch * sum(macs.values()),
        input_macs=batch * input_macs,
        weight_macs=batch * sum(macs.values()) if tune == "all" else 0,
        gradient_bytes=held,
        optimizer_bytes=held,  # a momentum for each parameter
        activation_bytes=kept,
    )


def _backward(net: nn.Module, shape: Sequence[int], macs: dict[str, int]) -> tuple[int, int]:
    """Return the bytes that the backward pass needs, and the MACs of gradients with respect to inputs for one image."""
    own = {_place(t) for t in (*net.parameters(), *net.buffers())}
    kept: dict[int, Tensor] = {}
    through: set[str] = set()

    def keep(tensor: Tensor) -> Tensor:
        if _place(tensor) not in own:
            kept.setdefault(_place(tensor), tensor)  # holding it, so that no other takes its place
        return tensor

    def note(name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if inputs[0].requires_grad:
            through.add(name)

    layers = {name: layer for name, layer in net.named_modules() if name in macs}
    with watched(layers, note), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = net(blank_input(net, *shape))
    del output
    return sum(t.untyped_storage().nbytes() for t in kept.values()), sum(macs[name] for name in through)


def _place(tensor: Tensor) -> int:
    """Return what two views of the same memory have in common, on "meta" too, where there are no addresses."""
    return tensor.untyped_storage()._cdata


def _cells(net: nn.Module, config: CrossbarConfig) -> int:
    """Count the devices that hold weights; cells of padding are never written."""
    kinds = (nn.Conv2d, nn.Linear) if config.linear else (nn.Conv2d,)
    weights = sum(m.weight.numel() for m in net.modules() if isinstance(m, kinds))
    return 2 * config.layout.slices * weights
