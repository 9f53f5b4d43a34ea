"""Nodal analysis of any network of resistors, written for the tests alone and from nothing but Kirchhoff's laws.

Edges without resistance merge their ends. Voltages are refined with residuals in extended precision, where a current
is a conductance times a difference of voltages, so that small devices beside short wires lose no digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import splu


class Resistors(NamedTuple):
    """Edges between nodes, in siemens; infinite conductances are wires without resistance."""

    one: np.ndarray
    other: np.ndarray
    conductance: np.ndarray


@pytest.fixture(scope="session")
def nodal() -> Callable[..., np.ndarray]:
    """The effective conductances by nodal analysis: (M, N) devices and the four resistances to (M, N)."""
    return effective


def crossbar(g: np.ndarray, word: float, bit: float, source: float, sense: float) -> tuple[Resistors, np.ndarray]:
    """Return all resistors, and the fixed nodes: M sources and then N grounds, one of its own for each bit line."""
    m, n = g.shape
    words = np.arange(m * n).reshape(m, n)
    bits = words + m * n
    sources, grounds = 2 * m * n + np.arange(m), 2 * m * n + m + np.arange(n)
    lists = [
        (words, bits, g),
        (words[:, 1:], words[:, :-1], ohms(word, (m, n - 1))),
        (bits[1:], bits[:-1], ohms(bit, (m - 1, n))),
        (words[:, 0], sources, ohms(source, (m,))),
        (bits[-1], grounds, ohms(sense, (n,))),
    ]
    joined = [np.concatenate([np.ravel(part[k]) for part in lists]) for k in range(3)]
    return Resistors(joined[0], joined[1], joined[2].astype(np.float64)), np.concatenate([sources, grounds])


def ohms(resistance: float, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, np.inf if resistance == 0 else 1 / resistance)


def merged(net: Resistors, nodes: int) -> np.ndarray:
    """Return for each node the one that stands for all that are connected without resistance."""
    short = np.isinf(net.conductance)
    graph = sparse.coo_array((np.ones(short.sum()), (net.one[short], net.other[short])), shape=(nodes, nodes))
    return sparse.csgraph.connected_components(graph, directed=False)[1]


def effective(g: np.ndarray, word: float, bit: float, source: float, sense: float) -> np.ndarray:
    """Return the current (M, N) into each ground per volt at each source."""
    m, n = g.shape
    net, fixed = crossbar(g, word, bit, source, sense)
    label = merged(net, 2 * m * n + m + n)
    kept = ~np.isinf(net.conductance) & (net.conductance > 0)
    one, other, c = label[net.one[kept]], label[net.other[kept]], net.conductance[kept].astype(np.longdouble)
    count = label.max() + 1
    free = np.ones(count, bool)
    free[label[fixed]] = False
    assert len(set(label[fixed])) == m + n, "a source is short-circuited"
    # Lines without any path to a fixed node do not occur: every node has its line's end.
    incidence = sparse.coo_array(
        (np.repeat([1.0, -1.0], len(one)), (np.tile(np.arange(len(one)), 2), np.concatenate([one, other]))),
        shape=(len(one), count),
    ).tocsr()
    voltage = np.zeros((count, m), np.longdouble)
    voltage[label[fixed[:m]], np.arange(m)] = 1
    if free.any():
        part = incidence[:, free]
        system = (part.T @ sparse.diags_array(c.astype(float)) @ part).tocsc()
        factors = splu(system)
        for _ in range(6):
            current = c[:, None] * (voltage[one] - voltage[other])  # (edges, M)
            voltage[free] += factors.solve(-leaving(current, one, other, count)[free].astype(float))
    current = c[:, None] * (voltage[one] - voltage[other])
    return -leaving(current, one, other, count)[label[fixed[m:]]].T.astype(float)


def leaving(current: np.ndarray, one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    total = np.zeros((count, current.shape[1]), np.longdouble)
    np.add.at(total, one, current)
    np.subtract.at(total, other, current)
    return total
