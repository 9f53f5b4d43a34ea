"""What every circuit function asks of its arguments, in one sentence each."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Wiring(NamedTuple):
    """Resistances in ohms: wire per cell along word lines and bit lines, source and sense in series with each line."""

    word: float
    bit: float
    source: float
    sense: float

    def turned(self) -> Wiring:
        """Return the wiring of the array read from the other side: word lines become bit lines."""
        return Wiring(self.bit, self.word, self.sense, self.source)


def wiring(r_word: float, r_bit: float, r_source: float, r_sense: float) -> Wiring:
    """Check four resistances.

    Parameters
    ----------
    r_word, r_bit, r_source, r_sense : float
        Ohms.

    Returns
    -------
    Wiring
        The four together.

    Raises
    ------
    ValueError
        One is negative, infinite or no number.
    """
    given = {"r_word": r_word, "r_bit": r_bit, "r_source": r_source, "r_sense": r_sense}
    for name, value in given.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite resistance of at least 0 ohm, got {value}.")
    return Wiring(*(float(value) for value in given.values()))


def check_conductance(conductance: Tensor) -> None:
    """Refuse what is no array of conductances.

    Parameters
    ----------
    conductance : Tensor, (..., M, N)
        Siemens.

    Raises
    ------
    ValueError
        Fewer than two dimensions, no word line or bit line, not a real floating-point tensor, or a conductance that
        is negative or not finite; its position is named.
    """
    if not isinstance(conductance, Tensor) or not conductance.is_floating_point():
        kind = conductance.dtype if isinstance(conductance, Tensor) else type(conductance).__name__
        raise ValueError(f"conductance must be a floating-point tensor, got {kind}.")
    if conductance.ndim < 2 or 0 in conductance.shape[-2:]:
        raise ValueError(
            f"conductance must have shape (..., M, N) with M and N at least 1, got {tuple(conductance.shape)}."
        )
    values = conductance.detach()
    if values.numel() == 0 or (torch.isfinite(values.sum()) and values.min() >= 0):
        return  # the common case in two passes
    wrong = ~(torch.isfinite(values) & (values >= 0))
    if wrong.any():
        position = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(
            f"conductance must be finite and at least 0, got {float(values[position])} at position {position}."
        )


def check_voltages(voltages: Tensor, conductance: Tensor) -> None:
    """Refuse voltages that do not fit the word lines.

    Parameters
    ----------
    voltages : Tensor, (..., K, M)
        Volts, K input vectors.
    conductance : Tensor, (..., M, N)
        Siemens.

    Raises
    ------
    ValueError
        Not one voltage per word line, leading dimensions that do not broadcast, or a voltage that is not finite.
    """
    lines = conductance.shape[-2]
    if voltages.ndim < 2 or voltages.shape[-1] != lines:
        raise ValueError(f"voltages must have shape (..., K, {lines}), one per word line, got {tuple(voltages.shape)}.")
    try:
        torch.broadcast_shapes(voltages.shape[:-2], conductance.shape[:-2])
    except RuntimeError:
        raise ValueError(
            f"Leading dimensions of voltages and conductance do not fit: {tuple(voltages.shape)} "
            f"and {tuple(conductance.shape)}."
        ) from None
    wrong = ~torch.isfinite(voltages)
    if wrong.any():
        position = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(f"voltages must be finite, got {float(voltages[position])} at position {position}.")
