r"""The smallest blocks of a crossbar: what one looks like from its edges, and the gradient of that.

A block of p rows and q columns has four sides. Its inputs are the voltages at the left ends of its word lines (L) and
at the bottom ends of its bit lines (B), and the currents fed into the right ends (R) and top ends (T). In this order of
causes the block is described by one symmetric matrix `H`, finite even where wires have no resistance:

.. math:: (i_L, i_B, -v_T, -v_R) = H\, (v_L, v_B, i_T, i_R)

With device conductances on the diagonal of `G`, the device voltages are :math:`u = P x - Z G u` for inputs `x`. The
constant matrices `P` and `Z >= 0` hold only wire resistances, hence :math:`H = H_0 + P^T G (1 + Z G)^{-1} P`.
Written with :math:`S = G^{1/2}`, the matrix to factorise is :math:`1 + S Z S`, symmetric and never singular.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from edgebook.crossbar.solver.wiring import Wiring


class Frame(NamedTuple):
    """All of a grid of (br, bc) equal blocks that does not depend on the devices."""

    drive: Tensor  #: `P` (br, bc, pq, ports), device voltages per input if no device drew current
    wires: Tensor  #: `Z` (br, bc, pq, pq), what a current through one device takes from the voltage of another, ohms
    rest: Tensor  #: :math:`H_0` (br, bc, ports, ports), the block without devices


def frame(block: tuple[int, int], grid: tuple[int, int], wiring: Wiring, order: str, like: Tensor) -> Frame:
    """Describe the wires of a grid of blocks of p rows and q columns, in double precision on the device of `like`.

    Those at its left have the sources, those at its bottom the senses; `order` names the sides that count as ports.
    """
    (p, q), new = block, {"dtype": torch.float64, "device": like.device}
    row, column = torch.arange(p, **new).repeat_interleave(q), torch.arange(q, **new).repeat(p)  # of device k = iq + j
    in_row = (row[:, None] == torch.arange(p, **new)).double()  # (pq, p)
    in_column = (column[:, None] == torch.arange(q, **new)).double()  # (pq, q)
    source, sense = torch.zeros(1, grid[1], 1, 1, **new), torch.zeros(grid[0], 1, 1, 1, **new)
    source[0, 0], sense[-1, 0] = wiring.source, wiring.sense
    along = wiring.word * torch.minimum(column[:, None], column)  # wire that two devices of a row share
    down = wiring.bit * (p - 1 - torch.maximum(row[:, None], row))
    wires = (in_row @ in_row.mT) * (along + source) + (in_column @ in_column.mT) * (down + sense)
    sides = {  # device voltages per volt or ampere at a side
        "L": in_row,
        "B": -in_column,
        "T": -in_column * ((wiring.bit * (p - 1 - row))[:, None] + sense),
        "R": in_row * ((wiring.word * column)[:, None] + source),
    }
    drive = torch.cat([sides[side].expand(*grid, -1, -1) for side in order], dim=-1)
    return Frame(drive, wires, _rest(p, q, grid, wiring, order, source, sense))


def _rest(p: int, q: int, grid: tuple[int, int], wiring: Wiring, order: str, source: Tensor, sense: Tensor) -> Tensor:
    """Return the block without devices: a current fed in at one end of a line leaves at the other."""
    size = {"L": p, "B": q, "T": q, "R": p}
    ends = [sum(size[side] for side in order[:k]) for k in range(len(order) + 1)]
    place = {side: slice(ends[k], ends[k + 1]) for k, side in enumerate(order)}
    rest = torch.zeros(*grid, ends[-1], ends[-1], dtype=source.dtype, device=source.device)
    for near, far, length, first in (
        ("L", "R", wiring.word * (q - 1), source),
        ("B", "T", wiring.bit * (p - 1), sense),
    ):
        if far in place:
            one = torch.eye(size[far], dtype=source.dtype, device=source.device)
            rest[..., place[near], place[far]] = rest[..., place[far], place[near]] = -one
            rest[..., place[far], place[far]] = -one * (length + first)
    return rest


def block_matrix(devices: Tensor, frame: Frame) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrix `H` (T, br, bc, ports, ports) of every block from its devices (T, br, bc, pq).

    With it what the gradient needs: the Cholesky factor `C` of :math:`1 + S Z S`, and :math:`C^{-1} S P`.
    """
    root = devices.sqrt().unsqueeze(-1)  # S as a column (T, br, bc, pq, 1)
    system = root * frame.wires * root.mT
    system.diagonal(dim1=-2, dim2=-1).add_(1)
    factor = torch.linalg.cholesky_ex(system)[0]
    half = torch.linalg.solve_triangular(factor, root * frame.drive, upper=False)
    return half.mT @ half + frame.rest, factor, half


def block_gradient(grad: Tensor, devices: Tensor, frame: Frame, factor: Tensor, half: Tensor) -> Tensor:
    r"""Return the gradient of the devices (T, br, bc, pq) from that of the matrices (T, br, bc, ports, ports).

    A change of the devices by :math:`\delta G` changes `H` by :math:`U^T \delta G\, U`, where the columns of `U` are
    the device voltages per input.
    """
    currents = devices.sqrt().unsqueeze(-1) * torch.linalg.solve_triangular(factor.mT, half, upper=True)
    voltages = frame.drive - frame.wires @ currents  # U, (T, br, bc, pq, ports)
    return ((voltages @ grad) * voltages).sum(dim=-1)
