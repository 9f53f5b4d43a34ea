"""Digital scales behind the layers of a chip, in closed form: one for each layer or for each channel."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from edgebook.crossbar.layers import CrossbarConv2d, CrossbarLinear, crossbar_layers
from edgebook.crossbar.plain import copied
from edgebook.measure.watching import probed, watched

Per = Literal["layer", "channel"]


def layer_gain(ideal: Tensor, actual: Tensor) -> Tensor:
    r"""Return the one factor that brings actual outputs closest to ideal ones, :math:`\sum y \hat y / \sum \hat y^2`.

    Of one shape; a scalar in double precision, 1 where all actual outputs are 0.
    """
    _check(ideal, actual)
    y, found = ideal.double(), actual.double()
    power = found.square().sum()
    return torch.where(power > 0, (y * found).sum() / power, 1.0)


def channel_gain(ideal: Tensor, actual: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the gain and offset (C,) of each channel that bring actual outputs (N, C, ...) closest to ideal ones.

    .. math:: a = \frac{\mathrm{cov}(y, \hat y)}{\mathrm{var}(\hat y)}, \qquad b = \bar y - a \bar{\hat y}

    In double precision; the gain is 1 where actual outputs do not vary.
    """
    _check(ideal, actual)
    if ideal.ndim < 2:
        raise ValueError(f"Outputs must have shape (N, C, ...), got {tuple(ideal.shape)}.")
    y, found = (t.double().transpose(0, 1).flatten(1) for t in (ideal, actual))  # (C, samples)
    y_mean, mean = y.mean(1), found.mean(1)
    centred = found - mean[:, None]
    power = centred.square().sum(1)
    varies = power > found.shape[1] * (1e-12 * found.abs().amax(1)).square()  # more than rounding does
    gain = torch.where(varies, (y * centred).sum(1) / power, 1.0)
    return gain, y_mean - gain * mean


@torch.no_grad()
def calibrated(model: nn.Module, mapped: nn.Module, x: Tensor, *, per: Per = "layer", reads: int = 1) -> nn.Module:
    """Return a network on a chip whose layers are scaled, in digital, to give what the plain network's give.

    Without labels: each layer is fitted on the inputs that it has in the plain network. Noise is scaled too.

    Parameters
    ----------
    model : torch.nn.Module, the plain network; evaluated as in inference
    mapped : torch.nn.Module, the same from `on_crossbar`; left as it is, but reads are used up
    x : Tensor, (N, C, H, W), images
    per : {"layer", "channel"}, one factor for each layer, or factor and offset for each output channel
    reads : int
        Reads that each layer is fitted on together; a fit on a single one takes its noise for the chip's.

    Returns
    -------
    torch.nn.Module, a copy of the mapped network

    Raises
    ------
    ValueError
        An unknown `per`, no read, a layer on a crossbar that the plain network does not run, or outputs of layers that
        are not finite.

    Examples
    --------
    >>> from edgebook.crossbar import CrossbarConfig, calibrated, on_crossbar
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> chip = on_crossbar(net, CrossbarConfig(read=lambda conductance: 0.1 * conductance))
    >>> mended = calibrated(net, chip, torch.rand(4, 1, 8, 8), per="channel", reads=2)
    """
    if per not in get_args(Per):
        raise ValueError(f"per must be one of {', '.join(get_args(Per))}, got {per!r}.")
    if reads < 1:
        raise ValueError(f"At least 1 read is needed, got {reads}.")
    result = copied(mapped)
    waiting, plain = crossbar_layers(result), dict(model.named_modules())
    if not waiting:
        raise ValueError("The mapped network has no layer on a crossbar.")
    done: set[str] = set()

    def fit(name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if name not in done:  # a layer that runs twice is fitted on its first run
            done.add(name)
            _fit(waiting[name], inputs[0], output, per, reads)

    with probed(model), watched({name: plain[name] for name in waiting if name in plain}, fit, first=True):
        model(x)
    missing = [name for name in waiting if name not in done]
    if missing:
        raise ValueError(f"The plain network does not run layer {missing[0]!r}.")
    return result


def _fit(layer: CrossbarConv2d | CrossbarLinear, x: Tensor, ideal: Tensor, per: Per, reads: int) -> None:
    """Scale one layer in place."""
    bias, layer.bias = layer.bias, None
    actual, ideal = torch.cat([layer.forward(x) for _ in range(reads)]), torch.cat([ideal] * reads)
    if isinstance(layer, CrossbarLinear):  # (..., C) to (N, C)
        ideal, actual = ideal.flatten(0, -2), actual.flatten(0, -2)
    shape = (-1, *[1] * (layer.weight.ndim - 1))  # a factor for each output
    if per == "channel":
        gain, offset = channel_gain(ideal, actual)
        layer.bias = nn.Parameter(offset.to(actual.dtype), requires_grad=bias is not None and bias.requires_grad)
    else:
        without = ideal if bias is None else ideal - bias.view(1, -1, *[1] * (ideal.ndim - 2))  # (C,) along axis 1
        gain = layer_gain(without, actual)
        layer.bias = bias
    factor = gain.to(actual.dtype).reshape(shape)
    layer.weight.mul_(factor)
    if layer.deviation is not None:
        layer.deviation.mul_(factor.abs())


def _check(ideal: Tensor, actual: Tensor) -> None:
    if ideal.shape != actual.shape or ideal.numel() == 0:
        raise ValueError(
            f"Ideal and actual outputs must have one shape with at least one value, "
            f"got {tuple(ideal.shape)} and {tuple(actual.shape)}."
        )
    if not (torch.isfinite(ideal).all() and torch.isfinite(actual).all()):
        raise ValueError("Ideal and actual outputs must be finite.")
