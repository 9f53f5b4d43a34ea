"""What of a text is verified, kept in a file, so that a client that was killed can go on with it.

Rounds are keyed by their place in the text, and a journal grows by whole rounds: the text that is gone on with is the
one that would have come without the interruption, token for token.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Journal:
    """The verified tokens of one request: those that earlier clients have left, and those that were added.

    The request is whatever decides the text, as JSON; a file that is not there is made. A `ValueError` where the file
    is of another request, is no journal, or belongs to a client that still runs.
    """

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        self.path, self.tokens = path, []
        self._file = path.open("a+b")
        try:
            self._begin(json.dumps({"request": request}, sort_keys=True).encode() + b"\n")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the file to the next client."""
        self._file.close()

    def add(self, tokens: Sequence[int]) -> None:
        """Keep the tokens of one more round; they are on disk when this returns."""
        self._append(json.dumps(list(tokens)).encode() + b"\n")
        self.tokens += tokens

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _begin(self, head: bytes) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"The journal {self.path} is in use by another client.") from None
        self._file.seek(0)
        found = self._file.read()
        whole = found[: found.rfind(b"\n") + 1]  # a line that was cut short is of a round that nobody has seen
        if not whole and head.startswith(found):
            self._file.truncate(0)
            self._append(head)
            return
        first, *rounds = whole.splitlines(keepends=True) or [b""]
        try:
            if "request" not in json.loads(first):
                raise ValueError
            self.tokens = [int(token) for line in rounds for token in json.loads(line)]
        except (ValueError, TypeError):
            raise ValueError(f"The file {self.path} is no journal of a text.") from None
        if first != head:
            raise ValueError(f"The journal {self.path} is of another request; name another file.")
        self._file.truncate(len(whole))
