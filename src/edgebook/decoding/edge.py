"""The device's side: a draft model that proposes tokens, drafts ahead on a guess, and takes its cache back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from edgebook.decoding.draws import Draws
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.reading import Reader
from edgebook.decoding.speculative import Sampling, distribution, finite, pick
from edgebook.networks.decoder import token_list


class Draft(NamedTuple):
    """Proposed tokens, with the distributions that they were drawn from."""

    position: int  #: tokens of the text before them
    tokens: list[int]  #: at most as many as a round drafts
    distributions: Tensor | None  #: (g, V), single precision; None in greedy decoding, whose test needs tokens alone


def stop_tokens(stop: int | Iterable[int] | None, model: LanguageModel) -> frozenset[int]:
    """Return the tokens that end a text: one or several, or where None those that the model itself names, if any."""
    if stop is None:
        stop = getattr(model, "stop", ())
    several = stop if isinstance(stop, Iterable) and getattr(stop, "ndim", 1) else [stop]
    return frozenset(token_list(several, model.vocabulary, "stop"))


class Drafting:
    """A draft of `count` tokens after a prefix in the making, one token a step, so that it can be left at any time.

    Several drafts can share a reader.
    """

    def __init__(self, reader: Reader, prefix: list[int], count: int, sampling: Sampling, draws: Draws) -> None:
        self._reader, self._sampling, self._draws = reader, sampling, draws
        self.position, self.count = len(prefix), count
        self._text, self._rows = list(prefix), []
        self._uniforms: Tensor | None = None
        self._whole: Draft | None = None

    @property
    def done(self) -> bool:
        """Whether all of its tokens are there."""
        return len(self._text) == self.position + self.count

    def step(self) -> None:
        logits = self._reader.read(self._text, 1)[0]
        if self._sampling.greedy:
            self._text.append(int(finite(logits).argmax()))
            return
        if self._uniforms is None:
            self._uniforms = self._draws.draft(self.position, self.count)
        row = distribution(logits, self._sampling)
        token = int(pick(row, self._uniforms[len(self._rows)]))
        self._rows.append(row)
        self._text.append(token)

    def finish(self) -> Draft:
        """Draft what is missing and return the whole."""
        while not self.done:
            self.step()
        if self._whole is None:
            rows = None if self._sampling.greedy else torch.stack(self._rows) if self._rows else torch.empty(0, 0)
            self._whole = Draft(self.position, self._text[self.position :], rows)
        return self._whole


class Edge:
    """The client of one text: what is verified, the draft of the present round, and drafts made ahead.

    Nothing but verified tokens ever enters `text`. A draft has `drafted` tokens, fewer at the end of the text; the
    tokens `stop` end it, where None those that the draft's model names, until the target's are known. `guess_draws` are
    numbers of the guess's own, as a control; it shares the target's where None.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        drafted: int,
        sampling: Sampling,
        draws: Draws,
        guess_draws: Draws | None = None,
        stop: int | Iterable[int] | None = None,
    ) -> None:
        self.text = token_list(prompt, model.vocabulary, "A prompt")
        self.prompt_length, self.max_new_tokens, self.drafted = len(self.text), max_new_tokens, drafted
        self._reader, self._sampling, self._draws = Reader(model), sampling, draws
        self._guess_draws = guess_draws or draws
        self.stop = stop_tokens(stop, model)
        self.stopped = False
        self.drafting = self._new(self.text)
        self._ahead: dict[tuple[int, int], Drafting] = {}

    @property
    def new_tokens(self) -> list[int]:
        """Verified tokens after the prompt."""
        return self.text[self.prompt_length :]

    @property
    def finished(self) -> bool:
        """Whether the text has all its tokens or has met its end."""
        return self.stopped or len(self.text) - self.prompt_length >= self.max_new_tokens

    def guess(self) -> tuple[int, int]:
        """Return the outcome that the device itself expects: all accepted, and the draft's own next token.

        The token is drawn with the number that the target will draw with, which the seed gives to both, or with one of
        the guess's own.
        """
        draft = self.drafting.finish()
        logits = self._reader.read(self.text + draft.tokens, 1)[0]
        _, last = self._guess_draws.accept(draft.position, len(draft.tokens))
        return len(draft.tokens), int(pick(distribution(logits, self._sampling), last))

    def ahead(self, accepted: int, token: int) -> Drafting:
        """Return the draft for the text as it will be if the round ends like this, begun or not."""
        if (accepted, token) not in self._ahead:
            prefix = self.text + self.drafting.finish().tokens[:accepted] + [token]
            self._ahead[accepted, token] = self._new(prefix)
        return self._ahead[accepted, token]

    def until_stop(self, accepted: int, token: int) -> tuple[int, int]:
        """Return an outcome of this round as it is, or as it would be if the text ended with its first stop token."""
        verified = [*self.drafting.finish().tokens[:accepted], token]
        place = next((i for i, found in enumerate(verified) if found in self.stop), accepted)
        return place, verified[place]

    def confirm(self, accepted: int, token: int) -> bool:
        """Take the final outcome of the round; return whether its next draft was begun ahead of time."""
        place, last = self.until_stop(accepted, token)
        self.stopped = last in self.stop
        self.text += [*self.drafting.finish().tokens[:place], last]
        found = self._ahead.get((accepted, token))
        self._ahead = {}
        self.drafting = found or self._new(self.text)
        return found is not None

    def _new(self, prefix: list[int]) -> Drafting:
        left = self.prompt_length + self.max_new_tokens - len(prefix)
        count = max(0, min(self.drafted, left - 1))  # a round yields one token more than it accepts
        return Drafting(self._reader, prefix, count, self._sampling, self._draws)
