"""The cloud's side: a target that verifies drafts, and gives early exits' opinions of them while it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from edgebook.decoding.draws import Draws
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.reading import Reader
from edgebook.decoding.speculative import Sampling, Verification, distribution, verify, verify_greedy
from edgebook.networks.decoder import token_list


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
        self.session, self._vocabulary = Reader(model), model.vocabulary
        self.text = token_list(prompt, model.vocabulary, "A prompt")
        self._sampling, self._draws, self._exit_draws = sampling, draws, exit_draws or draws

    def verify(self, tokens: Sequence[int], distributions: Tensor | None, *, exits: bool = True) -> Iterator[Outcome]:
        """Verify g drafted tokens, which may be none, for the text so far.

        Yields the outcome of each exit in turn, with the same random numbers, and the final one last; `distributions`
        (g, V), from which the tokens were drawn, are not used in greedy decoding. The text grows when the final outcome
        is out. Where the iterator is left before, or a pass fails, nothing has happened.
        """
        tokens, text = token_list(tokens, self._vocabulary, "A draft"), self.text
        if distributions is None and tokens and not self._sampling.greedy:
            raise ValueError("Sampling needs the distributions that the tokens were drawn from.")
        for number, (final, logits) in enumerate(self.session.stages(text + tokens, len(tokens) + 1, exits=exits)):
            found = self._verification(tokens, distributions, logits, len(text), final=final)
            outcome = self._outcome(number, found, logits, final=final)
            if final:
                if self.text is not text:
                    raise ValueError("The text has gone on since this verification began.")
                self.text = [*text, *tokens[: outcome.accepted], outcome.token]
            yield outcome

    def _verification(
        self, tokens: list[int], drawn: Tensor | None, logits: Tensor, start: int, *, final: bool
    ) -> Verification:
        proposed = torch.tensor(tokens, dtype=torch.long)
        if self._sampling.greedy:
            return verify_greedy(proposed, logits)
        target = distribution(logits, self._sampling)  # (g + 1, V)
        draws = self._draws if final else self._exit_draws
        return verify(proposed, drawn if tokens else target[:0], target, *draws.accept(start, len(tokens)))

    def _outcome(self, number: int, found: Verification, logits: Tensor, *, final: bool) -> Outcome:
        accepted = int(found.accepted)
        confidence = 1.0 if final else float(logits[accepted].float().softmax(-1).max())
        return Outcome(number, final, accepted, int(found.token), confidence)
