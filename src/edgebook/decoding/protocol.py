"""The small protocol that a draft and a target keep, so that any pair of models can work together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor


class Session(Protocol):
    """One text in the making: what a model has read of it so far, and can take back."""

    length: int

    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        """Read more tokens.

        Parameters
        ----------
        tokens : sequence of int
            At least `rows` of them.
        rows : int
            How many logits are wanted, 1 or more.

        Returns
        -------
        Tensor, (rows, V)
            Logits for what follows each of the last `rows` tokens.
        """
        ...

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens.

        Parameters
        ----------
        length : int
            At most the present length.
        """
        ...


class LanguageModel(Protocol):
    """A model over tokens 0 to `vocabulary` - 1 that reads at most `longest` of them."""

    vocabulary: int
    longest: int

    def session(self) -> Session:
        """Return a new text with nothing read.

        Returns
        -------
        Session
            Independent of all others of this model.
        """
        ...


@runtime_checkable
class StagedSession(Protocol):
    """A session of a target with early exits."""

    def stages(self, tokens: Sequence[int], rows: int) -> Iterator[Tensor]:
        """Read more tokens, giving the logits of each exit as soon as they are there, and the final ones last.

        Parameters
        ----------
        tokens, rows
            As for `Session.extend`.

        Yields
        ------
        Tensor, (rows, V)
            The session has read the tokens once the last one is out.
        """
        ...
