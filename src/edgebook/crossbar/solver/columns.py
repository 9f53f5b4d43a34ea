r"""Column after column in Numba: for arrays of up to 128 lines faster than joining blocks, and nothing to set up.

With all bit lines eliminated, column `j` loads the word lines with an admittance matrix :math:`K_j` (M, M) and passes
:math:`t_j` (M,) of the voltages on to its output. From the last column to the first, with `Y` the admittance to the
right and `U` the transfer to the outputs there,

.. math:: Y \leftarrow Y + K_j, \quad U \leftarrow (t_j, U), \quad (Y, U) \leftarrow (1 + r Y)^{-1} (Y, U),

with the wire resistance r, for the first column the source resistance. Resistances are put into four word lines at a
time, each four a rank-4 change of the others: :math:`2 n^4` operations for an n by n array, no division by a
resistance, and apart from the diagonal no differences of like numbers. `Y` is symmetric; its upper half is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edgebook.crossbar.solver.wiring import Wiring

Array = NDArray[np.float64]


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile on first use, and keep the result beside the source or in the user's cache where one can be written."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to write: compile once per process
        return njit(**options)(function)


@_compiled
def _add_column(g: Array, y: Array, w: int, bit: float, sense: float, work: Array) -> None:
    """Add the column admittance of conductances `g` (M,) to the upper half of `y`, and write its transfer to column w.

    Going up a bit line with grounded word lines, `above` is the admittance towards the top and `below` the impedance
    towards the sense; `pass_on` is how much of a node's voltage the node below it has.
    """
    rows = g.size
    above, below, pass_on, reach = work[0], work[1], work[2], work[3]
    up = 0.0  # admittance of the devices above row i
    for i in range(rows):
        above[i] = up
        pass_on[i] = 1.0 / (1.0 + bit * (up + g[i]))
        up = (up + g[i]) * pass_on[i]
    down = sense  # impedance from row i to ground
    for i in range(rows - 1, -1, -1):
        below[i] = down
        down = bit + down / (1.0 + g[i] * down)
    transfer = 1.0 / (1.0 + sense * (g[rows - 1] + above[rows - 1]))  # share of a current that flows out at the end
    for i in range(rows - 1, -1, -1):
        node = 1.0 / (1.0 + (g[i] + above[i]) * below[i])
        if i < rows - 1:
            transfer *= pass_on[i]
            right, row = reach[i + 1 : rows], y[i, i + 1 : rows]
            for k in range(right.size):
                right[k] *= pass_on[i]
                row[k] -= g[i] * right[k]
        reach[i] = g[i] * below[i] * node  # voltage of the node below a volt at word line i
        y[i, i] += g[i] * (1.0 + above[i] * below[i]) * node
        y[i, w] = g[i] * transfer


@_compiled
def _put_resistances(y: Array, q: int, width: int, r: float, old: Array) -> None:
    """Put `r` into word lines q to q + 3: y <- (1 + r e e^T y)^-1 y, in the upper half and in columns up to width."""
    rows = old.shape[1]
    for s in range(4):
        for c in range(q + s):
            y[q + s, c] = y[c, q + s]
        for c in range(rows):
            old[s, c] = r * y[q + s, c]
    for i in range(q, q + 4):
        scale = 1.0 / (1.0 + r * y[i, i])  # pivots are at least 1
        source = y[i, :width]
        for k in range(q, q + 4):
            if k != i:
                factor, row = r * y[k, i] * scale, y[k, :width]
                for c in range(row.size):
                    row[c] -= factor * source[c]
        for c in range(source.size):
            source[c] *= scale
    for i in range(0, rows, 2):  # two rows at once share what they read
        if i < q or i > q + 3:
            f0, f1, f2, f3 = old[0, i], old[1, i], old[2, i], old[3, i]
            h0, h1, h2, h3 = old[0, i + 1], old[1, i + 1], old[2, i + 1], old[3, i + 1]
            y0, y1, y2, y3 = y[q, i:width], y[q + 1, i:width], y[q + 2, i:width], y[q + 3, i:width]
            first, second = y[i, i:width], y[i + 1, i:width]
            for c in range(first.size):
                first[c] -= f0 * y0[c] + f1 * y1[c] + f2 * y2[c] + f3 * y3[c]
                second[c] -= h0 * y0[c] + h1 * y1[c] + h2 * y2[c] + h3 * y3[c]


@_compiled
def _solve(
    tiles: Array, word: float, bit: float, source: float, sense: float, out: Array, y: Array, work: Array, old: Array
) -> None:
    """Solve tile by tile; `y` holds (Y, U), the outputs from the last to the first."""
    count, rows, columns = tiles.shape
    padded = y.shape[0]
    for t in range(count):
        for i in range(padded):
            for k in range(y.shape[1]):
                y[i, k] = 0.0
        for j in range(columns - 1, -1, -1):
            width = padded + columns - j
            _add_column(tiles[t, :, j], y, width - 1, bit, sense, work)
            for q in range(0, padded, 4):
                _put_resistances(y, q, width, word if j > 0 else source, old)
        for i in range(rows):
            for j in range(columns):
                out[t, i, j] = y[i, padded + columns - 1 - j]


def effective(tiles: Array, wiring: Wiring) -> Array:
    """Return the effective conductances of arrays (T, M, N) in siemens, :math:`2 N M^3` operations each."""
    _, rows, columns = tiles.shape
    padded = (rows + 3) // 4 * 4
    out, y = np.empty_like(tiles), np.empty((padded, padded + columns))
    _solve(tiles, *wiring, out, y, np.empty((4, rows)), np.empty((4, padded)))
    return out
