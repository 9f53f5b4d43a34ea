"""Networks copied, and layers whose parameters are computed by hooks or parametrisations, read as plain values."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy, also where hooks compute weights (of pruning, of norms of weights): there they do so anew."""
    held = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in held if not value.is_leaf})


def make_plain(layer: nn.Module) -> None:
    """Put values in the place of what PyTorch's own hooks and parametrisations compute of a layer's parameters."""
    training = layer.training
    layer.eval()  # a spectral norm iterates in training
    for module in layer.modules():
        for name, tied in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(tied.detach().clone(), tied.requires_grad))
    for hook in list(layer._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            prune.remove(layer, hook._tensor_name)
        elif isinstance(hook, WeightNorm):
            remove_weight_norm(layer, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(layer, hook.name)
    if parametrize.is_parametrized(layer):  # not by PyTorch's own function, which changes the class of all copies too
        computed = {name: getattr(layer, name).detach() for name in layer.parametrizations}
        trained = {name: any(p.requires_grad for p in layer.parametrizations[name].parameters()) for name in computed}
        layer.__class__ = parametrize.type_before_parametrizations(layer)
        del layer.parametrizations
        for name, value in computed.items():
            layer.register_parameter(name, nn.Parameter(value, trained[name]))
    layer.train(training)


@torch.no_grad()
def weight_of(layer: nn.Module) -> Tensor | None:
    """Return the weight of a layer as it is now, without gradient; None where it has none."""
    if "weight" not in layer._parameters:
        layer = copied(layer)
        make_plain(layer)
    weight = getattr(layer, "weight", None)
    return weight.detach() if isinstance(weight, Tensor) else None
