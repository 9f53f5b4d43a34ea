"""One chip: what becomes of weights between programming and reading, folded into weights again.

Devices first get their programming noise and then drift; wires make effective conductances of them, which is where
the circuit is solved, once; each read then adds its noise. That noise is applied to effective conductances, in
proportion, instead of to devices inside the circuit: relative to the noise itself this is an error of about 1 % with
light wires, 6 % with medium and 35 % with heavy ones at 64 x 64.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from edgebook.crossbar.mapping import Layout, map_weights, read_deviations, read_weights
from edgebook.crossbar.noise import Deviation, noisy, rectified_moments
from edgebook.crossbar.solver.circuit import effective_conductance
from edgebook.crossbar.solver.wiring import Wiring, wiring

Effect = Callable[[Tensor, torch.Generator, float], Tensor]
Redraw = Literal["never", "forward", "read"]

_STREAMS = {"programming": 0, "drift": 1, "read": 2, "later reads": 3}


@dataclass(frozen=True)
class CrossbarConfig:
    """A kind of crossbar, and the chip that is drawn of it.

    Parameters
    ----------
    layout : Layout
        Devices, bits and tiles.
    wires : Wiring, optional
        Resistances in ohms, such as ``WIRES["heavy"]``; without, wires are ideal.
    programming : callable, optional
        Deviation with which devices are programmed, such as `pcm_programming_deviation`.
    drift : callable, optional
        Conductance, generator and time to conductances at that time, such as `power_law_drift` with its `mean` bound.
    read : callable, optional
        Deviation of one read from the next, such as `relative_deviation` with its `sigma` bound.
    redraw : {"never", "forward", "read"}
        When read noise is drawn: once for the chip; anew in every forward pass, the same for all images and
        positions in it; or anew for every image and position, as hardware does, which averages out more.
    time : float
        Seconds since programming.
    linear : bool
        Map linear layers too.
    seed : int
        The chip. Each layer and each effect has a stream of random numbers of its own, so that changing one leaves
        the others as they are; drift exponents are the same at all times.

    Raises
    ------
    ValueError
        A negative resistance, time or seed, or an unknown redraw.
    """

    layout: Layout = field(default_factory=Layout)
    wires: Wiring | None = None
    programming: Deviation | None = None
    drift: Effect | None = None
    read: Deviation | None = None
    redraw: Redraw = "forward"
    time: float = 1.0
    linear: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.wires is not None:
            wiring(*self.wires)
        if self.redraw not in get_args(Redraw):
            raise ValueError(f"redraw must be one of {', '.join(get_args(Redraw))}, got {self.redraw!r}.")
        if not (math.isfinite(self.time) and self.time >= 0):
            raise ValueError(f"time must be finite and at least 0 s, got {self.time}.")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, got {self.seed!r}.")


class FoldedWeights(NamedTuple):
    """Weights as a chip has them.

    Attributes
    ----------
    weight : Tensor, (..., K, N)
        Mean over reads.
    deviation : Tensor or None, (..., K, N)
        Standard deviation of one read; None if nothing is redrawn.
    """

    weight: Tensor
    deviation: Tensor | None


def fold(matrix: Tensor, config: CrossbarConfig, *, name: str = "") -> FoldedWeights:
    """Put a matrix of weights on a chip and return the matrix that the chip multiplies by.

    Weights with read noise keep mean and variance of the sum over their devices, draws below zero cut off; between
    reads one number is then drawn for each weight instead of one for each device. Below a relative deviation of about
    0.25 next to nothing is cut and this is exact; above, only the two moments are.

    Parameters
    ----------
    matrix : Tensor, (..., K, N)
        Weights, one row for each input.
    config : CrossbarConfig
    name : str
        Of the layer: other names get other draws.

    Returns
    -------
    FoldedWeights
        Double precision.

    Raises
    ------
    ValueError
        As `map_weights` and the effects.
    """
    layout, shape, time = config.layout, matrix.shape[-2:], config.time
    tiles, step = map_weights(matrix, layout)
    if config.programming is not None:
        tiles = noisy(tiles, generator(config.seed, name, "programming"), time, deviation=config.programming)
    if config.drift is not None:
        tiles = config.drift(tiles, generator(config.seed, name, "drift"), time)
    effective = tiles if config.wires is None else _through_wires(tiles, config.wires)
    if config.read is None:
        return FoldedWeights(read_weights(effective, step, shape, layout), None)
    relative = torch.where(tiles > 0, config.read(tiles, time) / tiles, 0.0)
    deviation = effective * relative
    if config.redraw == "never":
        once = noisy(effective, generator(config.seed, name, "read"), deviation=lambda *_: deviation)
        return FoldedWeights(read_weights(once, step, shape, layout), None)
    mean, deviation = rectified_moments(effective, deviation)
    return FoldedWeights(read_weights(mean, step, shape, layout), read_deviations(deviation, step, shape, layout))


def generator(
    seed: int, name: str, stream: str, count: int = 0, *, device: torch.device | None = None
) -> torch.Generator:
    """Return the random numbers of one layer of a chip for one purpose.

    Parameters
    ----------
    seed : int
        The chip.
    name : str
        The layer.
    stream : {"programming", "drift", "read", "later reads"}
        The purpose.
    count : int
        How often it has been used before.
    device : torch.device, optional
        Where numbers are drawn; the CPU if not given. Other kinds of device draw other numbers.

    Returns
    -------
    torch.Generator
    """
    words = np.random.SeedSequence([seed, zlib.crc32(name.encode()), _STREAMS[stream], count])
    return torch.Generator(device or "cpu").manual_seed(int(words.generate_state(1, np.uint64)[0]))


def _through_wires(tiles: Tensor, wires: Wiring) -> Tensor:
    return effective_conductance(tiles, r_word=wires.word, r_bit=wires.bit, r_source=wires.source, r_sense=wires.sense)
