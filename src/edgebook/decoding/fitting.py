"""Training of small decoders on a text, and what they lose on another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.networks.decoder import CharacterDecoder


def windows(text: Tensor, steps: int, batch_size: int, window: int, seed: int) -> Iterator[Tensor]:
    """Draw so many batches (batch_size, window) of tokens that follow each other in a text (N,)."""
    if min(steps, batch_size, window) < 1 or len(text) < window:
        raise ValueError(
            f"Steps, batch_size and window must be at least 1 and the text at least a window long, got {steps}, "
            f"{batch_size}, {window} and {len(text)} tokens."
        )
    generator, places = torch.Generator().manual_seed(seed), torch.arange(window)
    for _ in range(steps):
        starts = torch.randint(len(text) - window + 1, (batch_size, 1), generator=generator)
        yield text[starts + places]  # (batch_size, 1) + (window,)


def optimise(
    model: nn.Module, loss: Callable[[Tensor], Tensor], text: Tensor, *,
    steps: int, batch_size: int, window: int, lr: float, seed: int,
) -> float:  # fmt: skip
    """Lower a loss of windows of a text with AdamW; return its mean over the last tenth of the steps.

    The rate rises to its peak over a tenth of the steps and falls along a cosine after it. The model is left in
    evaluation mode.
    """
    warm, losses, device = max(1, steps // 10), [], next(model.parameters()).device

    def rate(step: int) -> float:
        done = (step - warm) / max(1, steps - warm)
        return lr * (step + 1) / warm if step < warm else lr * (0.5 + 0.5 * math.cos(math.pi * done))

    # The schedule multiplies the optimiser's rate, which is 1, by what the function returns.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    for batch in windows(text, steps, batch_size, window, seed):
        value = loss(batch.to(device))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(value.detach()))
    model.eval()
    kept = losses[-math.ceil(steps / 10) :]
    return sum(kept) / len(kept)


def fit_decoder(
    model: CharacterDecoder,
    text: Tensor,
    *,
    steps: int,
    batch_size: int = 16,
    window: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
) -> float:
    """Train a decoder in place to say what comes next.

    Parameters
    ----------
    model : CharacterDecoder
        Left in evaluation mode.
    text : Tensor, (N,)
        Tokens that windows are drawn from.
    steps, batch_size, window, seed : int
        Steps of AdamW, windows in each, tokens in a window, and what decides which windows; positions beyond the
        window stay untrained.
    lr : float
        Peak learning rate.

    Returns
    -------
    float
        Mean cross-entropy over the last tenth of the steps, nats per token.

    Raises
    ------
    ValueError
        A window that the model cannot read or the text does not hold, or a number below 1.
    """
    if window > model.longest:
        raise ValueError(f"window may be at most {model.longest}, got {window}.")

    def loss(batch: Tensor) -> Tensor:
        return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    return optimise(model, loss, text, steps=steps, batch_size=batch_size, window=window, lr=lr, seed=seed)


@torch.no_grad()
def cross_entropy(model: CharacterDecoder, text: Tensor, *, window: int = 128, count: int = 64) -> float:
    """Return what a decoder loses on a text, in nats per token.

    Parameters
    ----------
    model, text : CharacterDecoder, Tensor (N,)
        In evaluation mode; tokens.
    window, count : int
        Tokens in a window and at most so many windows, side by side from the beginning.

    Returns
    -------
    float
        Mean over all tokens of the windows but the first of each.

    Raises
    ------
    ValueError
        A text shorter than a window.
    """
    whole = min(count, len(text) // window)
    if whole < 1:
        raise ValueError(f"The text must have at least {window} tokens, got {len(text)}.")
    batch = text[: whole * window].view(whole, window).to(model.head.weight.device)
    return float(F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()))
