"""What of a text is verified, kept in a file, so that a client that was killed can go on with it.

Rounds are keyed by their place in the text, and a journal grows by whole rounds: the text that is gone on with is the
one that would have come without the interruption, token for token. Each line begins with a checksum of itself and all
lines before it; what does not fit its checksum is cut off, with all that follows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


class Journal:
    """The verified tokens of one request: those that earlier clients have left, and those that were added.

    The request is whatever decides the text, as JSON; a file that is not there is made. `target` is the digest of the
    model that has verified them, None where none is noted; `damaged` says whether lines had to be cut off.
    A `ValueError` where the file is of another request, is no journal, or belongs to a client that still runs.
    """

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        self.path, self.tokens, self.target, self.damaged = path, [], None, False
        if path.exists() and not path.is_file():
            raise ValueError(f"The file {path} is no journal of a text.")
        self._sum, self._file = b"", path.open("a+b", buffering=0)
        try:
            self._begin({"request": request})
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

    def add(self, tokens: Sequence[int], target: str | None = None) -> None:
        """Keep the tokens of one more round; they are on disk when this returns, and not at all where it raises."""
        if target is not None and self.target is None:
            self._append(target)
            self.target = target
        self._append(list(tokens))
        self.tokens += tokens

    def _append(self, content: Any) -> None:
        said = json.dumps(content, sort_keys=True).encode()
        mark = self._mark(said)
        line, end = mark + b" " + said + b"\n", self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) != len(line):
                raise OSError(f"The journal {self.path} cannot grow.")
            os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                self._file.truncate(end)
            raise
        self._sum = mark

    def _mark(self, said: bytes) -> bytes:
        return hashlib.blake2b(self._sum + said, digest_size=8).hexdigest().encode()

    def _begin(self, head: dict[str, Any]) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"The journal {self.path} is in use by another client.") from None
        self._file.seek(0)
        found = self._file.read()
        # A line that was cut short is of a round that nobody has seen.
        whole, size = found[: found.rfind(b"\n") + 1], 0
        for number, (content, end) in enumerate(self._intact(whole)):
            size = end
            if number == 0 and content != json.loads(json.dumps(head)):
                raise ValueError(f"The journal {self.path} is of another request; name another file.")
            if number > 0 and isinstance(content, str):
                self.target = content
            elif number > 0:
                self.tokens += content
        if not size:
            said = json.dumps(head, sort_keys=True).encode()
            if whole or not (self._mark(said) + b" " + said + b"\n").startswith(found):
                raise ValueError(f"The file {self.path} is no journal of a text.")
        self.damaged = size < len(whole)
        self._file.truncate(size)
        if not size:
            self._append(head)

    def _intact(self, whole: bytes) -> Iterator[tuple[Any, int]]:
        """Yield what each line says, and where it ends, as far as the checksums fit."""
        end = 0
        for line in whole.split(b"\n")[:-1]:
            mark, _, said = line.partition(b" ")
            if mark != self._mark(said):
                return
            self._sum, end = mark, end + len(line) + 1
            yield json.loads(said), end
