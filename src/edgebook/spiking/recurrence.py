"""The neuron over a whole sequence as one node of the graph, on three backends.

`numba` is one compiled pass over memory, on a CPU; `torch` does the same with tensor operations, on any device;
`steps` is the definition, step by step in plain autograd: slowest, and the only one that can be differentiated twice.
Each of the first two keeps one tensor for the backward pass: `numba` the currents, from which it recomputes the
membranes, `torch` the membranes themselves.
"""

from __future__ import annotations

import difflib
from functools import cache
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgebook.spiking.convention import Convention, constants

Backend = Literal["auto", "numba", "torch", "steps"]
BACKENDS: tuple[str, ...] = get_args(Backend)
_NUMPY = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


@cache
def kernels() -> ModuleType | None:
    """Return the compiled kernels, None where Numba is not installed."""
    try:
        import numba  # noqa: F401  (an error inside the kernels must not look like a missing Numba)
    except ImportError:
        return None
    from edgebook.spiking import kernels as compiled

    return compiled


def chosen(backend: str, currents: Tensor) -> str:
    """Return the backend for these currents, or say in one sentence why the one asked for cannot be had."""
    if backend not in BACKENDS:
        near = difflib.get_close_matches(str(backend), BACKENDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}.{hint}")
    if backend == "auto":
        return "numba" if currents.device.type == "cpu" and kernels() is not None else "torch"
    if backend == "numba" and kernels() is None:
        raise ValueError("backend 'numba' needs the package numba, which is not installed; 'torch' needs nothing.")
    if backend == "numba" and currents.device.type != "cpu":
        raise ValueError(f"backend 'numba' works on the CPU, and the currents lie on {currents.device}; use 'torch'.")
    return backend


def run(currents: Tensor, convention: Convention, backend: str, membranes: bool) -> tuple[Tensor, ...]:
    """Return the spikes, and the membranes if asked for, each of the shape of the currents."""
    if currents.dtype not in _NUMPY:
        raise ValueError(f"currents must be float32 or float64, got {str(currents.dtype).removeprefix('torch.')}.")
    if currents.ndim < 1 or currents.shape[0] < 1:
        raise ValueError(f"currents need a first axis of at least one step, got the shape {tuple(currents.shape)}.")
    backend = chosen(backend, currents)
    if backend == "steps":
        return _steps(currents, convention, membranes)
    return _Recurrence.apply(currents, convention, backend == "numba", membranes)[: 2 if membranes else 1]


def _steps(currents: Tensor, convention: Convention, membranes: bool) -> tuple[Tensor, ...]:
    beta, threshold = convention.beta, convention.threshold
    carry, fired, held = torch.zeros_like(currents[0]), [], []
    for current in currents:
        h = carry + convention.gain * current
        distance = (h - threshold) / threshold if convention.relative else h - threshold
        s = convention.surrogate.spike(distance, strict=convention.strict)
        fired.append(s)
        held.append(h)
        s = s.detach() if convention.detach_reset else s
        if convention.reset == "zero":
            carry = beta * (h * (1 - s))
        elif convention.reset == "none":
            carry = beta * h
        else:
            carry = beta * h - threshold * s if convention.delay else beta * (h - threshold * s)
    return (torch.stack(fired), torch.stack(held)) if membranes else (torch.stack(fired),)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(currents: Tensor, convention: Convention, numba: bool, membranes: bool) -> tuple[Tensor, ...]:
        return _numba_forward(currents, convention, membranes) if numba else _torch_forward(currents, convention)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        currents, ctx.convention, ctx.numba, _ = inputs
        ctx.save_for_backward(currents if ctx.numba else output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, spikes: Tensor | None, membranes: Tensor | None = None) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        if spikes is None and membranes is None:
            return None, None, None, None
        if spikes is None:  # only the membranes were used
            spikes = torch.zeros_like(kept[0]).expand(kept.shape)
        return _Gradient.apply(kept, spikes, membranes, ctx.convention, ctx.numba), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], currents: Tensor, *rest: Any) -> tuple[Any, Any]:
        outputs = _Recurrence.apply(currents.movedim(in_dims[0], 1), *rest)
        return outputs, tuple(1 for _ in outputs)


class _Gradient(torch.autograd.Function):
    """The backward pass as a function of its own, so that it too can be mapped over samples."""

    @staticmethod
    def forward(kept: Tensor, spikes: Tensor, membranes: Tensor | None, convention: Convention, numba: bool) -> Tensor:
        return (_numba_backward if numba else _torch_backward)(kept, spikes, membranes, convention)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError("The fused neuron has no second derivative; use backend='steps' for that.")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        tensors, rest = inputs[:3], inputs[3:]
        mapped = [_mapped(x, dim, info.batch_size) for x, dim in zip(tensors, in_dims, strict=False)]
        return _Gradient.apply(*mapped, *rest), 1


def _mapped(x: Tensor | None, dim: int | None, size: int) -> Tensor | None:
    """Put the mapped axis behind the steps, or repeat there what is the same for all."""
    if x is None:
        return None
    return x.movedim(dim, 1) if dim is not None else x.unsqueeze(1).expand(-1, size, *x.shape[1:])


def _torch_forward(currents: Tensor, convention: Convention) -> tuple[Tensor, Tensor]:
    decay, scale, threshold, gate, *_ = constants(convention, _NUMPY[currents.dtype]).tolist()
    spikes, membranes = torch.empty_like(currents), torch.empty_like(currents)
    carry = torch.zeros_like(currents[0])
    for current, s, h in zip(currents, spikes, membranes, strict=True):
        torch.add(carry, current if scale == 1 else scale * current, out=h)
        s.copy_(h > gate)
        if convention.reset == "zero":
            carry = (1 - s).mul_(h).mul_(decay)
        elif convention.reset == "none":
            carry = decay * h
        elif convention.delay:
            carry = decay * h - threshold * s
        else:
            carry = (h - threshold * s).mul_(decay)
    return spikes, membranes


def _torch_backward(held: Tensor, spikes: Tensor, membranes: Tensor | None, convention: Convention) -> Tensor:
    """Backwards the recurrence is linear: a step's gradient is its own plus a known share of the next step's."""
    p = constants(convention, _NUMPY[held.dtype]).tolist()
    decay, scale, threshold, gate, hard, soft, late, _, attached, unit, *_ = p
    slope = convention.surrogate.slope(unit * (held - threshold)).mul_(unit)
    share = decay * (1 - hard * (held > gate).to(held.dtype))
    if attached:
        share -= slope * (decay * (hard * held + soft) + late)
    grads = slope.mul_(spikes)
    if membranes is not None:
        grads += membranes
    for t in range(len(grads) - 2, -1, -1):
        grads[t].addcmul_(grads[t + 1], share[t])
    return grads if scale == 1 else grads.mul_(scale)


def _numba_forward(currents: Tensor, convention: Convention, membranes: bool) -> tuple[Tensor, ...]:
    order, back = _layout(currents)
    laid = currents.permute(order)
    flat, stride = _flat(laid)
    steps, size = len(laid), laid.numel() // len(laid)
    outputs = [laid.new_empty(laid.shape) for _ in range(2 if membranes else 1)]
    arrays = [output.view(-1).numpy() for output in outputs]
    held = arrays[1] if membranes else _nothing(flat.dtype)
    kernels().forward(flat, stride, arrays[0], held, steps, size, constants(convention, flat.dtype))
    return tuple(output.permute(back) for output in outputs)


def _numba_backward(currents: Tensor, spikes: Tensor, membranes: Tensor | None, convention: Convention) -> Tensor:
    order, back = _layout(currents)
    laid = currents.permute(order)
    flat, stride = _flat(laid)
    steps, size = len(laid), laid.numel() // len(laid)
    grads = laid.new_empty(laid.shape)
    held = _flat(membranes.permute(order)) if membranes is not None else (_nothing(flat.dtype), 0)
    p, given, array = constants(convention, flat.dtype), _flat(spikes.permute(order)), grads.view(-1).numpy()
    kernels().backward(flat, stride, *given, *held, array, steps, size, p, convention.kind)
    return grads.permute(back)


def _layout(x: Tensor) -> tuple[list[int], list[int]]:
    """Return the order in which the axes of (T, ...) lie in memory behind the steps, and the way back from it.

    Neurons know no neighbours: working in this order, channels-last for example, spares a copy and keeps the layout.
    """
    order = [0, *sorted(range(1, x.ndim), key=x.stride, reverse=True)]
    return order, sorted(range(x.ndim), key=order.__getitem__)


@cache
def _nothing(dtype: np.dtype) -> NDArray[np.floating]:
    return np.empty(0, dtype)


def _flat(x: Tensor) -> tuple[NDArray[np.floating], int]:
    """Return the memory of (T, ...) as a flat array, and how far apart its steps lie.

    Steps that repeat one another, as direct coding and the gradient of a mean over time make them, are not written out.
    """
    x, size = x.detach(), x.numel() // len(x)
    if x.is_contiguous():
        return x.view(-1).numpy(), size
    if x.stride(0) == 0 and x[0].is_contiguous():
        return x[0].view(-1).numpy(), 0
    return x.contiguous().view(-1).numpy(), size
