"""Thresholds of neurons in Numba: one pass over memory forward, one back, in which their gradient is summed.

Arrays are flat: neuron `i` of sample `n` lies at `n * neurons + i`, and its threshold at `i`. The numbers `p` are in
the precision of the arrays, for a Python number among single-precision ones would turn the whole loop into double
precision: the reciprocal of the window, 0.4, 1, 2, 4, and whether the gradient is full.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.floating]

WIDEST = 4096  # neurons that are worked on at once: their thresholds and sums then stay in the first cache


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile on first use, and keep the result where it can be written."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # nowhere to write: compile once per process
        return njit(nogil=True, error_model="numpy")(function)


@compiled
def _pass_on(y: Array, t: Array, out: Array) -> None:
    zero = y.dtype.type(0)
    for i in range(y.size):
        out[i] = y[i] if y[i] >= t[i] else zero if y[i] < t[i] else y[i] + t[i]  # NaN where either is


@compiled
def _hand_back(grad: Array, y: Array, t: Array, y_grad: Array | None, t_grad: Array, p: Array) -> None:
    """One sample; where the gradient of `y` is not wanted it is None, and the compiler leaves its line out."""
    tail, one, two, four, full = p[1], p[2], p[3], p[4], p[5]
    zero = one - one
    for i in range(y.size):
        z = abs((y[i] - t[i]) * p[0])
        h = tail if z > tail else two - four * z  # NaN stays NaN
        bump = zero if z > one else grad[i] * y[i] * h  # beyond the window 0, whatever `y` is
        t_grad[i] -= bump
        if y_grad is not None:
            y_grad[i] = (zero if y[i] < t[i] else grad[i]) + full * bump


@compiled
def forward(y: Array, t: Array, out: Array, samples: int) -> None:
    """Write what reaches its threshold, and 0 elsewhere."""
    for start in range(0, t.size, WIDEST):
        own = t[start : start + WIDEST]
        for n in range(samples):
            at = n * t.size + start
            end = at + own.size
            _pass_on(y[at:end], own, out[at:end])


@compiled
def backward(grad: Array, y: Array, t: Array, y_grad: Array, t_grad: Array, samples: int, p: Array) -> None:
    """Write the gradient of `y` unless that array is empty, and add that of `t`, summed over the samples."""
    for start in range(0, t.size, WIDEST):
        own, total = t[start : start + WIDEST], t_grad[start : start + WIDEST]
        for n in range(samples):
            at = n * t.size + start
            end = at + own.size
            if y_grad.size:
                _hand_back(grad[at:end], y[at:end], own, y_grad[at:end], total, p)
            else:
                _hand_back(grad[at:end], y[at:end], own, None, total, p)
