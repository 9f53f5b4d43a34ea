"""Small decoders in a file: numbers and sizes, nothing that could run."""

from __future__ import annotations

import pickle
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
    """Write a decoder, with the characters of its tokens, into a file of PyTorch's."""
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
        return Stored(model, exits, stored["symbols"])
    except OSError as error:
        raise ValueError(f"{path} holds no decoder: {error.strerror}.") from None
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, RuntimeError, ValueError):
        raise ValueError(f"{path} holds no decoder.") from None
