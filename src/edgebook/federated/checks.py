"""What a real number or a set of labels must be before it decides anything, each in one sentence."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LONGEST = 1e9  # seconds; a limit beyond it, about thirty years, counts as none


def finite(name: str, value: Any, above: float | None = None) -> float:
    """Return a real number that is finite, or raise a TypeError or, for any other number, a ValueError."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not math.isfinite(value) or (above is not None and value <= above):
        wanted = "a finite number" if above is None else f"above {above:g} and finite"
        raise ValueError(f"{name} must be {wanted}, got {value}.")
    return float(value)


def limit(timeout: float | None) -> float:
    """Return the seconds that an answer may take, 0 where there is no limit; neither 0 nor NaN is one."""
    if timeout is None or timeout > LONGEST:
        return 0.0
    return finite("timeout", timeout, above=0)


def classes(labels: ArrayLike) -> NDArray:
    """Return labels as an array with one class for each sample, whole numbers or words, or raise a ValueError."""
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found):
        hint = "; one-hot labels become classes by argmax(1)" if found.ndim == 2 else ""
        raise ValueError(f"labels must have the shape (N,), one class for each sample, got {found.shape}{hint}.")
    if found.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            number = found.astype(np.int64)
        if not np.array_equal(number, found):
            raise ValueError(f"labels must be whole numbers or words, got fractions, NaN or infinity in {found.dtype}.")
        return number
    if found.dtype.kind not in "iubUS":
        raise ValueError(f"labels must be whole numbers or words, got {found.dtype}.")
    return found
