r"""Cells of four nodes with an operation on each edge, and spiking networks made of them, with feedback in time.

Node 0 is the input :math:`x` of the cell and node 3 its output. With :math:`o_{ij}` the operation from node i to j,

.. math:: x_j^t = \sum_{i < j} o_{ij}(x_i^t + b_i^t), \qquad b_j^{t+1} = \sum_{i > j} o_{ij}(x_i^t + b_i^t)

and :math:`b^1 = 0`.

Source: Kim et al., *Neural Architecture Search for Spiking Neural Networks*, arXiv 2201.10355, and what its code does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.arguments import as_whole, whole
from edgebook.measure.seeding import SeededDraws
from edgebook.spiking.assembly import Head, check_widths
from edgebook.spiking.classifier import SpikingNetwork
from edgebook.spiking.layers import Folded, Recipe, SpikingLayer
from edgebook.spiking.neuron.lif import beta_of
from edgebook.spiking.neuron.surrogates import atan
from edgebook.spiking.stepping import SteppedLIF

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

    Examples
    --------
    >>> str(without_feedback(Cell("0303 0030 2002 0200")))
    '0303 0030 0002 0000'
    """
    return cell_of(((i, j), code) for (i, j), code in cell.edges.items() if i < j)


def turned_forward(cell: Cell) -> Cell:
    """Return a cell with each backward edge turned round: as many parameters, and no feedback.

    In one of six cells with feedback this leaves a node on no walk from input to output, which is then removed.

    Examples
    --------
    >>> str(turned_forward(Cell("0303 0030 2002 0200")))
    '0323 0032 0002 0000'
    """
    return cell_of(((min(edge), max(edge)), code) for edge, code in cell.edges.items())


class _Synapses(nn.Module):
    """Neurons, a convolution of their spikes, and batch norm."""

    def __init__(self, recipe: Recipe, width: int, kernel: int) -> None:
        super().__init__()
        self.neuron = SteppedLIF(recipe.beta, recipe.threshold, surrogate=recipe.surrogate, **recipe.options)
        self.convolution = recipe.convolution(width, width, kernel, fires=False)

    def forward(self, x: Tensor, held: dict[SteppedLIF, Tensor] | None = None) -> Tensor:  # (T, B, C, H, W)
        stepped = isinstance(self.neuron, SteppedLIF)  # and not what has taken its place, which remembers nothing
        return self.convolution(self.neuron(x, held=held) if stepped else self.neuron(x))


class CellLayer(nn.Module):
    """A cell at work on a sequence of currents (T, B, C, H, W): all steps at once, with feedback one after the other.

    Feedback lives within one call. Where `feedback` is off it is zero, which is not the network without these edges:
    batch norm makes its shift of a zero.
    """

    def __init__(self, cell: Cell, recipe: Recipe, width: int) -> None:
        super().__init__()
        self.cell, self.feedback = cell, True
        make = {
            1: nn.Identity,
            2: lambda: _Synapses(recipe, width, 1),
            3: lambda: _Synapses(recipe, width, 3),
            4: lambda: Folded(nn.AvgPool2d(3, stride=1, padding=1)),
        }
        self.edges = nn.ModuleDict({f"{i}{j}": make[code]() for (i, j), code in cell.edges.items()})

    def forward(self, x: Tensor) -> Tensor:  # (T, B, C, H, W) -> (T, B, C, H, W)
        if not (self.feedback and self.cell.feedback):
            return self._nodes(x, {}, None)[OUTPUT]
        outputs, held, fed = [], {}, {}
        for step in x.split(1):  # (1, B, C, H, W)
            values = self._nodes(step, fed, held)
            fed = {j: self._into(j, values, range(j + 1, NODES), held) for j in range(OUTPUT)}
            outputs.append(values[OUTPUT])
        return torch.cat(outputs)

    def _nodes(
        self, x: Tensor, fed: dict[int, Tensor | None], held: dict[SteppedLIF, Tensor] | None
    ) -> dict[int, Tensor]:
        """Return what the nodes hand on: what forward edges bring and what has been fed back."""
        values: dict[int, Tensor] = {}
        for j in range(NODES):
            given = self._into(j, values, range(j), held) if j else x
            back = fed.get(j)
            values[j] = back if given is None else given if back is None else given + back
            if values[j] is None:
                values[j] = torch.zeros_like(x)
        return values

    def _into(
        self, j: int, values: dict[int, Tensor], sources: Iterable[int], held: dict[SteppedLIF, Tensor] | None
    ) -> Tensor | None:
        """Add up what edges bring to a node from others, None where there are none."""
        total = None
        for i in sources:
            if (i, j) in self.cell.edges:
                edge = self.edges[f"{i}{j}"]
                brought = edge(values[i], held) if isinstance(edge, _Synapses) else edge(values[i])
                total = brought if total is None else total + brought
        return total

    def extra_repr(self) -> str:
        """Return what is printed between the brackets."""
        return str(self.cell)


class _Dropped(nn.Module):
    """Dropout whose mask is one for all steps of a call."""

    def forward(self, x: Tensor) -> Tensor:  # (T, B, C, H, W)
        return x * F.dropout(torch.ones_like(x[:1]), 0.5, self.training)


@contextmanager
def feedback_cut(network: nn.Module) -> Iterator[nn.Module]:
    """Set the feedback of all cells of a network to zero for a while.

    Examples
    --------
    >>> cell = Cell("0303 0030 2002 0200")
    >>> net = cell_network(cell, in_channels=3, classes=10, size=8, width=4, steps=3)
    >>> x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> with feedback_cut(net):
    ...     blind = net(x)
    >>> torch.equal(blind, net(x))
    False
    """
    layers = [(layer, layer.feedback) for layer in network.modules() if isinstance(layer, CellLayer)]
    try:
        for layer, _ in layers:
            layer.feedback = False
        yield network
    finally:
        for layer, feedback in layers:
            layer.feedback = feedback


def cell_network(
    cell: Cell,
    *,
    in_channels: int,
    classes: int,
    size: int,
    width: int,
    steps: int,
    pool: int = 2,
    hidden: int = 0,
    seed: int = 0,
) -> SpikingNetwork:
    r"""Build the network of a cell: stem, cell, a reduction to half the size and twice the width, cell, read-out.

    The stem, a 3x3 convolution with batch norm, sees the image once. The reduction is batch norm, neurons, a 3x3
    convolution with batch norm, and a 2x2 average. Before the read-out come batch norm, neurons and an average.
    Neurons have the leak of :math:`\tau = 4/3`, fire at their threshold of 1, and are reset to zero.

    Parameters
    ----------
    cell : Cell, used twice, with weights of their own
    in_channels, classes : int, channels of the image, number of logits
    size : int, height and width of the images, at least twice `pool`
    width : int, channels of the first cell; the second one has twice as many
    steps : int, steps T of direct coding
    pool : int, side of the last average
    hidden : int
        Where not 0, neurons behind it as in the paper: dropout of a half, the same at all steps of a call, and a
        linear layer without bias or norm, drawn from N(0, 0.01). Its several outputs per class, averaged, are no
        other read-out than one.
    seed : int, decides the weights

    Returns
    -------
    SpikingNetwork, images (B, in_channels, size, size) to logits (B, classes), their mean over the steps

    Raises
    ------
    ValueError
        A cell in which nothing leads from input to output, or a number that is not allowed.

    Examples
    --------
    >>> net = cell_network(Cell("0303 0030 2002 0200"), in_channels=3, classes=10, size=12, width=8, steps=5)
    >>> net(torch.rand(2, 3, 12, 12)).shape
    torch.Size([2, 10])
    """
    in_channels, classes, width = check_widths(in_channels, classes, width)
    pool, hidden = whole("pool", pool), whole("hidden", hidden, 0)
    size = whole("size", size, 2 * pool)
    if not cell_of(cell.edges.items()).edges:
        raise ValueError(f"Nothing leads from the input of the cell {cell} to its output.")
    options = {"scale_input": True, "strict": False}
    recipe = Recipe(steps, beta_of(4 / 3), 1.0, "zero", atan(), "batch", False, True, options)
    with SeededDraws(seed):
        units: list[nn.Module] = [
            recipe.convolution(in_channels, width, fires=False),
            CellLayer(cell, recipe, width),
            recipe.normalise(width),
            recipe.neurons(),
            recipe.convolution(width, 2 * width, fires=False),
            Folded(nn.AvgPool2d(2)),
            CellLayer(cell, recipe, 2 * width),
            recipe.normalise(2 * width),
            recipe.neurons(),
            Folded(nn.AvgPool2d(pool)),
        ]
        features = 2 * width * (size // 2 // pool) ** 2
        if hidden:
            dense = nn.Linear(features, hidden, bias=False)
            nn.init.normal_(dense.weight, std=0.01)
            units += [_Dropped(), SpikingLayer(dense, nn.Identity(), recipe.neurons())]
        net = Head(in_channels, classes, (), size, "mean", None).on(recipe, units, hidden or features)
        if hidden:
            nn.init.normal_(net.linear.weight, std=0.01)
            nn.init.zeros_(net.linear.bias)
    return net
