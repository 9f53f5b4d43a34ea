"""The neuron's recurrence in tensor operations, on any device; `convention` has the formulas."""

from __future__ import annotations

import torch
from torch import Tensor

from edgebook.networks.memory import NUMPY
from edgebook.spiking.neuron.convention import Convention, constants
from edgebook.spiking.neuron.surrogates import keep_nan


def forward(currents: Tensor, spikes: Tensor, membranes: Tensor, convention: Convention) -> None:
    """Write spikes and membranes, each of the shape of the currents."""
    decay, scale, threshold, gate, *_ = constants(convention, NUMPY[currents.dtype]).tolist()
    carry = torch.zeros_like(currents[0])
    for current, s, h in zip(currents, spikes, membranes, strict=True):
        torch.add(carry, current if scale == 1 else scale * current, out=h)  # h_t = c_(t-1) + g I_t, in place
        s.copy_(h > gate)  # 0 and 1
        if convention.reset == "zero":
            carry = (1 - s).mul_(h).mul_(decay)  # beta h (1 - s)
        elif convention.reset == "none":
            carry = decay * h
        elif convention.delay:
            carry = decay * h - threshold * s
        else:
            carry = (h - threshold * s).mul_(decay)  # beta (h - theta s)
    keep_nan(spikes, membranes, membranes[-1])


def backward(held: Tensor, spikes: Tensor, membranes: Tensor | None, grads: Tensor, convention: Convention) -> None:
    """Write the gradient of the currents, from those of spikes and, where there are any, of membranes."""
    # Backwards the recurrence is linear: a step's gradient is its own plus a known share of the next step's.
    p = constants(convention, NUMPY[held.dtype]).tolist()
    decay, scale, threshold, gate, hard, soft, late, _, attached, unit, *_ = p
    slope = convention.surrogate.slope(unit * (held - threshold)).mul_(unit)  # ds/dh at every step (T, ...)
    share = decay * (1 - hard * (held > gate).to(held.dtype))  # dc_t/dh_t, the reset held fixed
    if attached:
        share -= slope * (decay * (held if hard else soft) + late)  # and by way of the reset
    torch.mul(slope, spikes, out=grads)  # dL/dh_t by way of the spike
    if membranes is not None:
        grads += membranes
    for t in range(len(grads) - 2, -1, -1):
        grads[t].addcmul_(grads[t + 1], share[t])  # and by way of the next step
    if scale != 1:
        grads *= scale
