r"""Batch norm of sequences (T, B, C, ...): whose statistics, whose parameters, with a shift or without.

===================== ============================ ========================== ==========================
layer                 statistics in training       parameters                 in evaluation
===================== ============================ ========================== ==========================
`StepBatchNorm`       of each step on its own      scale and shift, shared    one running mean for all
`ThresholdBatchNorm`  pooled over steps            scale and shift, shared    one running mean for all
`TemporalBatchNorm`   of each step on its own      a scale per step, no shift a running mean per step
===================== ============================ ========================== ==========================
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _BatchNorm(nn.Module):
    """Scales and running statistics, of shape (C,) or (T, C), and a shift if there is one."""

    running_mean: Tensor
    running_var: Tensor

    eps, momentum = 1e-5, 0.1  # as in `torch.nn.BatchNorm2d`

    def __init__(self, *shape: int, shift: bool) -> None:
        super().__init__()
        if min(shape) < 1:
            raise ValueError(f"A batch norm needs at least one channel and one step, got {shape}.")
        self.channels = shape[-1]
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if shift else None
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def extra_repr(self) -> str:
        """Return what is printed between the brackets."""
        return f"{', '.join(map(str, self.weight.shape))}, eps={self.eps:g}, momentum={self.momentum:g}"

    def _check(self, x: Tensor) -> None:
        if x.ndim < 3 or x.shape[2] != self.channels:
            raise ValueError(f"Inputs must be (steps, batch, {self.channels}, ...), got the shape {tuple(x.shape)}.")

    def _pooled(self, x: Tensor, weight: Tensor) -> Tensor:
        """Normalise all steps (T, B, C, ...) at once, as if they were one batch (T B, C, ...)."""
        return self._normalised(x.flatten(0, 1), self.running_mean, self.running_var, weight).view(x.shape)

    def _normalised(self, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor) -> Tensor:
        """Normalise samples (N, C, ...)."""
        if len(x) == 1:  # PyTorch 2.13 mistakes the layout of a channels-last sample whose first stride is not its size
            x = x.contiguous()
        return F.batch_norm(x, mean, var, weight, self.bias, self.training, self.momentum, self.eps)


def _steps(x: Tensor) -> Sequence[Tensor]:
    """Return the steps of (T, B, C, ...), so that gradients come back in its layout; repeated ones stay views."""
    return x.unbind() if x.stride(0) == 0 else x.flatten(0, 1).split_with_sizes([x.shape[1]] * len(x))


class StepBatchNorm(_BatchNorm):
    """Ordinary batch norm, called once per step: each step is normalised by its own batch.

    The running statistics, which evaluation uses for every step, are so updated T times per sequence.
    Source: the code of Kim et al., arXiv 2211.14406.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, shift=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised sequence (T, B, C, ...)."""
        self._check(x)
        if not self.training:
            return self._pooled(x, self.weight)
        mean, var = self.running_mean, self.running_var
        steps = [self._normalised(y, mean, var, self.weight) for y in _steps(x)]  # (B, C, ...) each
        return torch.cat(steps).view(x.shape)


class ThresholdBatchNorm(_BatchNorm):
    r"""Threshold-dependent batch norm (tdBN): one batch of all steps, brought to the scale of the threshold.

    .. math:: y = \gamma\, \alpha \theta\, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \delta

    with mean and variance over steps, batch and space, the threshold :math:`\theta` of the neurons behind it, and
    :math:`\alpha` 1, or :math:`1 / \sqrt 2` where two branches are added.
    Source: Zheng et al., *Going Deeper With Directly-Trained Larger Spiking Neural Networks*, arXiv 2011.05280.
    """

    def __init__(self, channels: int, threshold: float = 1.0, alpha: float = 1.0) -> None:
        super().__init__(channels, shift=True)
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
    from Scratch*, arXiv 2010.01729.
    """

    eps = 1e-4  # of its code

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__(steps, channels, shift=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised sequence (T, B, C, ...)."""
        self._check(x)
        if len(x) > len(self.weight):
            raise ValueError(f"This batch norm knows {len(self.weight)} steps, got a sequence of {len(x)}.")
        parts = zip(_steps(x), self.running_mean, self.running_var, self.weight, strict=False)
        return torch.cat([self._normalised(y, m, v, w) for y, m, v, w in parts]).view(x.shape)  # T times (B, C, ...)
