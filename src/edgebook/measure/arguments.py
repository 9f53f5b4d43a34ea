"""What an argument must be, checked once and refused in one sentence."""

from __future__ import annotations

import operator

import torch


def whole(name: str, value: object, least: int | None = 1) -> int:
    """Return a whole number as Python's; NumPy's and PyTorch's are whole numbers too, and a truth value is none.

    Parameters
    ----------
    name : str, what the sentence calls it
    value : object
    least : int or None, the smallest that is allowed, None where any is

    Returns
    -------
    int

    Raises
    ------
    ValueError
        A value that is no whole number, or too small.

    Examples
    --------
    >>> whole("steps", torch.tensor(4))
    4
    """
    truth = isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool
    try:
        number = None if truth else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None:
        raise ValueError(f"{name} must be a whole number, got {value!r}.")
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}.")
    return number
