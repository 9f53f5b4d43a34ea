"""Weights of layers as matrices, and matrices cut into tiles of the size of an array."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebook.crossbar.solver.wiring import KINDS, kind_of


def check_kind(weight: object) -> None:
    """Refuse weights that are no dense tensor of real numbers with values."""
    if not isinstance(weight, Tensor) or weight.dtype not in KINDS or weight.layout is not torch.strided:
        raise ValueError(f"Weights must be a dense tensor of real floating-point numbers, got {kind_of(weight)}.")
    if weight.is_meta:
        raise ValueError("Weights on the device meta have no values to be mapped to conductances.")


def weight_matrix(weight: Tensor, *, groups: int = 1) -> Tensor:
    """Return the matrices (groups, K, N) that a layer multiplies by: a row for each input, a column for each output.

    `weight` is (outputs, inputs) or (outputs, channels / groups, rows, columns). Rows are in the order channel, kernel
    row, kernel column; the order matters, since position on a line does.
    """
    if weight.ndim < 2 or weight.numel() == 0:
        raise ValueError(f"A weight must have at least two dimensions and one value, got {tuple(weight.shape)}.")
    if groups < 1 or len(weight) % groups:
        raise ValueError(f"{len(weight)} outputs do not divide into {groups} groups.")
    return weight.reshape(groups, len(weight) // groups, -1).mT  # (groups, N, K), transposed


def weight_tensor(matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the weight of a layer, of that shape, from its matrices (groups, K, N): `weight_matrix` the other way."""
    return matrix.mT.reshape(tuple(shape))  # (groups, N, K) in memory order


def to_tiles(matrix: Tensor, rows: int, columns: int, *, fill: float) -> Tensor:
    """Cut a matrix (..., K, N) into tiles (..., R, C, rows, columns); cells that it does not reach hold `fill`."""
    k, n = matrix.shape[-2:]
    padded = F.pad(matrix, (0, -n % columns, 0, -k % rows), value=fill)
    # (..., R rows, C columns) -> (..., R, rows, C, columns) -> (..., R, C, rows, columns)
    return padded.unflatten(-1, (-1, columns)).unflatten(-3, (-1, rows)).transpose(-3, -2)


def from_tiles(tiles: Tensor, shape: Sequence[int]) -> Tensor:
    """Put tiles (..., R, C, rows, columns) together to a matrix (..., K, N) of that shape: `to_tiles` back."""
    # (..., R, rows, C, columns) -> (..., R rows, C columns)
    whole = tiles.transpose(-3, -2).flatten(-2).flatten(-3, -2)
    return whole[..., : shape[0], : shape[1]]
