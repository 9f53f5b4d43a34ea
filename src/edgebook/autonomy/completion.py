"""A learnt completer of scans: from what is remembered to all ranges, each with how far it may be wrong.

`edgebook.networks.fit` trains it, with `range_nll` as the loss.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.autonomy.memory import Memory, held
from edgebook.autonomy.world import REACH
from edgebook.measure.arguments import whole


class Completer(nn.Module):
    """Predicts all ranges from what is remembered: a convolution over the beams, all around.

    It sees held ranges, which of them are known, and how old they are (`seen`), and says by how much each held range is
    off and how far it may be wrong.

    Parameters
    ----------
    width : int, channels
    depth : int, convolutions of 5 beams between the first and the last
    channels : int, of the input; several memories may be stacked

    Examples
    --------
    >>> from edgebook.autonomy import no_memory
    >>> mean, spread = Completer(width=16, depth=2)(seen(no_memory(2, 64))).unbind(1)
    >>> mean.shape, bool((spread > 0).all())
    (torch.Size([2, 64]), True)
    """

    def __init__(self, width: int = 24, depth: int = 3, channels: int = 3) -> None:
        super().__init__()
        sizes = [whole("channels", channels), *[whole("width", width)] * (whole("depth", depth, 0) + 1), 2]
        layers = [nn.Conv1d(a, b, 5, padding=2, padding_mode="circular") for a, b in pairwise(sizes)]
        nn.init.zeros_(layers[-1].weight)  # at first it says what is held
        nn.init.zeros_(layers[-1].bias)
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return means and spreads, m, (B, 2, N), of inputs (B, channels, N), of which the first are held ranges."""
        h = x
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        off, spread = self.layers[-1](h).unbind(1)
        return torch.stack([REACH * (x[:, 0] + off), REACH * 0.05 * torch.exp(spread.clamp(-5, 5))], dim=1)


def seen(memory: Memory) -> Tensor:
    """Return a memory as the input of a `Completer`.

    Parameters
    ----------
    memory : Memory

    Returns
    -------
    Tensor, float32 (B, 3, N): held ranges in units of 10 m, which are known, and exp(-age / 8)
    """
    known = np.isfinite(memory.age)
    parts = [held(memory) / REACH, known, np.exp(-memory.age / 8)]
    return torch.from_numpy(np.stack(parts, axis=1).astype(np.float32))


def range_nll(predicted: Tensor, ranges: Tensor) -> Tensor:
    r"""Return the mean of :math:`|r - m| / s + \log 2 s`: what ranges cost that jump at edges (Laplace).

    Parameters
    ----------
    predicted : Tensor, (B, 2, N), means `m` and spreads `s`, m
    ranges : Tensor, (B, N), true ranges `r`, m

    Returns
    -------
    Tensor, (), nats a beam

    Examples
    --------
    >>> range_nll(torch.tensor([[[1.0], [0.5]]]), torch.tensor([[2.0]]))
    tensor(2.)
    """
    mean, spread = predicted.unbind(1)
    return ((ranges - mean).abs() / spread + torch.log(2 * spread)).mean()
