"""Draws from generators of their own, so that building or attacking a network leaves global randomness alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from edgebook.measure.arguments import whole


class SeededDraws(TorchDispatchMode):
    """A context in which this thread draws what it draws from a seed: one generator for each device, new each time.

    Global generators, those of GPUs included, are neither seeded nor advanced; a draw that names a generator keeps it.
    On a CPU the numbers are those after `torch.manual_seed`.

    Parameters
    ----------
    seed : int

    Raises
    ------
    ValueError
        The seed is no whole number, or something draws in the context that can take no generator, such as
        `torch.native_dropout`.

    Examples
    --------
    >>> with SeededDraws(3):
    ...     first = torch.nn.Linear(2, 2)
    >>> with SeededDraws(3):
    ...     torch.equal(torch.nn.Linear(2, 2).weight, first.weight)
    True
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = whole("seed", seed, None)
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation, a draw with the generator of its device."""
        kwargs = dict(kwargs or {})
        given = any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values()))
        if torch.Tag.nondeterministic_seeded in func.tags and not given:
            device = (
                args[0].device if args and isinstance(args[0], Tensor) else torch.device(kwargs.get("device") or "cpu")
            )
            if device.type != "meta":  # where nothing is drawn
                func, kwargs["generator"] = _with_generator(func), self._generator(device)
        return func(*args, **kwargs)

    def _generator(self, device: torch.device) -> torch.Generator:
        fresh = torch.Generator(device)  # whose device has a number: "cuda" and "cuda:0" draw from one
        if fresh.device not in self.generators:
            self.generators[fresh.device] = fresh.manual_seed(self.seed)
        return self.generators[fresh.device]


@cache
def _with_generator(func: OpOverload) -> OpOverload:
    """Return the overload of a draw that takes a generator and else the same, often the draw itself."""
    packet, named = func.overloadpacket, {argument.name for argument in func._schema.arguments}
    for overload in (func, *(getattr(packet, name) for name in packet.overloads())):
        if {argument.name for argument in overload._schema.arguments} == named | {"generator"}:
            return overload
    raise ValueError(f"Weights are drawn from a seed, and {func} takes no generator that could be seeded.")
