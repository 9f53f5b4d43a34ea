"""What an argument must be, checked once and refused in one sentence."""

from __future__ import annotations

import operator

import torch


def as_whole(value: object) -> int | None:
    """Return a whole number as Python's, None for what is none; NumPy's and PyTorch's are, a truth value is not."""
    if isinstance(value, bool) or getattr(value, "dtype", None) in (bool, torch.bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def whole(name: str, value: object, least: int | None = 1, most: int | None = None) -> int:
    """Return a whole number within bounds as Python's.

    Parameters
    ----------
    name : str, what the sentence calls it
    value : object
    least : int or None, the smallest that is allowed, None where any is
    most : int or None, the largest that is allowed; with it both bounds stand in the sentence

    Returns
    -------
    int

    Raises
    ------
    ValueError
        A value that is no whole number, too small or too large.

    Examples
    --------
    >>> whole("steps", torch.tensor(4))
    4
    """
    number = as_whole(value)
    if most is not None and least is not None and (number is None or not least <= number <= most):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {value!r}.")
    if number is None:
        raise ValueError(f"{name} must be a whole number, got {value!r}.")
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}.")
    return number
