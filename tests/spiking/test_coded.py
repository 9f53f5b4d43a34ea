"""From pixels to logits: each coding against the network run by hand, and the gradient through the draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from edgebook.spiking import CodedNetwork, poisson_coding, spiking_vgg, triangular

STEPS, MEAN, STD, GAIN = 6, 0.4, 0.25, 0.5


@pytest.fixture
def network() -> torch.nn.Module:
    net = spiking_vgg(
        (6, "M", 8), in_channels=1, classes=3, steps=STEPS, beta=0.5, norm="none", xavier_gain=4.0,
        surrogate=triangular(), seed=3,
    )  # fmt: skip
    return net.double()


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def coded(network: torch.nn.Module, coding: str, seed: int = 7) -> CodedNetwork:
    generator = torch.Generator().manual_seed(seed)
    return CodedNetwork(network, coding, STEPS, mean=MEAN, std=STD, generator=generator, gain=GAIN)


def by_hand(network: torch.nn.Module, pixels: Tensor, coding: str, seed: int = 7) -> Tensor:
    """The same logits, every step's input written out as a sequence."""
    x = (pixels - MEAN) / STD
    spikes = poisson_coding(x, STEPS, torch.Generator().manual_seed(seed), gain=GAIN, signed=True)
    same = {"direct": x, "expected": (GAIN * x).clamp(-1, 1), "average": sum(spikes) / STEPS / GAIN}
    sequence = spikes if coding == "rate" else torch.stack([same[coding]] * STEPS)
    return sum(network(sequence, output="steps")) / STEPS


@pytest.mark.parametrize("coding", ["direct", "rate", "average", "expected"])
def test_equals_the_sequence_written_out(network: torch.nn.Module, pixels: Tensor, coding: str) -> None:
    logits = coded(network, coding)(pixels)
    torch.testing.assert_close(logits, by_hand(network, pixels, coding), rtol=1e-10, atol=1e-12)
    assert logits.std() > 0  # silent networks would agree whatever the coding did


@pytest.mark.parametrize("coding", ["rate", "average"])
def test_every_call_draws_anew_and_a_seed_repeats_it(network: torch.nn.Module, pixels: Tensor, coding: str) -> None:
    model = coded(network, coding)
    first, second = model(pixels), model(pixels)
    assert not torch.equal(first, second)
    assert torch.equal(coded(network, coding)(pixels), first)


def test_many_draws_average_to_the_expected_spike(network: torch.nn.Module, pixels: Tensor) -> None:
    model = coded(network, "rate")
    spikes = torch.stack([model.coded(pixels) for _ in range(400)]).mean(dim=(0, 1))  # 2,400 spikes per pixel
    deviation = (spikes - coded(network, "expected").coded(pixels)).abs()
    assert deviation.max() < 5 * 0.5 / 2400**0.5 + 1e-9  # five standard errors of a spike
    assert deviation.max() > 0


def test_draws_are_independent_runs_of_each_image(network: torch.nn.Module, pixels: Tensor) -> None:
    logits = coded(network, "rate").draws(pixels, 4)
    assert logits.shape == (4, 5, 3)
    assert not torch.equal(logits[0], logits[1])
    calm = coded(network, "direct").draws(pixels, 4)
    torch.testing.assert_close(calm, coded(network, "direct")(pixels).expand(4, 5, 3))


def test_straight_through_gradient_is_that_of_the_spikes_times_the_gain(
    network: torch.nn.Module, pixels: Tensor
) -> None:
    pixels.requires_grad_()
    (have,) = torch.autograd.grad(coded(network, "rate")(pixels).square().sum(), pixels)
    spikes = poisson_coding(
        (pixels.detach() - MEAN) / STD, STEPS, torch.Generator().manual_seed(7), gain=GAIN, signed=True
    ).requires_grad_()
    (wanted,) = torch.autograd.grad(network(spikes, output="mean").square().sum(), spikes)
    torch.testing.assert_close(have, wanted.sum(dim=0) * GAIN / STD, rtol=1e-9, atol=1e-12)
    assert have.abs().max() > 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"coding": "rates"}, "Did you mean 'rate'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"std": 0.0}, "std and gain must be above 0"),
        ({"gain": -1.0}, "std and gain must be above 0"),
        ({"std": float("inf")}, "above 0, and finite"),
        ({"mean": float("nan")}, "above 0, and finite as mean is"),
        ({"steps": 2.0}, "steps must be a whole number"),
    ],
)
def test_refuses(network: torch.nn.Module, changed: dict, sentence: str) -> None:
    given = {"coding": "rate", "steps": 2, "mean": 0.0, "std": 1.0, "generator": torch.Generator(), "gain": 1.0}
    given |= changed
    with pytest.raises(ValueError, match=sentence):
        CodedNetwork(network, **given)
    with pytest.raises(ValueError, match="At least one draw"):
        coded(network, "rate").draws(torch.rand(1, 1, 8, 8), 0)


@pytest.mark.parametrize("coding", ["direct", "rate", "average", "expected"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_pixel_that_is_not_finite_spoils_its_image(
    network: torch.nn.Module, pixels: Tensor, coding: str, value: float
) -> None:
    pixels[1, 0, 2, 2] = value
    logits = coded(network, coding)(pixels)
    assert logits.isnan().any(dim=1).tolist() == [False, True, False, False, False]


def test_the_network_behind_the_draws_can_be_checkpointed(network: torch.nn.Module, pixels: Tensor) -> None:
    """What the sentence advises: the spikes are drawn before, and the gradients are those without checkpointing."""
    found = []
    for again in (False, True):
        x = pixels.clone().requires_grad_()
        model = coded(network, "rate")
        spikes = model.coded(x)
        logits = (
            checkpoint(network, spikes, None, "mean", use_reentrant=False) if again else network(spikes, None, "mean")
        )
        found.append(torch.autograd.grad(logits.square().sum(), x)[0])
    assert torch.equal(*found) and found[0].abs().max() > 0
