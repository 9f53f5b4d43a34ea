r"""Cells of four nodes with an operation on each edge: what they are, and how they are drawn.

Node 0 is the input :math:`x` of the cell and node 3 its output. With :math:`o_{ij}` the operation from node i to j,

.. math:: x_j^t = \sum_{i < j} o_{ij}(x_i^t + b_i^t), \qquad b_j^{t+1} = \sum_{i > j} o_{ij}(x_i^t + b_i^t)

and :math:`b^1 = 0`.

Source: Kim et al., *Neural Architecture Search for Spiking Neural Networks*, arXiv 2201.10355, and what its code does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from edgebook.measure.arguments import as_whole, whole

NODES, OUTPUT = 4, 3
OPERATIONS = ("none", "identity", "conv1x1", "conv3x3", "pool")  # by their numbers in a cell
Edge = tuple[int, int]


@dataclass(frozen=True)
class Cell:
    """A cell as a matrix of 4 x 4 whole numbers: row i, column j has the operation from node i to node j.

    0 is no edge, 1 the identity, 2 and 3 neurons with a 1x1 or 3x3 convolution and batch norm, 4 a 3x3 average.
    Above the diagonal are forward edges, below it backward ones, which reach their node one step later.

    Parameters
    ----------
    rows : str, or sequence of four sequences; a text has four digits for each row, as ``str(cell)`` returns it

    Raises
    ------
    ValueError
        Not 4 x 4 whole numbers from 0 to 4, an edge from a node to itself, or two edges between two nodes.

    Examples
    --------
    >>> best = Cell("0303 0030 2002 0200")  # the paper's on CIFAR-10
    >>> best.feedback, best.edges[3, 1]
    (2, 2)
    """

    rows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        try:
            rows = [map(int, row) for row in self.rows.split()] if isinstance(self.rows, str) else self.rows
            found = tuple(tuple(as_whole(x) for x in row) for row in rows)
        except (TypeError, ValueError):  # no rows, or letters
            found = ()
        if [len(row) for row in found] != [NODES] * NODES or not all(x in range(5) for row in found for x in row):
            raise ValueError(
                f"A cell is 4 x 4 whole numbers from 0 to 4, as in '0303 0030 2002 0200', got {self.rows!r}."
            )
        if any(found[i][j] and found[j][i] for i in range(NODES) for j in range(i, NODES)):
            raise ValueError(f"Two nodes of a cell have one edge between them, and a node none to itself, got {found}.")
        object.__setattr__(self, "rows", found)

    def __str__(self) -> str:
        return " ".join("".join(map(str, row)) for row in self.rows)

    @property
    def edges(self) -> dict[Edge, int]:
        """The operation of each edge, by the nodes that it leads from and to."""
        return {(i, j): code for i, row in enumerate(self.rows) for j, code in enumerate(row) if code}

    @property
    def feedback(self) -> int:
        """Number of backward edges."""
        return sum(i > j for i, j in self.edges)


def cell_of(edges: Iterable[tuple[Edge, int]]) -> Cell:
    """Return the cell of these edges and their operations, without the nodes on no walk from input to output."""
    codes = dict(edges)
    alive = _reached(codes, 0) & _reached([(j, i) for i, j in codes], OUTPUT)
    kept = {edge: code for edge, code in codes.items() if alive.issuperset(edge)}
    return Cell(tuple(tuple(kept.get((i, j), 0) for j in range(NODES)) for i in range(NODES)))


def _reached(edges: Iterable[Edge], start: int) -> set[int]:
    """Return the nodes that walks from one node reach, itself included."""
    edges, found = list(edges), [start]
    for node in found:
        found += [j for i, j in edges if i == node and j not in found]
    return set(found)


def repaired(cell: Cell) -> Cell | None:
    """Remove the nodes on no walk from input to output, over edges of both kinds, as the released code does.

    Parameters
    ----------
    cell : Cell

    Returns
    -------
    Cell or None, where no edge leads from input to output directly, and the code draws again

    Examples
    --------
    >>> str(repaired(Cell("0103 0030 0000 0000")))  # what reaches node 2 goes no further
    '0003 0000 0000 0000'
    """
    return cell_of(cell.edges.items()) if (0, OUTPUT) in cell.edges else None


def random_cell(generator: torch.Generator, *, backward: bool, feedback: int = 0) -> Cell:
    """Draw a cell as the released code does, again and again until it need not.

    In the forward space the operation of each forward edge is uniform. In the backward one a fair coin for each two
    nodes says which way their edge leads; 54 % of the cells that are accepted then have no backward edge left.

    Parameters
    ----------
    generator : torch.Generator
    backward : bool, whether to draw from the backward space
    feedback : int, how many backward edges a cell must have at least to be accepted, at most five

    Returns
    -------
    Cell, repaired

    Raises
    ------
    ValueError
        A number of backward edges that no cell of the space has.

    Examples
    --------
    >>> random_cell(torch.Generator().manual_seed(0), backward=True, feedback=1).feedback > 0
    True
    """
    feedback = whole("feedback", feedback, 0, 5 if backward else 0)
    while True:
        codes = torch.randint(len(OPERATIONS), (NODES, NODES), generator=generator).triu(1)
        back = torch.randint(2, (NODES, NODES), generator=generator) * int(backward)
        found = repaired(Cell((codes * (1 - back) + (codes * back).T).tolist()))
        if found is not None and found.feedback >= feedback:
            return found


def without_feedback(cell: Cell) -> Cell:
    """Return a cell without its backward edges, and without the nodes that these alone had kept alive.

    Parameters
    ----------
    cell : Cell

    Returns
    -------
    Cell, of forward edges alone

    Examples
    --------
    >>> str(without_feedback(Cell("0303 0030 2002 0200")))
    '0303 0030 0002 0000'
    """
    return cell_of(((i, j), code) for (i, j), code in cell.edges.items() if i < j)


def turned_forward(cell: Cell) -> Cell:
    """Return a cell with each backward edge turned round: as many parameters, and no feedback.

    In one of six cells with feedback this leaves a node on no walk from input to output, which is then removed; one of
    eight loses parameters by it.

    Parameters
    ----------
    cell : Cell

    Returns
    -------
    Cell, of forward edges alone

    Examples
    --------
    >>> str(turned_forward(Cell("0303 0030 2002 0200")))
    '0323 0032 0002 0000'
    """
    return cell_of(((min(edge), max(edge)), code) for edge, code in cell.edges.items())
