"""The neuron as an operator of PyTorch, so that compilers, tracers and transforms see one node and not its kernels.

`torch.ops.edgebook.lif` takes currents (T, ...), a convention number by number, and a backend; `lif_backward` is its
gradient. Each has a kernel for tensors with memory, one for those without ("fake"), one for autograd and one for
`torch.func.vmap`. On backend `steps`, and in forward mode on any, autograd sees the definition itself instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from edgebook.networks.memory import blank
from edgebook.networks.operators import LIBRARY, Node, below_autograd, define, differentiable
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.convention import SCHEMA, Convention, from_arguments
from edgebook.spiking.neuron.recurrence import BACKENDS, backward, blanks, chosen, forward, steps


def run(currents: Tensor, convention: Convention, backend: str, membranes: bool) -> Tensor | tuple[Tensor, Tensor]:
    """Return the spikes, and the membranes if asked for, each of the shape of the currents."""
    one_of("backend", backend, BACKENDS)
    if not torch.overrides.is_tensor_like(currents):
        raise TypeError(f"currents must be a tensor, got a {type(currents).__name__}.")
    return _asked_for(_LIF(currents, *convention.arguments, backend, membranes), membranes)


@torch.fx.wrap  # one node of a symbolic trace, in which nobody knows yet what is asked for
def _asked_for(outputs: tuple[Tensor, Tensor], membranes: bool) -> Tensor | tuple[Tensor, Tensor]:
    return (outputs[0], outputs[1]) if membranes else outputs[0]


def _forward(currents: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    *numbers, backend, membranes = arguments
    backend, convention = chosen(backend, currents), from_arguments(*numbers)
    if backend == "steps":
        return steps(currents, convention, membranes)
    return forward(currents, convention, backend, membranes)


def _forward_without_memory(currents: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    *numbers, backend, membranes = arguments
    backend = chosen(backend, currents)
    if backend == "steps":
        return steps(currents, from_arguments(*numbers), membranes)
    return blanks(currents, backend, membranes)


def _backward(kept: Tensor, spikes: Tensor, membranes: Tensor | None, *arguments: Any) -> Tensor:
    return backward(kept, spikes, membranes, from_arguments(*arguments[:-1]), chosen(arguments[-1], kept))


def _backward_without_memory(kept: Tensor, *rest: Any) -> Tensor:
    return blank(kept)


class _Recurrence(Node):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
        spikes, held = below_autograd(_LIF, currents, *arguments)
        ctx.save_for_backward(currents if chosen(arguments[-2], currents) == "numba" else held)
        ctx.set_materialize_grads(False)
        ctx.arguments = arguments
        return spikes, held

    @staticmethod
    def backward(ctx: Any, spikes: Tensor | None, membranes: Tensor | None) -> tuple[Tensor | None, ...]:
        (kept,), rest = ctx.saved_tensors, (None,) * len(ctx.arguments)
        if not ctx.arguments[-1]:  # nobody asked for membranes
            membranes = None
        if spikes is None and membranes is None:
            return None, *rest
        if spikes is None:  # only the membranes were used
            spikes = torch.zeros_like(kept[0]).expand(kept.shape)
        return _LIF_BACKWARD(kept, spikes, membranes, *ctx.arguments[:-1]), *rest


class _Gradient(Node):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        return below_autograd(_LIF_BACKWARD, *inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError("The fused neuron has no second derivative; use backend='steps' for that.")

    jvp = backward


def _differentiable(currents: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    """Make one node of it; on backend `steps`, and in forward mode on any, leave it to PyTorch to differentiate."""
    *numbers, backend, membranes = arguments
    if chosen(backend, currents) != "steps" and forward_ad._current_level < 0:
        try:
            return _fused(currents, *arguments)
        except NotImplementedError:  # forward mode in a graph that was recorded in it, where no level is seen
            pass
    return steps(currents, from_arguments(*numbers), membranes)


def _mapped_forward(info: Any, in_dims: tuple[Any, ...], currents: Tensor, *arguments: Any) -> tuple[Any, Any]:
    if currents.ndim < 2:
        chosen(arguments[-2], currents.new_empty(()))  # no step: refused
    outputs = _LIF(currents.movedim(in_dims[0], 1), *arguments)  # (T, N, ...)
    return outputs, tuple(1 if output.ndim > 1 else None for output in outputs)


def _mapped_backward(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
    tensors = [_mapped(x, dim, info.batch_size) for x, dim in zip(inputs[:3], in_dims, strict=False)]
    return _LIF_BACKWARD(*tensors, *inputs[3:]), 1


def _mapped(x: Tensor | None, dim: int | None, size: int) -> Tensor | None:
    """Put the mapped axis behind the steps, or repeat there what is the same for all."""
    if x is None:
        return None
    return x.movedim(dim, 1) if dim is not None else x.unsqueeze(1).expand(-1, size, *x.shape[1:])  # (T, N, ...)


_fused = differentiable(_Recurrence)
_LIF = define(
    f"lif(Tensor currents, {SCHEMA}, str backend, bool membranes) -> (Tensor, Tensor)",
    kernel=_forward,
    fake=_forward_without_memory,
    autograd=_differentiable,
    vmap=_mapped_forward,
)
_LIF_BACKWARD = define(
    f"lif_backward(Tensor kept, Tensor spikes, Tensor? membranes, {SCHEMA}, str backend) -> Tensor",
    kernel=_backward,
    fake=_backward_without_memory,
    autograd=differentiable(_Gradient),
    vmap=_mapped_backward,
)
for _device in ("cpu", "cuda"):  # under autocast, halves are cast up
    torch.library.register_autocast("edgebook::lif", _device, torch.float32, lib=LIBRARY)
