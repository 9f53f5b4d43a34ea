"""Watching a network at work without leaving a trace: its modes, its buffers, and the calls of its layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Takes the name of a layer, the layer, its arguments in the order of its `forward`, and what it returned.
See = Callable[[str, nn.Module, tuple[Any, ...], Any], None]


@contextmanager
def evaluated(model: nn.Module) -> Iterator[nn.Module]:
    """Put a network into evaluation mode for a while; each module gets its own mode back, also after a failure.

    Examples
    --------
    >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
    >>> with evaluated(net):
    ...     assert not net[0].training
    >>> net[0].training, net[1].training
    (True, False)
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        for module, training in modes:  # parents first, for `train` reaches down, and modules may do more in it
            if module.training != training:
                module.train(training)


@contextmanager
def probed(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluate a network without gradients, as in `evaluated`, on copies of its buffers, which are dropped after it."""
    held = [(m, name, buffer) for m in model.modules() for name, buffer in m._buffers.items() if buffer is not None]
    copies: dict[int, Tensor] = {}  # what is tied stays tied
    with evaluated(model), torch.no_grad():
        try:
            for module, name, buffer in held:
                module._buffers[name] = copies.setdefault(id(buffer), buffer.clone())
            yield model
        finally:
            for module, name, buffer in held:
                module._buffers[name] = buffer


@contextmanager
def watched(layers: Mapping[str, nn.Module], see: See, *, first: bool = False) -> Iterator[None]:
    """Call `see` after every call of these layers; copies of them, which take hooks along, are not watched.

    A pass that checkpointing computes again for its gradient has been seen already, and is not seen twice.
    Arguments given by keyword come in their place, as the signature of `forward` has it. With ``first`` outputs are
    seen before other hooks, which may change them.
    """

    def hook(name: str, layer: nn.Module) -> Callable[..., None]:
        signature = inspect.signature(layer.forward)

        def after(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            if module is layer and torch._C._current_graph_task_id() < 0:  # not in a backward pass
                see(name, layer, signature.bind(*inputs, **named).args, output)

        return after

    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.callback(layer.register_forward_hook(hook(name, layer), prepend=first, with_kwargs=True).remove)
        yield


def blank_input(model: nn.Module, *shape: int) -> Tensor:
    """Return zeros of the type and on the device of a model: whole numbers where it begins with an embedding."""
    first = next((module for module in model.modules() if module._parameters), model)
    tokens = isinstance(first, nn.Embedding | nn.EmbeddingBag)
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))
    return torch.zeros(shape, dtype=torch.long if tokens else like.dtype, device=like.device)
