"""Families of networks: widths in, shapes out, and the names that other code relies on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgebook.networks import Architecture, initialised, parse_plan, resnet_architecture, vgg_architecture


def _check(architecture: Architecture, widths: tuple[int, ...]) -> None:
    model = architecture.build(widths)
    modules = dict(model.named_modules())
    channels: dict[str, int] = {}
    for group in architecture.activations:
        for name in group:
            assert isinstance(modules[name], nn.ReLU)
            modules[name].register_forward_hook(lambda _, __, out, name=name: channels.update({name: out.shape[1]}))
    assert model.eval()(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
    for width, relus, convolutions in zip(widths, architecture.activations, architecture.convolutions, strict=True):
        assert {channels[name] for name in relus} == {width}
        assert {modules[name].out_channels for name in convolutions} == {width}
    named = {name for group in architecture.convolutions for name in group}
    assert named == {name for name, module in modules.items() if isinstance(module, nn.Conv2d)}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.booleans())
def test_vgg_has_the_widths_it_was_given(widths: list[int], batch_norm: bool) -> None:
    _check(vgg_architecture(parse_plan("4 M 4 4"), classes=5, batch_norm=batch_norm), tuple(widths))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=6, max_size=6))
def test_residual_network_has_the_widths_it_was_given(widths: list[int]) -> None:
    _check(resnet_architecture([4, 8], blocks=2, classes=5), tuple(widths))


def test_residual_network_refuses_a_wrong_number_of_widths() -> None:
    with pytest.raises(ValueError, match="6 widths are needed, got 2"):
        resnet_architecture([4, 8], blocks=2).build([4, 8])


@pytest.mark.parametrize("plan", ["", "M M", "8 x", "0 8", "-4", "8.5"])
def test_a_bad_plan_is_one_sentence(plan: str) -> None:
    with pytest.raises(ValueError, match="A plan is a list of positive widths"):
        parse_plan(plan)


def test_a_seed_decides_the_weights_and_leaves_global_randomness_alone() -> None:
    architecture = vgg_architecture(parse_plan("4 M 4"))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (initialised(architecture.build, (4, 4), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)
