"""The noise of reads as PyTorch sees it: an operator on three whole numbers, which are part of a layer's state.

They are the seed, the layer, and how many reads it has had. PyTorch saves, loads, copies, moves and replicates them as
it does all buffers, and what compiles or exports a network sees one operator that draws the noise of a read and counts
it. A pass that `torch.utils.checkpoint` computes again finds its own reads again and counts none.
"""

from __future__ import annotations

import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from threading import Lock
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointFunction

DRIFT, READS = 1, 3  # streams of random numbers of a layer


def layer_number(name: str) -> int:
    """Return the number of a layer of that name."""
    return zlib.crc32(name.encode())


def generator(
    seed: int, layer: int, stream: int, count: int = 0, device: torch.device | None = None
) -> torch.Generator:
    """Return the random numbers of one layer for one purpose, used `count` times before; a GPU draws others."""
    words = np.random.SeedSequence([seed, layer, stream, count])
    return torch.Generator(device or "cpu").manual_seed(int(words.generate_state(1, np.uint64)[0]))


def read_noise(reads: Tensor, like: Tensor, *, each: bool = False) -> Tensor:
    """Return standard normal numbers for one more read, and count it.

    Parameters
    ----------
    reads : Tensor, (3,), int64: seed, layer, reads so far
    like : Tensor, whose shape the numbers have, and its type if that is at least single precision
    each : bool, whether under `torch.func.vmap` each element has numbers of its own; by default one chip has the same

    Raises
    ------
    ValueError
        A pass that is computed again, and not by `torch.utils.checkpoint`, or differently.
    """
    return torch.ops.edgebook.read_noise.default(reads, like, each)


def _draw(reads: Tensor, like: Tensor, each: bool) -> Tensor:
    seed, layer, count = _this_read(reads)
    source = generator(seed, layer, READS, count, reads.device)
    return torch.randn(like.shape, generator=source, dtype=_type(like), device=reads.device)


def _type(like: Tensor) -> torch.dtype:
    return torch.promote_types(like.dtype, torch.float32)


def _without_memory(reads: Tensor, like: Tensor, each: bool) -> Tensor:
    return reads.new_empty(like.shape, dtype=_type(like))


def _mapped(
    info: Any, in_dims: tuple[int | None, ...], reads: Tensor, like: Tensor, each: bool
) -> tuple[Tensor, int | None]:
    one = like if in_dims[1] is None else like.select(in_dims[1], 0)
    if in_dims[0] is not None:
        return torch.stack([read_noise(chip, one, each=each) for chip in reads.movedim(in_dims[0], 0)]), 0  # (chips, 3)
    if each and in_dims[1] is not None:  # as one batch of all that is mapped
        return read_noise(reads, like.movedim(in_dims[1], 0), each=True), 0
    return read_noise(reads, one, each=each), None  # one chip, whatever is mapped: one noise


_LIBRARY = torch.library.Library("edgebook", "FRAGMENT")
_LIBRARY.define("read_noise(Tensor(a!) reads, Tensor like, bool each) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
_LIBRARY.impl("read_noise", _draw, "CompositeExplicitAutograd")
torch.library.register_fake("edgebook::read_noise", _without_memory, lib=_LIBRARY)
torch.library.register_vmap("edgebook::read_noise", _mapped, lib=_LIBRARY)


class _Region:
    """The reads of a checkpointed region, by where their numbers are, and how many the present repetition has had."""

    def __init__(self) -> None:
        self.reads: defaultdict[int, list[list[int]]] = defaultdict(list)
        self.repetition: object = None
        self.repeated: Counter[int] = Counter()

    def again(self, place: int, repetition: object) -> list[int] | None:
        """Return the numbers of the next read in a repetition, None where at first there was no such read."""
        if repetition != self.repetition:
            self.repetition, self.repeated = repetition, Counter()
        count, had = self.repeated[place], self.reads[place]
        self.repeated[place] += 1
        return had[count] if count < len(had) else None


_ONE_AT_A_TIME = Lock()
_REGIONS: WeakKeyDictionary[Any, _Region] = WeakKeyDictionary()


def _this_read(reads: Tensor) -> list[int]:
    """Return the numbers of the read that is due: the next one, or in a repeated pass the one that was then."""
    place, first, numbers = reads.data_ptr(), [], None
    repeated = torch._C._current_graph_task_id() != -1  # in a backward pass
    for key, repetition in _regions(sys._getframe()):
        if repetition is not None:
            repeated, numbers = True, _REGIONS.setdefault(key, _Region()).again(place, repetition)
            break
        first.append(key)
    if numbers is None and repeated:
        raise ValueError(
            "A pass is computed again, and which reads of a chip it had cannot be told: it must be checkpointed by "
            "torch.utils.checkpoint.checkpoint, outside torch.compile, and read the same layers both times."
        )
    if numbers is None:
        with _ONE_AT_A_TIME:  # replicas run in threads, and may share a buffer
            numbers = reads.tolist()
            reads[2] += 1
    for key in first:
        _REGIONS.setdefault(key, _Region()).reads[place].append(numbers)
    return numbers


_FILE = CheckpointFunction.forward.__code__.co_filename
_HELD = {"checkpoint": "gen", "unpack_hook": "frame", "forward": "ctx", "backward": "ctx"}  # function to variable


def _regions(frame: FrameType | None) -> Iterator[tuple[Any, object]]:
    """Yield the checkpointed regions that run, the innermost first, and which repetition each is, None at first.

    PyTorch tells a function neither that it is checkpointed nor that it is repeated: the stack does.
    """
    while frame is not None:
        code, values = frame.f_code, frame.f_locals if frame.f_code.co_filename == _FILE else {}
        held = values.get(_HELD.get(code.co_name, ""))
        if code.co_name == "checkpoint" and held is not None:  # a generator that holds the region
            held = held.gi_frame.f_locals.get("new_frame")
        if held is not None:
            again = code.co_name in ("unpack_hook", "backward")
            yield held, values.get("gid", torch._C._current_graph_task_id()) if again else None
        frame = frame.f_back
