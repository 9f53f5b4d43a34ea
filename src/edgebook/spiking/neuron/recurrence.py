"""The neuron over a whole sequence as one node of the graph, on four backends.

`numba` is one compiled pass over memory, on a CPU, and `triton` the same on a GPU; `torch` does it with tensor
operations, on any device; `steps` is the definition, step by step in plain autograd: slowest, and the only one that
can be differentiated twice. For the backward pass `numba` keeps the currents, `triton` and `torch` the membranes.
"""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgebook.spiking.neuron import torch_kernels
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.convention import Convention, constants
from edgebook.spiking.neuron.memory import NUMPY, flat, layout

Backend = Literal["auto", "numba", "triton", "torch", "steps"]
COMPILED = {"numba": "cpu", "triton": "cuda"}  # package -> where its kernels work


@cache
def kernels(package: str = "numba") -> ModuleType | None:
    """Return the kernels that numba or triton compiles, None where that package is not installed."""
    if importlib.util.find_spec(package) is None:
        return None
    if package == "triton":
        from edgebook.spiking.neuron import triton_kernels

        return triton_kernels
    from edgebook.spiking.neuron import numba_kernels

    return numba_kernels


def chosen(backend: str, currents: Tensor) -> str:
    """Return the backend for these currents, or say in one sentence why the one asked for cannot be had."""
    one_of("backend", backend, get_args(Backend))
    device = currents.device.type
    if backend == "auto":
        return next((name for name, there in COMPILED.items() if there == device and kernels(name)), "torch")
    if backend in COMPILED and kernels(backend) is None:
        raise ValueError(
            f"backend {backend!r} needs the package {backend}, which is not installed; 'torch' needs nothing."
        )
    if backend in COMPILED and device != COMPILED[backend]:
        raise ValueError(
            f"backend {backend!r} works on {COMPILED[backend]}, and the currents lie on {currents.device}; use 'torch'."
        )
    return backend


def run(currents: Tensor, convention: Convention, backend: str, membranes: bool) -> tuple[Tensor, ...]:
    """Return the spikes, and the membranes if asked for, each of the shape of the currents."""
    if currents.dtype not in NUMPY:
        raise ValueError(f"currents must be float32 or float64, got {str(currents.dtype).removeprefix('torch.')}.")
    if currents.ndim < 1 or currents.shape[0] < 1:
        raise ValueError(f"currents need a first axis of at least one step, got the shape {tuple(currents.shape)}.")
    backend = chosen(backend, currents)
    if backend == "steps":
        return _steps(currents, convention, membranes)
    return _Recurrence.apply(currents, convention, backend, membranes)[: 2 if membranes else 1]


def _steps(currents: Tensor, convention: Convention, membranes: bool) -> tuple[Tensor, ...]:
    beta, threshold = convention.beta, convention.threshold
    carry, fired, held = torch.zeros_like(currents[0]), [], []
    for current in currents:
        h = carry + convention.gain * current  # before any reset
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
    def forward(currents: Tensor, convention: Convention, backend: str, membranes: bool) -> tuple[Tensor, ...]:
        if backend == "numba":
            return _numba_forward(currents, convention, membranes)
        return (_triton_forward if backend == "triton" else torch_kernels.forward)(currents, convention)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        currents, ctx.convention, ctx.backend, _ = inputs
        ctx.save_for_backward(currents if ctx.backend == "numba" else output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, spikes: Tensor | None, membranes: Tensor | None = None) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        if spikes is None and membranes is None:
            return None, None, None, None
        if spikes is None:  # only the membranes were used
            spikes = torch.zeros_like(kept[0]).expand(kept.shape)
        return _Gradient.apply(kept, spikes, membranes, ctx.convention, ctx.backend), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], currents: Tensor, *rest: Any) -> tuple[Any, Any]:
        outputs = _Recurrence.apply(currents.movedim(in_dims[0], 1), *rest)
        return outputs, tuple(1 for _ in outputs)


class _Gradient(torch.autograd.Function):
    """The backward pass as a function of its own, so that it too can be mapped over samples."""

    @staticmethod
    def forward(kept: Tensor, spikes: Tensor, membranes: Tensor | None, convention: Convention, backend: str) -> Tensor:
        return _BACKWARD[backend](kept, spikes, membranes, convention)

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
    return x.movedim(dim, 1) if dim is not None else x.unsqueeze(1).expand(-1, size, *x.shape[1:])  # (T, N, ...)


def _numba_forward(currents: Tensor, convention: Convention, membranes: bool) -> tuple[Tensor, ...]:
    order, back = layout(currents)
    laid = currents.permute(order)  # steps, then axes as in memory: flat without a copy
    array, stride = _array(laid)
    steps, size = len(laid), laid.numel() // len(laid)  # T, and the number of neurons
    outputs = [laid.new_empty(laid.shape) for _ in range(2 if membranes else 1)]
    arrays = [output.view(-1).numpy() for output in outputs]
    held = arrays[1] if membranes else _nothing(array.dtype)
    kernels().forward(array, stride, arrays[0], held, steps, size, constants(convention, array.dtype))
    return tuple(output.permute(back) for output in outputs)


def _numba_backward(currents: Tensor, spikes: Tensor, membranes: Tensor | None, convention: Convention) -> Tensor:
    order, back = layout(currents)
    laid = currents.permute(order)
    array, stride = _array(laid)
    steps, size = len(laid), laid.numel() // len(laid)
    grads = laid.new_empty(laid.shape)
    held = _array(membranes.permute(order)) if membranes is not None else (_nothing(array.dtype), 0)
    p, given, out = constants(convention, array.dtype), _array(spikes.permute(order)), grads.view(-1).numpy()
    kernels().backward(array, stride, *given, *held, out, steps, size, p, convention.kind)
    return grads.permute(back)


def _triton_forward(currents: Tensor, convention: Convention) -> tuple[Tensor, ...]:
    order, back = layout(currents)
    laid = currents.permute(order)
    outputs = kernels("triton").forward(*flat(laid), len(laid), _numbers(convention, currents.dtype, currents.device))
    return tuple(output.view(laid.shape).permute(back) for output in outputs)


def _triton_backward(held: Tensor, spikes: Tensor, membranes: Tensor | None, convention: Convention) -> Tensor:
    order, back = layout(held)
    laid = held.permute(order)
    given = flat(spikes.permute(order))
    direct = flat(membranes.permute(order)) if membranes is not None else (None, 0)
    numbers = _numbers(convention, held.dtype, held.device)
    grads = kernels("triton").backward(flat(laid)[0], *given, *direct, len(laid), numbers, convention.kind)
    return grads.view(laid.shape).permute(back)


_BACKWARD = {"numba": _numba_backward, "triton": _triton_backward, "torch": torch_kernels.backward}


@cache
def _nothing(dtype: np.dtype) -> NDArray[np.floating]:
    return np.empty(0, dtype)


def _array(x: Tensor) -> tuple[NDArray[np.floating], int]:
    memory, stride = flat(x)
    return memory.numpy(), stride


@lru_cache(maxsize=256)
def _numbers(convention: Convention, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(constants(convention, NUMPY[dtype]), device=device)
