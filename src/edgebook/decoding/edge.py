"""The device's side: a draft model that proposes tokens, drafts ahead on a guess, and takes its cache back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from edgebook.decoding.draws import Draws
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.speculative import Sampling, distribution, pick


class Draft(NamedTuple):
    """Proposed tokens, with the distributions that they were drawn from."""

    position: int  #: tokens of the text before them
    tokens: list[int]  #: at most as many as a round drafts
    distributions: Tensor | None  #: (g, V), single precision; None in greedy decoding, whose test needs tokens alone


class Reader:
    """A model that is asked about one text after another, and reads only what it has not read yet."""

    def __init__(self, model: LanguageModel) -> None:
        self.session = model.session()
        self.seen: list[int] = []

    def logits(self, text: Sequence[int]) -> Tensor:
        """Return the logits (V,) of what follows a text, forgetting what the last one had beyond it."""
        common = min(len(self.seen), len(text) - 1)  # the last token is read again where it was read before
        if self.seen[:common] != text[:common]:
            common = next(i for i in range(common) if self.seen[i] != text[i])
        if common < len(self.seen):
            self.session.crop(common)
        row = self.session.extend(text[common:], 1)[0]
        self.seen[common:] = text[common:]
        return row


class Drafting:
    """A draft of `count` tokens after a prefix in the making, one token a step, so that it can be left at any time.

    Several drafts can share a reader.
    """

    def __init__(self, reader: Reader, prefix: list[int], count: int, sampling: Sampling, draws: Draws) -> None:
        self._reader, self._sampling, self._draws = reader, sampling, draws
        self.position, self.count = len(prefix), count
        self._text, self._rows = list(prefix), []
        self._uniforms: Tensor | None = None

    @property
    def done(self) -> bool:
        """Whether all of its tokens are there."""
        return len(self._text) == self.position + self.count

    def step(self) -> None:
        logits = self._reader.logits(self._text)
        if self._sampling.greedy:
            self._text.append(int(logits.argmax()))
            return
        if self._uniforms is None:
            self._uniforms = self._draws.draft(self.position, self.count)
        self._rows.append(distribution(logits, self._sampling))
        self._text.append(int(pick(self._rows[-1], self._uniforms[len(self._rows) - 1])))

    def finish(self) -> Draft:
        """Draft what is missing and return the whole."""
        while not self.done:
            self.step()
        rows = None if self._sampling.greedy else torch.stack(self._rows) if self._rows else torch.empty(0, 0)
        return Draft(self.position, self._text[self.position :], rows)


class Edge:
    """The client of one text: what is verified, the draft of the present round, and drafts made ahead.

    Nothing but verified tokens ever enters `text`. A draft has `drafted` tokens, fewer at the end of the text; the
    token `stop` ends it.
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
        stop: int | None = None,
    ) -> None:
        self.text = [int(token) for token in prompt]
        self.prompt_length, self.max_new_tokens, self.drafted = len(self.text), max_new_tokens, drafted
        self._reader, self._sampling, self._draws, self._stop = Reader(model), sampling, draws, stop
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

        The token is drawn with the number that the target will draw with, which the seed gives to both.
        """
        draft = self.drafting.finish()
        logits = self._reader.logits(self.text + draft.tokens)
        _, last = self._draws.accept(draft.position, len(draft.tokens))
        return len(draft.tokens), int(pick(distribution(logits, self._sampling), last))

    def ahead(self, accepted: int, token: int) -> Drafting:
        """Return the draft for the text as it will be if the round ends like this, begun or not."""
        if (accepted, token) not in self._ahead:
            prefix = self.text + self.drafting.finish().tokens[:accepted] + [token]
            self._ahead[accepted, token] = self._new(prefix)
        return self._ahead[accepted, token]

    def confirm(self, accepted: int, token: int) -> bool:
        """Take the final outcome of the round; return whether its next draft was begun ahead of time."""
        verified = [*self.drafting.finish().tokens[:accepted], token]
        if self._stop in verified:
            self.stopped = True
            verified = verified[: verified.index(self._stop) + 1]
        self.text += verified
        found = self._ahead.get((accepted, token))
        self._ahead = {}
        self.drafting = found or self._new(self.text)
        return found is not None

    def _new(self, prefix: list[int]) -> Drafting:
        left = self.prompt_length + self.max_new_tokens - len(prefix)
        count = max(0, min(self.drafted, left - 1))  # a round yields one token more than it accepts
        return Drafting(self._reader, prefix, count, self._sampling, self._draws)
