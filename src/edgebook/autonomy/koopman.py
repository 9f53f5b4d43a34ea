r"""Dynamics as numbers that turn and shrink: a spectral Koopman model, and the linear-quadratic controller of it.

A learnt code of the state, n complex numbers, obeys :math:`z' = \mathrm{diag}(e^{\mu + j \omega}) z + B u` (RoboKoop:
Kumawat et al., 2024), with n multiplications a step; the state is read off linearly.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_are
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.arguments import whole

Array = NDArray[np.float64]


class Koopman(nn.Module):
    """A spectral Koopman model, to be trained on how states go on under controls.

    Parameters
    ----------
    states, modes, controls : int, X numbers of a state, n complex modes, U controls
    hidden : int, units of what the code has besides a linear part; 0 for a linear code
    stable : bool, whether no mode may grow; an unstable equilibrium needs one that can

    Examples
    --------
    >>> model = Koopman(states=2, modes=3)
    >>> model(torch.zeros(5, 2), torch.zeros(5, 4, 1)).shape  # four steps ahead
    torch.Size([5, 4, 2])
    """

    def __init__(self, states: int, modes: int, controls: int = 1, hidden: int = 32, stable: bool = False) -> None:
        super().__init__()
        size = 2 * whole("modes", modes)
        self.stable = stable
        self.linear = nn.Linear(whole("states", states), size, bias=False)
        self.bent = nn.Sequential(nn.Linear(states, hidden), nn.Tanh(), nn.Linear(hidden, size)) if hidden else None
        self.push = nn.Linear(whole("controls", controls), size, bias=False)
        self.read = nn.Linear(size, states, bias=False)
        self.growth = nn.Parameter(torch.full((modes,), -3.0 if stable else -0.05))
        self.turn = nn.Parameter(torch.linspace(0, 1, modes))

    def code(self, x: Tensor) -> Tensor:
        """Return the codes of states (..., X), real parts and imaginary parts by turns, (..., 2 n)."""
        return self.linear(x) + self.bent(x) if self.bent is not None else self.linear(x)

    def eigenvalues(self) -> Tensor:
        """Return what each mode is multiplied by in a step, complex (n,)."""
        growth = -F.softplus(self.growth) if self.stable else self.growth
        return torch.exp(torch.complex(growth, self.turn))

    def forward(self, x: Tensor, controls: Tensor) -> Tensor:
        """Return the states (B, T, X) that follow states (B, X) under controls (B, T, U)."""
        factor, z, codes = self.eigenvalues(), _complex(self.code(x)), []
        for push in _complex(self.push(controls)).unbind(1):
            z = z * factor + push
            codes.append(z)
        return self.read(torch.view_as_real(torch.stack(codes, dim=1)).flatten(-2))

    @torch.no_grad()
    def matrices(self) -> tuple[Array, Array, Array]:
        """Return A (2 n, 2 n), B (2 n, U) and C (X, 2 n) of the code as real numbers."""
        parts = [torch.tensor([[v.real, -v.imag], [v.imag, v.real]]) for v in self.eigenvalues()]
        return tuple(part.double().numpy() for part in (torch.block_diag(*parts), self.push.weight, self.read.weight))


def _complex(code: Tensor) -> Tensor:
    return torch.view_as_complex(code.unflatten(-1, (-1, 2)).contiguous())


def lqr(a: Array, b: Array, q: Array, r: Array) -> Array:
    r"""Return the gain K of the control :math:`u = -K z` that costs least, :math:`\sum z^T Q z + u^T R u`, for ever.

    Parameters
    ----------
    a, b : numpy.ndarray, (Z, Z) and (Z, U), of the system :math:`z' = A z + B u`
    q, r : numpy.ndarray, (Z, Z) and (U, U), what states and controls cost

    Returns
    -------
    numpy.ndarray, (U, Z)

    Raises
    ------
    ValueError
        No control brings the system to rest, or its costs do not ask for it.

    Examples
    --------
    >>> lqr(np.eye(1), np.eye(1), np.eye(1), np.eye(1)).round(6).tolist()  # 1 / golden ratio
    [[0.618034]]
    """
    try:
        p = solve_discrete_are(a, b, q, r)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"There is no control that brings this system to rest: {error}") from None
    return np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
