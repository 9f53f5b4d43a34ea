"""Showing that there is no difference, which is more than failing to show one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgebook.measure.statistics import mean_exceeds


def equivalence_p_value(samples: Sequence[float], margin: float) -> float:
    """P-value of the two one-sided t-tests (TOST) that the mean is at least `margin` from zero (small: it is nearer).

    Source: Schuirmann (1987), *A comparison of the two one-sided tests procedure and the power approach for
    assessing the equivalence of average bioavailability*.

    Parameters
    ----------
    samples : sequence of float
        At least two differences, one per seed.
    margin : float
        Smallest difference that counts, above zero.

    Returns
    -------
    float
        The larger of the two one-sided p-values; at most 0.05 where the 90 % interval lies within the margin.

    Raises
    ------
    ValueError
        Fewer than two samples, a sample that is not finite, or a margin that is not a finite number above zero.
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"margin must be a finite number above 0, got {margin}.")
    values = np.asarray(samples, dtype=float)
    return max(mean_exceeds(values, -margin), mean_exceeds(-values, -margin))
