"""The small protocol that a draft and a target keep, so that any pair of models can work together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor


class Session(Protocol):
    """One text in the making: what a model has read of it so far, and can take back."""

    length: int

    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        """Read more tokens, at least `rows`; return the logits (rows, V) for what follows each of the last ones.

        Where it raises, the session need not be of use any more: `reading.Reader` begins a new one.
        """
        ...

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens, at most the present length."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """A model over tokens 0 to `vocabulary` - 1 that reads at most `longest` of them.

    Where it has an attribute `stop` as well, those tokens end its texts unless others are asked for.
    """

    vocabulary: int
    longest: int

    def session(self) -> Session:
        """Return a new text with nothing read, independent of all others of this model."""
        ...


@runtime_checkable
class StagedSession(Protocol):
    """A session of a target with early exits."""

    def stages(self, tokens: Sequence[int], rows: int) -> Iterator[Tensor]:
        """Read more tokens, giving the logits (rows, V) of each exit as soon as they are there, the final ones last.

        The session has read the tokens once the last ones are out; otherwise as `Session.extend`.
        """
        ...
