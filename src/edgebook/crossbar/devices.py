"""A programmable resistor: the range of its conductance, and the levels that it is programmed to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from edgebook.crossbar.solver.wiring import Wiring, check_number
from edgebook.measure.arguments import whole

MOST_BITS = 24  # what a single-precision number resolves


@dataclass(frozen=True)
class Device:
    """The range of conductance of one device.

    Parameters
    ----------
    on_resistance : float, ohms at the highest conductance
    on_off : float, highest over lowest conductance, above 1; infinite for a device that can be switched off

    Raises
    ------
    ValueError
        A resistance that is not positive and finite, or a ratio that is not above 1.

    Examples
    --------
    >>> Device(on_resistance=1e5, on_off=10).low  # siemens
    1.0000000000000002e-06
    """

    on_resistance: float = 20e3
    on_off: float = 10.0

    def __post_init__(self) -> None:
        for name in ("on_resistance", "on_off"):
            check_number(name, getattr(self, name))
        if not (math.isfinite(self.on_resistance) and self.on_resistance > 0):
            raise ValueError(f"on_resistance must be finite and above 0 ohm, got {self.on_resistance}.")
        if not self.on_off > 1:
            raise ValueError(f"on_off must be above 1, got {self.on_off}.")

    @property
    def high(self) -> float:
        """The highest conductance, siemens."""
        return 1 / self.on_resistance

    @property
    def low(self) -> float:
        """The lowest conductance, siemens."""
        return self.high / self.on_off


# "heavy": driver and sense of 1 kilo-ohm, wires of 5 and 10 ohm a cell, as a public note on Bhattacharjee et al., arXiv
# 2305.18416, reports them, with one segment of wire in series with each terminal (an assumption). "medium" and "light"
# are for comparison; 1 to 5 ohm a cell is what an array of 22 to 45 nm has.
WIRES: dict[str, Wiring] = {
    "heavy": Wiring(word=5.0, bit=10.0, source=1005.0, sense=1010.0),
    "medium": Wiring(word=2.5, bit=2.5, source=102.5, sense=102.5),
    "light": Wiring(word=1.0, bit=1.0, source=1.0, sense=1.0),
}


def level_conductance(level: Tensor, device: Device, *, bits: int) -> Tensor:
    """Return the conductances, siemens, of integer levels 0 to 2^bits - 1, equally far apart; double precision."""
    check_bits("bits", bits)
    if level.is_floating_point() or level.is_complex():
        raise ValueError(f"Levels must be integers, got {level.dtype}.")
    top = 2**bits - 1
    if level.numel() and not 0 <= int(level.min()) <= int(level.max()) <= top:
        raise ValueError(
            f"Levels of {bits} bits lie between 0 and {top}, got {int(level.min())} to {int(level.max())}."
        )
    return device.low + (device.high - device.low) * (level.double() / top)


def check_bits(name: str, bits: int) -> int:
    """Refuse a number of bits that no device or weight has."""
    return whole(name, bits, 1, MOST_BITS)
