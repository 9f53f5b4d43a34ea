r"""Batch norm of sequences (T, B, C, ...): whose statistics, whose parameters, with a shift or without.

===================== ============================ ========================== ==========================
layer                 statistics in training       parameters                 in evaluation
===================== ============================ ========================== ==========================
`StepBatchNorm`       of each step on its own      scale and shift, shared    one running mean for all
`ThresholdBatchNorm`  pooled over steps            scale and shift, shared    one running mean for all
`TemporalBatchNorm`   of each step on its own      a scale per step, no shift a running mean per step
===================== ============================ ========================== ==========================

All three are batch norms to PyTorch's own tools, such as `torch.optim.swa_utils.update_bn`. Their `eps` and `momentum`
are those of `torch.nn.BatchNorm2d`: without momentum, running statistics are means over all batches so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.arguments import whole

_COUNT = "num_batches_tracked"


class _OfSequences(ValueError, AttributeError):
    """There is no such attribute, and asking for it is a fault."""


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Scales and running statistics, of shape (C,) or (T, C), and a shift if there is one."""

    def __init__(self, *shape: int, shift: bool, eps: float, momentum: float | None) -> None:
        shape = tuple(whole("A number of channels or steps", size, None) for size in shape)
        if min(shape) < 1:
            raise ValueError(f"A batch norm needs at least one channel and one step, got {shape}.")
        super().__init__(shape, eps, momentum, bias=shift)
        self.register_buffer(_COUNT, torch.zeros(shape[:-1], dtype=torch.long))  # (), or (T,): of each step

    @property
    def num_features(self) -> int:
        """Refuse what would put a norm of samples (N, C, ...) in the place of this one, as `SyncBatchNorm` does."""
        raise AttributeError  # so that `__getattr__` says why

    def __getattr__(self, name: str) -> Any:
        if name != "num_features":
            return nn.Module.__getattr__(self, name)
        raise _OfSequences(
            f"A {type(self).__name__} takes sequences (steps, batch, channels, ...), and no norm of samples (batch, "
            "channels, ...), such as SyncBatchNorm, can take its place."
        )

    @num_features.setter
    def num_features(self, shape: tuple[int, ...]) -> None:
        self.channels = shape[-1]

    def extra_repr(self) -> str:
        """Return what is printed between the brackets."""
        return f"{', '.join(map(str, self.weight.shape))}, eps={self.eps:g}, momentum={self.momentum}"

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.momentum is not None:  # the count then decides nothing, and no message has to carry it
            destination.pop(prefix + _COUNT, None)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if self.momentum is not None and self.track_running_stats:
            state_dict.setdefault(prefix + _COUNT, torch.zeros(self.weight.shape[:-1], dtype=torch.long))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _check(self, x: Tensor) -> None:
        if x.ndim < 3 or len(x) < 1 or x.shape[2] != self.channels:
            raise ValueError(
                f"Inputs must be (steps, batch, {self.channels}, ...) of at least one step, got the shape "
                f"{tuple(x.shape)}."
            )

    def _statistics(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the running mean and variance where they are used or renewed."""
        if self.training and not self.track_running_stats:
            return None, None
        return self.running_mean, self.running_var

    def _momenta(self, batches: int) -> Sequence[float]:
        """Count batches, and return the weight of each in the running statistics: without momentum, that of a mean."""
        counts = self.num_batches_tracked
        if not self.training or counts is None or not self.track_running_stats:
            return [0.0] * batches
        # The number of batches so far, of each step or of all
        new = counts[:batches].add_(1) if counts.ndim else counts.add_(batches)
        if self.momentum is not None:
            return [self.momentum] * batches
        numbers = new.tolist() if counts.ndim else range(int(new) - batches + 1, int(new) + 1)
        return [1 / number for number in numbers]

    def _pooled(self, x: Tensor, weight: Tensor) -> Tensor:
        """Normalise all steps (T, B, C, ...) at once, as if they were one batch (T B, C, ...)."""
        one = (x.flatten(0, 1), *self._statistics(), weight, *self._momenta(1))
        return self._normalised([one])[0].view(x.shape)

    def _normalised(self, parts: Iterable[tuple[Tensor, Tensor | None, Tensor | None, Tensor, float]]) -> list[Tensor]:
        """Normalise batches (N, C, ...), each with its running mean and variance, its scale and their momentum."""
        bias, training, eps = self.bias, self.training, self.eps
        return [F.batch_norm(_laid(x), m, v, w, bias, training or m is None, share, eps) for x, m, v, w, share in parts]


def _laid(x: Tensor) -> Tensor:
    """Mend the layout of a channels-last sample whose first stride is not its size, which PyTorch 2.13 mistakes."""
    return x.contiguous() if len(x) == 1 else x


def _steps(x: Tensor) -> Sequence[Tensor]:
    """Return the steps of (T, B, C, ...), so that gradients come back in its layout; repeated ones stay views."""
    return x.unbind() if x.stride(0) == 0 else x.flatten(0, 1).split_with_sizes([x.shape[1]] * len(x))


class StepBatchNorm(_BatchNorm):
    """Ordinary batch norm, called once per step: each step is normalised by its own batch.

    The running statistics, which evaluation uses for every step, are so updated T times per sequence.
    Source: the code of Kim et al., arXiv 2211.14406.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(channels, shift=True, eps=eps, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised sequence (T, B, C, ...)."""
        self._check(x)
        mean, var = self._statistics()
        if not self.training and mean is not None:
            return self._pooled(x, self.weight)
        momenta = self._momenta(len(x))
        parts = zip(_steps(x), repeat(mean), repeat(var), repeat(self.weight), momenta, strict=False)
        return torch.cat(self._normalised(parts)).view(x.shape)  # T times (B, C, ...)


class ThresholdBatchNorm(_BatchNorm):
    r"""Threshold-dependent batch norm (tdBN): one batch of all steps, brought to the scale of the threshold.

    .. math:: y = \gamma\, \alpha \theta\, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \delta

    with mean and variance over steps, batch and space, the threshold :math:`\theta` of the neurons behind it, and
    :math:`\alpha` 1, or :math:`1 / \sqrt 2` where two branches are added.
    Source: Zheng et al., *Going Deeper With Directly-Trained Larger Spiking Neural Networks*, arXiv 2011.05280.
    """

    def __init__(
        self,
        channels: int,
        threshold: float = 1.0,
        alpha: float = 1.0,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__(channels, shift=True, eps=eps, momentum=momentum)
        if not (threshold > 0 and alpha > 0):
            raise ValueError(f"threshold and alpha must be above 0, got {threshold} and {alpha}.")
        self.scale = alpha * threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised sequence (T, B, C, ...)."""
        self._check(x)
        return self._pooled(x, self.scale * self.weight)


class TemporalBatchNorm(_BatchNorm):
    """Batch norm through time (BNTT): every step has its own scale and running statistics, and none has a shift.

    A sequence may be shorter than the number of steps, and not longer: later steps have no statistics.
    Source: Kim and Panda, *Revisiting Batch Normalization for Training Low-latency Deep Spiking Neural Networks
    from Scratch*, arXiv 2010.01729, whose code has this `eps`.
    """

    def __init__(self, channels: int, steps: int, *, eps: float = 1e-4, momentum: float | None = 0.1) -> None:
        super().__init__(steps, channels, shift=False, eps=eps, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised sequence (T, B, C, ...)."""
        self._check(x)
        if len(x) > len(self.weight):
            raise ValueError(f"This batch norm knows {len(self.weight)} steps, got a sequence of {len(x)}.")
        mean, var = (repeat(None) if of_steps is None else of_steps for of_steps in self._statistics())
        momenta = self._momenta(len(x))
        parts = zip(_steps(x), mean, var, self.weight, momenta, strict=False)
        return torch.cat(self._normalised(parts)).view(x.shape)  # T times (B, C, ...)
