"""One chip: what becomes of weights between programming and reading, folded into weights again.

Devices drift; wires make effective conductances of them, which is where the circuit is solved, once; each read then
adds its noise. That noise is applied to effective conductances, in proportion, and not to devices inside the circuit:
an error of about 1 % of the noise with light wires, 6 % with medium and 35 % with heavy ones at 64 x 64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from edgebook.crossbar.mapping import Layout, map_weights, read_deviations, read_weights
from edgebook.crossbar.noise import Deviation, rectified_moments
from edgebook.crossbar.reads import DRIFT, generator, layer_number
from edgebook.crossbar.solver.circuit import effective_conductance
from edgebook.crossbar.solver.wiring import Wiring, check_array, check_values, wiring
from edgebook.measure.arguments import as_whole

Effect = Callable[[Tensor, torch.Generator, float], Tensor]
Redraw = Literal["forward", "read"]


@dataclass(frozen=True)
class CrossbarConfig:
    """A kind of crossbar, and the chip that is drawn of it.

    Parameters
    ----------
    layout : Layout, devices, bits and tiles
    wires : Wiring, optional, resistances in ohms, such as ``WIRES["heavy"]``; without, wires are ideal
    drift : callable, optional, (conductance, generator, time) to conductance, as `power_law_drift` with a `mean`
    read : callable, optional
        Conductance to its deviation in a read, such as `relative_deviation` with a `sigma`.
    time : float, seconds since programming
    linear : bool, map linear layers too
    seed : int, below 2^63
        The chip. Each layer and each effect has a stream of random numbers of its own; drift exponents are the same at
        all times.
    redraw : {"forward", "read"}
        When a read is another one: in every forward pass, with the same weights for all images and positions in it; or
        for every product of a vector with the matrix, so for each image and position, where noise averages out more.

    Raises
    ------
    ValueError
        A negative resistance, time or seed, or an unknown `redraw`.
    """

    layout: Layout = field(default_factory=Layout)
    wires: Wiring | None = None
    drift: Effect | None = None
    read: Deviation | None = None
    time: float = 1.0
    linear: bool = False
    seed: int = 0
    redraw: Redraw = "forward"

    def __post_init__(self) -> None:
        if self.redraw not in get_args(Redraw):
            raise ValueError(f"redraw must be one of {', '.join(get_args(Redraw))}, got {self.redraw!r}.")
        if self.wires is not None:
            wiring(*self.wires)
        if not (math.isfinite(self.time) and self.time >= 0):
            raise ValueError(f"time must be finite and at least 0 s, got {self.time}.")
        object.__setattr__(self, "seed", checked_seed(self.seed, "a whole number of at least 0"))


def checked_seed(seed: int, words: str) -> int:
    """Return a seed that fits into the state of a layer as an int; `words` say what is asked for."""
    number = as_whole(seed)
    if number is None or number < 0:
        raise ValueError(f"seed must be {words}, got {seed!r}.")
    if number >= 2**63:
        raise ValueError(f"seed must be below 2^63, got {number}.")
    return number


class FoldedWeights(NamedTuple):
    """Weights as a chip has them."""

    weight: Tensor  #: (..., K, N), mean over reads
    deviation: Tensor | None  #: (..., K, N), standard deviation of one read; None without noise of reads


def fold(matrix: Tensor, config: CrossbarConfig, *, name: str = "") -> FoldedWeights:
    """Put a matrix of weights on a chip and return the matrix that the chip multiplies by.

    Weights with read noise keep mean and variance of the sum over their devices, draws below zero cut off; each read
    then draws one number for each weight, not for each device. Below a relative deviation of about 0.25 next to nothing
    is cut and this is exact; above, only the two moments are.

    Parameters
    ----------
    matrix : Tensor, (..., K, N), weights, one row for each input
    config : CrossbarConfig
    name : str, of the layer: other names get other draws

    Returns
    -------
    FoldedWeights, double precision

    Raises
    ------
    ValueError
        Weights without rows and columns, that are not finite or not dense and real; effects that return another shape,
        or values below 0 or not finite; or as the effects.

    Examples
    --------
    >>> fold(torch.tensor([[1.0, -0.5]]), CrossbarConfig(Layout(weight_bits=2)))  # one bit of magnitude
    FoldedWeights(weight=tensor([[1.0000, 0.0000]], dtype=torch.float64), deviation=None)
    """
    layout, shape = config.layout, matrix.shape[-2:]
    tiles, step = map_weights(matrix, layout)  # (S, 2, ..., R, C, rows, columns)
    if config.drift is not None:
        source = generator(config.seed, layer_number(name), DRIFT)
        tiles = _effect("drift", config.drift(tiles, source, config.time), tiles)
    effective = tiles if config.wires is None else _through_wires(tiles, config.wires)
    if config.read is None:
        return FoldedWeights(read_weights(effective, step, shape, layout), None)
    spread = _effect("read", config.read(tiles), tiles)
    relative = torch.where(tiles > 0, spread / tiles, 0.0)  # a device that is off has no noise
    mean, deviation = rectified_moments(effective, effective * relative)
    return FoldedWeights(read_weights(mean, step, shape, layout), read_deviations(deviation, step, shape, layout))


def _effect(name: str, found: Tensor, tiles: Tensor) -> Tensor:
    """Refuse what an effect must not make of tiles: another shape, or values that are negative or not finite."""
    what = f"What {name} returns"
    check_array(found, what)
    check_values(found, what)
    if found.shape != tiles.shape:
        raise ValueError(f"{what} must have the shape {tuple(tiles.shape)}, got {tuple(found.shape)}.")
    return found


def _through_wires(tiles: Tensor, wires: Wiring) -> Tensor:
    return effective_conductance(tiles, r_word=wires.word, r_bit=wires.bit, r_source=wires.source, r_sense=wires.sense)
