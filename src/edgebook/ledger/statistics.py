"""Intervals and tests for a handful of seeds.

SciPy is imported where it is needed: a notebook that is not judged does without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Samples that differ by less than this share of the largest are equal up to rounding.
_ROUNDING = 1000 * float(np.finfo(float).eps)


class Interval(NamedTuple):
    """A two-sided confidence interval."""

    low: float
    high: float


def mean_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    r"""Student's interval of a mean: :math:`\bar x \pm t_{n-1} s / \sqrt n`.

    Chosen over the bootstrap because the bootstrap's coverage is too low at 8 seeds: on normal samples a
    nominal 95 % interval covers about 88 % (percentile and BCa alike) where Student's covers 95 %. Strong skew
    lowers all three, Student's the least. The page on verdicts shows the simulation. Samples that are constant up to
    rounding have the interval from the smallest to the largest.

    Parameters
    ----------
    samples : sequence of float
        At least two values, one per seed.
    confidence : float
        Nominal coverage, strictly between 0 and 1.

    Returns
    -------
    Interval
        Its two ends.

    Raises
    ------
    ValueError
        Fewer than two samples, a sample that is not finite, or a confidence outside (0, 1).
    """
    values = _finite(samples, at_least=2)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}.")
    from scipy import special

    values, exponent = _scaled(values)
    if _constant(values):
        low, high = values.min(), values.max()
    else:
        quantile = special.stdtrit(len(values) - 1, 0.5 + confidence / 2)  # scipy.stats would take a second to import
        half = quantile * values.std(ddof=1) / np.sqrt(len(values))
        low, high = values.mean() - half, values.mean() + half
    return Interval(_times(low, exponent), _times(high, exponent))


def mean_exceeds(samples: Sequence[float], bound: float) -> float:
    """One-sided p-value of the t-test that the mean is at most `bound` (small: it lies above).

    Samples that are constant up to rounding give 0 where they lie above the bound by more than rounding, else 1. Fewer
    than two samples, or one that is not finite, are a `ValueError`, and so is a bound that is no number.
    """
    values, exponent = _scaled(_finite(samples, at_least=2))
    if math.isnan(bound):
        raise ValueError("bound must be a number, got nan.")
    bound = _times(bound, -exponent)
    if _constant(values):
        return float(not lies_above(values.min(), bound))
    from scipy import special

    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(special.stdtr(len(values) - 1, (bound - values.mean()) / error))


def lies_above(value: float, bound: float) -> bool:
    """Tell whether a value lies above a bound by more than rounding, which else would decide."""
    size = max(abs(value), abs(bound))
    return bool(value > bound if math.isinf(size) else value - bound > _ROUNDING * size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values of tests made together, in the order given: each at least its own, at most 1.

    Source: Holm (1979), *A simple sequentially rejective multiple test procedure*. A value outside [0, 1] is a
    `ValueError`.
    """
    p = np.asarray(p_values, dtype=float)
    if p.size and not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1, got {list(p_values)}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def _finite(samples: Sequence[float], at_least: int) -> np.ndarray:
    values = np.asarray(samples, dtype=float)
    if values.ndim != 1 or len(values) < at_least:
        raise ValueError(f"at least {at_least} samples in one dimension are needed, got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(f"samples must be finite, but sample {int(np.argmin(np.isfinite(values)))} is not.")
    return values


def _scaled(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return values below 1 and the power of two that was taken out: their squares neither vanish nor overflow."""
    exponent = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -exponent), exponent


def _constant(values: np.ndarray) -> bool:
    """Tell whether values are equal up to rounding."""
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())


def _times(value: float, exponent: int) -> float:
    """Return a value times a power of two, infinite where no number is as large."""
    with np.errstate(over="ignore"):
        return float(np.ldexp(value, exponent))
