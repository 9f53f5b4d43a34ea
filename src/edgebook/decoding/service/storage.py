"""Small decoders in a file: numbers and sizes, nothing that could run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from edgebook.decoding.exits import Exits
from edgebook.networks.decoder import CharacterDecoder


class Stored(NamedTuple):
    """A decoder, its exits if it has any, and the characters of its tokens."""

    model: CharacterDecoder
    exits: Exits | None
    symbols: str


def save_models(path: str | Path, model: CharacterDecoder, symbols: str, exits: Exits | None = None) -> None:
    """Write a decoder into a file ``.npz``.

    Parameters
    ----------
    path : str or Path
        Overwritten where it exists.
    model, exits : CharacterDecoder, Exits or None
        On any device.
    symbols : str
        The characters of its tokens.
    """
    sizes = {"vocabulary": model.vocabulary, "longest": model.longest, "width": model.width,
             "depth": len(model.blocks), "heads": model.heads}  # fmt: skip
    about = {"sizes": sizes, "symbols": symbols, "after": list(exits.after) if exits else []}
    if exits:
        about["adapter_heads"] = exits.adapters[0].heads
    arrays = {f"model/{name}": value.cpu().numpy() for name, value in model.state_dict().items()}
    if exits:
        arrays |= {f"exits/{name}": value.cpu().numpy() for name, value in exits.state_dict().items()}
    np.savez(path, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **arrays)


def load_models(path: str | Path) -> Stored:
    """Read a decoder from a file of `save_models`.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Stored
        In evaluation mode, on the processor.

    Raises
    ------
    ValueError
        The file is none of these.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(data["about"].tobytes().decode())
            arrays = {name: torch.from_numpy(data[name]) for name in data.files if name != "about"}
        model = CharacterDecoder(**about["sizes"]).eval()
        model.load_state_dict(_part(arrays, "model/"))
        exits = None
        if about["after"]:
            exits = Exits(model.head, about["after"], heads=about["adapter_heads"], longest=model.longest).eval()
            exits.load_state_dict(_part(arrays, "exits/"))
        return Stored(model, exits, about["symbols"])
    except (OSError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} holds no decoder: {' '.join(str(error).split())}") from None


def _part(arrays: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
