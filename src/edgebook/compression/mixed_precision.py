"""Networks whose layers have different bits, which may change while they train.

Bits are a mapping from the names of layers, by which `edgebook.measure.layer_energy` says what they cost as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from edgebook.compression.quantization import MOST_BITS, MinMaxWeight, QuantizedReLU
from edgebook.measure.arguments import whole

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def quantize_network(model: nn.Module, bits: Mapping[str, int], *, per_channel: bool = False) -> nn.Module:
    """Give layers so many bits, in place: those that have none yet, and those that get others.

    Parameters, running ranges, modes and hooks stay, so that training goes on. A copy made by `copy.deepcopy`
    before is another network, and a state loaded afterwards brings its own bits along.

    Parameters
    ----------
    model : torch.nn.Module
    bits : mapping of str to int, 1 to 16: of convolutions and linear layers those of the weights, of `torch.nn.ReLU`
        those of the output; a ReLU that is called twice has one range for both
    per_channel : bool, as for `MinMaxWeight`, for the layers named here

    Returns
    -------
    torch.nn.Module, the same network

    Raises
    ------
    ValueError
        Nothing is changed where the model lacks a name, a module is of another type, its weight has no values yet or
        is computed by something else, or bits are no whole number from 1 to 16.

    Examples
    --------
    >>> net = quantize_network(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), {"0": 16, "1": 16})
    >>> quantize_network(net, {"0": 3, "1": 8})[1]
    QuantizedReLU(
      bits=8
      (relu): ReLU()
    )
    """
    modules = dict(model.named_modules())
    for name, width in bits.items():
        whole(f"bits of {name}", width, 1, MOST_BITS)
        if name not in modules:
            raise ValueError(f"The model has no module named {name!r}.")
        if objection := _objection(name, modules[name]):
            raise ValueError(f"{name!r} ({type(modules[name]).__name__}) {objection}.")
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))  # type and place of ranges
    for name, width in bits.items():
        module = modules[name]
        if isinstance(module, QuantizedReLU):
            module.bits = int(width)
        elif isinstance(module, nn.ReLU):
            _replace(model, module, QuantizedReLU(width, module).to(like))
        elif quantizer := _quantizer(module):
            quantizer.bits, quantizer.per_channel = int(width), per_channel
        else:
            parametrize.register_parametrization(module, "weight", MinMaxWeight(width, per_channel=per_channel))
    return model


def unquantize_network(model: nn.Module) -> nn.Module:
    """Take all bits from a network, in place: it has the weights again that were rounded at every use, and its ReLUs.

    Parameters
    ----------
    model : torch.nn.Module, of which copies keep theirs

    Returns
    -------
    torch.nn.Module, the same network, of layers as they were before `quantize_network`

    Examples
    --------
    >>> net = quantize_network(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), {"0": 2, "1": 2})
    >>> unquantize_network(net)
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """
    for module in list(model.modules()):
        if isinstance(module, QuantizedReLU):
            _replace(model, module, module.relu)
        elif _quantizer(module):
            _without_bits(module)
    return model


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module into all places of another one, but those inside itself."""
    for parent in model.modules():
        for name, part in parent._modules.items():
            if part is old and parent is not new:
                parent._modules[name] = new


def _objection(name: str, module: nn.Module) -> str | None:
    """Say why a module can have no bits, None where it can."""
    if isinstance(module, QuantizedReLU) or _quantizer(module):
        return None
    if isinstance(module, nn.ReLU):
        return None if name else "is the whole model, and no part of it that could be replaced"
    if not isinstance(module, _LAYERS):
        return "is no ReLU, convolution or linear layer"
    weight = module._parameters.get("weight")
    if weight is None or is_lazy(weight) or not weight.is_floating_point():
        return "has a weight that is computed from others, has no values yet or is not real"
    return None


def _quantizer(module: nn.Module) -> MinMaxWeight | None:
    """Return what rounds the weight of a layer, if that alone computes it."""
    chain = list(module.parametrizations.weight) if parametrize.is_parametrized(module, "weight") else []
    return chain[0] if len(chain) == 1 and isinstance(chain[0], MinMaxWeight) else None


def _without_bits(layer: nn.Module) -> None:
    """Take a quantiser from a layer; its copies share the class that PyTorch made for it, and would lose theirs too."""
    kind = type(layer)
    own = {name: thing for name, thing in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    layer.__class__ = type(kind.__name__, kind.__bases__, own)
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    if "bias" in layer._parameters:
        layer._parameters["bias"] = layer._parameters.pop("bias")  # behind the weight again
