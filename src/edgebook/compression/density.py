"""Activation density: how much of a layer a training network uses, and how wide it should then be.

Source: Foldy-Porto, Venkatesha, Panda, *Activation Density driven Energy-Efficient Pruning in Training*,
arXiv 2002.02949. The saturation test is this project's own: the paper's could not be recovered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from edgebook.measure.watching import watched


def activation_density(activations: Tensor) -> float:
    r"""Share of activations that are not zero, :math:`\mathrm{AD} = \#\{a \ne 0\} / \#\{a\}`.

    Parameters
    ----------
    activations : Tensor, activations of one layer after its non-linearity, of any shape with at least one element

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The tensor is empty or holds values that are not finite.
    """
    if activations.numel() == 0:
        raise ValueError("activations must hold at least one value, got an empty tensor.")
    if not torch.isfinite(activations).all():
        raise ValueError("activations must be finite.")
    return int(activations.count_nonzero()) / activations.numel()


class DensityMeter:
    """Counts non-zero outputs of named modules, per channel, over all forward passes while it is attached.

    Integer counts are accumulated, so that the density of an epoch is exact and not a mean of batch means.

    Parameters
    ----------
    model : torch.nn.Module
    names : iterable of str, modules (usually ReLUs) with outputs (N, C) or (N, C, H, W)
    axis : int, optional, where the channels are in outputs of other shapes: 2 for spikes (T, B, C, ...)

    Raises
    ------
    ValueError
        The model has no module of a given name; while attached, outputs whose channels are not known; when asked, a
        module that has not run, or has given values that are not finite.

    Examples
    --------
    >>> model = nn.Sequential(nn.ReLU())
    >>> with DensityMeter(model, ["0"], axis=2) as meter:
    ...     _ = model(torch.tensor([[[1.0, -1.0]], [[1.0, 1.0]]]))  # two steps of one sample with two channels
    >>> meter.channel_density()["0"]
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    def __init__(self, model: nn.Module, names: Iterable[str], *, axis: int | None = None) -> None:
        modules = dict(model.named_modules())
        self._names, self._axis = tuple(names), axis
        unknown = [name for name in self._names if name not in modules]
        if unknown:
            raise ValueError(f"The model has no module named {', '.join(unknown)}.")
        self._attached = ExitStack()
        self._attached.enter_context(watched({name: modules[name] for name in self._names}, self._count))
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._attached.close()

    def reset(self) -> None:
        """Forget everything counted so far."""
        self._active: dict[str, Tensor] = {}  # name -> non-zero outputs per channel, int64 (C,)
        self._seen: dict[str, int] = {}  # name -> outputs seen per channel
        self._peak: dict[str, Tensor] = {}  # name -> largest absolute output, NaN if one is

    def density(self) -> dict[str, float]:
        """Return the density of each module, in [0, 1]."""
        return {name: float(density.mean()) for name, density in self.channel_density().items()}

    def channel_density(self) -> dict[str, Tensor]:
        """Return the density of each channel of each module, float64 (C,); refuse where nothing has been counted."""
        for name in self._names:
            if not self._seen.get(name):
                raise ValueError(f"Nothing has been measured of {name!r}: run it while the meter is attached.")
            if not torch.isfinite(self._peak[name]):
                raise ValueError(f"Outputs of {name!r} must be finite, and some were not.")
        return {name: self._active[name].double() / self._seen[name] for name in self._names}

    @torch.no_grad()
    def _count(self, name: str, module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> None:
        channels = self._channels(name, output)
        if not output.numel():
            return
        active = (output != 0).sum(dim=[d for d in range(output.ndim) if d != channels])  # (C,)
        values = torch.view_as_real(output) if output.is_complex() else output
        low, high = torch.aminmax(values if values.is_floating_point() else active.double())
        peak = torch.maximum(high, -low)
        if len(self._active.get(name, active)) != len(active):
            raise ValueError(f"{name!r} has {len(active)} channels now and had {len(self._active[name])} before.")
        self._active[name] = self._active.get(name, 0) + active
        self._seen[name] = self._seen.get(name, 0) + output.numel() // output.shape[channels]
        self._peak[name] = torch.maximum(self._peak.get(name, peak), peak)

    def _channels(self, name: str, output: Tensor) -> int:
        """Return the axis of the channels, which is sure for (N, C) and (N, C, H, W) alone."""
        if not isinstance(output, Tensor):
            raise ValueError(f"{name!r} returns a {type(output).__name__}, and the density is that of one tensor.")
        axis, count = self._axis, output.ndim
        if axis is None and count in (2, 4):
            return 1
        if axis is None or not -count <= axis < count:
            raise ValueError(
                f"Channels of {name!r} may be any axis of outputs {tuple(output.shape)}: say which, as in axis=2 for "
                "spikes (steps, batch, channels, ...)."
            )
        return axis % count


def saturated(
    history: Sequence[Sequence[float]], *, window: int = 3, tolerance: float = 0.01, minimum: int = 5
) -> bool:
    r"""Tell whether the densities have stopped moving.

    With :math:`a_l(e)` the density of layer `l` in epoch `e`, they have when
    :math:`\max_l |\overline{a_l}(\text{last } w) - \overline{a_l}(\text{the } w \text{ before})| < \epsilon`.

    Parameters
    ----------
    history : sequence of sequences of float, (epochs, layers), densities in the order of the epochs
    window, tolerance, minimum : int, float, int, `w`, :math:`\epsilon`, and the epochs before which the answer is no

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        The window is below 1, or a density is not finite.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}.")
    curves = torch.tensor(history, dtype=torch.float64)  # (epochs, layers)
    if not torch.isfinite(curves).all():
        raise ValueError("Densities must be finite.")
    if len(history) < max(minimum, 2 * window):
        return False
    change = curves[-window:].mean(0) - curves[-2 * window : -window].mean(0)
    return bool(change.abs().max() < tolerance)


def shrink_widths(widths: Sequence[int], densities: Sequence[float], *, minimum: int = 1) -> tuple[int, ...]:
    r"""Width update :math:`C_l \leftarrow \max(C_{\min}, \lfloor \mathrm{AD}_l C_l + 1/2 \rfloor)`: halves round up.

    A width never grows; one below the minimum stays as it is.

    Parameters
    ----------
    widths : sequence of int, (layers,)
    densities : sequence of float, (layers,), density of each layer, in [0, 1]
    minimum : int, the smallest width, :math:`C_{\min}`

    Returns
    -------
    tuple of int, (layers,)

    Raises
    ------
    ValueError
        Lengths differ, or a density lies outside [0, 1].
    """
    if len(widths) != len(densities):
        raise ValueError(f"One density per width is needed, got {len(densities)} for {len(widths)}.")
    if not all(0 <= density <= 1 for density in densities):
        raise ValueError(f"Densities lie between 0 and 1, got {list(densities)}.")
    return tuple(
        min(width, max(minimum, math.floor(density * width + 0.5)))
        for width, density in zip(widths, densities, strict=True)
    )
