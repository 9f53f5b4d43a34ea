"""A crossbar of linear devices with all its wires, as the one matrix that it is.

The equations are derived from Kirchhoff's laws for this project; each module states its own.
Conventions of others differ at the ends of the lines only: badcrossbar is `r_source = r_word, r_sense = r_bit`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd.function import _SingleLevelFunction

from edgebook.crossbar.solver import dissection
from edgebook.crossbar.solver.wiring import Wiring, check_array, check_values, wiring

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
    Tensor, (..., M, N), effective conductance in siemens, of the type of the argument; differentiable once, backwards

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
    if not torch.overrides.is_tensor_like(conductance):
        check_array(conductance)
    return _EFFECTIVE(conductance, wiring(r_word, r_bit, r_source, r_sense), backend)


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


def _forward(conductance: Tensor, wires: Sequence[float], backend: str) -> Tensor:
    """Solve arrays (..., M, N), the result in memory of its own."""
    check_array(conductance)
    check_values(conductance)
    shape, numba = conductance.shape, _chosen(backend, conductance) == "numba"
    if conductance.numel() == 0:
        return conductance.new_empty(shape)
    tiles = conductance.double().reshape(-1, *shape[-2:])  # (T, M, N)
    found = _solved(tiles, Wiring(*wires), numba)
    if numba and found.dtype == conductance.dtype and found.is_contiguous():
        return torch.from_numpy(found.numpy().reshape(shape))  # neither a copy nor a view
    return conductance.new_empty(shape).copy_(found.reshape(shape))


def _without_memory(conductance: Tensor, wires: Sequence[float], backend: str) -> Tensor:
    check_array(conductance)
    _chosen(backend, conductance)
    return torch.empty_like(conductance, memory_format=torch.contiguous_format)


def _blank(conductance: Tensor, grad: Tensor, wires: Sequence[float]) -> Tensor:
    return torch.empty_like(conductance, memory_format=torch.contiguous_format)


def _backward(conductance: Tensor, grad: Tensor, wires: Sequence[float]) -> Tensor:
    """Return the gradient of conductances (..., M, N) from that of the effective ones."""
    out, shape = _blank(conductance, grad, wires), grad.shape
    if grad.numel():
        tiles, above = (x.double().reshape(-1, *shape[-2:]) for x in (conductance, grad))  # (T, M, N)
        found = []
        for part, over in zip(_parts(tiles), _parts(above), strict=True):
            trace = dissection.forward(part, Wiring(*wires))[1]
            found.append(dissection.backward(over, Wiring(*wires), trace))
        out.copy_(torch.cat(found).reshape(shape))
    return out


class _Effective(_SingleLevelFunction):
    @staticmethod
    def forward(ctx: Any, conductance: Tensor, wires: Sequence[float], backend: str) -> Tensor:
        ctx.save_for_backward(conductance)
        ctx.wires = wires
        with torch._C._AutoDispatchBelowAutograd():
            return _EFFECTIVE(conductance, wires, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _GRADIENT(ctx.saved_tensors[0], grad, ctx.wires), None, None


class _Gradient(_SingleLevelFunction):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        with torch._C._AutoDispatchBelowAutograd():
            return _GRADIENT(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> None:
        raise RuntimeError("An effective conductance is once_differentiable: it has no second derivative.")


def _mapped(info: Any, in_dims: tuple[Any, ...], conductance: Tensor, *rest: Any) -> tuple[Tensor, int]:
    return _EFFECTIVE(conductance.movedim(in_dims[0], 0), *rest), 0


def _mapped_gradient(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
    both = [x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs[:2], in_dims, strict=False)]  # fmt: skip
    return _GRADIENT(*both, inputs[2]), 0


def _differentiable(function: type[_SingleLevelFunction]) -> Callable[..., Tensor]:
    def kernel(*inputs: Any) -> Tensor:
        with enable_single_level_autograd_function():
            return function.apply(*inputs)

    return kernel


# Operators of PyTorch, so that compilers, tracers and transforms see one node each and not what is in it.
_LIBRARY = torch.library.Library("edgebook", "FRAGMENT")
for _name, _arguments, *_kernels in (
    ("effective_conductance", "float[] wires, str backend", _forward, _without_memory, _Effective, _mapped),
    ("effective_conductance_backward", "Tensor grad, float[] wires", _backward, _blank, _Gradient, _mapped_gradient),
):
    _LIBRARY.define(f"{_name}(Tensor conductance, {_arguments}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(_name, _kernels[0], "CompositeExplicitAutograd")
    _LIBRARY.impl(_name, _differentiable(_kernels[2]), "Autograd")
    torch.library.register_fake(f"edgebook::{_name}", _kernels[1], lib=_LIBRARY)
    torch.library.register_vmap(f"edgebook::{_name}", _kernels[3], lib=_LIBRARY)
_EFFECTIVE, _GRADIENT = (getattr(torch.ops.edgebook, f"effective_conductance{k}").default for k in ("", "_backward"))
