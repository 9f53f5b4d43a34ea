"""Spiking networks made of a cell: its operations at work, with feedback from one step to the next.

Source: Kim et al., *Neural Architecture Search for Spiking Neural Networks*, arXiv 2201.10355, and what its code does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.arguments import whole
from edgebook.measure.seeding import SeededDraws
from edgebook.spiking.assembly import Head, check_widths
from edgebook.spiking.cells import NODES, OUTPUT, Cell, cell_of
from edgebook.spiking.classifier import SpikingNetwork
from edgebook.spiking.layers import Folded, Recipe, SpikingLayer
from edgebook.spiking.neuron.lif import beta_of
from edgebook.spiking.neuron.surrogates import atan
from edgebook.spiking.stepping import SteppedLIF


class _Synapses(nn.Module):
    """Neurons, a convolution of their spikes, and batch norm."""

    def __init__(self, recipe: Recipe, width: int, kernel: int) -> None:
        super().__init__()
        self.neuron = SteppedLIF(
            recipe.beta, recipe.threshold, recipe.reset, surrogate=recipe.surrogate, **recipe.options
        )
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
        outputs: list[Tensor] = []
        fed: dict[int, list[Tensor]] = {}  # what backward edges bring to a node at the next step
        held: dict[SteppedLIF, Tensor] = {}  # what the neurons carry into it
        for step in x.split(1):  # (1, B, C, H, W)
            values = self._nodes(step, fed, held)
            outputs.append(values[OUTPUT])
            fed = {j: self._brought(j, {i: values[i] for i in range(j + 1, NODES)}, held) for j in range(OUTPUT)}
        return torch.cat(outputs)

    def _nodes(
        self, x: Tensor, fed: dict[int, list[Tensor]], held: dict[SteppedLIF, Tensor] | None
    ) -> dict[int, Tensor]:
        """Return what each node hands on: the sum of what edges bring, and zero where there are none."""
        values: dict[int, Tensor] = {}
        for j in range(NODES):
            brought = [*(self._brought(j, values, held) if j else [x]), *fed.get(j, [])]
            values[j] = reduce(torch.add, brought) if brought else torch.zeros_like(x)
        return values

    def _brought(self, j: int, values: dict[int, Tensor], held: dict[SteppedLIF, Tensor] | None) -> list[Tensor]:
        """Return what edges bring to a node from nodes of these values."""
        edges = [(self.edges[f"{i}{j}"], y) for i, y in values.items() if (i, j) in self.cell.edges]
        return [edge(y, held) if isinstance(edge, _Synapses) else edge(y) for edge, y in edges]

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

    Parameters
    ----------
    network : torch.nn.Module, such as that of `cell_network`

    Yields
    ------
    torch.nn.Module, the network itself

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
