"""Weights of layers as matrices, and matrices cut into tiles of the size of an array."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def weight_matrix(weight: Tensor, *, groups: int = 1) -> Tensor:
    """Return the matrices that a layer multiplies by: one row for each input, one column for each output.

    Parameters
    ----------
    weight : Tensor, (outputs, inputs) or (outputs, channels / groups, rows, columns)
        Of a linear layer or a convolution.
    groups : int
        Groups of a convolution, each a matrix of its own.

    Returns
    -------
    Tensor, (groups, K, N)
        Rows in the order channel, kernel row, kernel column; the order matters, since position on a line does.

    Raises
    ------
    ValueError
        Fewer than two dimensions, no weight at all, or outputs that do not divide into the groups.
    """
    if weight.ndim < 2 or weight.numel() == 0:
        raise ValueError(f"A weight must have at least two dimensions and one value, got {tuple(weight.shape)}.")
    if groups < 1 or len(weight) % groups:
        raise ValueError(f"{len(weight)} outputs do not divide into {groups} groups.")
    return weight.reshape(groups, len(weight) // groups, -1).mT


def weight_tensor(matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the weight of a layer from its matrices: `weight_matrix` the other way.

    Parameters
    ----------
    matrix : Tensor, (groups, K, N)
    shape : sequence of int
        Of the weight.

    Returns
    -------
    Tensor
        Of that shape.
    """
    return matrix.mT.reshape(tuple(shape))


def to_tiles(matrix: Tensor, rows: int, columns: int, *, fill: float) -> Tensor:
    """Cut a matrix into tiles; what is left of the last ones is filled.

    Parameters
    ----------
    matrix : Tensor, (..., K, N)
    rows, columns : int
        Of a tile.
    fill : float
        In cells that the matrix does not reach.

    Returns
    -------
    Tensor, (..., ceil(K / rows), ceil(N / columns), rows, columns)
    """
    k, n = matrix.shape[-2:]
    padded = F.pad(matrix, (0, -n % columns, 0, -k % rows), value=fill)
    return padded.unflatten(-1, (-1, columns)).unflatten(-3, (-1, rows)).transpose(-3, -2)


def from_tiles(tiles: Tensor, shape: Sequence[int]) -> Tensor:
    """Put tiles together again: `to_tiles` the other way.

    Parameters
    ----------
    tiles : Tensor, (..., R, C, rows, columns)
    shape : sequence of int
        K and N of the matrix.

    Returns
    -------
    Tensor, (..., K, N)
    """
    whole = tiles.transpose(-3, -2).flatten(-2).flatten(-3, -2)
    return whole[..., : shape[0], : shape[1]]
