"""Random numbers of a decoding, keyed by the position in the text instead of the order in which they are asked for.

A round that begins at some position always gets the same numbers: whether its draft was made ahead of time or again
after a miss, whether an early exit looked at it before, whether a message had to be sent twice. The text that comes out
is then one function of models, prompt and seed, and every such detour can be tested against the straight way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """Uniform numbers in [0, 1) for one text; those of different positions and purposes are independent.

    Parameters
    ----------
    seed : int
        At least 0 and below 2**63.

    Raises
    ------
    ValueError
        Another seed.
    """

    seed: int

    def __post_init__(self) -> None:
        if not hasattr(self.seed, "__index__") or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number of at least 0 and below 2**63, got {self.seed!r}.")

    def draft(self, position: int, count: int) -> Tensor:
        """Return the numbers (count,), in double precision, that a draft after so many tokens is drawn with."""
        return self._uniform(1, position, count)

    def accept(self, position: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the numbers (count,) of the acceptance tests of a round, and that of the token after them, ().

        Both are in double precision; the second does not depend on the count.
        """
        drawn = self._uniform(2, position, count + 1)
        return drawn[1:], drawn[0]

    def _uniform(self, purpose: int, position: int, count: int) -> Tensor:
        # Philox is a function of key and counter; a round has 2**64 blocks of its own.
        bits = np.random.Philox(key=[self.seed, purpose], counter=[0, position, 0, 0])
        return torch.from_numpy(np.random.Generator(bits).random(count))


def draws_from(generator: torch.Generator | None) -> Draws:
    """Take a seed from a generator, which moves on by one number; seed 0 where there is none."""
    if generator is None:
        return Draws(0)
    return Draws(int(torch.randint(2**62, (), generator=generator, device=generator.device)))
