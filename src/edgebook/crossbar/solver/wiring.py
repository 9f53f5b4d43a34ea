"""What every circuit function asks of its arguments, in one sentence each."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # of numbers that the circuit is solved for


class Wiring(NamedTuple):
    """Resistances in ohms: wire per cell along word lines and bit lines, source and sense in series with each line.

    Examples
    --------
    >>> Wiring(word=5.0, bit=10.0, source=1005.0, sense=1010.0).turned()
    Wiring(word=10.0, bit=5.0, source=1010.0, sense=1005.0)
    """

    word: float
    bit: float
    source: float
    sense: float

    def turned(self) -> Wiring:
        """Return the wiring of the array read from the other side: word lines become bit lines."""
        return Wiring(self.bit, self.word, self.sense, self.source)


def wiring(r_word: float, r_bit: float, r_source: float, r_sense: float) -> Wiring:
    """Check four resistances in ohms."""
    given = {"r_word": r_word, "r_bit": r_bit, "r_source": r_source, "r_sense": r_sense}
    for name, value in given.items():
        check_number(name, value)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite resistance of at least 0 ohm, got {value}.")
    return Wiring(*(float(value) for value in given.values()))


def check_number(name: str, value: float) -> None:
    """Refuse a tensor, which may want a gradient and would get none."""
    if isinstance(value, Tensor):
        raise ValueError(f"{name} must be a number, got a tensor, to which no gradient would go.")


def kind_of(value: object) -> str:
    """Return what is said of an argument that is no dense tensor of such numbers."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return str(value.dtype) if value.layout is torch.strided else f"{value.dtype}, {value.layout}"


def check_array(conductance: Tensor, what: str = "conductance") -> None:
    """Refuse what is no array (..., M, N) of numbers, whatever they are."""
    if not isinstance(conductance, Tensor) or conductance.dtype not in KINDS or conductance.layout is not torch.strided:
        raise ValueError(f"{what} must be a floating-point tensor, got {kind_of(conductance)}.")
    if conductance.ndim < 2 or 0 in conductance.shape[-2:]:
        raise ValueError(f"{what} must have shape (..., M, N) with M and N at least 1, got {tuple(conductance.shape)}.")


def check_values(conductance: Tensor, what: str = "conductance") -> None:
    """Refuse conductances that are negative or not finite; the position of a wrong one is named."""
    values = conductance.detach()
    if values.numel() == 0 or (torch.isfinite(values.sum()) and values.min() >= 0):
        return  # the common case in two passes
    wrong = ~(torch.isfinite(values) & (values >= 0))
    if wrong.any():
        position = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(f"{what} must be finite and at least 0, got {float(values[position])} at position {position}.")
