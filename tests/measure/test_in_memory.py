"""The memory's table against closed forms, VGG19's savings by hand, products of bits against whole numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebook.measure import (
    PIM_45NM,
    LayerCost,
    bit_plane_dot,
    layer_costs,
    layer_energy,
    pim_energy,
    supported_bits,
)
from edgebook.networks import parse_plan, vgg_architecture

VGG19 = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512"


@pytest.fixture(scope="module")
def vgg19() -> list[LayerCost]:
    """Count VGG19 for images of 32 x 32: sixteen convolutions and one linear layer."""
    family = vgg_architecture(parse_plan(VGG19))
    with torch.device("meta"):
        return list(layer_costs(family.build(family.widths), (3, 32, 32)).values())


def saving(costs: list[LayerCost], bits: int, energy: Callable[[LayerCost, int], float]) -> float:
    """Compare 16 bits throughout with so many in all layers but the first and the last."""
    first, *inner, last = costs
    at_the_ends = energy(first, 16) + energy(last, 16)
    at_16, at_bits = (sum(energy(cost, k) for cost in inner) for k in (16, bits))
    return (at_16 + at_the_ends) / (at_bits + at_the_ends)


@pytest.mark.parametrize(
    ("bits", "analytic", "in_memory"), [(8, 1.94, 4.09), (4, 3.68, 15.26), (3, 4.73, 15.26), (2, 6.64, 66.5)]
)
def test_savings_of_vgg19(vgg19: list[LayerCost], bits: int, analytic: float, in_memory: float) -> None:
    """No bits save the paper's 4.5 times by the one model and its 5 times by the other."""
    assert saving(vgg19, bits, layer_energy) == pytest.approx(analytic, abs=0.005)
    assert saving(vgg19, bits, pim_energy) == pytest.approx(in_memory, rel=1e-3)


def test_vgg19_is_counted_rightly(vgg19: list[LayerCost]) -> None:
    sides = [32] * 2 + [16] * 2 + [8] * 4 + [4] * 4 + [2] * 4
    widths = [3, *(int(word) for word in VGG19.split() if word != "M")]
    macs = [side**2 * 9 * a * b for side, a, b in zip(sides, widths[:-1], widths[1:], strict=True)]
    assert [cost.macs for cost in vgg19] == [*macs, 5120]


def test_energy_grows_about_as_the_square_of_the_bits() -> None:
    bits, joules = np.array(list(PIM_45NM)), np.array(list(PIM_45NM.values()))
    assert np.polyfit(np.log(bits), np.log(joules), 1)[0] == pytest.approx(2.16, abs=0.01)
    per_pass = joules / bits**2
    assert ((per_pass > 0.7e-15) & (per_pass < 1.1e-15)).all()


@given(st.integers(1, 16), st.integers(0, 10**9))
def test_a_layer_costs_its_products_at_the_next_width(bits: int, macs: int) -> None:
    cost = LayerCost(macs=macs, weights=7, inputs=8, outputs=9)
    wider = [width for width in (2, 4, 8, 16) if width >= bits]
    assert supported_bits(bits) == wider[0]
    assert pim_energy(cost, bits) == macs * PIM_45NM[wider[0]]


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 6), st.randoms(use_true_random=False))
def test_bits_multiply_as_whole_numbers(bits_x: int, bits_w: int, length: int, chance) -> None:
    x = torch.tensor([[chance.randrange(2**bits_x) for _ in range(length)] for _ in range(3)], dtype=torch.int64)
    w = torch.tensor([[chance.randrange(2**bits_w) for _ in range(2)] for _ in range(length)], dtype=torch.int64)
    columns = w.view(length, 2)
    wanted = [[sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) for column in columns.T] for row in x]
    assert bit_plane_dot(x, columns, bits_x, bits_w).tolist() == wanted


def test_the_largest_numbers_fit() -> None:
    x, w = torch.full((2, 3, 500), 2**16 - 1, dtype=torch.int32), torch.full((500, 2), 2**16 - 1, dtype=torch.int32)
    assert bit_plane_dot(x, w, 16, 16).tolist() == [[[500 * (2**16 - 1) ** 2] * 2] * 3] * 2


@pytest.mark.parametrize("bits", [0, 17, 4.0, True])
def test_other_bits_are_refused(bits: object) -> None:
    ones = torch.ones(1, 1, dtype=torch.int64)
    for name, call in {
        "bits": lambda: pim_energy(LayerCost(1, 1, 1, 1), bits),
        "bits_x": lambda: bit_plane_dot(ones, ones, bits, 4),
        "bits_w": lambda: bit_plane_dot(ones, ones, 4, bits),
    }.items():
        with pytest.raises(ValueError, match=re.escape(f"{name} must be a whole number from 1 to 16, got {bits!r}.")):
            call()


@pytest.mark.parametrize("values", [[[-1]], [[4]], [[1.0]], [[1j]]])
def test_other_numbers_are_refused(values: list[list[complex]]) -> None:
    ones, other = torch.ones(1, 1, dtype=torch.int64), torch.tensor(values)
    for name, pair in {"x": (other, ones), "w": (ones, other)}.items():
        with pytest.raises(ValueError, match=f"{name} must hold whole numbers from 0 to 3."):
            bit_plane_dot(*pair, 2, 2)
