r"""Noise of devices: how far a conductance lies from where it was put, and from where it was a moment ago.

A deviation maps conductances (siemens, any shape) and a time (seconds since programming) to standard deviations in
siemens; `noisy` draws from it. The same deviation serves programming, where one draw stays, and reading, where every
read is a new one.

Sources: the relative form follows Bhattacharjee et al., arXiv 2305.18416 (as reconstructed from the figures reported
for it); the constants of phase-change memory are those of IBM's aihwkit, those of resistive memory those of the
Milo model in Sandia's CrossSim.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from edgebook.crossbar.devices import Device

Deviation = Callable[[Tensor, float], Tensor]

PCM_FULL = 25e-6  # siemens, the highest conductance of the phase-change devices that the constants describe
PCM_READ = 250e-9  # seconds that one read takes
RRAM_FULL = 225e-6


def noisy(conductance: Tensor, generator: torch.Generator, time: float = 0.0, *, deviation: Deviation) -> Tensor:
    """Draw conductances around their means: independent, Gaussian, and 0 where the draw is negative.

    Parameters
    ----------
    conductance : Tensor
        Siemens, any shape.
    generator : torch.Generator
        Decides the draw.
    time : float
        Seconds since programming, handed to the deviation.
    deviation : callable
        Conductance and time to standard deviations, such as `relative_deviation` with its `sigma` bound.

    Returns
    -------
    Tensor
        Siemens, the shape and type of the argument.

    Raises
    ------
    ValueError
        As the deviation.
    """
    return (conductance + deviation(conductance, time) * normal(conductance, generator)).clamp_min(0)


def relative_deviation(conductance: Tensor, time: float = 0.0, *, sigma: float) -> Tensor:
    r"""Deviation in proportion: :math:`\sigma\, g`.

    Parameters
    ----------
    conductance : Tensor
        Siemens.
    time : float
        Without effect.
    sigma : float
        At least 0; the paper sweeps 0.05 to 0.35.

    Returns
    -------
    Tensor
        Siemens.

    Raises
    ------
    ValueError
        A negative or infinite `sigma`.
    """
    _check("sigma", sigma)
    return sigma * conductance


def pcm_read_deviation(conductance: Tensor, time: float, *, full: float = PCM_FULL) -> Tensor:
    r"""1/f noise of phase-change memory, which grows with the time since programming.

    .. math:: g\, Q \sqrt{\ln \frac{t + t_r}{2 t_r}}, \qquad Q = \min(0.0088\, (g / g_\mathrm{full})^{-0.65},\, 0.2)

    with :math:`t_r` = 250 ns. After one second that is 3.4 % at the top and 15 % at a tenth of it. The conductance of
    the moment stands in all three places; aihwkit takes the programmed one in Q.

    Parameters
    ----------
    conductance : Tensor
        Siemens.
    time : float
        Seconds since programming, at least 250 ns.
    full : float
        :math:`g_\mathrm{full}`, siemens.

    Returns
    -------
    Tensor
        Siemens.

    Raises
    ------
    ValueError
        A time before the first read, or a full conductance that is not positive.
    """
    _check_full(full)
    if not (math.isfinite(time) and time >= PCM_READ):
        raise ValueError(f"time must be finite and at least the {PCM_READ} s of one read, got {time}.")
    quality = (0.0088 * (conductance / full) ** -0.65).clamp_max(0.2)
    return conductance * quality * math.sqrt(math.log((time + PCM_READ) / (2 * PCM_READ)))


def pcm_programming_deviation(conductance: Tensor, time: float = 0.0, *, full: float = PCM_FULL) -> Tensor:
    r"""Programming noise of phase-change memory.

    :math:`0.263 + 1.965 x - 1.173 x^2` microsiemens of 25, with :math:`x = g / g_\mathrm{full}`; for another full
    conductance it is scaled with it, an assumption.

    Parameters
    ----------
    conductance : Tensor
        Siemens.
    time : float
        Without effect.
    full : float
        :math:`g_\mathrm{full}`, siemens.

    Returns
    -------
    Tensor
        Siemens, at least 0.

    Raises
    ------
    ValueError
        A full conductance that is not positive.
    """
    _check_full(full)
    x = conductance / full
    return ((0.263 + 1.965 * x - 1.173 * x * x) * 1e-6 * (full / PCM_FULL)).clamp_min(0)


def rram_programming_deviation(conductance: Tensor, time: float = 0.0, *, full: float = RRAM_FULL) -> Tensor:
    """Programming noise of resistive memory, which is smaller for higher conductances.

    A line from 4.3 microsiemens at 50 to 2.7 at 225, and constant outside; for another full conductance than 225
    microsiemens all of it is scaled, an assumption.

    Parameters
    ----------
    conductance : Tensor
        Siemens.
    time : float
        Without effect.
    full : float
        Highest conductance, siemens.

    Returns
    -------
    Tensor
        Siemens.

    Raises
    ------
    ValueError
        A full conductance that is not positive.
    """
    _check_full(full)
    scale = full / RRAM_FULL
    along = ((conductance / scale - 50e-6) / 175e-6).clamp(0, 1)
    return (4.3e-6 - 1.6e-6 * along) * scale


def write_deviation(conductance: Tensor, time: float = 0.0, *, device: Device, spread: float) -> Tensor:
    r"""Write noise that vanishes at the lowest conductance: spread :math:`\sqrt{(g - g_\min)(g_\max - g_\min)}`.

    Source: a note on ClipFormer, where the spread is a factor of 3 to 5 times the deviation of a unit draw.

    Parameters
    ----------
    conductance : Tensor
        Siemens; below the lowest of the device there is no noise.
    time : float
        Without effect.
    device : Device
        Gives the range.
    spread : float
        Relative deviation of a fully conducting device, at least 0.

    Returns
    -------
    Tensor
        Siemens.

    Raises
    ------
    ValueError
        A negative or infinite `spread`.
    """
    _check("spread", spread)
    return spread * ((conductance - device.low).clamp_min(0) * (device.high - device.low)).sqrt()


def rectified_moments(mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and standard deviation of what `noisy` draws, the cut at zero taken into account.

    With :math:`r = \mu / s`, density :math:`\varphi` and distribution :math:`\Phi` of the standard normal,

    .. math:: E = \mu \Phi(r) + s \varphi(r), \qquad E_2 = (\mu^2 + s^2) \Phi(r) + \mu s \varphi(r)

    Parameters
    ----------
    mean : Tensor
        Before the cut, at least 0.
    deviation : Tensor
        Before the cut, at least 0, of the same shape.

    Returns
    -------
    mean, deviation : Tensor
        After the cut, of the same shape.
    """
    ratio = torch.where(deviation > 0, mean / deviation, torch.inf)  # a draw without noise is never cut
    below = torch.special.erfc(ratio * math.sqrt(0.5)) / 2  # small, so that nothing is lost where noise is weak
    density = torch.exp(-ratio.square() / 2) / math.sqrt(2 * math.pi)
    gain = deviation * density - mean * below  # what the cut adds to the mean
    variance = deviation.square() * (1 - below) - mean * gain - gain.square()
    return mean + gain, variance.clamp_min(0).sqrt()


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers on the device of the generator.

    Parameters
    ----------
    like : Tensor
        Gives shape, type and where the result goes.
    generator : torch.Generator

    Returns
    -------
    Tensor
        The shape of `like`.
    """
    drawn = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=generator.device)
    return drawn.to(like.device)


def _check(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and at least 0, got {value}.")


def _check_full(full: float) -> None:
    if not (math.isfinite(full) and full > 0):
        raise ValueError(f"full must be a finite conductance above 0 siemens, got {full}.")
