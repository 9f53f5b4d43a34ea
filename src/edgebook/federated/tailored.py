"""NetTailor: a frozen backbone whose blocks are kept, bypassed or dropped for a task, by attention over paths.

Source: Morgado and Vasconcelos, *NetTailor: Tuning the Architecture, Not Just the Weights*, CVPR 2019,
arXiv 1907.00274, and its released code, in which a layer's first proxy reads what its block reads.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.arguments import whole
from edgebook.measure.seeding import SeededDraws

UNIVERSAL, PROXY = 2.0, -2.0  # raw scores at first: close to the backbone


class Path(NamedTuple):
    """One way into a layer."""

    source: int  #: the layer whose output it reads, 0 for the stem
    universal: bool  #: whether it is the frozen block, and no proxy


class Tailored(nn.Module):
    r"""A backbone with proxies past its blocks, pooled in each layer by a softmax over raw scores.

    .. math:: x_l = \mathrm{ReLU}\Big(a^l_l G_l(x_{l-1}) + \sum_{p} a^l_p A^l_p(x_p)\Big), \qquad
        a^l = \mathrm{softmax}(s^l)

    with blocks :math:`G_l`, proxies :math:`A^l_p` that read the nearest `skips` outputs :math:`x_p, p < l`, and scores
    that begin at 2 for blocks and -2 for proxies. Proxies, scores and the classifier are trained; the backbone is
    frozen and stays in evaluation mode, running statistics included. Proxies have a group norm instead of batch norm,
    since running statistics do not average well over clients.

    Parameters
    ----------
    stem : torch.nn.Module
        Images to :math:`x_0`.
    blocks : sequence of torch.nn.Module
        Each ends before its ReLU. They and the stem are copied.
    shape : sequence of int
        (C, H, W) of an image.
    classes, skips, seed : int
        Logits; how many outputs a layer's proxies read, 0 for the backbone with a new classifier; what decides proxies
        and classifier.
    frozen : bool
        Where False the backbone is trained too, as a teacher is, which has no proxies.

    Raises
    ------
    ValueError
        No block, a number that is none, or a resolution that proxies cannot meet by pooling.

    Examples
    --------
    >>> stem, blocks = nn.Conv2d(1, 4, 3, padding=1), [nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)]
    >>> net = Tailored(stem, blocks, shape=(1, 6, 6), classes=3, skips=2)
    >>> net.paths["2"]
    [Path(source=1, universal=True), Path(source=1, universal=False), Path(source=0, universal=False)]
    >>> [f"{share:.2f}" for share in net.attention()["2"]]
    ['0.96', '0.02', '0.02']
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Sequence[nn.Module],
        *,
        shape: Sequence[int],
        classes: int,
        skips: int = 2,
        seed: int = 0,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        skips, count = whole("skips", skips, least=0), whole("The number of blocks", len(blocks))
        self.frozen = frozen
        self.stem = copy.deepcopy(stem)
        self.blocks = nn.ModuleDict({str(layer): copy.deepcopy(block) for layer, block in enumerate(blocks, start=1)})
        self.requires_grad_(not frozen)
        self.sizes = self._sizes(shape)  # of x_0, x_1 ..., without the axis of samples
        self.paths = {  # layer -> its ways in: the block, then proxies, the nearest source first
            str(layer): [Path(layer - 1, True), *(Path(p, False) for p in range(layer - 1, -1, -1)[:skips])]
            for layer in range(1, count + 1)
        }
        with SeededDraws(seed):
            self.proxies = nn.ModuleDict(
                {
                    f"{layer}_{path.source}": _proxy(self.sizes[path.source], self.sizes[int(layer)])
                    for layer, paths in self.paths.items()
                    for path in paths[1:]
                }
            )
            self.linear = nn.Linear(self.sizes[-1][0], whole("classes", classes))
        self.scores = nn.ParameterDict(
            {layer: torch.tensor([UNIVERSAL] + [PROXY] * (len(paths) - 1)) for layer, paths in self.paths.items()}
        )
        self.train()

    def train(self, mode: bool = True) -> Tailored:
        """Set the mode of what is trained; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.stem.eval(), self.blocks.eval()
        return self

    def attention(self) -> dict[str, Tensor]:
        """Return the share of each path of each layer that is left, in the order of `paths`."""
        return {layer: self.scores[layer].softmax(0) for layer in self.paths}

    def path(self, layer: str, path: Path) -> nn.Module:
        """Return the block or the proxy that a path of a layer leads through."""
        return self.blocks[layer] if path.universal else self.proxies[f"{layer}_{path.source}"]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, C, H, W), or of what `started` has returned for them."""
        return self.activations(x)[-1]

    def activations(self, x: Tensor, *, detached: bool = False) -> list[Tensor]:
        """Return the output of each layer that is left, and the logits.

        Where detached, each layer and the classifier read their inputs as constants, so that a loss on one output
        trains its own layer alone.
        """
        read, known = self._begun(x)  # layer -> its output as the next ones read it; paths that need not be run
        seen: list[Tensor] = []
        for layer, attention in self.attention().items():
            ways = [
                known[path] if layer == "1" and path in known else self.path(layer, path)(read[path.source])
                for path in self.paths[layer]
            ]
            seen.append(F.relu(sum(a * way for a, way in zip(attention, ways, strict=True))))
            read[int(layer)] = seen[-1].detach() if detached else seen[-1]
        return [*seen, self.linear(read[len(self.sizes) - 1].mean(dim=(2, 3)))]

    def started(self, images: Tensor) -> Tensor:
        """Return what the frozen stem and the first block give, (N, values), for `forward` to begin from.

        A client runs them once for its images instead of once a step. A ValueError where the backbone is trained.
        """
        if not self.frozen:
            raise ValueError("A backbone that is trained has to be run anew in each step.")
        with torch.no_grad():
            x = self.stem(images)
            return torch.cat([part.flatten(1) for part in (x, *(block(x) for block in self._first()))], 1)

    def _begun(self, x: Tensor) -> tuple[dict[int, Tensor], dict[Path, Tensor]]:
        """Return x_0 by its number, and what is known of the paths into the first layer."""
        if x.ndim != 2:
            return {0: self.stem(x)}, {}
        sizes = self.sizes[: 1 + len(self._first())]
        parts = [
            part.reshape(-1, *size)
            for part, size in zip(x.split([size.numel() for size in sizes], 1), sizes, strict=True)
        ]
        return {0: parts[0]}, dict.fromkeys([Path(0, True)] * (len(parts) - 1), parts[-1])

    def _first(self) -> list[nn.Module]:
        """Return the first block, unless it has been pruned."""
        return [self.blocks["1"]] if "1" in self.blocks else []

    @torch.no_grad()
    def _sizes(self, shape: Sequence[int]) -> list[torch.Size]:
        """Send one blank image through the backbone and return the shapes of its layers' outputs."""
        self.eval()
        outputs = [self.stem(torch.zeros(1, *shape))]
        for block in self.blocks.values():
            outputs.append(block(outputs[-1]))
        return [output.shape[1:] for output in outputs]


def _proxy(source: torch.Size, target: torch.Size) -> nn.Sequential:
    """Max-pool where the resolution falls, 1x1 convolution, group norm: about 1/18 of a block's operations."""
    stride = source[-1] // target[-1]
    pool = [nn.MaxPool2d(stride + 1, stride, stride // 2)] if stride > 1 else []
    conv = nn.Conv2d(source[0], target[0], 1, bias=False)
    nn.init.normal_(conv.weight, std=0.01)
    proxy = nn.Sequential(*pool, conv, nn.GroupNorm(math.gcd(4, target[0]), target[0]))
    if (made := proxy(torch.zeros(1, *source)).shape[1:]) != target:
        raise ValueError(f"A proxy from {tuple(source)} to {tuple(target)} would give {tuple(made)}.")
    return proxy
