"""Energy from operation counts, with the 45 nm constants of the edge-AI literature.

An analytical model: arithmetic and, where asked, one memory access per value; no buffers, control or converters. It
ranks networks; it predicts no device.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from edgebook.measure.operations import LayerCost

PICOJOULE = 1e-12


class OperationEnergy(NamedTuple):
    """Joules per operation: a multiply-accumulate, and an addition (accumulate) alone.

    Examples
    --------
    >>> round(ENERGY_45NM["float32"].mac / ENERGY_45NM["float32"].add, 1)
    5.1
    """

    mac: float
    add: float


# Horowitz, "Computing's energy problem", ISSCC 2014, 45 nm at 0.9 V; multiply + add for a MAC.
ENERGY_45NM: dict[str, OperationEnergy] = {
    "float32": OperationEnergy(mac=4.6 * PICOJOULE, add=0.9 * PICOJOULE),
    "int32": OperationEnergy(mac=3.2 * PICOJOULE, add=0.1 * PICOJOULE),
    "int8": OperationEnergy(mac=0.23 * PICOJOULE, add=0.03 * PICOJOULE),
}


def arithmetic_energy(
    macs: float, adds: float = 0.0, *, precision: Literal["float32", "int32", "int8"] = "float32"
) -> float:
    """Energy of multiply-accumulates and additions at 45 nm.

    Parameters
    ----------
    macs, adds : float, numbers of operations
    precision : {"float32", "int32", "int8"}, row of `ENERGY_45NM`

    Returns
    -------
    float, joules

    Raises
    ------
    ValueError
        An unknown precision or a negative count.

    Examples
    --------
    >>> arithmetic_energy(1e9)
    0.0046
    """
    if precision not in ENERGY_45NM:
        raise ValueError(f"precision must be one of {', '.join(ENERGY_45NM)}, got {precision!r}.")
    if macs < 0 or adds < 0:
        raise ValueError(f"Counts must not be negative, got {macs} MACs and {adds} additions.")
    constants = ENERGY_45NM[precision]
    return macs * constants.mac + adds * constants.add


def layer_energy(cost: LayerCost, bits: int = 32) -> float:
    r"""Joules of one layer at k-bit integers, with one memory access per input and per weight.

    .. math:: E = N_\mathrm{mem} \cdot 2.5\,k + N_\mathrm{MAC} \left(3.1\,\tfrac{k}{32} + 0.1\right) \;\text{pJ}

    Source: the model of Vasquez et al., arXiv 2101.04354 (reconstructed; constants of Horowitz's 45 nm table).

    Parameters
    ----------
    cost : LayerCost, counts of the layer
    bits : int, width `k` of weights and activations

    Returns
    -------
    float, joules

    Raises
    ------
    ValueError
        Fewer than 1 bit.

    Examples
    --------
    >>> cost = LayerCost(macs=1000, weights=100, inputs=100, outputs=10)
    >>> round(layer_energy(cost, 32) / layer_energy(cost, 8), 2)
    3.94
    """
    if bits < 1:
        raise ValueError(f"bits must be at least 1, got {bits}.")
    memory = (cost.inputs + cost.weights) * 2.5 * bits  # 2.5 pJ a bit, read once
    return (memory + cost.macs * (3.1 * bits / 32 + 0.1)) * PICOJOULE


def network_energy(costs: Iterable[LayerCost], bits: int = 32) -> float:
    """Energy of one inference, the sum of `layer_energy` over layers.

    Parameters
    ----------
    costs : iterable of LayerCost, counts of each layer
    bits : int, width of weights and activations

    Returns
    -------
    float, joules
    """
    return sum(layer_energy(cost, bits) for cost in costs)
