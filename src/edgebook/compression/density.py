"""Activation density: how much of a layer a training network uses, and how wide it should then be.

Source: Foldy-Porto, Venkatesha, Panda, *Activation Density driven Energy-Efficient Pruning in Training*,
arXiv 2002.02949. The saturation test is this project's own: the paper's could not be recovered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn


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
    if activations.is_floating_point() and not torch.isfinite(activations).all():
        raise ValueError("activations must be finite.")
    return int(activations.count_nonzero()) / activations.numel()


class DensityMeter:
    """Counts non-zero outputs of named modules, per channel, over all forward passes while it is attached.

    Integer counts are accumulated, so that the density of an epoch is exact and not a mean of batch means.

    Parameters
    ----------
    model : torch.nn.Module
    names : iterable of str, modules (usually ReLUs) with outputs (N, C, ...)

    Raises
    ------
    ValueError
        The model has no module of a given name.
    """

    def __init__(self, model: nn.Module, names: Iterable[str]) -> None:
        modules = dict(model.named_modules())
        self._names = tuple(names)
        unknown = [name for name in self._names if name not in modules]
        if unknown:
            raise ValueError(f"The model has no module named {', '.join(unknown)}.")
        self._handles = [
            modules[name].register_forward_hook(lambda _, __, out, name=name: self._count(name, out))
            for name in self._names
        ]
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()

    def reset(self) -> None:
        """Forget everything counted so far."""
        self._active: dict[str, Tensor] = {}  # name -> non-zero outputs per channel, int64 (C,)
        self._seen: dict[str, int] = {}  # name -> outputs seen per channel

    def density(self) -> dict[str, float]:
        """Return the density of each module, in [0, 1]."""
        return {name: float(self.channel_density()[name].mean()) for name in self._names}

    def channel_density(self) -> dict[str, Tensor]:
        """Return the density of each channel of each module, float64 (C,); refuse where nothing has been counted."""
        if not self._seen:
            raise ValueError("Nothing has been measured yet: run the model while the meter is attached.")
        return {name: self._active[name].double() / self._seen[name] for name in self._names}

    @torch.no_grad()
    def _count(self, name: str, output: Tensor) -> None:
        kept = [d for d in range(output.ndim) if d != 1]
        active = (output != 0).sum(dim=kept)  # (C,)
        self._active[name] = self._active.get(name, 0) + active
        self._seen[name] = self._seen.get(name, 0) + output.numel() // output.shape[1]


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
        The window is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}.")
    if len(history) < max(minimum, 2 * window):
        return False
    curves = torch.tensor(history, dtype=torch.float64)  # (epochs, layers)
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
