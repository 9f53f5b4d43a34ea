"""How channels are cut out of a network by Torch-Pruning, and how the result is tried."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

Keep = Mapping[str, Sequence[int]]


def cut(model: nn.Module, keep: Keep, inputs: tuple[Tensor, ...]) -> nn.Module:
    """Return a copy of which the named convolutions have only the given channels, with all that depends on them."""
    from torch_pruning import prune_conv_out_channels

    slim = copy.deepcopy(model).eval()  # traced in evaluation mode: one image has no batch variance
    _followed(slim)
    for name, kept in keep.items():
        module, channels = slim.get_submodule(name), model.get_submodule(name).out_channels
        dropped = sorted(set(range(channels)) - set(kept))
        if dropped and module.out_channels == channels:  # else it has been cut together with another one
            _graph(slim, inputs).get_pruning_group(module, prune_conv_out_channels, idxs=dropped).prune()
    for new, old in zip(slim.parameters(), model.parameters(), strict=True):  # as many: no shared one was torn apart
        new.requires_grad_(old.requires_grad)
    for new, old in zip(slim.modules(), model.modules(), strict=True):
        new.training = old.training
    return slim


def objection(model: nn.Module, keep: Keep, inputs: tuple[Tensor, ...]) -> str | None:
    """Say why a network, cut, is not what is left of it; None where it computes what removed weights of zero give.

    This is tried in float64 with disturbed weights: all are different, so that those that are left can be found again,
    and none is zero, which could hide what should differ.
    """
    draws = torch.Generator().manual_seed(0)
    whole = copy.deepcopy(model).double().eval()
    for tensor in (*whole.parameters(), *whole.buffers()):
        if tensor.is_floating_point():
            tensor.data.add_(_disturbance(tensor, draws))
    inputs = tuple(x.double() + _disturbance(x, draws) if x.is_floating_point() else x for x in inputs)
    try:
        idle = _idle(whole, inputs)
    except Exception:
        return "its result is tried in float64, in which this network does not run"
    if idle:
        return f"{', '.join(idle)} takes no part in what the network computes of the example"
    try:
        part = cut(whole, keep, inputs)
        with torch.no_grad():
            outputs = _tensors(part(*inputs))
    except Exception:  # of the tracer or the layers, whose words speak of insides
        return "the smaller network does not run"
    for name, kept in keep.items():
        weight, left = (net.get_submodule(name).weight for net in (whole, part))
        rows = torch.isin(weight, left).flatten(1).any(dim=1)  # (C,)
        if rows.nonzero().flatten().tolist() != sorted(kept):
            return "coupled convolutions can only keep the same channels"
    with torch.no_grad():
        for parameter, left in zip(whole.parameters(), part.parameters(), strict=True):
            parameter.mul_(torch.isin(parameter, left))
        same = all(_same(*pair, keep) for pair in zip(_tensors(whole(*inputs)), outputs, strict=True))
    return None if same else "the smaller network computes something else"


def _idle(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    """Name the parameters on which no output depends: what they read in another mode is not known."""
    named = _followed(model)
    with torch.enable_grad():
        outputs = [out.sum() for out in _tensors(model(*inputs)) if out.requires_grad]
        gradients = torch.autograd.grad(outputs, list(named.values()), allow_unused=True)
    return [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]


def _followed(model: nn.Module) -> dict[str, nn.Parameter]:
    """Switch the gradients of all parameters on, by which layers are followed, and return them by name."""
    named = {n: p for n, p in model.named_parameters() if p.is_floating_point() or p.is_complex()}
    return {name: parameter.requires_grad_() for name, parameter in named.items()}


def _tensors(output: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]


def _disturbance(tensor: Tensor, draws: torch.Generator) -> Tensor:
    """Draw what keeps scales: about 0 for weights (C, inputs, ...), above 0 for scales, variances and the like (C,)."""
    if isinstance(tensor, nn.Parameter) and tensor.ndim > 1:
        draw = torch.randn(tensor.shape, generator=draws, dtype=torch.float64) * 2 / tensor[0].numel() ** 0.5
    else:
        draw = torch.rand(tensor.shape, generator=draws, dtype=torch.float64)
    return draw.to(tensor.device)


def _same(whole: Tensor, part: Tensor, keep: Keep) -> bool:
    """Compare outputs; where these have lost channels themselves, those that are left."""
    if whole.shape != part.shape:
        lost = [sorted(kept) for kept in keep.values() if len(kept) == part.shape[1] and max(kept) < whole.shape[1]]
        return any(_same(whole[:, kept], part, {}) for kept in lost)
    if not (whole.is_floating_point() or whole.is_complex()):
        return torch.equal(whole, part)
    return torch.allclose(whole, part, rtol=0, atol=1e-9 * float(whole.abs().amax()))


def _graph(model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Trace which layers depend on the channels of which."""
    import torch_pruning

    class OfSequences(torch_pruning.BasePruningFunc):
        """Cuts batch norms of sequences: their channels are the last axis of all that they hold."""

        def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
            left = [channel for channel in range(self.get_out_channels(layer)) if channel not in idxs]
            for name, parameter in layer.named_parameters():
                setattr(layer, name, self._prune_parameter_and_grad(parameter, left, -1))
            layer.running_mean, layer.running_var = layer.running_mean[..., left], layer.running_var[..., left]
            layer.num_features = layer.running_mean.shape
            return layer

        prune_in_channels = prune_out_channels

        def get_out_channels(self, layer: nn.Module) -> int:
            return layer.running_mean.shape[-1]

        get_in_channels = get_out_channels

    class Graph(torch_pruning.DependencyGraph):
        """Knows that what is done to sequences (T, B, C, H, W) between layers leaves their channels alone."""

        def _trace(self, *args: Any, **options: Any) -> dict[nn.Module, Any]:
            nodes = super()._trace(*args, **options)
            for node in nodes.values():
                if len(getattr(node.grad_fn, "_saved_self_sym_sizes", ())) == 5:  # else taken for grouped attention
                    node.type = torch_pruning.ops.OPTYPE.ELEMENTWISE
            return nodes

    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and "num_features" not in vars(m)]
    with torch.enable_grad():
        return Graph().build_dependency(
            model,
            inputs,
            forward_fn=lambda net, given: _tensors(net(*given)),
            customized_pruners={type(norm): OfSequences() for norm in norms},
            verbose=False,
        )
