r"""What moves a conductance from where it was put: the noise of a read, and drift.

Sources: relative noise follows Bhattacharjee et al., arXiv 2305.18416 (as reconstructed from the figures reported for
it). Drift is the usual power law, :math:`g(t) = g(1\,\mathrm{s})\, t^{-\nu}`, each device with an exponent of its own:
were all equal, drift would be a gain that one scalar undoes; it is their spread that distorts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Deviation = Callable[[Tensor], Tensor]  # conductances to the standard deviations of one read, siemens


def relative_deviation(conductance: Tensor, *, sigma: float) -> Tensor:
    r"""Deviation of a read in proportion: :math:`\sigma\, g`.

    Parameters
    ----------
    conductance : Tensor, siemens
    sigma : float, at least 0; the paper sweeps 0.05 to 0.35

    Returns
    -------
    Tensor, siemens

    Raises
    ------
    ValueError
        A negative or infinite `sigma`.

    Examples
    --------
    >>> relative_deviation(torch.tensor([0.0, 2.0]), sigma=0.25)
    tensor([0.0000, 0.5000])
    """
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma must be finite and at least 0, got {sigma}.")
    return sigma * conductance


def rectified_moments(mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and standard deviation of Gaussian draws that are 0 where they would be negative, elementwise.

    With :math:`r = \mu / s`, density :math:`\varphi` and distribution :math:`\Phi` of the standard normal,

    .. math:: E = \mu \Phi(r) + s \varphi(r), \qquad E_2 = (\mu^2 + s^2) \Phi(r) + \mu s \varphi(r)
    """
    ratio = torch.where(deviation > 0, mean / deviation, torch.inf)  # a draw without noise is never cut
    below = torch.special.erfc(ratio * math.sqrt(0.5)) / 2  # small, so that nothing is lost where noise is weak
    density = torch.exp(-ratio.square() / 2) / math.sqrt(2 * math.pi)
    gain = deviation * density - mean * below  # what the cut adds to the mean
    variance = deviation.square() * (1 - below) - mean * gain - gain.square()
    return mean + gain, variance.clamp_min(0).sqrt()


def power_law_drift(
    conductance: Tensor, generator: torch.Generator, time: float, *, mean: float, spread: float = 0.0
) -> Tensor:
    """Drift with normally distributed exponents, cut at 0, that depend on the generator alone, not on the time.

    Parameters
    ----------
    conductance : Tensor, siemens one second after programming, any shape
    generator : torch.Generator, decides the exponents
    time : float, seconds since programming, at least 1
    mean, spread : float, of the exponents, at least 0; phase-change memory has 0.03 to 0.06 on average

    Returns
    -------
    Tensor, siemens, the shape and type of the argument

    Raises
    ------
    ValueError
        A negative mean or spread, or a time that is not finite or before the first second.

    Examples
    --------
    >>> power_law_drift(torch.ones(2), torch.Generator(), 1e4, mean=0.25)
    tensor([0.1000, 0.1000])
    """
    for name, value in (("mean", mean), ("spread", spread)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"The {name} of the exponents must be finite and at least 0, got {value}.")
    if not (math.isfinite(time) and time >= 1):
        raise ValueError(f"time must be finite and not before the start of the drift at 1 s, got {time}.")
    exact = torch.promote_types(conductance.dtype, torch.float32)
    normal = torch.randn(conductance.shape, generator=generator, dtype=exact, device=generator.device)
    exponents = (mean + spread * normal.to(conductance.device)).clamp_min(0)
    return (conductance * torch.exp(-exponents * math.log(time))).to(conductance.dtype)
