r"""Scores of untrained spiking networks: how differently they spike for different images.

For a layer of N neurons at one step, with patterns :math:`p_i \in \{0, 1\}^N` of the images and their rates
:math:`r_i`, the Hamming distance is :math:`d_{ij} = \sum_k |p_{ik} - p_{jk}|`, and by chance one would expect
:math:`N e_{ij}` with :math:`e_{ij} = r_i (1 - r_j) + (1 - r_i) r_j`. The score is :math:`\log |\det K|` with the mean
over layers and steps of

============== =========================================================================
kind           :math:`K_{ij}`
============== =========================================================================
`hd`           :math:`N - d_{ij}`, as of networks without spikes
`sahd-first`   :math:`N - d_{ij} / (2 e_{ij} + 0.002)`, the first release of the code
`sahd`         :math:`N - d_{ij} / (2 N e_{ij} + 0.002)`, the final one
============== =========================================================================

The first release weighs layers by their size. In the final one the images differ by fractions of a neuron, so that one
huge eigenvalue stands beside n - 1 small ones: the determinant needs double precision. For independent patterns it is
about :math:`(n - 1) \log \frac12 + \log(n N)`.

Source: Kim et al., *Neural Architecture Search for Spiking Neural Networks*, arXiv 2201.10355, and the two releases of
its code; `hd` is of Mellor et al., *Neural Architecture Search without Training*, arXiv 2006.04647.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgebook.measure.watching import probed, watched
from edgebook.spiking.leaky import LeakyLoop
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.lif import LIF

_EXACT = 2**24  # neurons up to which sums of single-precision zeros and ones are exact


class Patterns(NamedTuple):
    """What scores take of the patterns of n images, in double precision; perhaps of several steps, along T.

    Examples
    --------
    >>> two = Patterns(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), rates=torch.tensor([0.5, 0.5]), neurons=4)
    >>> KINDS["hd"](two), two.chance[0, 1]
    (tensor([[4., 2.],
            [2., 4.]]), tensor(0.5000))
    """

    distances: Tensor  #: (T, n, n) or (n, n), Hamming distances
    rates: Tensor  #: (T, n) or (n,), the share of neurons that fire
    neurons: int  #: N

    @property
    def chance(self) -> Tensor:
        """The share of neurons that would differ by chance, of the shape of the distances."""
        rate, quiet = self.rates.unsqueeze(-1), 1 - self.rates.unsqueeze(-1)  # (T, n, 1)
        return rate * quiet.mT + quiet * rate.mT


# By kind, patterns to a kernel matrix (T, n, n) or (n, n).
KINDS: Mapping[str, Callable[[Patterns], Tensor]] = MappingProxyType(
    {
        "hd": lambda p: p.neurons - p.distances,
        "sahd-first": lambda p: p.neurons - 0.5 * p.distances / (p.chance + 1e-3),
        "sahd": lambda p: p.neurons - 0.5 * p.distances / (p.neurons * p.chance + 1e-3),
    }
)


def _read(patterns: Tensor) -> Patterns:
    """Read patterns (T, n, N) or (n, N) by one product, that of how many neurons fire for both of two images."""
    neurons = patterns.shape[-1]
    exact = patterns.to(torch.float32 if neurons <= _EXACT else torch.float64)
    both = (exact @ exact.mT).double()  # (T, n, n)
    counts = both.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)  # (T, n, 1), spikes of each image
    return Patterns(counts + counts.mT - 2 * both, counts.squeeze(-1) / neurons, neurons)


def _checked(patterns: Tensor) -> Patterns:
    shape = tuple(patterns.shape)
    if len(shape) != 2 or 0 in shape or not bool(((patterns == 0) | (patterns == 1)).all()):
        found = f"the shape {shape}" if len(shape) != 2 or 0 in shape else "other numbers"
        raise ValueError(f"Patterns must be zeros and ones (images, neurons), got {found}.")
    return _read(patterns)


def pattern_distances(patterns: Tensor) -> Tensor:
    """Count in how many neurons the patterns of each two images differ, by one matrix product.

    Parameters
    ----------
    patterns : Tensor, (n, N), spikes of N neurons for n images, 0 or 1, of any type

    Returns
    -------
    Tensor, (n, n), float64, whole numbers

    Raises
    ------
    ValueError
        Patterns of another shape, without a neuron, or of other numbers.

    Examples
    --------
    >>> pattern_distances(torch.tensor([[1, 0, 1], [0, 1, 1]]))
    tensor([[0., 2.],
            [2., 0.]], dtype=torch.float64)
    """
    return _checked(patterns).distances


def pattern_kernel(patterns: Tensor, kind: str) -> Tensor:
    """Return the matrix `K` of the patterns of one layer at one step.

    Parameters
    ----------
    patterns : Tensor, (n, N), as in `pattern_distances`, with the same errors
    kind : {"hd", "sahd-first", "sahd"}

    Returns
    -------
    Tensor, (n, n), float64, with N on its diagonal

    Examples
    --------
    >>> pattern_kernel(torch.tensor([[1, 0, 1], [0, 1, 1]]), "hd")
    tensor([[3., 1.],
            [1., 3.]], dtype=torch.float64)
    """
    one_of("kind", kind, tuple(KINDS))
    return KINDS[kind](_checked(patterns))


class Diversity(NamedTuple):
    """How differently a network spikes for different images."""

    scores: dict[str, float]  #: by kind
    silent: tuple[str, ...]  #: the neurons that never fired: they tell no two images apart


def diversity_score(
    network: nn.Module, images: Tensor, *, kinds: Mapping[str, Callable[[Patterns], Tensor]] = KINDS
) -> Diversity:
    """Score a network by its spikes for a batch of images, all kinds from one forward pass.

    It runs in training mode, in which batch norms take the statistics of these images, and gets its modes and buffers
    back. A layer of neurons counts at each step as often as it runs.

    Parameters
    ----------
    network : torch.nn.Module, with neurons in `LIF` or `LeakyLoop`, such as that of `cell_network` or `spiking_vgg`
    images : Tensor, (n, C, H, W), what the network takes, at least two
    kinds : mapping of str to callable, names to what makes a matrix (T, n, n) of `Patterns`

    Returns
    -------
    Diversity

    Raises
    ------
    ValueError
        A network without neurons, spikes that are NaN, or two images for which all neurons spike alike, so that the
        determinant is zero; silent layers are named.

    Examples
    --------
    >>> from edgebook.spiking import Cell, cell_network
    >>> net = cell_network(Cell("0303 0030 2002 0200"), in_channels=3, classes=10, size=8, width=4, steps=3)
    >>> found = diversity_score(net, torch.rand(6, 3, 8, 8))
    >>> found._replace(scores=list(found.scores))
    Diversity(scores=['hd', 'sahd-first', 'sahd'], silent=())
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, LIF | LeakyLoop)}
    sums: dict[str, Tensor | int] = dict.fromkeys(kinds, 0)
    runs, apart, silent = 0, torch.zeros(()), dict.fromkeys(layers)  # steps of all layers, all distances (n, n)

    def see(name: str, _: nn.Module, __: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        nonlocal runs, apart
        spikes = output if isinstance(output, Tensor) else output[0]  # (T, n, ...)
        spikes = spikes if spikes.is_contiguous() else spikes.movedim(2, -1)  # as they lie: neurons have no order
        found = _read(spikes.flatten(2))
        for kind, kernel in kinds.items():
            sums[kind] = sums[kind] + kernel(found).sum(0)
        runs, apart = runs + len(spikes), apart.to(spikes.device) + found.distances.sum(0)
        if found.rates.any():
            silent.pop(name, None)

    with probed(network), watched(layers, see):
        network.train()(images)
    if not runs:
        raise ValueError("The network has no neurons of the types looked for, LIF and LeakyLoop.")
    if apart.isnan().any():
        raise ValueError("Spikes are NaN, as they are of images or weights that are not finite.")
    alike = (apart.fill_diagonal_(1) == 0).nonzero().tolist()  # pairs of images
    if alike:
        told = f"; silent: {', '.join(silent)}." if silent else "."
        raise ValueError("Images {} and {} give the same spikes everywhere, and no score".format(*alike[0]) + told)
    scores = {kind: float(torch.linalg.slogdet(total / runs).logabsdet) for kind, total in sums.items()}
    return Diversity(scores, tuple(silent))
