"""A crossbar of linear devices with all its wires, as the one matrix that it is.

The equations are derived from Kirchhoff's laws for this project; each module states its own.
Conventions of others differ at the ends of the lines only: badcrossbar is `r_source = r_word, r_sense = r_bit`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from edgebook.crossbar.solver import dissection
from edgebook.crossbar.solver.wiring import Wiring, check_conductance, wiring

Backend = Literal["auto", "numba", "torch"]
NUMBA_LINES = 128  # beyond this smaller side the order n^3 of joined blocks wins over compiled code, measured
AT_ONCE = 16384  # devices that PyTorch works on together on a CPU: more only takes memory


def effective_conductance(
    conductance: Tensor, *, r_word: float, r_bit: float, r_source: float, r_sense: float, backend: Backend = "auto"
) -> Tensor:
    r"""Return the matrix that a crossbar multiplies by, all its wire resistances taken into account.

    Word line i is driven by the voltage :math:`V_i` from the left, bit line j is sensed at virtual ground at the
    bottom, and a device of conductance :math:`g_{ij}` joins the two where they cross::

                               r_word         r_word
        V0 ----r_source---- W00 -------- W01 -- ... -- W0n       word line 0, open at its right end
                              \            \             \
                              g00          g01           g0n     devices
                                \            \             \
                                B00          B01           B0n   bit lines, open at their top ends
                                 |            |             |
                               r_bit        r_bit         r_bit
                                 |            |             |
        V1 ----r_source---- W10 -|--- ...     |             |    word line 1 passes in front of the bit lines
                              \  |            |             |
                              g10|            |             |
                                \|            |             |
                                B10          B11           B1n
                                 :            :             :
                              r_sense      r_sense       r_sense
                                 |            |             |
                                I0           I1            In    virtual ground

    The circuit is linear, hence :math:`I = V G_{\mathrm{eff}}` exactly, for every input: ``voltages @ effective``.
    All is computed in double precision; every entry agrees with nodal analysis to 1e-12 or better, also where zero
    wires and six decades of conductance meet. Column sums and row sums never exceed those of `conductance`, single
    entries may: current sneaks past a device that is off.

    Parameters
    ----------
    conductance : Tensor, (..., M, N), siemens, at least 0; any number of arrays at once, on a CPU or a GPU
    r_word, r_bit, r_source, r_sense : float, ohms, at least 0
    backend : {"auto", "numba", "torch"}, compiled columns (on a CPU) or joined blocks; "auto" takes what is faster

    Returns
    -------
    Tensor, (..., M, N), effective conductance in siemens, of the type of the argument, differentiable once

    Raises
    ------
    ValueError
        A conductance (its position is named) or resistance that is negative or not finite, a wrong shape or type, or a
        backend that cannot be had.

    Examples
    --------
    >>> ohm = dict(r_word=5.0, r_bit=10.0, r_source=1000.0, r_sense=1000.0)
    >>> effective = effective_conductance(torch.full((64, 64), 1 / 20e3), **ohm)
    >>> currents = torch.rand(1, 64) @ effective
    """
    check_conductance(conductance)
    wires = wiring(r_word, r_bit, r_source, r_sense)
    numba = _chosen(backend, conductance) == "numba"
    tiles = conductance.reshape(-1, *conductance.shape[-2:])  # (T, M, N)
    return _Effective.apply(tiles, wires, numba).reshape(conductance.shape)


@cache
def _compiled() -> ModuleType | None:
    """Return the compiled kernels, None where Numba is not installed."""
    try:
        import numba  # noqa: F401  (an error inside the kernels must not look like a missing Numba)
    except ImportError:
        return None
    from edgebook.crossbar.solver import columns

    return columns


def _chosen(backend: str, conductance: Tensor) -> str:
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, got {backend!r}.")
    here = conductance.device.type == "cpu" and _compiled() is not None
    if backend == "auto":
        return "numba" if here and min(conductance.shape[-2:]) <= NUMBA_LINES else "torch"
    if backend == "numba" and not here:
        raise ValueError("backend 'numba' needs the package numba and a tensor on the CPU; 'torch' needs neither.")
    return backend


def _solved(tiles: Tensor, wires: Wiring, numba: bool) -> Tensor:
    """Return the effective conductances (T, M, N) of tiles in double precision."""
    if tiles.shape[-2] > tiles.shape[-1] and numba:  # word lines are eliminated: let them be the fewer
        return _solved(tiles.mT.flip(-1, -2), wires.turned(), numba).flip(-1, -2).mT
    if numba:
        return torch.from_numpy(_compiled().effective(tiles.contiguous().numpy(), wires))
    return torch.cat([dissection.forward(part, wires)[0] for part in _parts(tiles)])


def _parts(tiles: Tensor) -> tuple[Tensor, ...]:
    """Split a batch into what is worked on together: on a CPU what the cache holds."""
    each = max(1, AT_ONCE // max(1, tiles[0].numel())) if tiles.device.type == "cpu" else len(tiles)
    return tiles.split(each)


class _Effective(torch.autograd.Function):
    """Tiles (T, M, N) to effective conductances; of the forward pass only the tiles are kept."""

    @staticmethod
    def forward(tiles: Tensor, wires: Wiring, numba: bool) -> Tensor:
        return _solved(tiles.detach().double(), wires, numba).to(tiles.dtype) if tiles.numel() else tiles.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.wires = inputs[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (tiles,) = ctx.saved_tensors
        if tiles.numel() == 0:
            return grad, None, None
        found = []
        for part, above in zip(_parts(tiles.double()), _parts(grad.double()), strict=True):
            trace = dissection.forward(part, ctx.wires)[1]
            found.append(dissection.backward(above, ctx.wires, trace))
        return torch.cat(found).to(grad.dtype), None, None
