r"""Early-Bird tickets: stop looking for a mask as soon as it no longer changes.

Sources: You et al., *Drawing Early-Bird Tickets*, arXiv 1909.11957, for channels; for single weights, as here, Kim et
al., arXiv 2207.01382, and its code.

The released code advances the learning rate twice an epoch, so that it falls to zero at half time and climbs back:

.. math:: \eta_e = \frac{\eta_0}{2} \left(1 + \cos \frac{\pi s e}{E}\right),
    \qquad s = 1 \text{ (cosine annealing)}, \quad s = 2 \text{ (as released)} .
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from edgebook.compression.arguments import check_masks
from edgebook.measure.arguments import whole


def mask_distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Return the share of entries in which two masks differ (their normalised Hamming distance).

    Parameters
    ----------
    first, second : mapping of str to Tensor, masks of the same names and shapes

    Returns
    -------
    float, 0 to 1; masks of one sparsity s differ by at most 2 min(s, 1 - s), so sparse ones meet a tolerance sooner

    Raises
    ------
    ValueError
        Names or shapes differ, there is no entry, or a mask is no bool tensor.
    """
    check_masks(first)
    check_masks(second)
    if set(first) != set(second) or any(first[name].shape != second[name].shape for name in first):
        raise ValueError("Masks can be compared only where they have the same names and shapes.")
    total = sum(mask.numel() for mask in first.values())
    if total == 0:
        raise ValueError("Masks must hold at least one entry.")
    return sum(int((first[name] != second[name].to(first[name].device)).count_nonzero()) for name in first) / total


def is_early_bird(history: Sequence[Mapping[str, Tensor]], *, window: int = 5, tolerance: float = 0.02) -> bool:
    """Tell whether the masks have settled: all of the last ones are nearer to the newest than the tolerance.

    Parameters
    ----------
    history : sequence of mappings of str to Tensor, one set of masks per epoch, the newest last
    window : int, masks that are compared, the newest included, at least 2; no bird is found in fewer epochs
    tolerance : float, share of entries that may differ, not included

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        The window is below 2, or the tolerance negative; and as in `mask_distance`.
    """
    window = whole("window", window, 2)
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}.")
    if len(history) < window:
        return False
    *older, newest = history[-window:]
    return all(mask_distance(newest, masks) < tolerance for masks in older)


def cosine_rate(done: float, peak: float, *, speed: float = 1.0) -> float:
    """Learning rate of a cosine schedule after some share of a training.

    Parameters
    ----------
    done : float, share of the epochs that is over, 0 to 1
    peak : float, rate at the start
    speed : float, how often the schedule is advanced per epoch: 1 as intended, 2 as in the released retraining

    Returns
    -------
    float

    Raises
    ------
    ValueError
        A share outside [0, 1], or a rate or speed that is not finite.
    """
    if not 0 <= done <= 1 or not math.isfinite(peak * speed):
        raise ValueError(f"done must lie between 0 and 1, peak and speed be finite, got {done}, {peak} and {speed}.")
    return peak * (0.5 + 0.5 * math.cos(math.pi * speed * done))
