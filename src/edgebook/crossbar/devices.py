"""A programmable resistor: the range of its conductance, and the levels that it is programmed to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from edgebook.crossbar.solver.wiring import Wiring

MOST_BITS = 24  # what a single-precision number resolves


@dataclass(frozen=True)
class Device:
    """The range of conductance of one device.

    Parameters
    ----------
    on_resistance : float
        Ohms at the highest conductance.
    on_off : float
        Highest over lowest conductance, above 1; infinite for a device that can be switched off.

    Raises
    ------
    ValueError
        A resistance that is not positive and finite, or a ratio that is not above 1.
    """

    on_resistance: float = 20e3
    on_off: float = 10.0

    def __post_init__(self) -> None:
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


# On/off ratios: table 1 of Bhattacharjee et al., arXiv 2305.18416, as a public note on it reports them; that of the
# FeFET and all resistances are plausible values, not the paper's.
DEVICES: dict[str, Device] = {
    "rram": Device(20e3, 10),
    "pcm-i": Device(40e3, 40),
    "pcm-ii": Device(40e3, 80),
    "fefet": Device(240e3, 100),
}

# "heavy": driver and sense of 1 kilo-ohm, wires of 5 and 10 ohm a cell, as the same note reports, with one segment of
# wire in series with each terminal (an assumption). "medium" and "light" are for comparison; 1 to 5 ohm a cell is what
# an array of 22 to 45 nm has.
WIRES: dict[str, Wiring] = {
    "heavy": Wiring(word=5.0, bit=10.0, source=1005.0, sense=1010.0),
    "medium": Wiring(word=2.5, bit=2.5, source=102.5, sense=102.5),
    "light": Wiring(word=1.0, bit=1.0, source=1.0, sense=1.0),
}


def level_conductance(level: Tensor, device: Device, *, bits: int) -> Tensor:
    """Return the conductances of levels, which lie at equal distances between lowest and highest.

    Parameters
    ----------
    level : Tensor
        Integers 0 to 2^bits - 1, any shape.
    device : Device
    bits : int
        Bits that a device holds, 1 to 24.

    Returns
    -------
    Tensor
        Siemens, double precision, the shape of the argument.

    Raises
    ------
    ValueError
        A level that the device does not have, levels that are no integers, or an impossible number of bits.
    """
    check_bits("bits", bits)
    if level.is_floating_point() or level.is_complex():
        raise ValueError(f"Levels must be integers, got {level.dtype}.")
    top = 2**bits - 1
    if level.numel() and not 0 <= int(level.min()) <= int(level.max()) <= top:
        raise ValueError(
            f"Levels of {bits} bits lie between 0 and {top}, got {int(level.min())} to {int(level.max())}."
        )
    return device.low + (device.high - device.low) * (level.double() / top)


def check_bits(name: str, bits: int) -> None:
    """Refuse a number of bits that no device or weight has.

    Parameters
    ----------
    name : str
        What the number is called in the message.
    bits : int

    Raises
    ------
    ValueError
        Not a whole number from 1 to 24.
    """
    if not isinstance(bits, int) or not 1 <= bits <= MOST_BITS:
        raise ValueError(f"{name} must be a whole number from 1 to {MOST_BITS}, got {bits!r}.")
