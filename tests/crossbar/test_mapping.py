"""Weights on crossbars and back: against a mapping written device by device, and convolution by matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from edgebook.crossbar import Device, Layout
from edgebook.crossbar.mapping import map_weights, read_deviations, read_weights
from edgebook.crossbar.tiles import from_tiles, to_tiles, weight_matrix, weight_tensor

layouts = st.builds(
    Layout,
    st.builds(Device, st.floats(1e3, 1e6), st.floats(2, 1e3)),
    st.integers(2, 10),
    st.integers(1, 6),
    st.integers(1, 7),
    st.integers(1, 7),
)
sides = st.integers(1, 15)


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(weights: np.ndarray, layout: Layout) -> np.ndarray:
    """Program (K, N) device by device, from the definition in words."""
    k, n = weights.shape
    high = 1 / layout.device.on_resistance
    low = high / layout.device.on_off
    r, c = -(-k // layout.rows), -(-n // layout.columns)
    digits = -(-(layout.weight_bits - 1) // layout.cell_bits)
    tiles = np.full((digits, 2, r, c, layout.rows, layout.columns), low)
    base, top = 2**layout.cell_bits, 2 ** (layout.weight_bits - 1) - 1
    for i in range(k):
        for j in range(n):
            magnitude = round(abs(weights[i, j]) / np.abs(weights).max() * top)  # both round halves to even
            for s in range(digits):
                level = magnitude // base ** (digits - 1 - s) % base
                half = 0 if weights[i, j] > 0 else 1
                place = (s, half, i // layout.rows, j // layout.columns, i % layout.rows, j % layout.columns)
                tiles[place] = low + (high - low) * level / (base - 1)
    return tiles


@settings(max_examples=60)
@given(sides, sides, layouts, st.integers(0, 2**31))
def test_every_device_is_where_it_belongs(k: int, n: int, layout: Layout, seed: int) -> None:
    weights = seeded(k, n, seed=seed)
    tiles, step = map_weights(weights, layout)
    wanted = by_hand(weights.numpy(), layout)
    assert step == pytest.approx(float(weights.abs().max()) / (2 ** (layout.weight_bits - 1) - 1))
    np.testing.assert_allclose(tiles.numpy(), wanted, rtol=1e-12, atol=0)


@settings(max_examples=60)
@given(sides, sides, layouts, st.integers(0, 2**31))
def test_the_weights_come_back_rounded(k: int, n: int, layout: Layout, seed: int) -> None:
    weights = seeded(2, k, n, seed=seed)  # two matrices at once, with one scale
    tiles, step = map_weights(weights, layout)
    found = read_weights(tiles, step, (k, n), layout)
    torch.testing.assert_close(found, (weights / step).round() * step, rtol=1e-10, atol=1e-10 * step)
    assert (found - weights).abs().max() <= step / 2 * (1 + 1e-9)


@given(sides, sides, st.integers(1, 7), st.integers(1, 7))
def test_tiles_go_together_again(k: int, n: int, rows: int, columns: int) -> None:
    matrix = seeded(3, k, n)
    tiles = to_tiles(matrix, rows, columns, fill=7.0)
    assert tiles.shape == (3, -(-k // rows), -(-n // columns), rows, columns)
    assert torch.equal(from_tiles(tiles, (k, n)), matrix)
    assert int((tiles == 7.0).sum()) == tiles.numel() - matrix.numel()


@given(st.integers(2, 12), st.integers(1, 12))
def test_slices_suffice_for_the_magnitude(weight_bits: int, cell_bits: int) -> None:
    layout = Layout(weight_bits=weight_bits, cell_bits=cell_bits)
    most = int((layout.significance() * (2**cell_bits - 1)).sum())
    assert most >= layout.top == 2 ** (weight_bits - 1) - 1
    assert 2 ** ((layout.slices - 1) * cell_bits) <= layout.top  # and none is idle


def test_what_all_devices_conduct_alike_cancels() -> None:
    layout = Layout(rows=4, columns=4)
    tiles, step = map_weights(seeded(6, 5), layout)
    shifted = read_weights(tiles + 3e-6, step, (6, 5), layout)
    torch.testing.assert_close(shifted, read_weights(tiles, step, (6, 5), layout), rtol=1e-9, atol=1e-12)


def test_deviations_propagate_through_the_sum() -> None:
    """Against the Jacobian of the weights, which autograd gives."""
    layout = Layout(rows=3, columns=2, weight_bits=8, cell_bits=3)
    tiles, step = map_weights(seeded(4, 3), layout)
    spread = seeded(*tiles.shape, seed=1).abs() * 1e-6
    jacobian = torch.func.jacrev(lambda g: read_weights(g, step, (4, 3), layout))(tiles)
    wanted = (jacobian * spread).square().flatten(2).sum(2).sqrt()
    torch.testing.assert_close(read_deviations(spread, step, (4, 3), layout), wanted, rtol=1e-10, atol=0)


def test_weights_of_zero() -> None:
    layout = Layout()
    tiles, step = map_weights(torch.zeros(3, 2), layout)
    assert step == 0 and bool((tiles == layout.device.low).all())
    assert bool((read_weights(tiles * 2, step, (3, 2), layout) == 0).all())


def test_numbers_of_bits_may_be_those_of_others() -> None:
    """A power of two in eight bits would overflow."""
    layout = Layout(weight_bits=np.int8(20), cell_bits=torch.tensor(10), rows=np.int16(3), columns=np.uint8(2))
    assert layout == Layout(weight_bits=20, cell_bits=10, rows=3, columns=2)
    assert layout.top == 2**19 - 1 and all(type(getattr(layout, name)) is int for name in ("weight_bits", "rows"))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_convolution_is_its_matrices_times_patches(groups: int) -> None:
    x, weight = seeded(2, 6, 7, 8), seeded(12, 6 // groups, 3, 2, seed=1)
    patches = F.unfold(x, (3, 2)).unflatten(1, (groups, -1))  # (B, groups, K, positions), channel before kernel
    found = torch.einsum("bgkp,gkn->bgnp", patches, weight_matrix(weight, groups=groups)).flatten(1, 2)
    torch.testing.assert_close(found, F.conv2d(x, weight, groups=groups).flatten(2), rtol=1e-10, atol=1e-10)
    assert torch.equal(weight_tensor(weight_matrix(weight, groups=groups), weight.shape), weight)


def test_channels_last_makes_no_difference() -> None:
    weight = seeded(5, 4, 3, 3)
    assert torch.equal(weight_matrix(weight.to(memory_format=torch.channels_last)), weight_matrix(weight))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Layout(weight_bits=1), "weight_bits must be at least 2"),
        (lambda: Layout(weight_bits=25), "weight_bits must be a whole number from 1 to 24, got 25"),
        (lambda: Layout(cell_bits=0), "cell_bits must be a whole number from 1 to 24, got 0"),
        (lambda: Layout(rows=0), "whole number of rows and columns, got 0 x 64"),
        (lambda: Layout(rows=np.float32(8)), "whole number of rows and columns, got 8.0 x 64"),
        (lambda: Layout(weight_bits="8"), "weight_bits must be a whole number from 1 to 24, got '8'"),
        (lambda: weight_matrix(torch.ones(4, 2), groups=3), "4 outputs do not divide into 3 groups"),
        (lambda: Layout(columns=2.5), "whole number of rows and columns, got 64 x 2.5"),
        (lambda: map_weights(torch.tensor([[1.0, float("nan")]]), Layout()), "must be finite"),
        (lambda: map_weights(torch.ones(3), Layout()), r"shape \(\.\.\., K, N\).*got \(3,\)"),
        (lambda: map_weights(torch.ones(0, 3), Layout()), r"got \(0, 3\)"),
        (lambda: weight_matrix(torch.ones(3)), r"at least two dimensions and one value, got \(3,\)"),
        (lambda: weight_matrix(torch.ones(5, 2, 3, 3), groups=2), "5 outputs do not divide into 2 groups"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
