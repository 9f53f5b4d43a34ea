r"""Products of a few bits in a memory: what they cost at 45 nm, and how they are put together from single bits.

A memory multiplies bit by bit: with the planes :math:`x = \sum_i 2^i x_i` and :math:`w = \sum_j 2^j w_j`, a dot
product is :math:`k_x k_w` passes of bit-wise ANDs and counts, shifted and added. That its energy grows as the square of
the bits is what the table shows too.
"""

from __future__ import annotations

from torch import Tensor

from edgebook.measure.arguments import whole
from edgebook.measure.operations import LayerCost

# Joules of one multiply-accumulate in the memory and of its shift and addition, by bits; no converters, no transfers.
# Table IV of Vasquez et al., arXiv 2101.04354 (as remembered).
PIM_45NM: dict[int, float] = {2: 2.942e-15, 4: 16.968e-15, 8: 66.714e-15, 16: 276.676e-15}


def supported_bits(bits: int) -> int:
    """Round bits up to the next width that the memory has.

    Parameters
    ----------
    bits : int, 1 to 16

    Returns
    -------
    int, a key of `PIM_45NM`

    Raises
    ------
    ValueError
        Bits that are no whole number from 1 to 16.

    Examples
    --------
    >>> [supported_bits(bits) for bits in (1, 2, 3, 5, 16)]
    [2, 2, 4, 8, 16]
    >>> PIM_45NM[supported_bits(3)]
    1.6968e-14
    """
    wanted = whole("bits", bits, 1, max(PIM_45NM))
    return min(width for width in PIM_45NM if width >= wanted)


def pim_energy(cost: LayerCost, bits: int) -> float:
    """Energy of a layer whose products are made in memory; the counterpart of `layer_energy`, without its accesses.

    Parameters
    ----------
    cost : LayerCost, counts of the layer
    bits : int, 1 to 16, of weights and inputs, rounded up by `supported_bits`

    Returns
    -------
    float, joules

    Raises
    ------
    ValueError
        As for `supported_bits`.

    Examples
    --------
    >>> cost = LayerCost(macs=1000, weights=100, inputs=100, outputs=10)
    >>> round(pim_energy(cost, 16) / pim_energy(cost, 7), 2)
    4.15
    """
    return cost.macs * PIM_45NM[supported_bits(bits)]


def bit_plane_dot(x: Tensor, w: Tensor, bits_x: int, bits_w: int) -> Tensor:
    """Multiply matrices of whole numbers bit by bit: a pass for each pair of planes, shifted and added.

    Parameters
    ----------
    x, w : Tensor, whole numbers of so many bits, not negative, (..., n) and (n, m)
    bits_x, bits_w : int, 1 to 16

    Returns
    -------
    Tensor, int64, (..., m)

    Raises
    ------
    ValueError
        Bits out of range, or tensors that hold something else than numbers of so many bits.

    Examples
    --------
    >>> bit_plane_dot(torch.tensor([[3, 1]]), torch.tensor([[2], [5]]), bits_x=2, bits_w=3)
    tensor([[11]])
    """
    total: Tensor | int = 0
    for i, plane in enumerate(_planes("x", x, bits_x)):
        for j, other in enumerate(_planes("w", w, bits_w)):
            total = total + ((plane @ other) << (i + j))  # ANDs of bits, counted
    return total


def _planes(name: str, values: Tensor, bits: int) -> list[Tensor]:
    """Split whole numbers into planes of bits, the lowest first, int64."""
    bits = whole(f"bits_{name}", bits, 1, max(PIM_45NM))
    if values.is_floating_point() or values.is_complex() or ((values < 0) | (values >= 2**bits)).any():
        raise ValueError(f"{name} must hold whole numbers from 0 to {2**bits - 1}.")
    return [(values.long() >> place) & 1 for place in range(bits)]
