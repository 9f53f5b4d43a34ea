"""Closed-form scales against NumPy's least squares, and chips whose only fault is a gain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.crossbar import (
    WIRES,
    CrossbarConfig,
    Layout,
    calibrated,
    crossbar_layers,
    on_crossbar,
    power_law_drift,
    relative_deviation,
)
from edgebook.crossbar.calibration import channel_gain, layer_gain

FINE = Layout(weight_bits=24, cell_bits=12)
FADED = CrossbarConfig(FINE, drift=partial(power_law_drift, mean=0.05), time=1e6, linear=True)  # a gain of 0.501


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, groups=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 9, 5),
    ).eval()


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(2, 5), st.integers(1, 4))
def test_gains_are_least_squares(seed: int, channels: int, samples: int, side: int) -> None:
    ideal, actual = (seeded(samples, channels, side, seed=seed + k).double() for k in (0, 1))
    x, y = actual.numpy().ravel(), ideal.numpy().ravel()
    assert float(layer_gain(ideal, actual)) == pytest.approx(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0], rel=1e-8)
    gain, offset = channel_gain(ideal, actual)
    for c in range(channels):
        x, y = actual[:, c].numpy().ravel(), ideal[:, c].numpy().ravel()
        slope, intercept = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
        assert float(gain[c]) == pytest.approx(slope, rel=1e-6, abs=1e-8)
        assert float(offset[c]) == pytest.approx(intercept, rel=1e-6, abs=1e-8)


def test_outputs_that_do_not_vary_keep_their_gain() -> None:
    ideal = seeded(5, 2).double()
    assert float(layer_gain(ideal, torch.zeros(5, 2))) == 1
    gain, offset = channel_gain(ideal, torch.full((5, 2), 0.1))
    assert gain.tolist() == [1, 1]
    torch.testing.assert_close(offset, ideal.mean(0) - 0.1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_a_faded_chip_is_restored(per: str) -> None:
    """All conductances have halved: no scale is lost, with biases, groups and a linear layer."""
    model, x = net(), seeded(20, 3, 7, 7)
    mapped = on_crossbar(model, FADED)
    before, wanted = mapped(x), model(x)
    assert (before - wanted).abs().max() > 0.05
    mended = calibrated(model, mapped, x, per=per)
    torch.testing.assert_close(mended(x), wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(mapped(x), before)


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_each_layer_is_fitted_on_its_inputs_in_the_plain_network(per: str) -> None:
    """Heavy wires, layer by layer with NumPy."""
    model, x = net(), seeded(20, 3, 7, 7)
    mapped = on_crossbar(model, CrossbarConfig(Layout(rows=16, columns=8), WIRES["heavy"]))
    mended = calibrated(model, mapped, x, per=per)
    inputs = {"0": x, "2": model[:2](x)}
    assert set(crossbar_layers(mended)) == set(inputs)
    for name, features in inputs.items():
        plain, layer, after = (m.get_submodule(name) for m in (model, mapped, mended))
        with torch.no_grad():
            ideal = plain(features)
            actual = F.conv2d(features, layer.weight, groups=layer.groups)
            found = after(features)
        bias = torch.zeros(layer.out_channels) if plain.bias is None else plain.bias.detach()
        if per == "layer":
            y = (ideal - bias[:, None, None]).numpy().ravel()
            scale = np.linalg.lstsq(actual.numpy().reshape(-1, 1), y, rcond=None)[0][0]
            wanted = scale * actual + bias[:, None, None]
        else:
            wanted = torch.empty_like(actual)
            for c in range(layer.out_channels):
                slope, offset = np.polyfit(actual[:, c].numpy().ravel(), ideal[:, c].numpy().ravel(), 1)
                wanted[:, c] = slope * actual[:, c] + offset
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_noise_is_scaled_with_the_output(per: str) -> None:
    read = partial(relative_deviation, sigma=0.1)
    mapped = on_crossbar(net(), CrossbarConfig(wires=WIRES["heavy"], read=read))
    mended = calibrated(net(), mapped, seeded(8, 3, 7, 7), per=per)
    for name, layer in crossbar_layers(mapped).items():
        after = mended.get_submodule(name)
        gain = (after.weight / layer.weight).flatten(1)
        torch.testing.assert_close(gain, gain[:, :1].expand_as(gain), rtol=1e-4, atol=0)
        torch.testing.assert_close(after.deviation, layer.deviation * gain[:, :1, None, None].abs())
        assert (gain[:, 0].unique().numel() == 1) == (per == "layer") or gain[:, 0].std() < 1e-4


def test_many_reads_give_the_gain_that_is_expected() -> None:
    """With noise of variance v beside a signal of power s, least squares shrinks by s / (s + v) and shifts nothing."""
    model, x = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False)).eval(), seeded(40, 3, 7, 7)
    mapped = on_crossbar(model, CrossbarConfig(FINE, read=partial(relative_deviation, sigma=0.2)))
    with torch.no_grad():
        ideal = mapped[0]._conv_forward(x, mapped[0].weight, None).transpose(0, 1).flatten(1)
        noise = F.conv2d(x.square(), mapped[0].deviation.square()).transpose(0, 1).flatten(1).mean(1)
    wanted = ideal.var(1) / (ideal.var(1) + noise)
    errors = []
    for reads in (1, 300):
        mended = calibrated(model, mapped, x, per="channel", reads=reads)[0]
        errors.append(float(((mended.weight / mapped[0].weight).flatten(1)[:, 0] - wanted).abs().max()))
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 5
    assert mended.bias.abs().max() < 0.02


def test_the_plain_network_is_left_alone() -> None:
    model = nn.Sequential(net(), nn.BatchNorm1d(5)).train()
    model[1].eval()
    modes, before = [m.training for m in model.modules()], {k: v.clone() for k, v in model.state_dict().items()}
    calibrated(model, on_crossbar(model, FADED), seeded(8, 3, 7, 7))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_layer_may_be_called_by_keyword() -> None:
    class Named(nn.Conv2d):
        def __call__(self, x: Tensor) -> Tensor:
            return super().__call__(input=x)

    model = net()
    mapped, x = on_crossbar(model, FADED), seeded(8, 3, 7, 7)
    wanted = calibrated(model, mapped, x)[0].weight
    model[0].__class__ = Named
    assert torch.equal(calibrated(model, mapped, x)[0].weight, wanted)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: layer_gain(torch.ones(2), torch.ones(3)), r"one shape.*got \(2,\) and \(3,\)"),
        (lambda: channel_gain(torch.ones(0, 2), torch.ones(0, 2)), "at least one value"),
        (lambda: channel_gain(torch.ones(3), torch.ones(3)), r"shape \(N, C, \.\.\.\), got \(3,\)"),
        (
            lambda: calibrated(net(), on_crossbar(net(), FADED), seeded(1, 3, 7, 7), per="row"),
            "per must be one of layer, channel, got 'row'",
        ),
        (
            lambda: calibrated(net(), on_crossbar(net(), FADED), seeded(1, 3, 7, 7), reads=0),
            "At least 1 read is needed, got 0",
        ),
        (lambda: calibrated(net(), net(), seeded(1, 3, 7, 7)), "mapped network has no layer on a crossbar"),
        (
            lambda: calibrated(nn.Flatten(), on_crossbar(net(), FADED), seeded(1, 3, 7, 7)),
            "plain network does not run layer '0'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
