"""The neuron over a whole sequence on four backends; `operator` makes one node of the graph of it.

`numba` is one compiled pass over memory, on a CPU, and `triton` the same on a GPU; `torch` does it with tensor
operations, on any device; `steps` is the definition, step by step in plain autograd: slowest, and the only one that
can be differentiated twice. For the backward pass `numba` keeps the currents, `triton` and `torch` the membranes.
"""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache
from types import ModuleType
from typing import Literal, get_args

import torch
from torch import Tensor

from edgebook.networks.memory import NUMPY, blank, flat, layout
from edgebook.spiking.neuron import torch_kernels
from edgebook.spiking.neuron.convention import Convention, constants

Backend = Literal["auto", "numba", "triton", "torch", "steps"]
BACKENDS: tuple[str, ...] = get_args(Backend)
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
    """Return the backend for these currents, or say in one sentence why they or the one asked for will not do."""
    dense = currents.layout is torch.strided and not currents.is_nested
    if not dense or currents.dtype not in NUMPY:
        found = currents.dtype if dense else "nested" if currents.is_nested else currents.layout
        raise ValueError(f"currents must be float32 or float64, got {str(found).removeprefix('torch.')}.")
    if currents.ndim < 1 or currents.shape[0] < 1:
        raise ValueError(f"currents need a first axis of at least one step, got the shape {tuple(currents.shape)}.")
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


def blanks(currents: Tensor, backend: str, membranes: bool) -> tuple[Tensor, Tensor]:
    """Return memory for spikes and membranes; that of membranes is empty where `numba` need not write any."""
    return blank(currents), blank(currents) if membranes or backend != "numba" else currents.new_empty(0)


def forward(currents: Tensor, convention: Convention, backend: str, membranes: bool) -> tuple[Tensor, Tensor]:
    """Return spikes and membranes, in memory of their own."""
    spikes, held = outputs = blanks(currents, backend, membranes)
    if backend == "torch":
        torch_kernels.forward(currents, spikes, held, convention)
        return outputs
    order, steps = layout(currents), len(currents)
    given, stride = flat(currents, order)
    spikes = flat(spikes, order)[0]
    held = flat(held, order)[0] if len(held) == steps else held
    size = spikes.numel() // steps
    if backend == "triton":
        numbers = _numbers(convention, currents.dtype, currents.device)
        kernels("triton").forward(given, stride, spikes, held, steps, size, numbers)
    else:
        p = constants(convention, NUMPY[currents.dtype])
        kernels().forward(given.numpy(), stride, spikes.numpy(), held.numpy(), steps, size, p)
    return outputs


def backward(kept: Tensor, spikes: Tensor, membranes: Tensor | None, convention: Convention, backend: str) -> Tensor:
    """Return the gradient of the currents from those of spikes and membranes, and from what the forward pass kept."""
    grads = blank(kept)
    if backend == "torch":
        torch_kernels.backward(kept, spikes, membranes, grads, convention)
        return grads
    order, steps = layout(kept), len(kept)
    held, stride = flat(kept, order)
    given, written = flat(spikes, order), flat(grads, order)[0]
    direct = flat(membranes, order) if membranes is not None else (kept.new_empty(0), 0)
    size = written.numel() // steps
    if backend == "triton":
        numbers = _numbers(convention, kept.dtype, kept.device)
        kernels("triton").backward(held, *given, *direct, written, steps, size, numbers, convention.kind)
    else:
        p = constants(convention, NUMPY[kept.dtype])
        arrays = held.numpy(), stride, given[0].numpy(), given[1], direct[0].numpy(), direct[1], written.numpy()
        kernels().backward(*arrays, steps, size, p, convention.kind)
    return grads


def steps(currents: Tensor, convention: Convention, membranes: bool) -> tuple[Tensor, Tensor]:
    """Return spikes and membranes by the definition, in operations that PyTorch differentiates as often as asked."""
    beta, threshold = convention.beta, convention.threshold
    carry, fired, held = torch.zeros_like(currents[:1]), [], []
    for current in currents.split(1):  # (1, ...), for numbers without an axis have rules of their own
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
    return torch.cat(fired), torch.cat(held) if membranes else currents.new_empty(0)


@lru_cache(maxsize=256)
def _numbers(convention: Convention, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(constants(convention, NUMPY[dtype]), device=device)
