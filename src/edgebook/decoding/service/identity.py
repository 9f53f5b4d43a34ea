"""Which target this is: a digest of its numbers, by which a server that comes back with another one is found out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from edgebook.decoding.protocol import LanguageModel


def digest_of_target(model: LanguageModel) -> str:
    """Return 64 hexadecimal digits that change with what the model computes.

    They cover its vocabulary and all tensors, arrays and modules that it holds, a module with its settings, in
    wrappers as deep as they go. Of a wrapper of another make than this package's the plain numbers are left out,
    such as a count of calls.
    """
    found = hashlib.sha256(f"{model.vocabulary}".encode())
    for part in _parts(model, set()):
        found.update(part)
    return found.hexdigest()


def digest_of_symbols(symbols: str | None) -> str | None:
    """Return the same for the characters of the tokens; None where they are not known."""
    return hashlib.sha256(symbols.encode("utf-8", "surrogatepass")).hexdigest() if symbols else None


def _parts(thing: object, seen: set[int]) -> Iterator[bytes]:
    """Yield what the digest is of."""
    if isinstance(thing, Tensor | np.ndarray):
        yield from _numbers(thing)
    elif id(thing) not in seen:
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            yield from _module(thing)
        elif isinstance(thing, dict | list | tuple):
            for value in thing.values() if isinstance(thing, dict) else thing:
                yield from _parts(value, seen)
        elif hasattr(thing, "session"):
            ours = type(thing).__module__.startswith("edgebook.")
            for name, value in sorted(getattr(thing, "__dict__", {}).items()):
                if ours and isinstance(value, int | float):
                    yield f"{name}={value!r}".encode()
                else:
                    yield from _parts(value, seen)


def _numbers(values: Tensor | np.ndarray) -> Iterator[bytes]:
    yield f"{values.dtype}{tuple(values.shape)}".encode()
    if isinstance(values, Tensor):  # NumPy knows no bfloat16, and bytes are enough
        values = values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if values.dtype != object:
        yield np.ascontiguousarray(values).tobytes()


def _module(module: nn.Module) -> Iterator[bytes]:
    for name in ("config", "generation_config"):  # of Transformers, where the tensors do not say everything
        settings = getattr(getattr(module, name, None), "to_dict", dict)()
        settings = {key: value for key, value in settings.items() if not key.startswith("_")}
        settings.pop("transformers_version", None)
        yield json.dumps(settings, sort_keys=True, default=str).encode()
    for name, part in module.named_modules():
        plain = {key: value for key, value in vars(part).items() if isinstance(value, int | float)}
        plain = {key: value for key, value in plain.items() if key != "training" and not key.startswith("_")}
        yield f"{name}:{type(part).__name__}{sorted(plain.items())}".encode()
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        yield name.encode()
        yield from _numbers(tensor)
