"""The whole array from its blocks: joined in pairs, across and down in turns, until one is left.

Each join eliminates the wires between two blocks, so that an n by n array takes of the order of n^3 operations, where
column after column would take 2 n^4. All blocks of one size and all tiles are one batch of dense linear algebra, on
whatever device the tensor is. The gradient needs the currents and voltages at the common sides, about 60 M N numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebook.crossbar.solver.blocks import Frame, block_gradient, block_matrix, frame
from edgebook.crossbar.solver.merging import FAR_SIDES, ORDERS, Piece, join, pieces, split
from edgebook.crossbar.solver.wiring import Wiring

LARGEST_BLOCK = 4  # rows and columns: measured, larger ones make more work than they save
FINAL = "BL"  # how the ports of the whole array are ordered

Inner = tuple[Tensor, Tensor]  # current and voltage at the common side, per input


class Step(NamedTuple):
    """One join: its direction, the wires between the blocks, and how the ports lie afterwards."""

    direction: str
    cut: int
    resistance: float
    dropped: int  # ports of far blocks at the array's open edge, in the last join of a direction
    layout: list[Piece]


class Plan(NamedTuple):
    """How an array is divided and put together again."""

    block: tuple[int, int]
    grid: tuple[int, int]
    order: str
    steps: list[Step]


class Trace(NamedTuple):
    """What the forward pass leaves for the gradient."""

    shape: torch.Size
    devices: Tensor
    frame: Frame
    factor: Tensor
    half: Tensor
    inner: list[Inner]


def plan(rows: int, columns: int, wiring: Wiring) -> Plan:
    """Divide an array, padded where need be, into a grid of 2^a by 2^b equal blocks, and list the joins."""
    down, across = (2 ** max(0, math.ceil(math.log2(lines / LARGEST_BLOCK))) for lines in (rows, columns))
    grid, block = (down, across), (-(-rows // down), -(-columns // across))
    height, width = block
    joins = []
    while down * across > 1:
        direction = "across" if across > 1 and (width <= height or down == 1) else "down"
        joins.append((direction, height, width, down, across))
        if direction == "across":
            width, across = 2 * width, across // 2
        else:
            height, down = 2 * height, down // 2
    orders = [ORDERS[direction] for direction, *_ in joins] + [FINAL]
    steps = [_step(*joins[k], wiring, orders[k + 1]) for k in range(len(joins))]
    closed = ("R" if grid[1] == 1 else "") + ("T" if grid[0] == 1 else "")
    return Plan(block, grid, "".join(side for side in orders[0] if side not in closed), steps)


def _step(direction: str, height: int, width: int, down: int, across: int, wiring: Wiring, order: str) -> Step:
    """Describe the join of blocks of that height and width in a grid of that size."""
    sizes = {"L": height, "B": width, "T": width if down > 1 else 0, "R": height if across > 1 else 0}
    cut, left = (height, across) if direction == "across" else (width, down)
    if left == 2:
        sizes[FAR_SIDES[direction]] = 0
    resistance = wiring.word if direction == "across" else wiring.bit
    return Step(direction, cut, resistance, cut if left == 2 else 0, pieces(sizes, direction, order))


def forward(tiles: Tensor, wiring: Wiring) -> tuple[Tensor, Trace]:
    """Return the effective conductances of arrays (T, M, N) in double precision, and a trace for `backward`."""
    shape, todo = tiles.shape, plan(*tiles.shape[-2:], wiring)
    (p, q), (br, bc) = todo.block, todo.grid
    # Lines without devices at the open ends change nothing.
    tiles = F.pad(tiles, (0, q * bc - shape[2], p * br - shape[1], 0))
    # (T, br p, bc q) -> (T, br, p, bc, q) -> (T, br, bc, p, q) -> (T, br, bc, pq)
    devices = tiles.reshape(-1, br, p, bc, q).transpose(2, 3).reshape(-1, br, bc, p * q)
    wires = frame(todo.block, todo.grid, wiring, todo.order, tiles)
    matrix, factor, half = block_matrix(devices, wires)
    kept: list[Inner] = []
    for step in todo.steps:
        near, far = _pairs(matrix, step.direction)
        ports = matrix.shape[-1] - step.dropped
        matrix, inner = join(near, far[..., :ports, :ports], step.cut, step.resistance, step.layout)
        kept.append(inner)
    effective = -matrix[:, 0, 0, : q * bc, q * bc :].mT  # (T, p br, q bc)
    return effective[:, p * br - shape[1] :, : shape[2]], Trace(shape, devices, wires, factor, half, kept)


def backward(grad: Tensor, wiring: Wiring, trace: Trace) -> Tensor:
    """Return the gradient of the conductances (T, M, N) from that of the effective conductances."""
    shape, todo = trace.shape, plan(*trace.shape[-2:], wiring)
    (p, q), (br, bc) = todo.block, todo.grid
    padded = F.pad(grad, (0, q * bc - shape[2], p * br - shape[1], 0))
    matrix = F.pad(-padded.mT, (q * bc, 0, 0, p * br))[:, None, None]  # only from left (L) to bottom (B)
    for step, inner in zip(reversed(todo.steps), reversed(trace.inner), strict=True):
        near, far = split(matrix, inner, step.layout)
        far = F.pad(far, (0, step.dropped, 0, step.dropped))
        pair, side = ((near, far), 3) if step.direction == "across" else ((far, near), 2)
        matrix = torch.stack(pair, dim=side).flatten(side - 1, side)  # pairs side by side: the grid before the join
    devices = block_gradient(matrix, trace.devices, trace.frame, trace.factor, trace.half)  # (T, br, bc, pq)
    tiles = devices.unflatten(-1, (p, q)).transpose(2, 3).reshape(-1, p * br, q * bc)
    return tiles[:, p * br - shape[1] :, : shape[2]]


def _pairs(grid: Tensor, direction: str) -> tuple[Tensor, Tensor]:
    """Return the near and the far blocks of each pair in a grid (T, br, bc, ...)."""
    if direction == "across":
        return grid[:, :, 0::2], grid[:, :, 1::2]
    return grid[:, 1::2], grid[:, 0::2]
