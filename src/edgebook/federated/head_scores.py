"""How sure attention heads are of where to look, which are kept for it, and how much each client counts in a head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from edgebook.federated.checks import finite
from edgebook.measure.arguments import whole
from edgebook.measure.watching import evaluated

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

Merging = Literal["weighted", "plain", "zero-filled"]


def head_confidence(
    attentions: Tensor, valid_q: Tensor, valid_k: Tensor, *, causal: bool = False, corrected: bool = True
) -> Tensor:
    r"""Return the mean largest attention weight of each head, corrected for how many keys there are to choose from.

    .. math:: \operatorname{mean}_{s, i} \frac{\max_j A_{s,i,j} - 1/m_{s,i}}{1 - 1/m_{s,i}}

    over sentences :math:`s` and queries :math:`i` that see :math:`m_{s,i} > 1` keys. It is 0 where all keys get the
    same, whatever their number, and 1 where one gets all.
    Source: Voita et al., *Analyzing Multi-Head Self-Attention*, arXiv 1905.09418, without the correction. There a head
    that sees one key is as sure as can be, though it has no choice.

    Parameters
    ----------
    attentions : Tensor, (N, H, Q, K)
        Weights of H heads, which add up to 1 over the keys of a query.
    valid_q, valid_k : Tensor, bool (N, Q) and (N, K)
        Which queries and keys are no padding.
    causal : bool
        Whether a query sees no key behind its own place.
    corrected : bool
        Where False, the plain mean over all queries that are no padding.

    Returns
    -------
    Tensor, (H,)
        NaN where no query has more than one key to choose from.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Examples
    --------
    >>> weights = torch.tensor([[[[0.5, 0.5]], [[1.0, 0.0]]]])  # two heads, one query, two keys
    >>> head_confidence(weights, torch.ones(1, 1, dtype=bool), torch.ones(1, 2, dtype=bool))
    tensor([0., 1.])
    """
    if attentions.ndim != 4 or valid_q.shape != attentions.shape[::2] or valid_k.shape != attentions.shape[::3]:
        shapes = [tuple(part.shape) for part in (attentions, valid_q, valid_k)]
        raise ValueError(f"Weights (N, H, Q, K) need queries (N, Q) and keys (N, K), got {shapes}.")
    seen = valid_k[:, None].expand(-1, valid_q.shape[1], -1)  # (N, Q, K)
    seen = seen.tril() if causal else seen
    keys = seen.sum(2)  # (N, Q)
    largest = attentions.masked_fill(~seen[:, None], 0).amax(3).transpose(1, 2)  # (N, Q, H)
    if not corrected:
        return largest[valid_q & (keys > 0)].mean(0)
    counted = valid_q & (keys > 1)
    even = 1 / keys[counted][:, None]  # (queries that count, 1)
    return ((largest[counted] - even) / (1 - even)).mean(0)


@torch.no_grad()
def score_heads(
    model: T5ForConditionalGeneration, inputs: Tensor, outputs: Tensor, *, corrected: bool = True
) -> NDArray:
    """Return the confidence of all heads of a T5, on sentences whose outputs are known.

    Parameters
    ----------
    model : transformers.T5ForConditionalGeneration
        Perhaps with LoRA; read in evaluation mode.
    inputs, outputs : Tensor, int64 (N, Q) and (N, M)
        Tokens, inputs padded with the model's padding and outputs with -100.
    corrected : bool
        See `head_confidence`.

    Returns
    -------
    ndarray, (attentions, heads)
        In the order of `attention_paths`; NaN for heads that never see more than one key.
    """
    valid, told = inputs != model.config.pad_token_id, outputs != -100
    with evaluated(model):
        out = model(
            input_ids=inputs, attention_mask=valid.long(), labels=outputs, output_attentions=True, use_cache=False
        )
    found = [head_confidence(a, valid, valid, corrected=corrected) for a in out.encoder_attentions]
    for own, other in zip(out.decoder_attentions, out.cross_attentions, strict=True):
        found.append(head_confidence(own, told, told, causal=True, corrected=corrected))
        found.append(head_confidence(other, told, valid, corrected=corrected))
    return torch.stack(found).numpy().astype(np.float64)


def keep_heads(scores: ArrayLike, sparsity: float, *, at_least: int = 1) -> NDArray[np.bool_]:
    """Keep the heads of the highest scores, ranked over all attentions at once.

    Parameters
    ----------
    scores : array-like, (attentions, heads)
        NaN counts below all numbers.
    sparsity : float
        Share of the heads that go, 0 to 1; what is left is rounded to whole heads.
    at_least : int
        So many stay in each attention, which may be more than the sparsity leaves.

    Returns
    -------
    ndarray of bool, (attentions, heads)

    Raises
    ------
    ValueError
        Scores without two axes, a sparsity out of range, or more heads wanted than there are.

    Examples
    --------
    >>> keep_heads([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3]], 0.5)
    array([[ True,  True, False],
           [False, False,  True]])
    """
    found = np.asarray(scores, np.float64)
    if found.ndim != 2 or not found.size or not 0 <= finite("sparsity", sparsity) <= 1:
        raise ValueError(
            f"Scores (attentions, heads) and a sparsity from 0 to 1 are needed, got {found.shape}, {sparsity}."
        )
    least = whole("at_least", at_least, 0, found.shape[1])
    found = np.where(np.isnan(found), -np.inf, found)
    places = np.argsort(np.argsort(-found, axis=1, kind="stable"), axis=1)  # 0 for the best of an attention
    first = places < least
    order = np.lexsort((np.arange(found.size), -found.ravel(), ~first.ravel()))  # those that stay, then by score
    keep = np.zeros(found.size, bool)
    keep[order[: max(round((1 - sparsity) * found.size), int(first.sum()))]] = True
    return keep.reshape(found.shape)


def head_weights(
    samples: ArrayLike, importance: ArrayLike, keep: ArrayLike, *, merging: Merging = "weighted"
) -> NDArray[np.float64]:
    r"""Return the share of each client in each head.

    .. math:: w_{kh} = \frac{m_{kh} n_k c_{kh}}{\sum_j m_{jh} n_j c_{jh}}, \qquad
        c_{kh} = I_{kh} \big/ \operatorname{mean}_{h'} I_{kh'}\ \text{(weighted)} \text{ or } 1\ \text{(plain)}

    with :math:`m_{kh}` 1 where client :math:`k` kept head :math:`h` and 0 elsewhere. "Zero-filled" divides by the
    samples of all clients instead, so that whoever has removed a head pulls it to zero.

    Parameters
    ----------
    samples : array-like, (clients,)
        Numbers of samples.
    importance, keep : array-like, (clients, attentions, heads)
        Scores of at least 0, NaN where there is none, which counts as the client's mean; masks.
    merging : {"weighted", "plain", "zero-filled"}

    Returns
    -------
    ndarray, (clients, attentions, heads)
        It adds up to 1 over clients, and to 0 where nobody kept a head.

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers below 0, or an unknown way to merge.

    Examples
    --------
    >>> head_weights([1, 1], [[[0.3, 0.1]], [[0.1, 0.1]]], [[[True, True]], [[True, False]]]).round(3).tolist()
    [[[0.6, 1.0]], [[0.4, 0.0]]]
    """
    keep, samples = np.asarray(keep, bool), np.asarray(samples, np.float64)
    scores = np.asarray(importance, np.float64)
    if merging not in get_args(Merging) or keep.ndim != 3 or scores.shape != keep.shape or len(samples) != len(keep):
        raise ValueError(
            f"Samples (clients,), scores and masks (clients, attentions, heads) and one of {get_args(Merging)} are "
            f"needed, got {samples.shape}, {scores.shape}, {keep.shape} and {merging!r}."
        )
    if (samples <= 0).any() or (scores < 0).any():
        raise ValueError("Numbers of samples must be above 0, and scores at least 0.")
    counts = np.broadcast_to(samples[:, None, None], keep.shape)
    if merging == "zero-filled":
        return keep * counts / samples.sum()
    if merging == "weighted":
        mean = np.nanmean(scores, axis=(1, 2), keepdims=True)  # (clients, 1, 1)
        counts = counts * np.where(np.isnan(scores), 1, scores / np.where(mean > 0, mean, 1))
    kept = keep * counts
    total = kept.sum(0)
    lost = keep.any(0) & (total == 0)  # kept by clients whose scores are all 0: they count by their samples
    kept = np.where(lost, keep * samples[:, None, None], kept)
    total = np.where(lost, kept.sum(0), total)
    return kept / np.where(total > 0, total, 1)
