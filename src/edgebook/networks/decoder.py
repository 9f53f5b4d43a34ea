"""A small decoder over characters, with a cache that can be cropped: a target or a draft that trains in minutes."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.measure.seeding import SeededDraws


def token_list(tokens: Iterable[int] | Tensor, vocabulary: int, name: str) -> list[int]:
    """Return a row of tokens as a list.

    A `TypeError` that has the name where it is no row of whole numbers but a batch, fractions, truth values or a
    string, and a `ValueError` where one lies outside of 0 to `vocabulary` - 1.
    """
    try:
        if isinstance(tokens, str | bytes):
            raise TypeError
        listed = tokens.tolist() if hasattr(tokens, "tolist") else list(tokens)
        found = [token if type(token) is int else _whole(token) for token in listed]
    except TypeError:
        kind = f"{type(tokens).__name__} of shape {tuple(tokens.shape)}" if hasattr(tokens, "shape") else repr(tokens)
        raise TypeError(f"{name} must be a row of whole numbers, got {kind[:80]}.") from None
    if found and not 0 <= min(found) <= max(found) < vocabulary:
        raise ValueError(f"{name} must have tokens from 0 to {vocabulary - 1}, got {min(found)} to {max(found)}.")
    return found


def _whole(token: object) -> int:
    if isinstance(token, bool):
        raise TypeError
    return operator.index(token)


def checked_pass(tokens: Sequence[int], rows: int, *, read: int, vocabulary: int, longest: int) -> list[int]:
    """Return the tokens of a pass after `read` others, at the end of which `rows` logits are asked for, or raise."""
    found = token_list(tokens, vocabulary, "A text")
    if read + len(found) > longest:
        raise ValueError(f"A text may have {longest} tokens, got {read + len(found)}.")
    if not 1 <= rows <= len(found):
        raise ValueError(f"A pass gives logits after 1 to all of its tokens, got {len(found)} and {rows} asked for.")
    return found


class Block(nn.Module):
    """One block: attention and a multilayer perceptron, each behind a layer norm and around a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, T, width) of whole texts to features of the same shape."""
        batch, length, width = x.shape
        # (B, T, 3 width) -> (B, T, 3, heads, D)
        split = self.qkv(self.norm_attention(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # (B, heads, T, D) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))  # heads side by side again
        return x + self.down(F.gelu(self.up(self.norm_mlp(x))))

    def step(self, x: Tensor, cache: Tensor, length: int, mask: Tensor) -> Tensor:
        """Map features (n, width) of the next n tokens, writing their keys and values into the cache.

        `cache` is (2, heads, longest, D) with `length` places filled; `mask` (longest, longest) is 0 where a row may
        look and minus infinity elsewhere.
        """
        n, width = x.shape
        end = length + n
        # (n, 3 width) -> (n, 3, heads, D) -> (heads, n, D) each
        q, k, v = self.qkv(self.norm_attention(x)).view(n, 3, self.heads, width // self.heads).permute(1, 2, 0, 3)
        cache[0, :, length:end], cache[1, :, length:end] = k, v
        scores = torch.matmul(q, cache[0, :, :end].transpose(1, 2)) * (width // self.heads) ** -0.5  # (heads, n, end)
        if n > 1:
            scores += mask[length:end, :end]
        mixed = torch.matmul(scores.softmax(-1), cache[1, :, :end])
        x = x + self.out(mixed.transpose(0, 1).reshape(n, width))  # from (heads, n, D)
        return x + self.down(F.gelu(self.up(self.norm_mlp(x))))

    def new_cache(self, longest: int) -> Tensor:
        """Return an empty cache for so many tokens."""
        width = self.out.in_features
        return self.out.weight.new_empty(2, self.heads, longest, width // self.heads)


def causal_mask(longest: int) -> Tensor:
    """Return (longest, longest): 0 on and below the diagonal, minus infinity above it."""
    return torch.full((longest, longest), -torch.inf).triu(1)


class CharacterDecoder(nn.Module):
    """A decoder with learned positions.

    Parameters
    ----------
    vocabulary, longest : int, tokens that there are, and tokens that it can read
    width, depth, heads : int, features, blocks, and heads in each
    seed : int, decides the initial weights, and nothing else

    Raises
    ------
    ValueError
        A width that the heads do not divide, or a size below 1.

    Examples
    --------
    >>> CharacterDecoder(60, 32, width=16, depth=2, heads=4)(torch.zeros(1, 5, dtype=torch.long)).shape
    torch.Size([1, 5, 60])
    """

    def __init__(self, vocabulary: int, longest: int, *, width: int, depth: int, heads: int, seed: int = 0) -> None:
        super().__init__()
        if min(vocabulary, longest, width, depth, heads) < 1 or width % heads:
            raise ValueError(
                f"Sizes must be at least 1 and heads divide width, got vocabulary {vocabulary}, longest {longest}, "
                f"width {width}, depth {depth} and heads {heads}."
            )
        self.vocabulary, self.longest, self.width, self.heads = vocabulary, longest, width, heads
        with SeededDraws(seed):
            self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
            self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
            for embedding in (self.token, self.place):
                nn.init.normal_(embedding.weight, std=0.02)
        self.register_buffer("mask", causal_mask(longest), persistent=False)

    def features(self, tokens: Tensor, after: Sequence[int] = ()) -> tuple[list[Tensor], Tensor]:
        """Return features (B, T, width) behind the blocks `after`, from 1, and logits (B, T, V), of texts (B, T)."""
        if tokens.shape[1] > self.longest:
            raise ValueError(f"A text may have {self.longest} tokens, got {tokens.shape[1]}.")
        x = self.token(tokens) + self.place.weight[: tokens.shape[1]]
        found = {}
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            found[number] = x
        return [found[number] for number in after], self.head(self.norm(x))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (B, T, V) for what follows each token of (B, T)."""
        return self.features(tokens)[1]

    def session(self) -> DecoderSession:
        """Return a new text with nothing read."""
        return DecoderSession(self)


class DecoderSession:
    """What a `CharacterDecoder` has read of one text; the cache is written in place and cropped by its length."""

    def __init__(self, model: CharacterDecoder) -> None:
        self.model, self.length = model, 0
        self._caches = [block.new_cache(model.longest) for block in model.blocks]

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"A text of {self.length} tokens cannot be cropped to {length}.")
        self.length = length

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        """Read more tokens and return the logits (rows, V) after the last ones."""
        x = self.embed(tokens, rows)
        for number in range(len(self._caches)):
            x = self.block(number, x)
        return self.close(x, rows)

    def embed(self, tokens: Sequence[int], rows: int) -> Tensor:
        """Return the features (n, width) with which the first block begins."""
        limits = {"vocabulary": self.model.vocabulary, "longest": self.model.longest}
        tokens = checked_pass(tokens, rows, read=self.length, **limits)
        weight = self.model.token.weight
        index = torch.tensor(tokens, dtype=torch.long, device=weight.device)
        return weight[index] + self.model.place.weight[self.length : self.length + len(tokens)]

    def block(self, number: int, x: Tensor) -> Tensor:
        """Run one block, numbered from 0, on the new tokens."""
        return self.model.blocks[number].step(x, self._caches[number], self.length, self.model.mask)

    def close(self, x: Tensor, rows: int) -> Tensor:
        """Count the new tokens as read and return their logits."""
        self.length += len(x)
        return self.model.head(self.model.norm(x[-rows:]))
