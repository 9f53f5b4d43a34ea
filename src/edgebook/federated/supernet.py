"""A supernet whose paths are parts: cut to a mask it holds the active paths alone, under the names of the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from edgebook.federated.records import Arrays
from edgebook.measure.arguments import whole
from edgebook.measure.operations import layer_costs
from edgebook.measure.seeding import SeededDraws
from edgebook.measure.watching import watched

GROUPS = 4
KINDS = ("conv1", "conv3", "conv5", "separable3", "separable5", "max3", "average3")


class Supernet(nn.Module):
    r"""Stages of cells; a cell is the mean of its active paths, :math:`\frac1{|m|} \sum_p m_p f_p(x)`, or the identity.

    Each stage begins with a 3x3 convolution to its width, from the second one on after a 2x2 max-pool; global average
    and a linear layer follow the last. Convolutions have a group norm and a ReLU; pools have neither. A mean is brought
    to mean 0 and variance 1 by groups of channels, so that it has the same scale whatever the mask is.
    As reconstructed from the abstract of Venkatesha et al., *Divide-and-Conquer the NAS puzzle*, arXiv 2305.07135.

    Parameters
    ----------
    widths : sequence of int
        Channels of each stage.
    cells, in_channels, classes, seed : int
        Cells in a stage, channels of an image, logits, and what decides the weights.
    kinds : sequence of str
        The paths of each cell, of conv1, conv3, conv5, separable3, separable5, max3 and average3.
    mask : array of bool, (N,), optional
        Active paths, cell by cell; all of them where None. Others are not there.
    keep : sequence of array of int, optional
        Channels of each stage that are there, see `slice_channels`.
    residual : bool
        Whether a cell's input is added to its output.
    mixture : bool
        Whether paths are weighted by a softmax over an `alpha` (cells, paths) that is trained, as in FedNAS, instead
        of alike.

    Raises
    ------
    ValueError
        An unknown path, a mask or channels of another shape, or channels that leave groups unequal.

    Examples
    --------
    >>> mask = np.array([True, False, False, True, False, False])
    >>> net = Supernet((8,), cells=2, kinds=("conv3", "conv1", "max3"), mask=mask, in_channels=1, classes=5)
    >>> [name for name in net.state_dict() if "cells" in name and name.endswith("0.weight")]  # convolutions
    ['stages.0.cells.0.0.0.weight', 'stages.0.cells.1.0.0.weight']
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        cells: int = 2,
        in_channels: int = 3,
        classes: int = 10,
        kinds: Sequence[str] = ("conv3", "conv1", "max3", "average3"),
        seed: int = 0,
        mask: ArrayLike | None = None,
        keep: Sequence[ArrayLike] | None = None,
        residual: bool = False,
        mixture: bool = False,
    ) -> None:
        super().__init__()
        if unknown := set(kinds) - set(KINDS):
            raise ValueError(f"Paths are of {', '.join(KINDS)}, and not {', '.join(sorted(unknown))}.")
        per_stage = whole("cells", cells) * len(kinds)
        active = np.ones(per_stage * len(widths), bool) if mask is None else np.asarray(mask, bool)
        if active.shape != (per_stage * len(widths),):
            raise ValueError(f"The mask must have the shape ({per_stage * len(widths)},), got {active.shape}.")
        kept = list(widths) if keep is None else [len(one) for one in checked_channels(keep, widths)]
        self.residual = residual
        with SeededDraws(seed):
            self.stages = nn.ModuleList()
            for stage, (width, now) in enumerate(zip(widths, kept, strict=True)):
                groups = math.gcd(GROUPS, width)
                pool = [nn.MaxPool2d(2)] if stage else []
                entry = [*pool, nn.Conv2d(kept[stage - 1] if stage else in_channels, now, 3, padding=1, bias=False)]
                mine = active.reshape(len(widths), cells, -1)[stage]
                self.stages.append(nn.ModuleDict({
                    "entry": nn.Sequential(*entry, nn.GroupNorm(groups, now), nn.ReLU()),
                    "cells": nn.ModuleList(nn.ModuleDict({
                        str(p): _path(kind, now, groups) for p, kind in enumerate(kinds) if row[p]
                    }) for row in mine),
                    "norm": nn.GroupNorm(groups, now, affine=False),
                }))  # fmt: skip
            self.linear = nn.Linear(kept[-1], classes)
        self.alpha = nn.Parameter(torch.zeros(cells * len(widths), len(kinds))) if mixture else None

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, classes)
        number = 0
        for stage in self.stages:
            x = stage["entry"](x)
            for cell in stage["cells"]:
                x = self._cell(cell, stage["norm"], x, None if self.alpha is None else self.alpha[number])
                number += 1
        return self.linear(x.mean(dim=(2, 3)))

    def _cell(self, cell: nn.ModuleDict, norm: nn.Module, x: Tensor, alpha: Tensor | None) -> Tensor:
        if not cell:
            return x
        if alpha is None:
            shares = [1 / len(cell)] * len(cell)
        else:
            shares = list(alpha[[int(p) for p in cell]].softmax(0))
        mean = norm(sum(share * path(x) for share, path in zip(shares, cell.values(), strict=True)))
        return x + mean if self.residual else mean


def _path(kind: str, width: int, groups: int) -> nn.Module:
    size = int(kind[-1])
    same = {"padding": size // 2, "stride": 1}
    if kind.startswith("max"):
        return nn.MaxPool2d(size, **same)
    if kind.startswith("average"):
        return nn.AvgPool2d(size, **same, count_include_pad=False)
    convolutions = [nn.Conv2d(width, width, size, bias=False, **same)]
    if kind.startswith("separable"):
        convolutions = [
            nn.Conv2d(width, width, size, groups=width, bias=False, **same),
            nn.Conv2d(width, width, 1, bias=False),
        ]
    return nn.Sequential(*convolutions, nn.GroupNorm(groups, width), nn.ReLU())


def checked_channels(keep: Sequence[ArrayLike], widths: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the channels that each stage keeps, or raise a ValueError: in order, and as many of each norm's group."""
    kept = [np.asarray(one, np.int64) for one in keep]
    for channels, width in zip(kept, widths, strict=True):
        groups = math.gcd(GROUPS, width)
        inside = channels.ndim == 1 and len(channels) > 0 and channels[0] >= 0 and channels[-1] < width
        held = np.bincount(channels * groups // width, minlength=groups) if inside else []
        if not inside or (np.diff(channels) <= 0).any() or np.ptp(held):
            raise ValueError(
                f"A stage of {width} channels keeps some of them in order, as many in each of {groups} groups, "
                f"got {channels.tolist()}."
            )
    return kept


def _places(arrays: Arrays, keep: Sequence[NDArray[np.int64]]) -> Iterator[tuple[str, tuple[NDArray, ...]]]:
    """Yield which indices of each axis of an array are kept, () where all are."""
    for name in arrays:
        room, _, inner = name.partition(".")
        if name == "linear.weight":  # (classes, channels of the last stage)
            yield name, (np.arange(len(arrays[name])), keep[-1])
        elif room != "stages":
            yield name, ()
        elif arrays[name].ndim == 1:  # of a norm
            yield name, (keep[int(inner.partition(".")[0])],)
        else:  # (out, in, k, k); the input is the image's, the stage's before or, in cells, the stage's own
            stage, inputs = int(inner.partition(".")[0]), arrays[name].shape[1]
            source = keep[stage] if ".cells." in name else keep[stage - 1] if stage else None
            yield name, (keep[stage], np.arange(inputs) if source is None or inputs == 1 else source)


def slice_channels(arrays: Arrays, keep: Sequence[NDArray[np.int64]]) -> Arrays:
    """Cut arrays of a supernet to the channels that each stage keeps.

    Pools and identities carry channels through a stage, so that all of its cells keep the same.

    Parameters
    ----------
    arrays : dict of str to ndarray
        All of a supernet's, or a part of them.
    keep : sequence of ndarray of int
        For each stage, in order, as many channels of each group of its norms.

    Returns
    -------
    dict of str to ndarray

    Examples
    --------
    >>> net = Supernet((8,), cells=1, in_channels=1)
    >>> whole_of_it = {name: value.numpy() for name, value in net.state_dict().items()}
    >>> part = slice_channels(whole_of_it, [np.array([0, 2, 4, 6])])
    >>> part["stages.0.cells.0.0.0.weight"].shape
    (4, 4, 3, 3)
    >>> placed = place_channels(part, [np.array([0, 2, 4, 6])], whole_of_it)
    >>> int(placed["stages.0.cells.0.0.0.weight"].mask[:, 0, 0, 0].sum())  # what this client says nothing about
    4
    """
    return {name: arrays[name][np.ix_(*at)] if at else arrays[name] for name, at in _places(arrays, keep)}


def place_channels(part: Arrays, keep: Sequence[NDArray[np.int64]], current: Arrays) -> Arrays:
    """Put a cut part back into whole arrays, masked where it has been cut; `merge_parts` merges them.

    Parameters
    ----------
    part : dict of str to ndarray
        As `slice_channels` returned it, or a client trained it.
    keep : sequence of ndarray of int
        As in `slice_channels`.
    current : dict of str to ndarray
        The supernet's whole arrays, for their shapes and types.

    Returns
    -------
    dict of str to ndarray or masked array
    """
    placed = {}
    for name, at in _places({name: current[name] for name in part}, keep):
        placed[name] = part[name]
        if at:
            placed[name] = np.ma.masked_all(current[name].shape, current[name].dtype)
            placed[name][np.ix_(*at)] = part[name]
    return placed


class ActiveCost(NamedTuple):
    """What a network asks of the client that trains it."""

    macs: int  #: multiply-accumulates for one image
    weights: int  #: trained values
    activations: int  #: outputs of convolutions, pools and the classifier for one image


def active_cost(net: Supernet, shape: Sequence[int]) -> ActiveCost:
    """Count what a supernet, cut to its mask and channels, costs for one image of shape (C, H, W).

    Parameters
    ----------
    net : Supernet
    shape : sequence of int
        (C, H, W) of an image.

    Returns
    -------
    ActiveCost

    Examples
    --------
    >>> active_cost(Supernet((8,), cells=1, kinds=("max3",), in_channels=1), (1, 4, 4))
    ActiveCost(macs=1232, weights=178, activations=266)
    """
    made = 0

    def see(_: str, __: nn.Module, ___: object, output: Tensor) -> None:
        nonlocal made
        made += output.numel()

    pools = {name: one for name, one in net.named_modules() if isinstance(one, nn.MaxPool2d | nn.AvgPool2d)}
    with watched(pools, see):
        costs = layer_costs(net, shape).values()
    weights = sum(value.numel() for value in net.parameters())
    return ActiveCost(sum(c.macs for c in costs), weights, made + sum(c.outputs for c in costs))
