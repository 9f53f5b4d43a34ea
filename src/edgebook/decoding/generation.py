"""Both sides in one process: the text alone, or the text with a record of every round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from edgebook.decoding.cloud import Cloud, Outcome
from edgebook.decoding.draws import Draws, draws_from
from edgebook.decoding.edge import Edge, stop_tokens
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.reading import Reader
from edgebook.decoding.speculative import Sampling, distribution, finite, pick
from edgebook.networks.decoder import token_list

Ahead = Literal["none", "exits", "full acceptance", "both"]


class DraftRound(NamedTuple):
    """One draft and what became of it; outcomes reach as far as the text's stop token."""

    position: int  #: tokens of the text before it
    drafted: int  #: tokens in it
    outcome: Outcome  #: the final one
    exits: tuple[Outcome, ...]  #: those of the exits, in their order
    guess: tuple[int, int] | None  #: what the device itself expected, where it was asked
    hit: bool  #: whether the next draft was among those made ahead


class TracedText(NamedTuple):
    """New tokens of a text, and the rounds that made them."""

    tokens: list[int]
    rounds: list[DraftRound]


def generate(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int] | Tensor,
    *,
    max_new_tokens: int,
    drafted: int = 4,
    temperature: float = 1.0,
    stop: int | Iterable[int] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Let a target write a text with the help of a draft; the text is distributed as if it had written it alone.

    Parameters
    ----------
    target, draft : LanguageModel
        Over one vocabulary. Exits of the target are not asked.
    prompt : sequence of int, or Tensor (T,)
        At least one token.
    max_new_tokens, drafted : int
        Tokens to make, at least 1, and those that the draft proposes in a round; 0 is plain decoding by the target.
    temperature : float
        Of both sides; 0 is greedy. For more of `Sampling`, see `trace`.
    stop : int or several, optional
        Tokens that end the text; where None those that the target names (`HuggingFaceModel.stop`), none where empty.
    generator : torch.Generator, optional
        Moves on by one number; without it, seed 0.

    Returns
    -------
    Tensor, (n,)
        The new tokens, int64.

    Raises
    ------
    ValueError
        Vocabularies that differ, an empty prompt, a token outside the vocabulary, more tokens than a model reads, or
        logits that are no finite numbers.
    TypeError
        A prompt or stop tokens that are no row of whole numbers, counts that are none, or another thing for a model.
    """
    options = {"max_new_tokens": max_new_tokens, "drafted": drafted, "stop": stop}
    both = {"sampling": Sampling(temperature), "draws": draws_from(generator)}
    found = trace(target, draft, prompt, ahead="none", **both, **options)
    return torch.tensor(found.tokens, dtype=torch.long)


def trace(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int] | Tensor,
    *,
    max_new_tokens: int,
    drafted: int = 4,
    sampling: Sampling | None = None,
    draws: Draws | None = None,
    stop: int | Iterable[int] | None = None,
    ahead: Ahead = "exits",
    exit_draws: Draws | None = None,
) -> TracedText:
    """Run the whole protocol and keep what happened in each round; times are put to it by `replay`.

    Parameters
    ----------
    target, draft, prompt, max_new_tokens, drafted, stop
        As for `generate`.
    sampling : Sampling, optional
        At temperature 1 where None.
    draws : Draws, optional
        Random numbers of this text; seed 0 where None. The tokens depend on it and on `drafted`, not on `ahead`.
    ahead : {"none", "exits", "full acceptance", "both"}
        What next drafts are made on ahead of time: nothing, the outcome of each exit, or the device's own guess.
    exit_draws : Draws, optional
        Numbers of the exits' own, and of the device's guess, as a control; they share the target's where None.

    Returns
    -------
    TracedText
        With hits counted as if every exit's outcome were sent and every draft made ahead were kept.

    Raises
    ------
    ValueError
        As `generate`, or an unknown `ahead`.
    """
    if ahead not in get_args(Ahead):
        raise ValueError(f"ahead must be one of {', '.join(get_args(Ahead))}, got {ahead!r}.")
    sampling, draws = sampling or Sampling(), draws or Draws(0)
    prompt = checked_prompt(prompt, (target, draft), max_new_tokens, drafted)
    both = {"sampling": sampling, "draws": draws}
    stop = stop_tokens(stop, target)
    limits = {"max_new_tokens": max_new_tokens, "drafted": drafted}
    edge = Edge(draft, prompt, guess_draws=exit_draws, stop=stop, **limits, **both)
    cloud, rounds = Cloud(target, prompt, exit_draws=exit_draws, **both), []
    while not edge.finished:
        rounds.append(_round(edge, cloud, ahead))
    return TracedText(edge.new_tokens, rounds)


def _round(edge: Edge, cloud: Cloud, ahead: Ahead) -> DraftRound:
    proposed = edge.drafting.finish()
    guess = None
    if ahead in ("full acceptance", "both"):
        guess = edge.until_stop(*edge.guess())
        edge.ahead(*guess).finish()
    outcomes = []
    for outcome in cloud.verify(proposed.tokens, proposed.distributions, exits=ahead in ("exits", "both")):
        accepted, token = edge.until_stop(outcome.accepted, outcome.token)
        outcomes.append(outcome._replace(accepted=accepted, token=token))
        if not outcome.final:
            edge.ahead(accepted, token).finish()
    *exits, final = outcomes
    hit = edge.confirm(final.accepted, final.token)
    return DraftRound(proposed.position, len(proposed.tokens), final, tuple(exits), guess, hit)


def autoregressive(
    model: LanguageModel,
    prompt: Sequence[int] | Tensor,
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    draws: Draws | None = None,
) -> list[int]:
    """Let one model write a text alone, a token a pass: the baseline of both sides.

    It ends with a stop token that the model itself names, as `trace` does.

    Parameters
    ----------
    model, prompt, max_new_tokens, sampling, draws
        As for `trace`, with its errors.

    Returns
    -------
    list of int
    """
    sampling, draws = sampling or Sampling(), draws or Draws(0)
    text = checked_prompt(prompt, (model,), max_new_tokens, 0)
    reader, begun, stop = Reader(model), len(text), stop_tokens(None, model)
    while len(text) < begun + max_new_tokens:
        logits = reader.read(text, 1)[0]
        if sampling.greedy:
            text.append(int(finite(logits).argmax()))
        else:
            _, last = draws.accept(len(text), 0)
            text.append(int(pick(distribution(logits, sampling), last)))
        if text[-1] in stop:
            break
    return text[begun:]


def checked_prompt(
    prompt: Sequence[int] | Tensor, models: Sequence[LanguageModel], max_new_tokens: int, drafted: int
) -> list[int]:
    """Return a prompt as a list of tokens that the models can go on from, or raise the errors of `generate`."""
    for name, number in (("max_new_tokens", max_new_tokens), ("drafted", drafted)):
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise TypeError(f"{name} must be a whole number, got {number!r}.")
    for model in models:
        if not isinstance(model, LanguageModel):
            kinds = "a CharacterDecoder, a HuggingFaceModel or another that keeps their protocol"
            raise TypeError(f"A model must be {kinds}, got {type(model).__name__}.")
    sizes = {model.vocabulary for model in models}
    if len(sizes) > 1:
        raise ValueError(f"Target and draft must share one vocabulary, got {' and '.join(map(str, sorted(sizes)))}.")
    if max_new_tokens < 1 or drafted < 0:
        raise ValueError(f"max_new_tokens must be at least 1 and drafted 0, got {max_new_tokens} and {drafted}.")
    tokens = token_list(prompt, min(sizes), "A prompt")
    if not tokens:
        raise ValueError("A prompt must have at least one token.")
    longest = min(model.longest for model in models)
    if len(tokens) + max_new_tokens > longest:
        raise ValueError(f"Prompt and new tokens may be {longest} together, got {len(tokens)} and {max_new_tokens}.")
    return tokens
