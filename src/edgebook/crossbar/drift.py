r"""Drift: a conductance that falls with time as a power, each device with an exponent of its own.

.. math:: g(t) = g_0 (t / t_0)^{-\nu}

If all exponents were equal, drift would be a gain that one scalar undoes; it is their spread that distorts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgebook.crossbar.noise import PCM_FULL, normal


def drifted(conductance: Tensor, exponents: Tensor, time: float, *, start: float = 1.0) -> Tensor:
    """Return conductances after a time.

    Parameters
    ----------
    conductance : Tensor
        Siemens at the time `start`, any shape.
    exponents : Tensor
        One for each device, or a shape that broadcasts.
    time, start : float
        Seconds since programming; `time` is not before `start`, which is above 0.

    Returns
    -------
    Tensor
        Siemens.

    Raises
    ------
    ValueError
        Times that are not finite or in the wrong order.
    """
    if not (math.isfinite(start) and start > 0):
        raise ValueError(f"start must be finite and above 0 s, got {start}.")
    if not (math.isfinite(time) and time >= start):
        raise ValueError(f"time must be finite and not before the start of the drift at {start} s, got {time}.")
    return conductance * torch.exp(-exponents * math.log(time / start))


def power_law_drift(
    conductance: Tensor,
    generator: torch.Generator,
    time: float,
    *,
    mean: float,
    spread: float = 0.0,
    start: float = 1.0,
) -> Tensor:
    """Drift with exponents that are normally distributed whatever the conductance, and never negative.

    The exponents depend on the generator alone: one in the same state gives the same devices at every time.

    Parameters
    ----------
    conductance : Tensor
        Siemens at the time `start`, any shape.
    generator : torch.Generator
        Decides the exponents.
    time : float
        Seconds since programming, not before `start`.
    mean, spread : float
        Of the exponents, at least 0. Phase-change memory has 0.03 to 0.06 on average.
    start : float
        Seconds, above 0.

    Returns
    -------
    Tensor
        Siemens, the shape and type of the argument.

    Raises
    ------
    ValueError
        A negative mean or spread, or times as `drifted`.
    """
    for name, value in (("mean", mean), ("spread", spread)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"The {name} of the exponents must be finite and at least 0, got {value}.")
    exponents = (mean + spread * normal(conductance, generator)).clamp_min(0)
    return drifted(conductance, exponents, time, start=start)


def pcm_drift(
    conductance: Tensor, generator: torch.Generator, time: float, *, full: float = PCM_FULL, start: float = 20.0
) -> Tensor:
    r"""Drift of phase-change memory, whose less conductive states drift more.

    With :math:`x = g / g_\mathrm{full}` the exponents have mean :math:`0.0244 - 0.0155 \ln x`, between 0.049 and 0.1,
    and deviation :math:`-0.0059 - 0.0125 \ln x`, between 0.008 and 0.045; none is negative. Constants of IBM's aihwkit.

    Parameters
    ----------
    conductance : Tensor
        Siemens at the time `start`, any shape.
    generator : torch.Generator
        Decides the exponents.
    time : float
        Seconds since programming, not before `start`.
    full : float
        :math:`g_\mathrm{full}`, siemens.
    start : float
        Seconds, above 0.

    Returns
    -------
    Tensor
        Siemens, the shape and type of the argument.

    Raises
    ------
    ValueError
        A full conductance that is not positive, or times as `drifted`.
    """
    mean, spread = pcm_exponents(conductance, full=full)
    return drifted(conductance, (mean + spread * normal(conductance, generator)).clamp_min(0), time, start=start)


def pcm_exponents(conductance: Tensor, *, full: float = PCM_FULL) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the drift exponents of phase-change memory, as `pcm_drift` states them.

    Parameters
    ----------
    conductance : Tensor
        Siemens, any shape.
    full : float
        Highest conductance, siemens.

    Returns
    -------
    mean, spread : Tensor
        The shape of the argument.

    Raises
    ------
    ValueError
        A full conductance that is not positive.
    """
    if not (math.isfinite(full) and full > 0):
        raise ValueError(f"full must be a finite conductance above 0 siemens, got {full}.")
    log = torch.log(conductance / full)  # minus infinity for a device that is off: the upper ends
    return (0.0244 - 0.0155 * log).clamp(0.049, 0.1), (-0.0059 - 0.0125 * log).clamp(0.008, 0.045)
