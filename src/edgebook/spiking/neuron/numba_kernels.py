"""The neuron's recurrence in Numba: one pass over the currents forward, one over currents and gradients back.

Nothing is stored but the results: the backward pass recomputes the membranes of a block of neurons, which fit into the
cache, from their currents. Without fast-math both passes round alike, so that they are the same to the last bit.
Arrays are flat; step `t` of neuron `i` lies at `t * stride + i`, where a stride of 0 repeats one step.
The constants `p` come from `edgebook.spiking.neuron.convention.constants`, in the precision of the arrays: a Python
number among single-precision ones would turn the whole loop into double precision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.floating]

WIDEST = 16384  # neurons that are worked on at once: long runs through memory are faster than short ones, measured
CACHED = 262144  # membranes that the backward pass holds, 1 MB in single precision: faster than less, measured


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile on first use, and keep the result beside the source or in the user's cache where one can be written."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # nowhere to write: compile once per process
        return njit(nogil=True, error_model="numpy")(function)


@_compiled
def _fire(current: Array, carry: Array, membrane: Array | None, spike: Array | None, p: Array) -> None:
    """One step; the membrane or spike that is not wanted is None, and the compiler then leaves its line out."""
    decay, scale, gate, hard, soft, late, one = p[0], p[1], p[3], p[4], p[5], p[6], p[7]
    zero = one - one
    for i in range(current.size):
        h = carry[i] + scale * current[i]
        s = one if h > gate else zero if h <= gate else h  # NaN where the membrane is
        if membrane is not None:
            membrane[i] = h
        if spike is not None:
            spike[i] = s
        carry[i] = decay * (h * (one - hard * s) - soft * s) - late * s  # the three resets in one formula


@_compiled
def _slope(distance: float, kind: int, height: float, steepness: float, one: float) -> float:
    """Derivative of a spike, as `Surrogate.slope`."""
    x = steepness * distance
    if kind == 0:
        return height / (one + x * x)
    x = abs(x)
    if kind == 1:
        return height / ((one + x) * (one + x))
    return one - one if x >= one else height * (one - x)  # NaN stays NaN


@_compiled
def _step_back(membrane: Array, spike_grad: Array, carry: Array, grad: Array, p: Array, kind: int) -> None:
    """One step back: what comes by way of the spike, which may reset the membrane, and by way of the next step."""
    decay, scale, threshold, gate, hard, soft, late, one = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
    attached, height, steepness = p[8], p[9] * p[10], p[9] * p[11]
    zero = one - one
    for i in range(grad.size):
        h = membrane[i]
        s = one if h > gate else zero
        slope = _slope(h - threshold, kind, height, steepness, one)
        taken = decay * (h if hard > zero else soft) + late  # from what is carried on, by a spike
        due = attached * carry[i]
        reset = due * taken if due != zero else zero  # what the loss has by way of the reset
        g = (spike_grad[i] - reset) * slope + carry[i] * decay * (one - hard * s)
        carry[i] = g
        grad[i] = scale * g  # by the current


@_compiled
def _add(direct: Array, carry: Array, grad: Array, p: Array) -> None:
    """Add the gradient that a membrane has from outside."""
    scale = p[1]
    for i in range(grad.size):
        carry[i] += direct[i]
        grad[i] = scale * carry[i]


@_compiled
def forward(currents: Array, stride: int, spikes: Array, membranes: Array, steps: int, size: int, p: Array) -> None:
    """Write the spikes of all neurons, and their membranes unless that array is empty."""
    carries = np.empty(min(WIDEST, size), currents.dtype)
    for start in range(0, size, WIDEST):
        width = min(WIDEST, size - start)
        carry = carries[:width]
        carry[:] = p[7] - p[7]
        for t in range(steps):
            at, here = t * stride + start, t * size + start
            current, spike = currents[at : at + width], spikes[here : here + width]
            if membranes.size:
                _fire(current, carry, membranes[here : here + width], spike, p)
            else:
                _fire(current, carry, None, spike, p)


@_compiled
def backward(
    currents: Array,
    stride: int,
    spike_grads: Array,
    spike_stride: int,
    membrane_grads: Array,
    membrane_stride: int,
    grads: Array,
    steps: int,
    size: int,
    p: Array,
    kind: int,
) -> None:
    """Write the gradient of the currents of all neurons."""
    block = max(1, min(WIDEST, max(64, CACHED // steps // 64 * 64), size))  # whole cache lines
    membranes = np.empty((steps, block), currents.dtype)
    carries = np.empty(block, currents.dtype)
    for start in range(0, size, block):
        width = min(block, size - start)
        carry = carries[:width]
        carry[:] = p[7] - p[7]
        for t in range(steps):
            at = t * stride + start
            _fire(currents[at : at + width], carry, membranes[t, :width], None, p)
        carry[:] = p[7] - p[7]  # from here on the gradient of what a step hands on
        for t in range(steps - 1, -1, -1):
            at, here = t * spike_stride + start, t * size + start
            grad = grads[here : here + width]
            _step_back(membranes[t, :width], spike_grads[at : at + width], carry, grad, p, kind)
            if membrane_grads.size:
                at = t * membrane_stride + start
                _add(membrane_grads[at : at + width], carry, grad, p)
