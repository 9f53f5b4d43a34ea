"""Small decoders in a file: numbers and sizes, nothing that could run; and a process of its own that serves one."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from edgebook.decoding.exits import Exits
from edgebook.networks.decoder import CharacterDecoder


class Stored(NamedTuple):
    """A decoder, its exits if it has any, and the characters of its tokens."""

    model: CharacterDecoder
    exits: Exits | None
    symbols: str


def save_models(path: str | Path, model: CharacterDecoder, symbols: str, exits: Exits | None = None) -> None:
    """Write a decoder, with the characters of its tokens, none where they have none, into a file of PyTorch's.

    A `ValueError` for characters that are not one for each token.
    """
    _check(symbols, model)
    sizes = {"vocabulary": model.vocabulary, "longest": model.longest, "width": model.width,
             "depth": len(model.blocks), "heads": model.heads}  # fmt: skip
    stored = {"symbols": symbols, "sizes": sizes, "model": model.state_dict()}
    if exits:
        about = {"after": list(exits.after), "heads": exits.adapters[0].heads}
        stored |= {"about": about, "exits": exits.state_dict()}
    torch.save(stored, path)


def load_models(path: str | Path) -> Stored:
    """Read a decoder from a file of `save_models`, in evaluation mode, on the processor; a `ValueError` if it is none.

    Examples
    --------
    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile(suffix=".pt") as file:
    ...     save_models(file.name, CharacterDecoder(2, 8, width=4, depth=1, heads=1), "ab")
    ...     load_models(file.name).symbols
    'ab'
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        model, exits = CharacterDecoder(**stored["sizes"]).eval(), None
        model.load_state_dict(stored["model"])
        if "exits" in stored:
            exits = Exits(model.head, longest=model.longest, **stored["about"]).eval()
            exits.load_state_dict(stored["exits"])
        return Stored(model, exits, _check(stored["symbols"], model))
    except OSError as error:
        raise ValueError(f"{path} holds no decoder: {error.strerror}.") from None
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, RuntimeError, ValueError):
        raise ValueError(f"{path} holds no decoder.") from None


def _check(symbols: str, model: CharacterDecoder) -> str:
    if not isinstance(symbols, str) or len({*symbols}) != len(symbols) or len(symbols) not in (0, model.vocabulary):
        raise ValueError(f"{model.vocabulary} tokens need as many characters, each another, got {symbols!r}.")
    return symbols


@contextmanager
def serving(target: CharacterDecoder, exits: Exits | None = None, *, pass_seconds: float = 0.0) -> Iterator[str]:
    """Serve a target from a process of its own, which ends with the block; yield its host and port for `EdgeClient`.

    A pass is stretched to so many seconds; 0 leaves it as it is. A `RuntimeError` where the process has ended before
    it could serve; what it said of that is on the standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "target.pt"
        save_models(path, target, "", exits)
        words = ["serve", "--target", str(path), "--pass-seconds", str(pass_seconds)]
        command = [sys.executable, "-m", "edgebook.decoding.service", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                line = process.stdout.readline()  # serving at 127.0.0.1:50051
                if not line:
                    raise RuntimeError("The server has ended before it could serve.")
                yield line.split()[-1]
            finally:
                process.terminate()
