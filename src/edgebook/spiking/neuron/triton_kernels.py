"""The neuron's recurrence in Triton: on a GPU one pass over memory forward and one back.

A program walks a block of neurons through all steps and keeps in registers what one step hands on to the next.
The forward pass stores the membranes, from which the backward pass computes spikes and slopes anew.
Products and sums are not contracted, so that the spikes are those of the other backends to the last bit.
Arrays are flat, as in `numba_kernels`; the formulas and the numbers `p` are those of `convention`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK, WARPS = 256, 4


@triton.jit
def _forward(current, spike, membrane, p, steps, size, stride, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = i < size
    decay, scale, gate = tl.load(p), tl.load(p + 1), tl.load(p + 3)
    hard, soft, late = tl.load(p + 4), tl.load(p + 5), tl.load(p + 6)
    carry = tl.zeros([BLOCK], dtype=current.dtype.element_ty)  # c_0 = 0
    for _ in range(steps):
        h = carry + scale * tl.load(current + i, mask=here, other=0)  # h_t = c_(t-1) + g I_t
        s = tl.where(h != h, h, (h > gate).to(h.dtype))  # NaN where the membrane is
        tl.store(membrane + i, h, mask=here)
        tl.store(spike + i, s, mask=here)
        carry = decay * (h * (1 - hard * s) - soft * s) - late * s  # the three resets in one formula
        current += stride
        spike += size
        membrane += size


@triton.jit
def _slope(distance, height, steepness, KIND: tl.constexpr):
    x = steepness * distance
    if KIND == 0:
        return height / (1 + x * x)
    if KIND == 1:
        return height / ((1 + tl.abs(x)) * (1 + tl.abs(x)))
    return tl.where(tl.abs(x) >= 1, 0, height * (1 - tl.abs(x)))  # NaN stays NaN


@triton.jit
def _backward(
    membrane, spike_grad, direct, grad, p, steps, size, spike_stride, direct_stride,
    KIND: tl.constexpr, DIRECT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = i < size
    decay, scale, threshold, gate = tl.load(p), tl.load(p + 1), tl.load(p + 2), tl.load(p + 3)
    hard, soft, late, attached = tl.load(p + 4), tl.load(p + 5), tl.load(p + 6), tl.load(p + 8)
    height, steepness = tl.load(p + 9) * tl.load(p + 10), tl.load(p + 9) * tl.load(p + 11)
    carry = tl.zeros([BLOCK], dtype=membrane.dtype.element_ty)  # from here on dL/dc_t
    for back in range(steps):
        t = (steps - 1 - back).to(tl.int64)
        h = tl.load(membrane + t * size + i, mask=here, other=0)
        s = (h > gate).to(h.dtype)
        taken = decay * tl.where(hard > 0, h, soft) + late  # from what is carried on, by a spike
        due = attached * carry
        reset = tl.where(due != 0, due * taken, 0)  # what the loss has by way of the reset
        given = tl.load(spike_grad + t * spike_stride + i, mask=here, other=0)
        carry = (given - reset) * _slope(h - threshold, height, steepness, KIND) + carry * decay * (1 - hard * s)
        if DIRECT:
            carry += tl.load(direct + t * direct_stride + i, mask=here, other=0)
        tl.store(grad + t * size + i, scale * carry, mask=here)


def forward(
    currents: Tensor, stride: int, spikes: Tensor, membranes: Tensor, steps: int, size: int, numbers: Tensor
) -> None:
    """Write spikes and membranes, flat, of currents whose steps lie `stride` apart."""
    if size:
        with torch.cuda.device_of(currents):
            _forward[(triton.cdiv(size, BLOCK),)](
                currents, spikes, membranes, numbers, steps, size, stride,
                BLOCK=BLOCK, num_warps=WARPS, enable_fp_fusion=False,
            )  # fmt: skip


def backward(
    membranes: Tensor,
    spikes: Tensor,
    stride: int,
    direct: Tensor,
    direct_stride: int,
    grads: Tensor,
    steps: int,
    size: int,
    numbers: Tensor,
    kind: int,
) -> None:
    """Write the gradient of the currents from those of spikes and, where `direct` is not empty, of membranes."""
    if size:
        with torch.cuda.device_of(membranes):
            _backward[(triton.cdiv(size, BLOCK),)](
                membranes, spikes, direct if len(direct) else membranes, grads, numbers, steps, size, stride,
                direct_stride, KIND=kind, DIRECT=len(direct) > 0, BLOCK=BLOCK, num_warps=WARPS,
                enable_fp_fusion=False,
            )  # fmt: skip
