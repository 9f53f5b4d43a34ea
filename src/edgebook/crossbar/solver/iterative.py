r"""Currents for a few inputs, or for very large arrays, without the effective conductance: conjugate gradients.

Device currents `X` (M, N) alone are the unknowns, since Kirchhoff's laws along the lines give all voltages from them:

.. math:: X / g + Z X = V 1^T,

where `Z X` is what the wires take from each device's voltage, two nested cumulative sums per direction.
With :math:`S = g^{1/2}` and :math:`X = S Y` the system is :math:`(1 + S Z S) Y = S V 1^T`: symmetric, all eigenvalues
at least 1, and the largest below 10 for usual wires and up to 128 lines, so that 10 to 25 iterations suffice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from edgebook.crossbar.solver.wiring import Wiring, check_conductance, check_voltages, wiring

MOST_ITERATIONS = 2000


def word_drop(currents: Tensor, wires: Wiring) -> Tensor:
    """Return how far the voltage of each word-line node lies below its source.

    Parameters
    ----------
    currents : Tensor, (..., M, N)
        Device currents, amperes.
    wires : Wiring
        Resistances.

    Returns
    -------
    Tensor, (..., M, N)
        Volts.
    """
    drops = wires.word * currents.flip(-1).cumsum(-1).flip(-1)  # of the wire to the left of each node
    first = wires.source * currents.sum(-1, keepdim=True)
    return torch.cat([first, drops[..., 1:]], dim=-1).cumsum(-1)


def bit_rise(currents: Tensor, wires: Wiring) -> Tensor:
    """Return how far the voltage of each bit-line node lies above ground.

    Parameters
    ----------
    currents : Tensor, (..., M, N)
        Device currents, amperes.
    wires : Wiring
        Resistances.

    Returns
    -------
    Tensor, (..., M, N)
        Volts.
    """
    return word_drop(currents.mT.flip(-1, -2), wires.turned()).flip(-1, -2).mT


def device_currents(
    voltages: Tensor,
    conductance: Tensor,
    *,
    r_word: float,
    r_bit: float,
    r_source: float,
    r_sense: float,
    tolerance: float = 1e-13,
) -> Tensor:
    """Return the current through every device.

    The circuit is that of `effective_conductance`, whose matrix gives the output currents of any number of inputs; this
    costs about 12 M N operations per input and iteration.

    Parameters
    ----------
    voltages : Tensor, (..., K, M)
        Volts at the sources, K input vectors.
    conductance : Tensor, (..., M, N)
        Siemens, at least 0. Leading dimensions of both broadcast.
    r_word, r_bit, r_source, r_sense : float
        Ohms, at least 0.
    tolerance : float
        Norm of the residual at which to stop, relative to the right-hand side.

    Returns
    -------
    Tensor, (..., K, M, N)
        Amperes, from word line to bit line; double precision, differentiable once.

    Raises
    ------
    ValueError
        As `effective_conductance`; voltages that do not fit or are not finite; a tolerance outside (0, 1).
    RuntimeError
        The tolerance is not reached, as may happen with wires that resist far more than the devices.
    """
    check_conductance(conductance)
    check_voltages(voltages, conductance)
    wires = wiring(r_word, r_bit, r_source, r_sense)
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance}.")
    drive = voltages.double().unsqueeze(-1).expand(*voltages.shape, conductance.shape[-1])
    return _Currents.apply(*torch.broadcast_tensors(drive, conductance.double().unsqueeze(-3)), wires, tolerance)


def output_currents(
    voltages: Tensor,
    conductance: Tensor,
    *,
    r_word: float,
    r_bit: float,
    r_source: float,
    r_sense: float,
    tolerance: float = 1e-13,
) -> Tensor:
    """Return the currents out of the bit lines, as ``voltages @ effective_conductance(...)`` would.

    Parameters
    ----------
    voltages, conductance, r_word, r_bit, r_source, r_sense, tolerance
        As for `device_currents`.

    Returns
    -------
    Tensor, (..., K, N)
        Amperes.

    Raises
    ------
    ValueError, RuntimeError
        As `device_currents`.
    """
    ohm = {"r_word": r_word, "r_bit": r_bit, "r_source": r_source, "r_sense": r_sense}
    return device_currents(voltages, conductance, **ohm, tolerance=tolerance).sum(-2)


def _solve(drive: Tensor, conductance: Tensor, wires: Wiring, tolerance: float) -> Tensor:
    """Return the device currents that the voltages `drive` (..., M, N) in series with the devices cause."""
    root = conductance.sqrt()

    def system(y: Tensor) -> Tensor:
        currents = root * y
        return y + root * (word_drop(currents, wires) + bit_rise(currents, wires))

    residual = root * drive
    solution, direction = torch.zeros_like(residual), residual.clone()
    square = (residual * residual).sum((-2, -1), keepdim=True)
    wanted = tolerance**2 * square
    for _ in range(MOST_ITERATIONS):
        if not (square > wanted).any():
            return root * solution
        image = system(direction)
        curvature = (direction * image).sum((-2, -1), keepdim=True)
        length = torch.where(curvature > 0, square / curvature, 0)
        solution = solution + length * direction
        residual = residual - length * image
        before, square = square, (residual * residual).sum((-2, -1), keepdim=True)
        direction = residual + torch.where(before > 0, square / before, 0) * direction
    raise RuntimeError(
        f"The currents did not converge to {tolerance} within {MOST_ITERATIONS} iterations; "
        "effective_conductance needs none."
    )


class _Currents(torch.autograd.Function):
    """Voltages in series with the devices, and conductances, to device currents: linear and symmetric in the first."""

    @staticmethod
    def forward(drive: Tensor, conductance: Tensor, wires: Wiring, tolerance: float) -> Tensor:
        return _solve(drive, conductance, wires, tolerance)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[1], output)
        ctx.wires, ctx.tolerance = inputs[2:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        drive, conductance, currents = ctx.saved_tensors
        adjoint = _solve(grad, conductance, ctx.wires, ctx.tolerance)
        voltage = drive - word_drop(currents, ctx.wires) - bit_rise(currents, ctx.wires)
        other = grad - word_drop(adjoint, ctx.wires) - bit_rise(adjoint, ctx.wires)
        return adjoint, voltage * other, None, None
