r"""Surrogate gradients: what stands in for the derivative of the spike.

A spike is a step, :math:`s = 1[x > 0]` with `x` the distance of the membrane from the threshold. Training replaces its
derivative, zero almost everywhere, by a finite bump. Names and formulas are snnTorch's where it has them; its function
`triangular` returns a constant of either sign and no triangle, and the one here is the papers'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from edgebook.networks.operators import Node, below_autograd, define, differentiable
from edgebook.spiking.neuron.choice import one_of

Kind = Literal["atan", "fast_sigmoid", "triangular"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Surrogate:
    r"""A bump of a given height at the threshold, the narrower the steeper; calling it spikes.

    With height :math:`a` and steepness :math:`k`, the derivative of a spike is

    ============== ======================================
    kind           :math:`\partial s / \partial x`
    ============== ======================================
    `atan`         :math:`a / (1 + (k x)^2)`
    `fast_sigmoid` :math:`a / (1 + k |x|)^2`
    `triangular`   :math:`a \max(0, 1 - k |x|)`
    ============== ======================================

    The functions `atan`, `fast_sigmoid` and `triangular` make one from the parameters that the literature uses.

    Parameters
    ----------
    kind : {"atan", "fast_sigmoid", "triangular"}, form of the bump
    height, steepness : float, `a` and `k`, both above zero

    Raises
    ------
    ValueError
        An unknown form, or a height or steepness that is not a finite number above zero.
    """

    kind: Kind
    height: float
    steepness: float

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        for name in ("height", "steepness"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, got {value}.")
            object.__setattr__(self, name, float(value))

    def __call__(self, distance: Tensor) -> Tensor:
        """Spike where the distance from the threshold is above zero, as snnTorch's `spike_grad` does."""
        return self.spike(distance)

    def spike(self, distance: Tensor, *, strict: bool = True) -> Tensor:
        """Spike above the threshold, or already at it where `strict` is off; differentiable, also twice."""
        return _SPIKE(distance, self.kind, self.height, self.steepness, strict)

    def slope(self, distance: Tensor) -> Tensor:
        """Return the derivative that stands in for that of a spike, of the shape of the distances."""
        if self.kind == "atan":
            return self.height / (1 + (self.steepness * distance).square())
        if self.kind == "fast_sigmoid":
            return self.height / (1 + self.steepness * distance.abs()).square()
        return self.height * (1 - self.steepness * distance.abs()).clamp(min=0)


def _fired(distance: Tensor, kind: Kind, height: float, steepness: float, strict: bool) -> Tensor:
    return (distance > 0 if strict else distance >= 0).to(distance.dtype)


def _fired_or_nan(distance: Tensor, *arguments: Any) -> Tensor:
    return keep_nan(_fired(distance, *arguments), distance, distance)


def keep_nan(spikes: Tensor, seen: Tensor, last: Tensor) -> Tensor:
    """Write NaN over the spikes where what they were told from is NaN, and return them.

    Membranes once NaN stay so: where the `last` of them are none, nothing has to be done, and on a CPU is not.
    """
    if last.device.type != "cpu" or bool(last.sum().isnan()):
        spikes.masked_fill_(seen.isnan(), torch.nan)
    return spikes


class _Spike(Node):
    @staticmethod
    def forward(ctx: Any, distance: Tensor, *arguments: Any) -> Tensor:
        ctx.arguments = arguments
        ctx.save_for_backward(distance)
        ctx.save_for_forward(distance)
        return below_autograd(_SPIKE, distance, *arguments)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (distance,) = ctx.saved_tensors
        return grad * Surrogate(*ctx.arguments[:3]).slope(distance), *(None for _ in ctx.arguments)

    @staticmethod
    def jvp(ctx: Any, moved: Tensor, *_: None) -> Tensor:
        (distance,) = ctx.saved_tensors
        return moved * Surrogate(*ctx.arguments[:3]).slope(distance)


_SPIKE = define(
    "spike(Tensor distance, str kind, float height, float steepness, bool strict) -> Tensor",
    kernel=_fired_or_nan,
    fake=_fired,
    autograd=differentiable(_Spike),
    vmap=lambda info, in_dims, *inputs: (_SPIKE(*inputs), in_dims[0]),
)


def atan(alpha: float = 2.0) -> Surrogate:
    r"""Arctan: :math:`\frac{\alpha/2}{1 + (\pi \alpha x / 2)^2}`.

    Parameters
    ----------
    alpha : float, :math:`\alpha`; the height is half of it

    Returns
    -------
    Surrogate, as snnTorch's and SpikingJelly's of that name

    Raises
    ------
    ValueError
        :math:`\alpha` is not a finite number above zero.

    Examples
    --------
    >>> float(atan(2.0).slope(torch.zeros(())))
    1.0
    """
    return Surrogate("atan", alpha / 2, math.pi / 2 * alpha)


def fast_sigmoid(slope: float = 25.0) -> Surrogate:
    r"""Derivative of the fast sigmoid: :math:`1 / (1 + k |x|)^2`.

    Parameters
    ----------
    slope : float, `k`

    Returns
    -------
    Surrogate, as snnTorch's of that name

    Raises
    ------
    ValueError
        The slope is not a finite number above zero.

    Examples
    --------
    >>> fast_sigmoid(25.0)
    Surrogate(kind='fast_sigmoid', height=1.0, steepness=25.0)
    """
    return Surrogate("fast_sigmoid", 1.0, slope)


def triangular(height: float = 0.3, width: float = 1.0) -> Surrogate:
    r"""Triangle: :math:`a \max(0, 1 - |x| / w)`.

    Source: the code of Kim et al., arXiv 2202.03133, where `a` is 0.3 and `w` the threshold.

    Parameters
    ----------
    height, width : float, `a` and `w`: the value at the threshold, and the distance at which it is zero

    Returns
    -------
    Surrogate

    Raises
    ------
    ValueError
        A height or width that is not a finite number above zero.

    Examples
    --------
    >>> triangular(0.3).slope(torch.tensor([-0.5, 0.0, 2.0]))
    tensor([0.1500, 0.3000, 0.0000])
    """
    if not width > 0:
        raise ValueError(f"width must be a finite number above 0, got {width}.")
    return Surrogate("triangular", height, 1 / width)
