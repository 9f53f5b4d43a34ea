"""One step of the neuron as an operator of PyTorch, as `operator` makes one of a whole sequence.

`torch.ops.edgebook.lif_step` takes a current and a carry (B, ...) and returns spikes, the next carry and the membranes,
which it keeps for its gradient, `lif_step_backward`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from edgebook.networks.memory import NUMPY
from edgebook.networks.operators import Node, below_autograd, cast_up, differentiable
from edgebook.spiking.neuron import recurrence
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.convention import SCHEMA, Convention, constants, from_arguments
from edgebook.spiking.neuron.recurrence import BACKENDS, kernels


def step(current: Tensor, carry: Tensor | None, convention: Convention, backend: str) -> tuple[Tensor, Tensor]:
    """Return spikes and carry of one step, as `lif_step`."""
    one_of("backend", backend, BACKENDS)
    for name, given in (("current", current), ("carry", carry)):
        if not (torch.overrides.is_tensor_like(given) or (given is None and name == "carry")):
            raise TypeError(f"{name} must be a tensor, got a {type(given).__name__}.")
    carry = torch.zeros_like(current) if carry is None else carry  # c_0 = 0
    outputs = _STEP(current, carry, *convention.arguments, backend)
    return outputs[0], outputs[1]


def definition(current: Tensor, carry: Tensor, convention: Convention) -> tuple[Tensor, Tensor, Tensor]:
    """Return spikes, carry and membranes by the definition, as `recurrence.steps` has them at each step."""
    beta, threshold = convention.beta, convention.threshold
    h = carry + convention.gain * current  # before any reset
    distance = (h - threshold) / threshold if convention.relative else h - threshold
    s = fired = convention.surrogate.spike(distance, strict=convention.strict)
    s = s.detach() if convention.detach_reset else s
    if convention.reset == "zero":
        return fired, beta * (h * (1 - s)), h
    if convention.reset == "none":
        return fired, beta * h, h
    return fired, beta * h - threshold * s if convention.delay else beta * (h - threshold * s), h


def _chosen(current: Tensor, carry: Tensor, backend: str) -> str:
    backend = recurrence.chosen(backend, current.unsqueeze(0))
    if carry.shape != current.shape or carry.dtype != current.dtype or carry.device != current.device:
        here, there = (
            f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)} on {x.device}" for x in (current, carry)
        )
        raise ValueError(f"carry must be like the current, {here}, got {there}.")
    return backend


def _flat(x: Tensor) -> NDArray[Any]:
    """Return the memory of a tensor without gaps."""
    return x.detach().as_strided((x.numel(),), (1,)).numpy()


def _laid(x: Tensor, like: Tensor) -> Tensor:
    """Return a tensor in the layout of another one that has no gaps, a copy only where it lies otherwise."""
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)


def _forward(current: Tensor, carry: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    convention = from_arguments(*arguments[:-1])
    spikes, membranes, left = (torch.empty_like(current) for _ in range(3))
    if _chosen(current, carry, arguments[-1]) != "numba":
        found = definition(current, carry, convention)
        return tuple(_laid(x, like=spikes) for x in found)
    left.copy_(carry)
    arrays = map(_flat, (_laid(current, left), left, membranes, spikes))
    kernels()._fire(*arrays, constants(convention, NUMPY[current.dtype]))
    return spikes, left, membranes


def _forward_without_memory(current: Tensor, carry: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    _chosen(current, carry, arguments[-1])
    return torch.empty_like(current), torch.empty_like(current), torch.empty_like(current)


def _backward(membranes: Tensor, spikes: Tensor, left: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    """Return the gradients of current and carry from those of spikes and of the carry that is handed out."""
    convention = from_arguments(*arguments[:-1])
    backend = _chosen(membranes, membranes, arguments[-1])
    if backend != "numba":  # two steps, of which the second one hands back the gradient of the carry as it is
        pairs = (torch.stack([*pair]) for pair in ((membranes,) * 2, (spikes, 0 * spikes), (0 * left, left)))
        grad = recurrence.backward(*pairs, replace(convention, scale_input=False), backend)[0]
        return convention.gain * grad, grad.clone()
    grads, carries = torch.empty_like(membranes), torch.empty_like(membranes).copy_(left)
    arrays = map(_flat, (membranes, _laid(spikes, membranes), carries, grads))
    kernels()._step_back(*arrays, constants(convention, NUMPY[membranes.dtype]), convention.kind)
    return grads, carries


def _backward_without_memory(membranes: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(membranes), torch.empty_like(membranes)


class _Step(Node):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        spikes, left, membranes = below_autograd(_STEP, *inputs)
        ctx.save_for_backward(membranes)
        ctx.set_materialize_grads(False)
        ctx.arguments = inputs[2:]
        return spikes, left, membranes

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        (membranes,), rest = ctx.saved_tensors, (None,) * len(ctx.arguments)
        spikes, left = (torch.zeros_like(membranes) if x is None else x for x in given[:2])
        current, carry = _STEP_BACKWARD(membranes, spikes, left, *ctx.arguments)
        if given[2] is not None:  # of the membranes, which only the operator itself shows
            current, carry = current + from_arguments(*ctx.arguments[:-1]).gain * given[2], carry + given[2]
        return current, carry, *rest


class _Gradient(Node):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        return below_autograd(_STEP_BACKWARD, *inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError("The fused neuron has no second derivative; use backend='steps' for that.")

    jvp = backward


def _differentiable(current: Tensor, carry: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Make one node of it; on backend `steps`, and in forward mode on any, leave it to PyTorch to differentiate."""
    if _chosen(current, carry, arguments[-1]) != "steps" and forward_ad._current_level < 0:
        try:
            return _fused(current, carry, *arguments)
        except NotImplementedError:  # forward mode in a graph that was recorded in it, where no level is seen
            pass
    return definition(current, carry, from_arguments(*arguments[:-1]))


def _mapped(operator: Any, tensors: int) -> Any:
    """Return the rule of a map over an operator that treats every number alike: the mapped axis is one more."""

    def rule(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        found = [
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs[:tensors], in_dims, strict=False)
        ]
        outputs = operator()(*found, *inputs[tensors:])
        return outputs, (0,) * len(outputs)

    return rule


_fused = differentiable(_Step)
_STEP = cast_up(
    f"lif_step(Tensor current, Tensor carry, {SCHEMA}, str backend) -> (Tensor, Tensor, Tensor)",
    kernel=_forward,
    fake=_forward_without_memory,
    autograd=_differentiable,
    vmap=_mapped(lambda: _STEP, 2),
    pointwise=True,
)
_STEP_BACKWARD = cast_up(
    f"lif_step_backward(Tensor membranes, Tensor spikes, Tensor carry, {SCHEMA}, str backend) -> (Tensor, Tensor)",
    kernel=_backward,
    fake=_backward_without_memory,
    autograd=differentiable(_Gradient),
    vmap=_mapped(lambda: _STEP_BACKWARD, 3),
    pointwise=True,
)
