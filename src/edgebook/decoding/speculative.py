r"""The rule by which a target accepts or replaces the tokens that a draft proposes, so that its distribution stays.

With draft distributions :math:`d_i` and target distributions :math:`t_i`, both after temperature, top-k and top-p,
and uniform :math:`u_i`:

.. math:: \text{accept } x_i \iff u_i < \frac{t_i(x_i)}{d_i(x_i)}, \qquad
          y \sim \frac{\max(0, t_{n+1} - d_{n+1})}{\sum_v \max(0, t_{n+1}(v) - d_{n+1}(v))}

where :math:`n` tokens were accepted before the first refusal; where all :math:`g` were, :math:`d_{g+1} = 0`, and the
token after them comes from :math:`t_{g+1}` itself. Source: :cite:`leviathan2023fast` and :cite:`chen2023accelerating`,
whose letters differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How logits become the distribution that tokens are drawn from, on both sides alike.

    Parameters
    ----------
    temperature : float
        Divides the logits; 0 is greedy decoding.
    top_k : int, optional
        Only so many tokens of highest probability are kept; all where None.
    top_p : float
        Only the fewest most probable tokens whose probabilities sum to at least this are kept, after top-k.

    Raises
    ------
    ValueError
        A negative temperature, a `top_k` below 1, or a `top_p` outside (0, 1].
    TypeError
        A temperature or `top_p` that is no number.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.temperature, Real) and isinstance(self.top_p, Real)):
            raise TypeError(f"temperature and top_p must be numbers, got {self.temperature!r} and {self.top_p!r}.")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be finite and at least 0, got {self.temperature}.")
        if self.top_k is not None and not (hasattr(self.top_k, "__index__") and self.top_k >= 1):
            raise ValueError(f"top_k must be a whole number of at least 1, got {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p}.")

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return self.temperature == 0


class Verification(NamedTuple):
    """What became of a draft: how many of its tokens were accepted, and the token that follows them."""

    accepted: Tensor
    token: Tensor


def finite(logits: Tensor) -> Tensor:
    """Return logits (..., V) as they are, or raise a `ValueError` where the largest of a row is no finite number.

    Minus infinity excludes a token, and stands as long as another one of its row is left.
    """
    largest = logits.amax(-1)
    if not math.isfinite(largest.sum(dtype=torch.float64) if largest.ndim else largest):
        raise ValueError("Logits, divided by the temperature, must be finite numbers; there are NaN or infinite ones.")
    return logits


def distribution(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return the probabilities that tokens are drawn with.

    Parameters
    ----------
    logits : Tensor, (..., V)
        Of one model; of several positions at once where asked.
    sampling : Sampling
        With temperature 0 all probability lies on the largest logit, on the first of several.

    Returns
    -------
    Tensor, (..., V)
        Single precision, each row summing to 1.

    Raises
    ------
    ValueError
        A row that has NaN, plus infinity, or nothing but minus infinity.

    Examples
    --------
    >>> distribution(torch.tensor([1.0, 2.0, 3.0]), Sampling(top_k=2))
    tensor([0.0000, 0.2689, 0.7311])
    """
    if sampling.greedy:
        best = finite(logits).argmax(-1, keepdim=True)
        return torch.zeros_like(logits, dtype=torch.float32).scatter_(-1, best, 1.0)
    scaled = finite(logits.float() / sampling.temperature)
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        kept = scaled.topk(sampling.top_k, dim=-1).indices  # exactly k, also where logits tie
        scaled = torch.full_like(scaled, -torch.inf).scatter_(-1, kept, scaled.gather(-1, kept))
    probabilities = scaled.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        kept = torch.zeros_like(probabilities).scatter_(-1, order, ordered * (before < sampling.top_p))
        probabilities = kept / kept.sum(-1, keepdim=True)
    return probabilities


def pick(weights: Tensor, uniform: Tensor) -> Tensor:
    """Draw a token by the inverse of the cumulative distribution.

    One uniform number gives near distributions the same token most of the time: that is what early exits live on.

    Parameters
    ----------
    weights : Tensor, (..., V)
        At least 0, not all 0 in any row; they need not sum to 1.
    uniform : Tensor, (...)
        In [0, 1), double precision; on any device.

    Returns
    -------
    Tensor, (...)
        Tokens, int64; never one of weight 0.

    Raises
    ------
    ValueError
        Weights that are not finite, or all 0 in a row.

    Examples
    --------
    >>> pick(torch.tensor([0.2, 0.0, 0.8]), torch.tensor(0.3).double())
    tensor(2)
    """
    cumulative = weights.double().cumsum(-1)
    total = cumulative[..., -1:]
    least, most = (bound.item() for bound in total.aminmax()) if total.numel() else (1, 1)
    if not 0 < least <= most < math.inf:
        raise ValueError("Weights must be finite, and above 0 for a token of each row.")
    index = torch.searchsorted(cumulative, uniform.to(weights.device).unsqueeze(-1) * total, right=True)
    return torch.minimum(index, (cumulative < total).sum(-1, keepdim=True)).squeeze(-1)


def residual(target: Tensor, draft: Tensor) -> Tensor:
    """Return the weights (..., V) that a refused token's place is drawn from, max(0, t - d), not normalised.

    A draft of zeros leaves the target, and so does rounding that has left nothing of a row.
    """
    left = (target - draft).clamp_min(0)
    return torch.where(left.sum(-1, keepdim=True) == 0, target, left)  # NaN stays, for `pick` to refuse


def verify(drafted: Tensor, draft: Tensor, target: Tensor, uniforms: Tensor, last: Tensor) -> Verification:
    """Accept the longest run of drafted tokens that the rule allows, and draw the token after it.

    Parameters
    ----------
    drafted : Tensor, (..., g)
        Tokens, each drawn from its row of `draft`; g may be 0.
    draft : Tensor, (..., g, V)
        Probabilities that they were drawn with.
    target : Tensor, (..., g + 1, V)
        The target's probabilities at the same positions and the one after them.
    uniforms, last : Tensor, (..., g) and (...)
        Uniform numbers in [0, 1), double precision: for the tests, and for the token.

    Returns
    -------
    Verification
        Both int64, (...).

    Raises
    ------
    ValueError
        Shapes that do not fit each other, or weights as in `pick`.

    Examples
    --------
    >>> draft, target = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1], [0.0, 1.0]])
    >>> verify(torch.tensor([0]), draft, target, torch.tensor([0.7]).double(), torch.tensor(0.2).double())
    Verification(accepted=tensor(1), token=tensor(1))
    """
    *texts, g = drafted.shape
    vocabulary = target.shape[-1]
    shapes = [tuple(part.shape) for part in (draft, target, uniforms, last)]
    if shapes != [(*texts, g, vocabulary), (*texts, g + 1, vocabulary), (*texts, g), tuple(texts)]:
        raise ValueError(
            f"{g} drafted tokens need {g} draft and {g + 1} target distributions over one vocabulary, {g} uniform "
            f"numbers and one more, for as many texts; the shapes are {tuple(drafted.shape)} and "
            f"{', '.join(map(str, shapes))}."
        )
    drafted, draft, uniforms = (part.to(target.device) for part in (drafted, draft, uniforms))
    theirs = target[..., :g, :].gather(-1, drafted.unsqueeze(-1)).squeeze(-1).double()
    ours = draft.gather(-1, drafted.unsqueeze(-1)).squeeze(-1).double()
    accepted = (uniforms * ours < theirs).long().cumprod(-1).sum(-1)  # u < t / d without dividing
    where = accepted[..., None, None].expand(*accepted.shape, 1, vocabulary)  # (..., 1, V): the row after the accepted
    # (..., g + 1, V): there is nothing to subtract after the last
    padded = torch.cat([draft, torch.zeros_like(target[..., :1, :])], -2)
    weights = residual(target.gather(-2, where).squeeze(-2), padded.gather(-2, where).squeeze(-2))
    return Verification(accepted, pick(weights, last))


def verify_greedy(drafted: Tensor, logits: Tensor) -> Verification:
    """Accept drafted tokens (..., g) while they are the first choice of the target's logits (..., g + 1, V).

    The same as `verify` at temperature 0, and a `ValueError` as there.
    """
    *texts, g = drafted.shape
    if tuple(logits.shape[:-1]) != (*texts, g + 1):
        raise ValueError(f"{g} drafted tokens need {g + 1} rows of logits, got {tuple(drafted.shape)} tokens and "
                         f"{tuple(logits.shape)}.")  # fmt: skip
    best = finite(logits).argmax(-1)
    accepted = (drafted.to(best.device) == best[..., :-1]).long().cumprod(-1).sum(-1)
    return Verification(accepted, best.gather(-1, accepted.unsqueeze(-1)).squeeze(-1))


def acceptance(target: Tensor, draft: Tensor) -> Tensor:
    r"""Return the probability that a drafted token is accepted, :math:`\sum_v \min(t(v), d(v))`.

    Parameters
    ----------
    target, draft : Tensor, (..., V)
        Probabilities.

    Returns
    -------
    Tensor, (...)
        One minus the total variation distance of the two.
    """
    return torch.minimum(target, draft).sum(-1)


def expected_tokens(acceptance: float, drafted: int) -> float:
    r"""Return the tokens that a round yields if each draft token is accepted independently.

    .. math:: \tau = \sum_{i=0}^{g} a^i = \frac{1 - a^{g+1}}{1 - a}

    Parameters
    ----------
    acceptance, drafted : float, int
        Probability `a` of each, 0 to 1, and tokens `g` in a draft.

    Returns
    -------
    float
        1 to g + 1: the token after the accepted ones is counted.

    Raises
    ------
    ValueError
        A probability outside [0, 1] or a negative number of tokens.
    """
    if not 0 <= acceptance <= 1 or drafted < 0:
        raise ValueError(f"acceptance must lie in [0, 1] and drafted be at least 0, got {acceptance} and {drafted}.")
    return float(sum(acceptance**i for i in range(drafted + 1)))
