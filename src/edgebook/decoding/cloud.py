"""The cloud's side: a target that verifies drafts, and gives early exits' opinions of them while it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from edgebook.decoding.draws import Draws
from edgebook.decoding.protocol import LanguageModel, StagedSession
from edgebook.decoding.speculative import Sampling, Verdict, distribution, verify, verify_greedy


class Outcome(NamedTuple):
    """What an exit, or the whole target, makes of a draft.

    Attributes
    ----------
    exit : int
        0 for the first exit; the number of exits for the target itself, whose outcome is final.
    final : bool
        Whether it is the target's own; every other one is provisional and must never be shown as text.
    accepted, token : int
        Accepted tokens, and the one after them.
    confidence : float
        Largest probability (temperature 1) at the place of that token.
    """

    exit: int
    final: bool
    accepted: int
    token: int
    confidence: float


class Cloud:
    """The server of one text.

    Parameters
    ----------
    model : LanguageModel
        The target; where its sessions are staged, exits speak up.
    prompt : sequence of int
        At least one token.
    sampling, draws : Sampling, Draws
        As on the other side.
    exit_draws : Draws, optional
        Numbers of the exits' own, as a control; they share the target's where None.
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
        """Verify a draft for the text so far.

        The text grows when the final outcome is out. Where the iterator is left before, nothing has happened.

        Parameters
        ----------
        tokens : sequence of int
            g drafted tokens; may be none.
        distributions : Tensor, (g, V), or None
            What they were drawn from; not used in greedy decoding.
        exits : bool
            Whether exits are asked.

        Yields
        ------
        Outcome
            Of each exit in turn, with the same random numbers, and the final one last.
        """
        tokens = list(tokens)
        start = len(self.text)
        unread, rows = self.text[self.session.length :] + tokens, len(tokens) + 1
        staged = exits and isinstance(self.session, StagedSession)
        steps = self.session.stages(unread, rows) if staged else iter([self.session.extend(unread, rows)])
        last = self.session.exits if staged else 0
        try:
            for number, logits in enumerate(steps):
                outcome = self._outcome(number, number == last, tokens, distributions, logits, start)
                if outcome.final:
                    self.text += [*tokens[: outcome.accepted], outcome.token]
                yield outcome
        finally:
            # Accepted tokens stay in the cache; the one after them has not been read yet.
            self.session.crop(min(self.session.length, max(len(self.text) - 1, start - 1)))

    def _outcome(
        self, number: int, final: bool, tokens: list[int], drawn: Tensor | None, logits: Tensor, start: int
    ) -> Outcome:
        proposed = torch.tensor(tokens, dtype=torch.long, device=logits.device)
        if self._sampling.greedy:
            found = verify_greedy(proposed, logits)
        else:
            found = self._sampled(proposed, drawn, logits, (self._draws if final else self._exit_draws, start))
        accepted, token = int(found.accepted), int(found.token)
        confidence = 1.0 if final else float(logits[accepted].float().softmax(-1).max())
        return Outcome(number, final, accepted, token, confidence)

    def _sampled(self, proposed: Tensor, drawn: Tensor | None, logits: Tensor, numbers: tuple[Draws, int]) -> Verdict:
        target = distribution(logits, self._sampling)
        if drawn is None or not len(proposed):
            if len(proposed):
                raise ValueError("Sampling needs the distributions that the tokens were drawn from.")
            drawn = target[:0]
        draws, start = numbers
        uniforms, last = (u.to(logits.device) for u in draws.accept(start, len(proposed)))
        return verify(proposed, drawn.to(logits.device), target, uniforms, last)
