"""The cloud's side: a target that verifies drafts, and gives early exits' opinions of them while it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from edgebook.decoding.draws import Draws
from edgebook.decoding.protocol import LanguageModel, StagedSession
from edgebook.decoding.speculative import Sampling, Verification, distribution, verify, verify_greedy


class Outcome(NamedTuple):
    """What an exit, or the whole target, makes of a draft."""

    exit: int  #: 0 for the first exit; the number of exits for the target itself, whose outcome is final
    final: bool  #: whether it is the target's own; every other one is provisional and must never be shown as text
    accepted: int  #: how many tokens
    token: int  #: the one after them
    confidence: float  #: largest probability (temperature 1) at the place of that token


class Cloud:
    """The server of one text: a target whose exits speak up where its sessions are staged.

    `sampling` and `draws` are those of the other side. `exit_draws` are numbers of the exits' own, as a control; they
    share the target's where None.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompt: Sequence[int],
        *,
        sampling: Sampling,
        draws: Draws,
        exit_draws: Draws | None = None,
    ) -> None:
        self.session = model.session()
        self.text = [int(token) for token in prompt]
        self._sampling, self._draws, self._exit_draws = sampling, draws, exit_draws or draws

    def verify(self, tokens: Sequence[int], distributions: Tensor | None, *, exits: bool = True) -> Iterator[Outcome]:
        """Verify g drafted tokens, which may be none, for the text so far.

        Yields the outcome of each exit in turn, with the same random numbers, and the final one last; `distributions`
        (g, V), from which the tokens were drawn, are not used in greedy decoding. The text grows when the final outcome
        is out. Where the iterator is left before, nothing has happened.
        """
        tokens = list(tokens)
        start = len(self.text)
        unread, rows = self.text[self.session.length :] + tokens, len(tokens) + 1
        staged = exits and isinstance(self.session, StagedSession)
        steps = self.session.stages(unread, rows) if staged else iter([self.session.extend(unread, rows)])
        last = self.session.exits if staged else 0
        try:
            for number, logits in enumerate(steps):
                found = self._verification(tokens, distributions, logits, start, final=number == last)
                outcome = self._outcome(number, found, logits, final=number == last)
                if outcome.final:
                    self.text += [*tokens[: outcome.accepted], outcome.token]
                yield outcome
        finally:
            # Accepted tokens stay in the cache; the one after them has not been read yet.
            self.session.crop(min(self.session.length, max(len(self.text) - 1, start - 1)))

    def _verification(
        self, tokens: list[int], drawn: Tensor | None, logits: Tensor, start: int, *, final: bool
    ) -> Verification:
        proposed = torch.tensor(tokens, dtype=torch.long, device=logits.device)
        if self._sampling.greedy:
            return verify_greedy(proposed, logits)
        if drawn is None and tokens:
            raise ValueError("Sampling needs the distributions that the tokens were drawn from.")
        target = distribution(logits, self._sampling)  # (g + 1, V)
        drawn = drawn.to(logits.device) if tokens else target[:0]  # (g, V)
        draws = self._draws if final else self._exit_draws
        uniforms, last = (u.to(logits.device) for u in draws.accept(start, len(tokens)))
        return verify(proposed, drawn, target, uniforms, last)

    def _outcome(self, number: int, found: Verification, logits: Tensor, *, final: bool) -> Outcome:
        accepted = int(found.accepted)
        confidence = 1.0 if final else float(logits[accepted].float().softmax(-1).max())
        return Outcome(number, final, accepted, int(found.token), confidence)
