"""Rates and gradients of the codings against what they promise, and the generator as the only source of chance."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.utils.checkpoint
from hypothesis import given
from hypothesis import strategies as st

from edgebook.spiking import direct_coding, poisson_coding


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_direct_coding_repeats_without_memory() -> None:
    image = torch.arange(6.0).reshape(2, 3).requires_grad_()
    sequence = direct_coding(image, 4)
    assert sequence.shape == (4, 2, 3) and sequence.stride(0) == 0
    weights = torch.randn(4, 2, 3, generator=generator())
    sequence.backward(weights)
    assert image.grad is not None
    torch.testing.assert_close(image.grad, weights.sum(0))


@given(st.floats(-3, 3), st.floats(0.1, 2), st.integers(0, 2**31))
def test_rates_are_the_pixels(pixel: float, gain: float, seed: int) -> None:
    """Within five standard deviations of a binomial count, and exactly where it cannot vary."""
    steps, wanted = 2000, min(1.0, gain * abs(pixel))
    spikes = poisson_coding(torch.tensor([pixel]), steps, generator(seed), gain=gain, signed=True)
    assert set(spikes.unique().tolist()) <= {0.0, math.copysign(1.0, pixel)}
    spread = math.sqrt(wanted * (1 - wanted) / steps)
    assert abs(spikes.abs().mean().item() - wanted) <= 5 * spread + 1e-6


def test_black_is_silent_and_white_always_fires() -> None:
    spikes = poisson_coding(torch.tensor([0.0, 1.0, 7.0]), 5000, generator())
    assert not spikes[:, 0].any() and spikes[:, 1:].all()


def test_the_rate_coding_of_the_paper() -> None:
    """With a gain of one half a standardised pixel saturates at two, and its sign is the spike's."""
    spikes = poisson_coding(torch.tensor([-2.4, 2.75, 1.0, -0.5]), 20_000, generator(), gain=0.5, signed=True)
    torch.testing.assert_close(spikes.mean(0), torch.tensor([-1, 1, 0.5, -0.25]), rtol=0, atol=0.02)


def test_steps_and_pixels_are_drawn_independently() -> None:
    spikes = poisson_coding(torch.full((2,), 0.5), 20_000, generator())
    pairs = torch.stack([spikes[:-1, 0], spikes[1:, 0], spikes[1:, 1]])
    off_diagonal = torch.corrcoef(pairs) - torch.eye(3)
    assert off_diagonal.abs().max() < 0.04


@pytest.mark.parametrize("signed", [False, True])
def test_gradients_go_straight_through(signed: bool) -> None:
    pixels = torch.tensor([-1.5, -0.2, 0.0, 0.4, 3.0]) if signed else torch.tensor([0.0, 0.1, 0.4, 1.0, 3.0])
    pixels.requires_grad_()
    weights = torch.randn(6, 5, generator=generator(1))
    poisson_coding(pixels, 6, generator(), gain=0.5, signed=signed).backward(weights)
    assert pixels.grad is not None
    torch.testing.assert_close(pixels.grad, 0.5 * weights.sum(0))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.sampled_from([torch.float32, torch.float64]))
def test_spikes_are_exact_whatever_the_gradient_carries(pixels: list[float], dtype: torch.dtype) -> None:
    spikes = poisson_coding(torch.tensor(pixels, dtype=dtype), 3, generator(), gain=0.3, signed=True)
    assert spikes.dtype == dtype
    assert set(spikes.unique().tolist()) <= {-1.0, 0.0, 1.0}


def test_the_generator_alone_decides() -> None:
    image = torch.full((50,), 0.5)
    before = torch.get_rng_state()
    first, again, other = (poisson_coding(image, 9, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_rates_are_those_of_snntorch() -> None:
    spikegen = pytest.importorskip("snntorch.spikegen")
    image = torch.linspace(0, 1, 11)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = spikegen.rate(image, num_steps=20_000).mean(0)
    torch.testing.assert_close(poisson_coding(image, 20_000, generator()).mean(0), theirs, rtol=0, atol=0.02)


@pytest.mark.parametrize(("words", "arguments"), [
    ("steps must be at least 1, got 0", {"steps": 0}),
    ("gain must be a finite number above 0, got 0", {"gain": 0}),
    ("gain must be a finite number above 0, got nan", {"gain": math.nan}),
    ("floating-point, got uint8", {"images": torch.ones(2, dtype=torch.uint8)}),
    ("use signed=True", {"images": torch.tensor([0.5, -0.1])}),
])  # fmt: skip
def test_what_poisson_coding_refuses(words: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words):
        poisson_coding(**{"images": torch.ones(2), "steps": 3, "generator": generator(), **arguments})
    with pytest.raises(ValueError, match="steps must be at least 1"):
        direct_coding(torch.ones(2), 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_rates_are_exact_in_half_types(dtype: torch.dtype) -> None:
    """Draws that are rounded to half types fall to 0, below any chance, once in 256 or 2,048 draws."""
    chance = 2.0**-12
    spikes = poisson_coding(torch.full((1000,), chance, dtype=dtype), 1000, generator())
    assert spikes.dtype == dtype
    wanted = 1e6 * chance
    assert abs(float(spikes.sum(dtype=torch.float64)) - wanted) < 5 * math.sqrt(wanted)


def test_single_and_double_draw_as_ever() -> None:
    for dtype in (torch.float32, torch.float64):
        image = torch.rand(20, generator=generator(1), dtype=dtype)
        wanted = torch.rand(7, 20, generator=generator(3), dtype=dtype) < image
        assert torch.equal(poisson_coding(image, 7, generator(3)), wanted.to(dtype))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_pixel_that_is_not_finite_stays_visible(value: float) -> None:
    spikes = poisson_coding(torch.tensor([0.5, value]), 4, generator(), signed=True)
    assert spikes[:, 0].isfinite().all() and not spikes[:, 1].isfinite().any()


def test_steps_are_whole_numbers() -> None:
    assert len(direct_coding(torch.ones(2), torch.tensor(3))) == 3  # type: ignore[arg-type]
    for wrong in (2.0, True):
        with pytest.raises(ValueError, match="steps must be a whole number"):
            direct_coding(torch.ones(2), wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="steps must be a whole number"):
            poisson_coding(torch.ones(2), wrong, generator())  # type: ignore[arg-type]


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_recomputed_pass_does_not_draw_other_spikes(reentrant: bool) -> None:
    image = torch.full((50,), 0.5, requires_grad=True)
    chance = generator()

    def drawn(x: torch.Tensor) -> torch.Tensor:
        return (poisson_coding(x, 9, chance) * x).square().sum()

    value = torch.utils.checkpoint.checkpoint(drawn, image, use_reentrant=reentrant)
    with pytest.raises(ValueError, match="would draw other spikes"):
        value.backward()
