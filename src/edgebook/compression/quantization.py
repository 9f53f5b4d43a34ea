r"""Weights and activations of a few bits while a network trains in full precision: rounded forward, straight back.

The levels of `k` bits lie evenly between the smallest and the largest value of a tensor, of which zero need not be one:

.. math:: x_q = x_{\min} + s\,\mathrm{round}\!\left(\frac{x - x_{\min}}{s}\right), \quad
          s = \frac{x_{\max} - x_{\min}}{2^k - 1}

Source: Vasquez et al., *Activation Density based Mixed-Precision Quantization for Energy Efficient Neural Networks*,
arXiv 2101.04354 (as reconstructed). Which layer gets how many bits is decided elsewhere, as in `shrink_widths`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgebook.measure.arguments import whole

MOST_BITS = 16
_MOMENTUM = 0.1  # of a new batch in the running range, as in PyTorch's batch norm


def min_max_quantize(x: Tensor, bits: int, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Round to the nearest of `2^bits` levels from `low` to `high`, halves to the level of even number.

    The gradient is that of a clamp: it passes within the range, its ends included, and not beyond. PyTorch's fused
    operator for this, `torch.fake_quantize_per_tensor_affine`, is the reference of the tests alone: on a processor it
    takes several times as long as the elementwise operations here, and it makes a level of NaN.

    Parameters
    ----------
    x : Tensor, real, of any shape; half types are rounded in single precision, and then once more
    bits : int, 1 to 16
    low, high : Tensor or float, the range, constants that broadcast to `x`

    Returns
    -------
    Tensor, as `x`; NaN where it is or an end of its range is, and where `low` exceeds `high`

    Raises
    ------
    ValueError
        Bits that are no whole number from 1 to 16, or numbers that are not floating-point.

    Examples
    --------
    >>> min_max_quantize(torch.tensor([-1.0, -0.1, 0.1, 5.0]), 2, low=-1, high=2)
    tensor([-1.,  0.,  0.,  2.])
    """
    wide = _wide(x)
    ends = (end if isinstance(end, Tensor) else wide.new_full((), end) for end in (low, high))
    low, high = (end.detach().to(wide) for end in ends)
    above = _nearest(wide.clamp(low, high) - low, whole("bits", bits, 1, MOST_BITS), high - low)
    return (above + low).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """Return values in at least single precision, in which each of 2^16 levels is another number."""
    if not x.is_floating_point():
        raise ValueError(f"Only floating-point numbers can be rounded to levels, got {x.dtype}.")
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _nearest(x: Tensor, bits: int, span: Tensor) -> Tensor:
    """Round values between 0 and the span to levels; in the gradient this is the identity."""
    step = (span / (2**bits - 1)).clamp(min=torch.finfo(x.dtype).tiny)  # of one value: no 0 / 0
    step = torch.where(span >= 0, step, torch.nan)
    levels = (x.detach() / step).round_().mul_(step)
    return (x - x.detach()).add_(levels)


class _Quantizer(nn.Module):
    """Holds its settings as plain attributes, which a `state_dict` brings along."""

    settings: tuple[str, ...] = ("bits",)

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = whole("bits", bits, 1, MOST_BITS)

    def get_extra_state(self) -> Tensor:
        return torch.tensor([int(getattr(self, name)) for name in self.settings])

    def set_extra_state(self, state: Tensor) -> None:
        for name, value in zip(self.settings, state.tolist(), strict=True):
            setattr(self, name, type(getattr(self, name))(value))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)


class MinMaxWeight(_Quantizer):
    """A parametrisation: weights on levels between their own smallest and largest value, at every use.

    The parameter behind them stays in full precision and is what an optimiser moves.

    Parameters
    ----------
    bits : int, 1 to 16
    per_channel : bool, a range for each output channel, (C, ...)

    Examples
    --------
    >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(30, 20), "weight", MinMaxWeight(3))
    >>> len(layer.weight.unique())
    8
    """

    settings = ("bits", "per_channel")

    def __init__(self, bits: int, *, per_channel: bool = False) -> None:
        super().__init__(bits)
        self.per_channel = per_channel

    def forward(self, weight: Tensor) -> Tensor:
        wide = _wide(weight)
        axes = tuple(range(1 if self.per_channel else 0, wide.ndim))
        low, high = wide.detach().amin(axes, keepdim=True), wide.detach().amax(axes, keepdim=True)  # (C or 1, 1, ...)
        return (_nearest(wide - low, self.bits, high - low) + low).to(weight.dtype)


class QuantizedReLU(_Quantizer):
    """ReLU, then levels between zero and the largest value: of the batch in training, of a running mean in evaluation.

    The running mean moves in training only, as that of a batch norm, and a checkpoint that computes a pass again does
    not move it twice. Outputs of an evaluation are NaN until a batch has been seen. A `DensityMeter` counts `relu`
    inside it before the values are rounded, and the module itself afterwards.

    Parameters
    ----------
    bits : int, 1 to 16
    relu : torch.nn.ReLU, optional, the one whose place it takes

    Examples
    --------
    >>> QuantizedReLU(2)(torch.tensor([-1.0, 0.4, 0.6, 3.0]))
    tensor([0., 0., 1., 3.])
    """

    high: Tensor

    def __init__(self, bits: int, relu: nn.ReLU | None = None) -> None:
        super().__init__(bits)
        self.relu = nn.ReLU() if relu is None else relu
        self.register_buffer("high", torch.tensor(torch.nan))
        self.train(self.relu.training)

    def forward(self, input: Tensor) -> Tensor:  # the name that PyTorch's ReLU has for it
        active = self.relu(input)
        if not self.training:
            return min_max_quantize(active, self.bits, 0.0, self.high)
        wide = _wide(active)
        high = wide.detach().amax()
        self._follow(high)
        return _nearest(wide, self.bits, high).to(active.dtype)

    @torch.no_grad()
    def _follow(self, high: Tensor) -> None:
        if torch.compiler.is_compiling() or torch._C._current_graph_task_id() < 0:  # not in a backward pass
            high = high.to(self.high)
            self.high.copy_(torch.where(self.high.isnan(), high, self.high.lerp(high, _MOMENTUM)))
