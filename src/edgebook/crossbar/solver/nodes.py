"""Voltages at every node of a crossbar, and where its power goes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from edgebook.crossbar.solver.iterative import bit_rise, device_currents, word_drop
from edgebook.crossbar.solver.wiring import wiring


class Nodes(NamedTuple):
    """The state of an array for each input vector.

    Attributes
    ----------
    word, bit : Tensor, (..., K, M, N)
        Voltages of the word-line and the bit-line node of each device, volts.
    current : Tensor, (..., K, M, N)
        Through each device, from word line to bit line, amperes.
    """

    word: Tensor
    bit: Tensor
    current: Tensor


def node_voltages(
    voltages: Tensor,
    conductance: Tensor,
    *,
    r_word: float,
    r_bit: float,
    r_source: float,
    r_sense: float,
    tolerance: float = 1e-13,
) -> Nodes:
    """Return the voltages at all nodes and the currents through all devices.

    Parameters
    ----------
    voltages : Tensor, (..., K, M)
        Volts at the sources, K input vectors.
    conductance : Tensor, (..., M, N)
        Siemens, at least 0. Leading dimensions of both broadcast.
    r_word, r_bit, r_source, r_sense : float
        Ohms, at least 0, as drawn at `effective_conductance`.
    tolerance : float
        As for `device_currents`.

    Returns
    -------
    Nodes
        In double precision, differentiable once.

    Raises
    ------
    ValueError, RuntimeError
        As `device_currents`.
    """
    ohm = {"r_word": r_word, "r_bit": r_bit, "r_source": r_source, "r_sense": r_sense}
    current = device_currents(voltages, conductance, **ohm, tolerance=tolerance)
    wires = wiring(**ohm)
    word = voltages.double().unsqueeze(-1) - word_drop(current, wires)
    return Nodes(word, bit_rise(current, wires), current)


def dissipation(nodes: Nodes, voltages: Tensor) -> tuple[Tensor, Tensor]:
    """Return the power that goes into the devices, and into all wires, sources and senses together.

    Parameters
    ----------
    nodes : Nodes
        From `node_voltages`.
    voltages : Tensor, (..., K, M)
        Volts at the sources.

    Returns
    -------
    devices, wires : Tensor, (..., K)
        Watts. What the sources deliver is the sum of the two.
    """
    delivered = (voltages.double() * nodes.current.sum(-1)).sum(-1)
    devices = ((nodes.word - nodes.bit) * nodes.current).sum((-2, -1))
    return devices, delivered - devices
