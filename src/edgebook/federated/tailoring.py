"""What tailors a network to its task: expected complexity, a teacher for each layer, and pruning of paths."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.federated.checks import finite
from edgebook.federated.tailored import Path, Tailored
from edgebook.measure.arguments import whole
from edgebook.measure.operations import count_macs

Costs = Mapping[tuple[str, Path], float]


def path_costs(net: Tailored) -> dict[tuple[str, Path], float]:
    """Return the multiply-accumulates of each path, as shares of those of all blocks; of a net before pruning.

    Parameters
    ----------
    net : Tailored

    Returns
    -------
    dict of (layer, Path) to float

    Examples
    --------
    >>> stem, blocks = nn.Conv2d(1, 4, 3, padding=1), [nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)]
    >>> costs = path_costs(Tailored(stem, blocks, shape=(1, 6, 6), classes=3))
    >>> costs["1", Path(0, universal=True)], costs["2", Path(0, universal=False)]  # 1/9 of its block
    (0.5, 0.05555555555555555)
    """
    macs = {
        (layer, path): count_macs(net.path(layer, path), net.sizes[path.source])
        for layer, paths in net.paths.items()
        for path in paths
    }
    backbone = sum(count for (_, path), count in macs.items() if path.universal)
    return {key: count / backbone for key, count in macs.items()}


def expected_complexity(net: Tailored, costs: Costs) -> Tensor:
    r"""Estimate what is left of a network's cost if each path is kept with the probability of its attention.

    .. math:: E[C] = \sum_{p \to l} C^l_p \Big(1 - r^l_p - \prod_k r^p_k - \prod_{q \text{ reads } l} r^q_l\Big),
        \qquad r = 1 - a

    A path is not needed where it is dropped itself, where nothing enters the layer that it reads, or where nothing
    reads the layer that it enters. These three are taken as disjoint, so that the estimate can be negative.

    Parameters
    ----------
    net : Tailored
    costs : mapping of (layer, Path) to float
        As `path_costs` returns them.

    Returns
    -------
    Tensor, ()
        With a gradient to the scores, which training lowers.

    Examples
    --------
    >>> stem, blocks = nn.Conv2d(1, 4, 3, padding=1), [nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)]
    >>> net = Tailored(stem, blocks, shape=(1, 6, 6), classes=3)
    >>> f"{expected_complexity(net, path_costs(net)):.3f}"
    '0.947'
    """
    dropped = {layer: 1 - attention for layer, attention in net.attention().items()}
    nothing_enters = {int(layer): r.prod() for layer, r in dropped.items()}
    readers: dict[int, list[Tensor]] = {}
    for layer, paths in net.paths.items():
        for path, r in zip(paths, dropped[layer], strict=True):
            readers.setdefault(path.source, []).append(r)
    total = torch.zeros(())
    for layer, paths in net.paths.items():
        read_by = readers.get(int(layer))  # the classifier reads the last layer
        nobody_reads = torch.stack(read_by).prod() if read_by else 0.0
        for path, r in zip(paths, dropped[layer], strict=True):
            needed = 1 - r - nothing_enters.get(path.source, 0.0) - nobody_reads
            total = total + costs[layer, path] * needed
    return total


def teacher_loss(net: Tailored, teacher: Tailored, x: Tensor, *, detached: bool = True) -> Tensor:
    """Return the mean squared distance between the outputs of a network's layers and a teacher's, logits included.

    Parameters
    ----------
    net, teacher : Tailored
        Of the same backbone; layers that the network has no longer are left out.
    x : Tensor, (N, C, H, W)
    detached : bool
        Whether each layer is trained by its own distance alone, as in the released code, or also by those of the
        layers that read it, as in the text.

    Returns
    -------
    Tensor, ()
        The mean over layers of means over values; the text sums squares.

    Examples
    --------
    >>> stem, blocks = nn.Conv2d(1, 4, 3, padding=1), [nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)]
    >>> teacher = Tailored(stem, blocks, shape=(1, 6, 6), classes=3, skips=0, frozen=False)
    >>> teacher_loss(teacher, teacher, torch.rand(2, 1, 6, 6)).item()
    0.0
    """
    with torch.no_grad():
        shown = dict(zip([*teacher.paths, "logits"], teacher.activations(x), strict=True))
    own = zip([*net.paths, "logits"], net.activations(x, detached=detached), strict=True)
    return torch.stack([F.mse_loss(output, shown[layer]) for layer, output in own]).mean()


def prune(net: Tailored, *, below: float = 0.05, blocks: int = 0) -> Tailored:
    """Return a network without the proxies of little attention and the blocks of least, and what they alone served.

    Parameters
    ----------
    net : Tailored
    below : float
        Proxies whose attention is smaller go, 0 to 1.
    blocks : int
        So many blocks go, those of the smallest attention in their layers.

    Returns
    -------
    Tailored
        A copy. The attention of what is left in a layer adds up to 1 again.

    Raises
    ------
    ValueError
        Nothing would be left between image and classifier, more blocks than there are, or a threshold out of range.

    Examples
    --------
    >>> stem, blocks = nn.Conv2d(1, 4, 3, padding=1), [nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)]
    >>> net = prune(Tailored(stem, blocks, shape=(1, 6, 6), classes=3), below=0.01, blocks=1)
    >>> net.paths  # the second block had less attention than the first
    {'1': [Path(source=0, universal=True), Path(source=0, universal=False)], '2': [Path(source=1, universal=False), Path(source=0, universal=False)]}
    """  # noqa: E501
    if not 0 <= finite("below", below) <= 1:
        raise ValueError(f"below must lie between 0 and 1, got {below}.")
    shares = {
        (layer, path): a
        for layer, attention in net.attention().items()
        for path, a in zip(net.paths[layer], attention.tolist(), strict=True)
    }
    ranked = sorted((key for key in shares if key[1].universal), key=shares.__getitem__)
    gone = set(ranked[: whole("blocks", blocks, 0, len(ranked))])
    left = {key for key, a in shares.items() if key not in gone and (key[1].universal or a >= below)}
    left = _connected(left, last=len(net.sizes) - 1)
    if not left:
        raise ValueError("Nothing would be left between the image and the classifier.")
    return _cut(net, left)


def _connected(paths: set[tuple[str, Path]], last: int) -> set[tuple[str, Path]]:
    """Keep the paths that lie on a way from the stem to the last layer; layers are in order."""
    reached, needed = {0}, {last}
    for layer in range(1, last + 1):
        if any(int(into) == layer and path.source in reached for into, path in paths):
            reached.add(layer)
    for layer in range(last, 0, -1):
        if layer in needed:
            needed |= {path.source for into, path in paths if int(into) == layer and path.source in reached}
    return {(into, path) for into, path in paths if path.source in reached and int(into) in needed & reached}


def _cut(net: Tailored, left: set[tuple[str, Path]]) -> Tailored:
    """Return a copy with these paths alone."""
    small = copy.deepcopy(net)
    for layer, paths in net.paths.items():
        kept = [path for path in paths if (layer, path) in left]
        places = [paths.index(path) for path in kept]
        for path in set(paths) - set(kept):
            if path.universal:
                del small.blocks[layer]
            else:
                del small.proxies[f"{layer}_{path.source}"]
        if kept:
            small.paths[layer], small.scores[layer] = kept, nn.Parameter(net.scores[layer].detach()[places].clone())
        else:
            del small.paths[layer], small.scores[layer]
    return small
