"""The one owner of what a session has read: asked for a text, it reads what is missing and takes back what differs."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from edgebook.decoding.protocol import LanguageModel, Session, StagedSession


class Reader:
    """A model that is asked about one text after another, and reads only what it has not read yet.

    During a pass it holds nothing. So where one fails or is left, no cache is used on whose content is not known: the
    next pass begins a new session and reads its whole text.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._session: Session | None = None
        self._held: list[int] = []

    @property
    def length(self) -> int:
        """How many tokens are held."""
        return len(self._held)

    def read(self, text: list[int], rows: int) -> Tensor:
        """Return the logits (rows, V) after the last tokens of a text, forgetting what the one before had beyond it."""
        [(_, logits)] = self.stages(text, rows, exits=False)
        return logits

    def stages(self, text: list[int], rows: int, *, exits: bool = True) -> Iterator[tuple[bool, Tensor]]:
        """Yield False with the logits (rows, V) of each exit where there are exits, and True with the final ones."""
        session = self._model.session() if self._session is None else self._session
        held, self._session, self._held = self._held, None, []
        common = min(len(held), len(text) - rows)  # the last tokens are read again where they were read before
        if held[:common] != text[:common]:
            common = next(i for i in range(common) if held[i] != text[i])
        if common < len(held):
            session.crop(common)
        staged = exits and isinstance(session, StagedSession)
        passed = session.stages(text[common:], rows) if staged else [session.extend(text[common:], rows)]
        last = session.exits if staged else 0
        for number, logits in enumerate(passed):
            if logits.shape != (rows, self._model.vocabulary):
                shape = (rows, self._model.vocabulary)
                raise ValueError(f"A model must give logits of shape {shape} here, got {tuple(logits.shape)}.")
            if number == last:
                self._session, self._held = session, list(text)
            yield number == last, logits
