"""Widths at a given cost: what any rule for *relative* widths must be compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

_WIDEST = 2.0**53  # beyond it widths are no longer exact


def scale_to_cost(
    shape: Sequence[float], target: float, cost: Callable[[tuple[int, ...]], float], *, minimum: int = 1
) -> tuple[int, ...]:
    r"""Round :math:`s \cdot \text{shape}` to integers such that their cost comes nearest to the target.

    The scale `s` is found by bisection, rounding down; layers are then rounded up where that brings the cost nearer.
    No width is more than one away from the exact proportion, unless the minimum asks for more.

    Parameters
    ----------
    shape : sequence of float, (layers,), positive relative widths
    target : float, the cost to match, for example the MACs of another network
    cost : callable, widths to cost; must not fall when a width grows
    minimum : int, smallest width allowed

    Returns
    -------
    tuple of int, (layers,)

    Raises
    ------
    ValueError
        A relative width that is not positive and finite, a target that is negative or not finite, a cost that is no
        number, or a target that even the smallest widths exceed or no widths reach.
    """
    if not len(shape) or not all(0 < entry < math.inf for entry in shape):
        raise ValueError(f"Relative widths must be positive and finite, got {list(shape)}.")
    if not 0 <= target < math.inf:
        raise ValueError(f"The target must be a finite number and not negative, got {target}.")

    def floor(scale: float) -> tuple[int, ...]:
        return tuple(max(minimum, math.floor(scale * entry + 1e-9)) for entry in shape)

    def affordable(scale: float) -> bool:
        price = cost(floor(scale))
        if math.isnan(price):
            raise ValueError(f"The cost of the widths {floor(scale)} is not a number.")
        return price <= target

    if not affordable(0.0):
        raise ValueError(f"Widths of {minimum} cost {cost(floor(0.0)):g}, which is more than the target {target:g}.")
    low, high = 0.0, 1.0
    while affordable(high):
        low, high = high, 2 * high
        if high * max(shape) > _WIDEST:
            raise ValueError(f"No widths cost as much as the target {target:g}: the cost does not grow with them.")
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if affordable(middle) else (low, middle)
    return _nearest_rounding(floor(low), [low * entry for entry in shape], target, cost)


def random_shape(widths: Sequence[int], generator: torch.Generator) -> list[float]:
    """Multiply each width by an independent factor, log-uniform between 1/2 and 2.

    Parameters
    ----------
    widths : sequence of int, (layers,)
    generator : torch.Generator

    Returns
    -------
    list of float, (layers,), relative widths, for `scale_to_cost`
    """
    exponents = 2 * torch.rand(len(widths), generator=generator, dtype=torch.float64) - 1
    return [width * 2.0 ** float(e) for width, e in zip(widths, exponents, strict=True)]


def _nearest_rounding(
    widths: tuple[int, ...], exact: list[float], target: float, cost: Callable[[tuple[int, ...]], float]
) -> tuple[int, ...]:
    """Flip layers between the floor and one above it, the best flip first, while the cost comes nearer."""

    def flip(layer: int) -> tuple[int, ...]:
        return tuple(2 * low + 1 - w if i == layer else w for i, (low, w) in enumerate(zip(widths, best, strict=True)))

    free = [layer for layer, low in enumerate(widths) if exact[layer] >= low]  # the others sit at the minimum
    best, error = widths, abs(cost(widths) - target)
    while free:
        nearer, change = min((abs(cost(flip(layer)) - target), layer) for layer in free)
        if nearer >= error:
            break
        best, error = flip(change), nearer
    return best
