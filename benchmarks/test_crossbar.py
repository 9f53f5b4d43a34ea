"""The crossbar solver beside badcrossbar and a sparse LU decomposition: all inputs of a tile, and of a batch of tiles.

All of them compute the same matrix, which is checked first. badcrossbar has one resistance per line, also at its ends,
so all are given that circuit. It solves one tile after the other, and so does the sparse LU; both are given all
inputs at once. The row "arithmetic" is what 2 n^4 multiplications and additions take at the rate of a large matrix
product on the same core: a bound that no elimination of all word lines undercuts.

Needs badcrossbar and pathvalidate, as the page "Speed" says. On an otherwise idle core, pinned where the system can:
`OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_crossbar.py`
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest
import test_public_task
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from edgebook.crossbar import effective_conductance

WORD, BIT = 5.0, 10.0
ROUNDS = {16: 60, 32: 30, 64: 12, 128: 5}


def ours(tiles: Tensor) -> Tensor:
    return effective_conductance(tiles, r_word=WORD, r_bit=BIT, r_source=WORD, r_sense=BIT)


def badcrossbar(tiles: Tensor) -> Tensor:
    from badcrossbar.compute import compute

    def one(g: np.ndarray) -> np.ndarray:
        options = {"r_i_word_line": WORD, "r_i_bit_line": BIT, "node_voltages": False, "all_currents": False}
        return compute(np.eye(len(g)), 1 / g, **options).currents.output

    return torch.from_numpy(np.stack([one(tile) for tile in tiles.numpy()]))


def sparse_lu(tiles: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([_nodal(tile) for tile in tiles.numpy()]))


def _nodal(g: np.ndarray) -> np.ndarray:
    """Kirchhoff's current law at both nodes of every device, factorised once, for a volt at each input in turn."""
    m, n = g.shape
    word, bit = np.arange(m * n).reshape(m, n), m * n + np.arange(m * n).reshape(m, n)
    edges = [(word, bit, g), (word[:, 1:], word[:, :-1], 1 / WORD), (bit[1:], bit[:-1], 1 / BIT)]
    rows, columns, values = [], [], []
    for one, other, conductance in edges:
        one, other, each = one.ravel(), other.ravel(), np.broadcast_to(conductance, one.shape).ravel()
        rows += [one, other, one, other]
        columns += [one, other, other, one]
        values += [each, each, -each, -each]
    for nodes, conductance in [(word[:, 0], 1 / WORD), (bit[-1], 1 / BIT)]:
        rows, columns = [*rows, nodes], [*columns, nodes]
        values.append(np.full(len(nodes), conductance))
    where = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.csc_matrix((np.concatenate(values), where), shape=(2 * m * n, 2 * m * n))
    driven = np.zeros((2 * m * n, m))
    driven[word[:, 0], np.arange(m)] = 1 / WORD
    return splu(matrix).solve(driven)[bit[-1]].T / BIT


CONTENDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "edgebook": ours,
    "badcrossbar": badcrossbar,
    "SciPy, sparse LU": sparse_lu,
}


def tiles_of(side: int, count: int) -> Tensor:
    """Devices between 20 and 200 kilo-ohm."""
    uniform = torch.rand(count, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 10 ** (-uniform) / 20e3


def rate_of_products() -> float:
    """Multiplications and additions per second in a product of large matrices."""
    a = torch.rand(1024, 1024, dtype=torch.float64)
    found = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        found.append(2 * 1024**3 / (time.perf_counter() - start))
    return max(found)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("count", [1, 16])
@pytest.mark.parametrize("side", ROUNDS)
def test_all_inputs(contest: Any, report: Any, side: int, count: int) -> None:
    pytest.importorskip("badcrossbar.compute")
    logging.disable(logging.INFO)
    tiles = tiles_of(side, count)
    wanted = ours(tiles)
    for solve in list(CONTENDERS.values())[1:]:
        torch.testing.assert_close(solve(tiles[:1]), wanted[:1], rtol=1e-8, atol=0)
    title = f"crossbar, {side} x {side}, {'one tile' if count == 1 else f'{count} tiles'}"
    rounds = ROUNDS[side] if count == 1 else max(3, ROUNDS[side] // 8)
    contest(title, {name: lambda solve=solve: solve(tiles) for name, solve in CONTENDERS.items()}, rounds)
    arithmetic = 1e3 * count * 2 * side**4 / rate_of_products()
    report(title, "ms", {"the arithmetic alone": [arithmetic]})
    if side >= 64 and count == 1:
        found = {name: [alone(name, side) for _ in range(2)] for name in CONTENDERS}
        report(f"memory of {title}", "MB", found)


def peak(name: str, side: int) -> float:
    """Return by how many MB one tile raises the memory of this process, at least by the 0.1 that can be told apart."""
    solve, tiles = CONTENDERS[name], tiles_of(side, 1)
    solve(tiles[:, :3, :3].contiguous())  # compiled and loaded from here on
    before = psutil.Process().memory_info().rss
    solve(tiles)
    return max(0.1, (test_public_task.highest() - before) / 2**20)


def alone(name: str, side: int) -> float:
    done = subprocess.run([sys.executable, __file__, name, str(side)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    print(peak(sys.argv[1], int(sys.argv[2])))
