r"""Early exits of a target: a light adapter after some blocks, in front of the target's own frozen head.

An exit's distribution :math:`t^{(j)}` is trained to be the target's, and nothing of the target changes:

.. math:: L = \sum_j \mathrm{KL}\left(t \,\|\, t^{(j)}\right)

The form of the adapters is a reconstruction from secondary sources on :cite:`venkatesha2025fast`: here one block of
the decoder's own kind and a layer norm, or in place of the block one linear map, a tuned lens :cite:`belrose2023lens`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.decoding.fitting import optimise
from edgebook.measure.seeding import SeededDraws
from edgebook.networks.decoder import Block, CharacterDecoder, DecoderSession, causal_mask

Features = Callable[[Tensor, Sequence[int]], tuple[list[Tensor], Tensor]]


class Lens(nn.Module):
    """One linear map around a shortcut, place by place, which passes on what comes in until it has learnt."""

    heads = 0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (..., width) to features of the same shape."""
        return x + self.map(x)

    def step(self, x: Tensor, cache: Tensor, length: int, mask: Tensor) -> Tensor:
        """Map features (n, width) of the next n tokens; nothing is kept of those before, as `Block.step` keeps it."""
        return self(x)

    def new_cache(self, longest: int) -> Tensor:
        """Return an empty cache, of nothing."""
        return self.map.weight.new_empty(0)


class Exits(nn.Module):
    """Adapters after some blocks of a target.

    Parameters
    ----------
    head : torch.nn.Linear
        The target's, from features to logits; shared by all exits and never trained.
    after : sequence of int
        Blocks of the target, from 1, behind which there is an exit; in ascending order.
    heads, longest, seed : int
        Attention heads of the adapters, 0 where they are linear maps without attention, tokens that they can read, and
        what decides the initial weights.

    Raises
    ------
    ValueError
        No exit, or blocks that do not ascend from 1.
    """

    def __init__(self, head: nn.Linear, after: Sequence[int], *, heads: int, longest: int, seed: int = 0) -> None:
        super().__init__()
        if not after or list(after) != sorted(set(after)) or after[0] < 1:
            raise ValueError(f"Exits must lie after ascending blocks from 1 on, got {list(after)}.")
        self.after, self.longest = tuple(after), longest
        self._head = [head]  # in a list, so that it is not a part of this module
        with SeededDraws(seed):
            self.adapters = nn.ModuleList(
                Block(head.in_features, heads) if heads else Lens(head.in_features) for _ in after
            )
            self.norms = nn.ModuleList(nn.LayerNorm(head.in_features) for _ in after)
        self.register_buffer("mask", causal_mask(longest), persistent=False)
        self.to(head.weight.device, head.weight.dtype)

    def forward(self, hidden: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits (B, T, V) of each exit from the hidden states (B, T, width) at its place."""
        parts = zip(self.adapters, self.norms, hidden, strict=True)
        return [self._to_logits(norm(adapter(x))) for adapter, norm, x in parts]

    def new_caches(self) -> list[Tensor]:
        """Return an empty cache for each adapter."""
        return [adapter.new_cache(self.longest) for adapter in self.adapters]

    def step(self, number: int, x: Tensor, cache: Tensor, length: int, rows: int) -> Tensor:
        """Return the logits (rows, V) of one exit from the hidden states (n, width) of the next n tokens."""
        return self._to_logits(self.norms[number](self.adapters[number].step(x, cache, length, self.mask)[-rows:]))

    def _to_logits(self, x: Tensor) -> Tensor:
        return F.linear(x, self._head[0].weight.detach(), self._head[0].bias)


class StagedDecoder:
    """A `CharacterDecoder` with exits, as a target.

    Parameters
    ----------
    model, exits : CharacterDecoder, Exits
        Left as it is; after blocks that it has, the last one excepted.

    Raises
    ------
    ValueError
        An exit after the last block or beyond.
    """

    def __init__(self, model: CharacterDecoder, exits: Exits) -> None:
        if exits.after[-1] >= len(model.blocks):
            raise ValueError(f"Of {len(model.blocks)} blocks the last has no exit, got exits after {exits.after}.")
        self.model, self.exits = model, exits
        self.vocabulary, self.longest = model.vocabulary, min(model.longest, exits.longest)

    def session(self) -> StagedDecoderSession:
        """Return a new text with nothing read, independent of all others."""
        return StagedDecoderSession(self.model, self.exits)


class StagedDecoderSession(DecoderSession):
    """What a decoder and its exits have read of one text, as `protocol.StagedSession` says."""

    def __init__(self, model: CharacterDecoder, exits: Exits) -> None:
        super().__init__(model)
        self._module, self._adapter_caches = exits, exits.new_caches()
        self.exits = len(exits.after)

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        return list(self.stages(tokens, rows))[-1]

    @torch.inference_mode()
    def stages(self, tokens: Sequence[int], rows: int) -> Iterator[Tensor]:
        x, numbers = self.embed(tokens, rows), {block: number for number, block in enumerate(self._module.after)}
        for number in range(len(self._caches)):
            x = self.block(number, x)
            if number + 1 in numbers:
                exit_number = numbers[number + 1]
                cache = self._adapter_caches[exit_number]
                yield self._module.step(exit_number, x, cache, self.length, rows)
        yield self.close(x, rows)


def distill(
    exits: Exits,
    features: Features,
    text: Tensor,
    *,
    steps: int,
    batch_size: int = 16,
    window: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
) -> float:
    """Train exits in place to say what their target says.

    Parameters
    ----------
    exits, features : Exits, callable
        Of the target, and its `features`: tokens (B, T) and blocks to hidden states and logits.
    text, steps, batch_size, window, lr, seed
        As for `fit_decoder`, with its errors.

    Returns
    -------
    float
        Mean divergence per exit and token over the last tenth of the steps, nats.
    """

    def loss(batch: Tensor) -> Tensor:
        with torch.no_grad():
            hidden, final = features(batch, exits.after)
            target = final.log_softmax(-1).flatten(0, 1)
        found = exits(hidden)
        said = [x.log_softmax(-1).flatten(0, 1) for x in found]
        return torch.stack([F.kl_div(x, target, log_target=True, reduction="batchmean") for x in said]).sum()

    options = {"steps": steps, "batch_size": batch_size, "window": window, "lr": lr, "seed": seed}
    return optimise(exits, loss, text, **options) / len(exits.after)
