"""Intervals and tests for a handful of seeds.

SciPy is imported where it is needed: a notebook that is not judged does without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A two-sided confidence interval."""

    low: float
    high: float


def mean_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    r"""Student's interval of a mean: :math:`\bar x \pm t_{n-1} s / \sqrt n`.

    Chosen over the bootstrap because the bootstrap's coverage is too low at 8 seeds: on normal samples a
    nominal 95 % interval covers about 88 % (percentile and BCa alike) where Student's covers 95 %. Strong skew
    lowers all three, Student's the least. The page on verdicts shows the simulation.

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

    quantile = special.stdtrit(len(values) - 1, 0.5 + confidence / 2)  # scipy.stats would take a second to import
    half = quantile * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean() - half), float(values.mean() + half))


def mean_exceeds(samples: Sequence[float], bound: float) -> float:
    """One-sided p-value of the t-test that the mean is at most `bound` (small: it lies above).

    Constant samples give 0 or 1 according to the side of the bound on which they lie. Fewer than two samples, or one
    that is not finite, are a `ValueError`.
    """
    values = _finite(samples, at_least=2)
    error = values.std(ddof=1) / np.sqrt(len(values))
    if error == 0:
        return 0.0 if values[0] > bound else 1.0
    from scipy import special

    return float(special.stdtr(len(values) - 1, (bound - values.mean()) / error))


def equivalence_p_value(samples: Sequence[float], margin: float) -> float:
    """P-value of the two one-sided t-tests (TOST) that the mean is at least `margin` from zero (small: it is nearer).

    Source: Schuirmann (1987), *A comparison of the two one-sided tests procedure and the power approach for
    assessing the equivalence of average bioavailability*.

    The larger of the two one-sided p-values, at most 0.05 where the 90 % interval lies within the margin. A margin
    that is not a finite number above zero is a `ValueError`, and so is what `mean_exceeds` refuses.
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"margin must be a finite number above 0, got {margin}.")
    values = np.asarray(samples, dtype=float)
    return max(mean_exceeds(values, -margin), mean_exceeds(-values, -margin))


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
