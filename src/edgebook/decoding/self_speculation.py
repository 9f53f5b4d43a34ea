"""Self-speculative decoding: a target's own early exit drafts, on the server, and no edge is needed.

As in :cite:`elhoushi2024layerskip`, where the exit is the target's head itself; here an adapter may stand before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


class ExitDraft:
    """An early exit of a target as a draft model.

    Each step runs the target's whole pass and keeps what the exit says: good for traces, not for time. A server stops
    at the exit and needs the exit's share of the pass for a drafted token.

    Parameters
    ----------
    target : LanguageModel
        With sessions that are staged, such as `StagedDecoder`; a text of its own is read here, not the target's.
    number : int
        The exit, from 0.

    Raises
    ------
    ValueError
        A target without exits, or without this one.
    """

    def __init__(self, target: Any, number: int) -> None:
        exits = getattr(target.session(), "exits", 0)
        if not 0 <= number < exits:
            raise ValueError(f"The target has {exits} exits, numbered from 0, got {number}.")
        self.target, self.number = target, number
        self.vocabulary, self.longest = target.vocabulary, target.longest

    def session(self) -> ExitSession:
        """Return a new text with nothing read, independent of all others."""
        return ExitSession(self.target.session(), self.number)


class ExitSession:
    """What an exit, counted from 0, has read of one text, as `protocol.Session` says."""

    def __init__(self, staged: Any, number: int) -> None:
        self._staged, self._number = staged, number

    @property
    def length(self) -> int:
        return self._staged.length

    def crop(self, length: int) -> None:
        self._staged.crop(length)

    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        """Read more tokens and return the exit's logits (rows, V) after the last ones."""
        return list(self._staged.stages(tokens, rows))[self._number]
