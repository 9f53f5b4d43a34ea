r"""Weights as conductances: magnitudes in bit slices, signs in differential pairs.

A weight of b bits has a sign and b - 1 bits of magnitude, :math:`q = \mathrm{round}(|w| / w_\max (2^{b-1} - 1))`. The
magnitude is cut into slices of as many bits as a device holds. Of each pair of devices the one of the weight's sign is
programmed to the level of the slice, and the other stays at the lowest conductance, so that what a device conducts when
it is off cancels in the difference. So do cells that no weight uses, and they load the lines.

The mapping follows the recipe of RxNN, which Bhattacharjee et al., arXiv 2305.18416, build on; differential pairs are
a reconstruction (an offset column cannot give the distortions reported there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgebook.crossbar.devices import Device, check_bits, level_conductance
from edgebook.crossbar.tiles import check_kind, from_tiles, to_tiles
from edgebook.measure.arguments import as_whole


@dataclass(frozen=True)
class Layout:
    """How weights lie on crossbars.

    Parameters
    ----------
    device : Device, range of the conductances
    weight_bits : int, bits of a weight, its sign included, 2 to 24
    cell_bits : int, bits of a device, 1 to 24
    rows, columns : int, word lines and bit lines of a tile

    Raises
    ------
    ValueError
        An impossible number of bits, or a tile without lines.
    """

    device: Device = field(default_factory=Device)
    weight_bits: int = 8
    cell_bits: int = 4
    rows: int = 64
    columns: int = 64

    def __post_init__(self) -> None:
        for name in ("weight_bits", "cell_bits"):
            object.__setattr__(self, name, check_bits(name, getattr(self, name)))
        if self.weight_bits < 2:
            raise ValueError("weight_bits must be at least 2, a sign and one bit of magnitude, got 1.")
        rows, columns = as_whole(self.rows), as_whole(self.columns)
        if rows is None or columns is None or min(rows, columns) < 1:
            raise ValueError(f"A tile needs a whole number of rows and columns, got {self.rows} x {self.columns}.")
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "columns", columns)

    @property
    def slices(self) -> int:
        """Devices of one sign that a weight takes."""
        return -(-(self.weight_bits - 1) // self.cell_bits)

    @property
    def top(self) -> int:
        """The largest magnitude."""
        return 2 ** (self.weight_bits - 1) - 1

    def significance(self) -> Tensor:
        """Return what one level of each slice is worth, from the highest slice to the lowest (S,)."""
        return torch.tensor([2.0 ** (self.cell_bits * s) for s in reversed(range(self.slices))], dtype=torch.float64)


def map_weights(matrix: Tensor, layout: Layout) -> tuple[Tensor, float]:
    """Program a matrix of weights (..., K, N), without any error but the rounding to levels.

    Returns conductances (S, 2, ..., R, C, rows, columns) in siemens, double precision, slices from the highest to the
    lowest, positive and negative half; and the weight of one unit of magnitude, 0 where all weights are.
    """
    check_kind(matrix)
    if matrix.ndim < 2 or matrix.numel() == 0:
        raise ValueError(f"Weights must have shape (..., K, N) with at least one value, got {tuple(matrix.shape)}.")
    weights = matrix.detach().double()
    if not torch.isfinite(weights).all():
        raise ValueError("Weights must be finite to be mapped to conductances.")
    step = float(weights.abs().max()) / layout.top
    whole = (weights / step if step > 0 else weights).round().to(torch.int64)
    halves = torch.stack([whole.clamp_min(0), (-whole).clamp_min(0)])  # (2, ..., K, N)
    shifts = [layout.cell_bits * s for s in reversed(range(layout.slices))]
    levels = torch.stack([(halves >> shift) & (2**layout.cell_bits - 1) for shift in shifts])  # (S, 2, ..., K, N)
    conductance = level_conductance(levels, layout.device, bits=layout.cell_bits)
    return to_tiles(conductance, layout.rows, layout.columns, fill=layout.device.low), step


def read_weights(tiles: Tensor, step: float, shape: Sequence[int], layout: Layout) -> Tensor:
    """Return the weights (..., K, N) that conductances, as `map_weights` gives them, stand for; linear in them."""
    pairs = from_tiles(tiles[:, 0] - tiles[:, 1], shape)  # (S, ..., K, N)
    return torch.tensordot(_units(step, layout).to(pairs), pairs, dims=1)


def read_deviations(tiles: Tensor, step: float, shape: Sequence[int], layout: Layout) -> Tensor:
    """Return the standard deviations (..., K, N) of weights from the independent ones of their devices."""
    pairs = from_tiles(tiles.square().sum(1), shape)  # variances (S, ..., K, N)
    return torch.tensordot(_units(step, layout).square().to(pairs), pairs, dims=1).sqrt()


def _units(step: float, layout: Layout) -> Tensor:
    """Return the weight of one siemens in each slice (S,)."""
    device = layout.device
    return layout.significance() * step * (2**layout.cell_bits - 1) / (device.high - device.low)
