r"""Two blocks of a crossbar become one: their common side is eliminated.

The near block hands a current :math:`i` through wires of resistance `r` to the far block, at whose side the voltage is
:math:`v`. With the near block's output impedance :math:`\bar Z = Z + r` and the far block's input admittance `Y`,

.. math:: (1 + Y \bar Z)\, i = b^T x_{far} - Y a^T x_{near}, \qquad v = -a^T x_{near} - \bar Z i,

where `a` and `b` couple the sides that remain to the common one. Both `Y` and :math:`\bar Z` are positive
semi-definite, so that the system has only eigenvalues of at least 1, whatever the resistances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

FAR_SIDES = {"across": "R", "down": "T"}
ORDERS = {"across": "LBTR", "down": "BLRT"}  # the near block's common side is last, the far block's is first
# Which block a side of the new block comes from, in the order of rows from the top and columns from the left.
ORIGINS = {
    "across": {"L": "n", "B": "nf", "T": "nf", "R": "f"},
    "down": {"B": "n", "L": "fn", "R": "fn", "T": "f"},
}


class Piece(NamedTuple):
    """A run of ports of the new block: where it lies there, and among the remaining ports of which block."""

    start: int
    stop: int
    near: bool
    first: int
    last: int


def pieces(sizes: dict[str, int], step: str, order: str) -> list[Piece]:
    """Lay out the ports of the new block, in the order of its sides.

    `sizes` are the ports on each side of the blocks, 0 for a side that is gone; near is left ("across") or bottom.
    """
    here, found, at = ORDERS[step], [], 0
    for side in order:
        for origin in ORIGINS[step][side]:
            kept = here[:-1] if origin == "n" else here[1:]
            first = sum(sizes[other] for other in kept[: kept.index(side)])
            if sizes[side]:
                found.append(Piece(at, at + sizes[side], origin == "n", first, first + sizes[side]))
                at += sizes[side]
    return found


def join(
    near: Tensor, far: Tensor, cut: int, resistance: float, layout: Sequence[Piece]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the matrices (..., new, new) of the new blocks, and current and voltage at the common side per input.

    `near` and `far` (..., ports, ports) have `cut` ports on the common side; `resistance` is in ohms for each wire.
    """
    kept = near.shape[-1] - cut
    impedance = -near[..., kept:, kept:]
    impedance.diagonal(dim1=-2, dim2=-1).add_(resistance)
    # (cut, cut), (kept, cut) and (far ports - cut, cut), for every pair of blocks
    admittance, a, b = far[..., :cut, :cut], near[..., :kept, kept:], far[..., cut:, :cut]
    system = admittance @ impedance
    system.diagonal(dim1=-2, dim2=-1).add_(1)
    sources = {True: (admittance @ a.mT).neg_(), False: b.mT}
    given = torch.cat([sources[piece.near][..., piece.first : piece.last] for piece in layout], dim=-1)
    current = torch.linalg.solve_ex(system, given)[0]  # (..., cut, new)
    voltage = (impedance @ current).neg_()
    for piece in layout:
        if piece.near:
            voltage[..., piece.start : piece.stop] -= a.mT[..., piece.first : piece.last]
    rows = {True: (a @ current).neg_(), False: b @ voltage}
    old = {True: near[..., :kept, :kept], False: far[..., cut:, cut:]}
    for piece in layout:
        rows[piece.near][..., piece.start : piece.stop] += old[piece.near][..., piece.first : piece.last]
    matrix = torch.cat([rows[piece.near][..., piece.first : piece.last, :] for piece in layout], dim=-2)
    return matrix, (current, voltage)


def split(grad: Tensor, inner: tuple[Tensor, Tensor], layout: Sequence[Piece]) -> tuple[Tensor, Tensor]:
    r"""Return the gradients of the near and far matrices (..., ports, ports) from that of the new one (..., new, new).

    The new matrix is a stationary value of the two old ones together, so that
    :math:`\delta H = E_n^T \delta H_n E_n + E_f^T \delta H_f E_f` with `E` the inputs of a block per input of the new.
    """
    own = [sorted((piece for piece in layout if piece.near is side), key=lambda piece: piece.first)
           for side in (True, False)]  # fmt: skip
    current, voltage = -inner[0], inner[1]  # (..., cut, new) both; E stacks them with the identity on own ports
    rows = torch.cat([*(grad[..., piece.start : piece.stop, :] for piece in own[0]), current @ grad], dim=-2)
    near = torch.cat([*(rows[..., piece.start : piece.stop] for piece in own[0]), rows @ current.mT], dim=-1)
    rows = torch.cat([voltage @ grad, *(grad[..., piece.start : piece.stop, :] for piece in own[1])], dim=-2)
    far = torch.cat([rows @ voltage.mT, *(rows[..., piece.start : piece.stop] for piece in own[1])], dim=-1)
    return near, far
