"""Supernets cut to masks and channels: against an explicit sum, a whole one trained with a mask, and counted costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgebook.federated import Supernet, active_cost, merge_parts, place_channels, slice_channels, train_locally
from edgebook.measure import count_macs

SPACE = {
    "widths": (4, 8),
    "cells": 2,
    "in_channels": 2,
    "classes": 3,
    "kinds": ("conv3", "separable3", "max3", "conv1"),
}
KEEP = [np.array([0, 1, 2, 3]), np.array([0, 3, 4, 7])]  # one of two channels of each group of the second stage
MASK = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1], bool)  # the second cell is the identity
X = torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3


def arrays(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def cut(source: Supernet, mask: np.ndarray, **options: object) -> Supernet:
    """The network of a mask, with the weights of another one."""
    net = Supernet(**SPACE, mask=mask, seed=99, **options)
    held = arrays(source)
    if keep := options.get("keep"):
        held = slice_channels(held, keep)
    net.load_state_dict({name: torch.from_numpy(held[name]) for name in net.state_dict()})
    return net


def masked(net: Supernet, mask: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    """What a whole supernet gives if its paths are multiplied by a mask: the formula, cell by cell."""
    rows = iter(mask.reshape(4, 4))
    for stage in net.stages:
        x = stage["entry"](x)
        for cell in stage["cells"]:
            row = next(rows)
            if row.any():
                mean = sum(float(m) * path(x) for m, path in zip(row, cell.values(), strict=True)) / row.sum()
                groups = mean.unflatten(1, (4, -1))
                by_group = {"dim": (2, 3, 4), "keepdim": True}
                centred = groups - groups.mean(**by_group)
                x = (centred / (groups.var(**by_group, correction=0) + 1e-5).sqrt()).flatten(1, 2)
    return net.linear(x.mean(dim=(2, 3)))


@pytest.mark.parametrize("mask", [MASK, np.ones(16, bool), np.zeros(16, bool)], ids=["some", "all", "none"])
def test_a_network_cut_to_a_mask_is_the_supernet_times_the_mask(mask: np.ndarray) -> None:
    whole = Supernet(**SPACE, seed=1)
    torch.testing.assert_close(cut(whole, mask)(X), masked(whole, mask, X))
    assert cut(whole, mask).state_dict().keys() <= whole.state_dict().keys()


def test_a_client_trains_its_part_as_it_would_the_whole_and_merging_puts_it_back() -> None:
    whole, part = Supernet(**SPACE, seed=1), cut(Supernet(**SPACE, seed=1), MASK)
    before = arrays(whole)
    train_locally(part, X, Y, epochs=2, batch_size=3, lr=0.1, seed=4)
    whole.forward = lambda x: masked(whole, MASK, x)
    train_locally(whole, X, Y, epochs=2, batch_size=3, lr=0.1, seed=4)
    merged = merge_parts([arrays(part)], [1.0], before)
    for name, array in arrays(whole).items():
        np.testing.assert_allclose(merged[name], array, atol=1e-6)
    assert all((name in part.state_dict()) or np.array_equal(merged[name], before[name]) for name in before)


def test_a_mixture_weighs_paths_by_what_is_trained() -> None:
    net = Supernet(**SPACE, seed=1, mixture=True)
    plain = Supernet(**SPACE, seed=1)
    torch.testing.assert_close(net(X), plain(X))  # alike at first
    net.alpha.data[:] = torch.where(torch.from_numpy(MASK.reshape(4, 4)), 0.0, -200.0)
    net.alpha.data[1] = 0.0
    torch.testing.assert_close(net(X), masked(plain, MASK | np.repeat([0, 1, 0, 0], 4).astype(bool), X))
    F.cross_entropy(net(X), Y).backward()
    assert net.alpha.grad.abs().sum() > 0
    assert not torch.equal(Supernet(**SPACE, seed=1, residual=True)(X), plain(X))


def test_channels_that_are_left_are_what_they_were() -> None:
    whole = Supernet(**SPACE, seed=1)
    small = cut(whole, MASK, keep=KEEP)
    for name, array in slice_channels(arrays(whole), KEEP).items():
        if name in small.state_dict():
            assert tuple(small.state_dict()[name].shape) == array.shape
    first = whole.stages[0]["entry"](X)
    torch.testing.assert_close(small.stages[0]["entry"](X), first)
    pooled, conv = F.max_pool2d(first, 2), whole.stages[1]["entry"][1]
    torch.testing.assert_close(small.stages[1]["entry"][1](pooled), conv(pooled)[:, KEEP[1]])


def test_slicing_and_placing_are_each_others_inverse_and_merge_over_who_holds_a_channel() -> None:
    whole = arrays(Supernet(**SPACE, seed=1))
    part = slice_channels(whole, KEEP)
    placed = place_channels(part, KEEP, whole)
    assert placed.keys() == whole.keys()
    for name, array in slice_channels(placed, KEEP).items():
        np.testing.assert_array_equal(array, part[name])
        assert not np.ma.is_masked(array)
        np.testing.assert_array_equal(np.ma.filled(placed[name], whole[name]), whole[name])
    other = {name: array + 1 for name, array in whole.items()}
    merged = merge_parts([placed, other], [0.5, 0.5], whole)
    weight = "stages.1.cells.0.0.0.weight"
    held = np.isin(np.arange(8), KEEP[1])
    expected = np.where(held[:, None] & held, 0.5, 1.0)[..., None, None]
    np.testing.assert_allclose(merged[weight] - whole[weight], np.broadcast_to(expected, (8, 8, 3, 3)), rtol=1e-5)


def test_costs_are_those_of_the_formula() -> None:
    net = Supernet(**SPACE, mask=MASK)
    found = active_cost(net, (2, 8, 8))
    entry = 64 * 2 * 4 * 9 + 16 * 4 * 8 * 9 + 8 * 3
    cells = 64 * 16 * 9 + 16 * (8 * 9 + 64) + 16 * 64 + 16 * (64 * 9 + 8 * 9 + 64 + 64)  # conv3; sep, conv1; all
    assert found.macs == entry + cells == count_macs(net, (2, 8, 8))
    assert found.weights == sum(value.numel() for value in net.state_dict().values())
    outputs = 64 * 4 + 16 * 8 + 3 + (64 * 4) * 2 + 16 * 8 * (2 + 1) + 16 * 8 * (1 + 2 + 1 + 1)
    assert found.activations == outputs + 4 * 4 * 4  # the pool between the stages
    assert active_cost(cut(Supernet(**SPACE), MASK, keep=KEEP), (2, 8, 8)).macs < found.macs


@pytest.mark.parametrize(("act", "words"), [
    (lambda: Supernet((4,), kinds=("conv7",)), "and not conv7"),
    (lambda: Supernet((4,), cells=2, mask=[True]), r"The mask must have the shape \(8,\), got \(1,\)"),
    (lambda: Supernet((8,), keep=[[0, 1, 2, 3]]), r"as many in each of 4 groups, got \[0, 1, 2, 3\]"),
    (lambda: Supernet((8,), keep=[[6, 4, 2, 0]]), r"some of them in order"),
    (lambda: Supernet((8,), keep=[[0, 2, 4, 9]]), r"some of them in order"),
])  # fmt: skip
def test_what_is_no_supernet_is_refused(act: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        act()
