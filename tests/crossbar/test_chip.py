"""Weights on a chip: tile by tile with nodal analysis, and noise against closed forms and draws device by device.

Samples are compared at five standard errors: were the seeds not fixed, one such comparison in 1.7 million would fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from edgebook.crossbar import WIRES, CrossbarConfig, Device, Layout, Wiring, fold, power_law_drift, relative_deviation
from edgebook.crossbar.mapping import map_weights

SMALL = Layout(device=Device(20e3, 10), rows=4, columns=3)
HEAVY = WIRES["heavy"]


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(sigma: float) -> Callable[..., Tensor]:
    return partial(relative_deviation, sigma=sigma)


def decoded(tiles: np.ndarray, step: float, shape: tuple[int, int], layout: Layout) -> np.ndarray:
    """Read weights off tiles (S, 2, R, C, rows, columns) place by place."""
    device, base = layout.device, 2**layout.cell_bits
    span = device.high - device.low
    found = np.zeros(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            for s in range(len(tiles)):
                place = (i // layout.rows, j // layout.columns, i % layout.rows, j % layout.columns)
                difference = tiles[(s, 0, *place)] - tiles[(s, 1, *place)]
                worth = base ** (len(tiles) - 1 - s)
                found[i, j] += step * worth * (base - 1) * difference / span
    return found


def solved(tiles: np.ndarray, nodal: Callable[..., np.ndarray], wires: Wiring) -> np.ndarray:
    flat = tiles.reshape(-1, *tiles.shape[-2:])
    return np.stack([nodal(tile, *wires) for tile in flat]).reshape(tiles.shape)


@pytest.mark.parametrize("wires", [HEAVY, WIRES["light"], Wiring(0.0, 30.0, 0.0, 100.0)])
def test_wires_are_solved_tile_by_tile(nodal: Callable[..., np.ndarray], wires: Wiring) -> None:
    weights = seeded(6, 5)
    tiles, step = map_weights(weights, SMALL)
    wanted = decoded(solved(tiles.numpy(), nodal, wires), step, (6, 5), SMALL)
    found = fold(weights, CrossbarConfig(SMALL, wires=wires))
    assert found.deviation is None
    np.testing.assert_allclose(found.weight.numpy(), wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


def test_devices_change_before_the_circuit_is_solved(nodal: Callable[..., np.ndarray]) -> None:
    """Drift, then wires, then reads, each seeing what the one before has left."""
    seen: dict[str, Tensor] = {}

    def drift(g: Tensor, generator: torch.Generator, time: float) -> Tensor:
        seen["drift"] = g
        return g * 0.25 * time

    def read(g: Tensor) -> Tensor:
        seen["read"] = g
        return 0.1 * g

    weights = seeded(4, 3)
    tiles, step = map_weights(weights, SMALL)
    found = fold(weights, CrossbarConfig(SMALL, HEAVY, drift, read, time=2.0))
    assert torch.equal(seen["drift"], tiles)
    torch.testing.assert_close(seen["read"], tiles / 2, rtol=1e-12, atol=0)
    effective = solved(tiles.numpy() / 2, nodal, HEAVY)
    np.testing.assert_allclose(found.weight.numpy(), decoded(effective, step, (4, 3), SMALL), rtol=1e-9, atol=1e-12)
    spread = math.sqrt((0.1 * effective[:, :, 0, 0, 0, 0] * np.array([[16], [1]])).__pow__(2).sum())
    unit = step * 15 / (SMALL.device.high - SMALL.device.low)
    assert found.deviation is not None
    assert float(found.deviation[0, 0]) == pytest.approx(unit * spread, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_read_noise_of_equal_weights(sigma: float) -> None:
    """All weights are 1: levels 7 and 15 in one half, none in the other, and noise in proportion to all four."""
    device = Device(20e3, 10)
    span = device.high - device.low
    held = [device.low + span * level / 15 for level in (7, 15)]
    parts = [worth * sigma * g for worth, pair in zip((16, 1), held, strict=True) for g in (pair, device.low)]
    wanted = math.sqrt(sum(part**2 for part in parts)) * 15 / span / 127
    redrawn = fold(torch.ones(200, 200), CrossbarConfig(read=relative(sigma)))
    assert redrawn.deviation is not None
    torch.testing.assert_close(redrawn.weight, torch.ones(200, 200).double(), rtol=1e-9, atol=0)
    torch.testing.assert_close(redrawn.deviation, torch.full((200, 200), wanted).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("sigma", [0.2, 0.6])
def test_moments_are_those_of_draws_device_by_device(sigma: float) -> None:
    """Also where noise is so strong that devices are cut off at zero."""
    layout, draws = Layout(rows=3, columns=2, weight_bits=5, cell_bits=2), 40_000
    weights = torch.tensor([[1.0, -0.4], [0.0, 0.7]])
    tiles, step = map_weights(weights, layout)
    random = np.random.default_rng(0)
    drawn = np.maximum(tiles.numpy() * (1 + sigma * random.standard_normal((draws, *tiles.shape))), 0)
    span = layout.device.high - layout.device.low
    pairs = drawn[:, :, 0, 0, 0, :2, :2] - drawn[:, :, 1, 0, 0, :2, :2]  # (draws, S, 2, 2)
    sample = step * 3 / span * np.einsum("s,dsij->dij", [4.0, 1.0], pairs)
    found = fold(weights, CrossbarConfig(layout, read=relative(sigma)))
    assert found.deviation is not None
    wanted = sample.std(0)
    assert (np.abs(found.weight.numpy() - sample.mean(0)) < 5 * wanted / math.sqrt(draws)).all()
    # The deviation of a sample deviation for a kurtosis of at most 4.
    assert (np.abs(found.deviation.numpy() / wanted - 1) < 5 * math.sqrt(3 / (4 * draws))).all()


def test_a_device_that_is_off_has_no_noise() -> None:
    off = Layout(device=Device(20e3, math.inf), rows=2, columns=2)
    found = fold(torch.tensor([[1.0, 0.0]]), CrossbarConfig(off, read=relative(0.1)))
    assert found.deviation is not None
    assert float(found.deviation[0, 1]) == 0 and float(found.deviation[0, 0]) > 0


def test_draws_belong_to_chip_and_layer() -> None:
    weights, state = seeded(9, 7), torch.get_rng_state()

    def drawn(seed: int, name: str) -> Tensor:
        drift = partial(power_law_drift, mean=0.05, spread=0.02)
        return fold(weights, CrossbarConfig(SMALL, drift=drift, time=100.0, seed=seed), name=name).weight

    one = drawn(0, "a")
    assert torch.equal(one, drawn(0, "a"))
    assert not torch.equal(one, drawn(1, "a")) and not torch.equal(one, drawn(0, "b"))
    assert torch.equal(torch.get_rng_state(), state)


def test_whole_numbers_may_be_those_of_others() -> None:
    config = CrossbarConfig(seed=np.int64(3))
    assert config == CrossbarConfig(seed=3) and type(config.seed) is int
    weights, drift = seeded(5, 4), partial(power_law_drift, mean=0.05, spread=0.02)
    found = [
        fold(weights, CrossbarConfig(layout, drift=drift, time=100.0, seed=seed)).weight
        for layout, seed in (
            (Layout(rows=3, columns=2), 5),
            (Layout(rows=np.int8(3), columns=np.uint64(2)), np.uint8(5)),
        )
    ]
    assert torch.equal(*found)


def test_the_same_chip_ages() -> None:
    """Between two times every device has moved by its own exponent: log weights move in proportion to log time."""
    layout = Layout(device=Device(20e3, math.inf), weight_bits=5, cell_bits=4)  # one device a weight, the other off
    drift = partial(power_law_drift, mean=0.05, spread=0.01)
    weights = torch.ones(8, 8)
    logs = [fold(weights, CrossbarConfig(layout, drift=drift, time=t)).weight.log() for t in (1.0, 1e3, 1e9)]
    assert float(logs[1].std()) > 0.01 * math.log(1e3) / 2
    torch.testing.assert_close(logs[2] - logs[0], 3 * (logs[1] - logs[0]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: CrossbarConfig(wires=Wiring(1.0, -1.0, 1.0, 1.0)), "r_bit must be a finite resistance.*got -1.0"),
        (lambda: CrossbarConfig(time=-1.0), "time must be finite and at least 0 s, got -1.0"),
        (lambda: CrossbarConfig(time=math.inf), "time must be finite and at least 0 s, got inf"),
        (lambda: CrossbarConfig(redraw="never"), "redraw must be one of forward, read, got 'never'"),
        (lambda: CrossbarConfig(seed=-1), "seed must be a whole number of at least 0, got -1"),
        (lambda: CrossbarConfig(seed=2**63), r"seed must be below 2\^63, got 9223372036854775808"),
        (lambda: CrossbarConfig(seed=np.float64(3)), "seed must be a whole number of at least 0, got np.float64"),
        (lambda: CrossbarConfig(wires=Wiring(torch.tensor(1.0), 1.0, 1.0, 1.0)), "r_word must be a number, got a ten"),
        (lambda: fold(torch.eye(2) * 1j, CrossbarConfig()), "real floating-point numbers, got torch.complex64"),
        (lambda: fold(torch.eye(2).int(), CrossbarConfig()), "real floating-point numbers, got torch.int32"),
        (lambda: fold(torch.eye(2).to_sparse(), CrossbarConfig()), "dense tensor .* torch.sparse_coo"),
        (lambda: fold(np.eye(2), CrossbarConfig()), "dense tensor of real floating-point numbers, got ndarray"),
        (lambda: fold(torch.eye(2), CrossbarConfig(read=lambda g: g * math.nan)), "What read returns .* got nan at"),
        (lambda: fold(torch.eye(2), CrossbarConfig(read=lambda g: -g)), "What read returns must be .* at least 0"),
        (lambda: fold(torch.eye(2), CrossbarConfig(read=lambda g: g[0])), r"What read returns must have the shape \(2"),
        (lambda: fold(torch.eye(2), CrossbarConfig(read=lambda g: 1e-6)), "must be a floating-point tensor, got float"),
        (
            lambda: fold(torch.eye(2), CrossbarConfig(drift=lambda g, *_: g - 1)),
            "What drift returns must be .* least 0",
        ),
        (lambda: CrossbarConfig(seed=0.5), "seed must be a whole number of at least 0, got 0.5"),
        (lambda: fold(torch.ones(3), CrossbarConfig()), r"shape \(\.\.\., K, N\)"),
        (
            lambda: fold(torch.ones(2, 2), CrossbarConfig(drift=partial(power_law_drift, mean=0.1), time=0.5)),
            "start of the drift at 1 s, got 0.5",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
