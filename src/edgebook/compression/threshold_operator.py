r"""A threshold for each neuron: what reaches it passes, all else becomes 0. One operator of PyTorch.

.. math:: a = y \cdot 1[y \ge t]

The step has no useful derivative; the long-tailed window of Liu et al. (2020), *Dynamic Sparse Training*, stands in:

.. math:: \frac{\partial a}{\partial t} = -y\,h(z), \quad
    \frac{\partial a}{\partial y} = 1[y \ge t] + y\,h(z), \quad z = \frac{y - t}{w}, \quad
    h(z) = \begin{cases} 2 - 4|z| & |z| \le 0.4 \\ 0.4 & 0.4 < |z| \le 1 \\ 0 & \text{beyond} \end{cases}

On a CPU Numba's kernels do each way in one pass, where installed; elsewhere, and for half types, PyTorch does it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgebook.networks.memory import NUMPY, blank, layout
from edgebook.networks.operators import Node, below_autograd, cast_up, differentiable


def threshold(y: Tensor, t: Tensor, *, window: float = 1.0, full: bool = True) -> Tensor:
    r"""Keep what reaches its threshold and set all else to 0; at thresholds of 0 this is ReLU.

    Source: Bhattacharjee et al. (2022), *MIME*, arXiv 2204.05274 (as reconstructed from its abstract); its window is
    that of Liu et al. (2020), *Dynamic Sparse Training*.

    Parameters
    ----------
    y : Tensor, pre-activations (N, \*S) of N samples
    t : Tensor, thresholds, of a shape that broadcasts to \*S: (C, H, W), or (C, 1, 1) for one in each channel
    window : float, above 0, `w`: how far from its threshold a neuron has a part in the gradient of it
    full : bool, whether :math:`\partial a / \partial y` has the term of the window, or is the step itself

    Returns
    -------
    Tensor, (N, \*S), NaN where the pre-activation or the threshold is; single precision under autocast

    Raises
    ------
    ValueError
        Shapes that do not fit, tensors that differ in type or device or are of no real numbers, or a window that is no
        finite number above 0.
    TypeError
        No tensors.

    Examples
    --------
    >>> y = torch.tensor([[-1.0, 0.5, 2.0]])
    >>> threshold(y, torch.tensor([-2.0, 0.0, 3.0]))
    tensor([[-1.0000,  0.5000,  0.0000]])
    """
    for name, tensor in (("y", y), ("t", t)):
        if not torch.overrides.is_tensor_like(tensor):
            raise TypeError(f"{name} must be a tensor, got a {type(tensor).__name__}.")
    return _THRESHOLD(y, t, checked_window(window), bool(full))


def checked_window(window: object) -> float:
    """Return the width of a window as Python's number."""
    if isinstance(window, bool) or not (isinstance(window, Real) and 0 < window < math.inf):
        raise ValueError(f"window must be a finite number above 0, got {window!r}.")
    return float(window)


@cache
def _kernels() -> ModuleType | None:
    """Return the compiled kernels, None where Numba is not installed."""
    if importlib.util.find_spec("numba") is None:
        return None
    from edgebook.compression import threshold_kernels

    return threshold_kernels


def _check(y: Tensor, t: Tensor, shape: Sequence[int], own: Sequence[int]) -> None:
    """Refuse what does not fit; shapes are handed in, as a transform sees others than the tensors have."""
    if y.dtype != t.dtype or y.device != t.device or not y.is_floating_point():
        found = " and ".join(f"{str(x.dtype).removeprefix('torch.')} on {x.device}" for x in (y, t))
        raise ValueError(f"y and t must be real numbers of one type on one device, got {found}.")
    fits = len(own) < len(shape) and all(a in (1, b) for a, b in zip(reversed(own), reversed(shape), strict=False))
    if not fits:
        raise ValueError(
            f"t must broadcast to one sample of y (N, ...), got {tuple(own)} for pre-activations {tuple(shape)}."
        )


def _compiled(y: Tensor) -> ModuleType | None:
    """Return the kernels for these pre-activations, None where PyTorch has to do it."""
    return _kernels() if y.device.type == "cpu" and y.dtype in NUMPY else None


def _flat(x: Tensor, order: Sequence[int]) -> np.ndarray:
    """Return the memory of (N, *S), samples first, as a flat array: a copy only where it lies in another order."""
    return x.detach().numpy().transpose(order).reshape(-1)


def _flat_thresholds(t: Tensor, y: Tensor, order: Sequence[int]) -> np.ndarray:
    """Lay thresholds out as one sample of (N, *S) is laid out, flat (S,)."""
    each = t.detach() if t.shape == y.shape[1:] else t.detach().expand(y.shape[1:])
    return each.numpy().transpose([axis - 1 for axis in order[1:]]).reshape(-1)


@lru_cache(maxsize=64)
def _numbers(window: float, full: bool, precision: np.dtype) -> np.ndarray:
    return np.array([1 / window, 0.4, 1, 2, 4, full], precision)


def _forward(y: Tensor, t: Tensor, window: float, full: bool) -> Tensor:
    _check(y, t, y.shape, t.shape)
    kernels = _compiled(y)
    if kernels is None:
        return torch.where(y >= t, y, torch.where(y < t, 0, y + t))
    out, order = blank(y), layout(y)
    kernels.forward(_flat(y, order), _flat_thresholds(t, y, order), _flat(out, order), len(y))
    return out


def _backward(grad: Tensor, y: Tensor, t: Tensor, window: float, full: bool, wanted: bool) -> tuple[Tensor, Tensor]:
    """Return the gradients of `y`, empty where it is not wanted, and of `t`."""
    kernels = _compiled(y)
    if kernels is None:
        return _backward_in_tensors(grad, y, t, window, full, wanted)
    order, precision = layout(y), NUMPY[y.dtype]
    y_grad = blank(y) if wanted else y.new_empty(0)
    written = _flat(y_grad, order if wanted else [0])
    sums = np.zeros([y.shape[axis] for axis in order[1:]], precision)  # axes as they lie in memory
    own, numbers = _flat_thresholds(t, y, order), _numbers(window, full, precision)
    kernels.backward(_flat(grad, order), _flat(y, order), own, written, sums.reshape(-1), len(y), numbers)
    t_grad = torch.from_numpy(sums.transpose(np.argsort(order[1:])))  # (*S)
    return y_grad, (t_grad if t.shape == t_grad.shape else t_grad.sum_to_size(t.shape)).contiguous()


def _backward_in_tensors(
    grad: Tensor, y: Tensor, t: Tensor, window: float, full: bool, wanted: bool
) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(y.dtype, torch.float32)
    bump = _bump(y.to(wide), t.to(wide), window, grad.to(wide))
    y_grad = y.new_empty(0)
    if wanted:
        y_grad = torch.where(y < t, 0, grad)
        y_grad = (y_grad + bump).to(y.dtype) if full else y_grad
    return y_grad, -bump.sum(0).sum_to_size(t.shape).to(t.dtype)


def _bump(y: Tensor, t: Tensor, window: float, grad: Tensor | float = 1.0) -> Tensor:
    """Return what the window lets through of a gradient: it times `y h`, and 0 beyond it whatever `y` is."""
    z = ((y - t) * (1 / window)).abs()
    return torch.where(z > 1, 0, grad * y * torch.where(z > 0.4, 0.4, 2 - 4 * z))


class _Step(Node):
    @staticmethod
    def forward(ctx: Any, y: Tensor, t: Tensor, *rest: Any) -> Tensor:
        ctx.save_for_backward(y, t)
        ctx.save_for_forward(y, t)
        ctx.rest = rest
        return below_autograd(_THRESHOLD, y, t, *rest)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[0]
        y_grad, t_grad = _THRESHOLD_BACKWARD(grad, *ctx.saved_tensors, *ctx.rest, wanted)
        return y_grad if wanted else None, t_grad, None, None

    @staticmethod
    def jvp(ctx: Any, y_moved: Tensor | None, t_moved: Tensor | None, *_: None) -> Tensor:
        (y, t), (window, full) = ctx.saved_tensors, ctx.rest
        bump, moved = _bump(y, t, window), torch.zeros_like(y)
        if y_moved is not None:
            moved = torch.where(y < t, 0, y_moved) + (bump * y_moved if full else 0)
        return moved - bump * t_moved if t_moved is not None else moved


class _Slope(Node):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        return below_autograd(_THRESHOLD_BACKWARD, *inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError("A threshold has a first derivative alone, for its window stands in for that of a step.")

    jvp = backward


def _mapped(info: Any, in_dims: Sequence[int | None], y: Tensor, t: Tensor, *rest: Any) -> tuple[Tensor, int]:
    shapes = [[n for i, n in enumerate(x.shape) if i != dim] for x, dim in zip((y, t), in_dims, strict=False)]
    _check(y, t, *shapes)
    y = _with_copies(y, in_dims[0], info.batch_size)
    return _THRESHOLD(y, t if in_dims[1] is None else _in_front(t, in_dims[1], info.batch_size, y), *rest), 1


def _mapped_backward(info: Any, in_dims: Sequence[int | None], *inputs: Any) -> tuple[tuple[Tensor, Tensor], Any]:
    grad, y, t, *rest = inputs
    grad, y = (_with_copies(x, dim, info.batch_size) for x, dim in zip((grad, y), in_dims, strict=False))
    own = t.shape if in_dims[2] is None else t.movedim(in_dims[2], 0).shape[1:]
    y_grad, t_grad = _THRESHOLD_BACKWARD(grad, y, _in_front(t, in_dims[2], info.batch_size, y), *rest)
    return (y_grad, t_grad.view(info.batch_size, *own)), (1 if rest[-1] else None, 0)


def _with_copies(x: Tensor, dim: int | None, size: int) -> Tensor:
    """Put the mapped axis behind that of samples, or repeat there what is the same for all: (N, size, *S)."""
    return x.movedim(dim, 1) if dim is not None else x.unsqueeze(1).expand(-1, size, *x.shape[1:])


def _in_front(t: Tensor, dim: int | None, size: int, y: Tensor) -> Tensor:
    """Give thresholds the mapped axis too, before axes of 1 up to those of (N, size, *S)."""
    t = t.movedim(dim, 0) if dim is not None else t.expand(size, *t.shape)
    return t.view(size, *(1,) * (y.ndim - 1 - t.ndim), *t.shape[1:]) if t.ndim < y.ndim - 1 else t


_THRESHOLD = cast_up(
    "where_reached(Tensor y, Tensor t, float window, bool full) -> Tensor",
    kernel=_forward,
    fake=lambda y, t, *_: (_check(y, t, y.shape, t.shape), blank(y))[1],
    autograd=differentiable(_Step),
    vmap=_mapped,
)
_THRESHOLD_BACKWARD = cast_up(
    "where_reached_backward(Tensor grad, Tensor y, Tensor t, float window, bool full, bool wanted) -> (Tensor, Tensor)",
    kernel=_backward,
    fake=lambda _, y, t, *rest: (blank(y) if rest[-1] else y.new_empty(0), t.new_empty(t.shape)),
    autograd=differentiable(_Slope),
    vmap=_mapped_backward,
)
