"""Where a federation's randomness comes from: one seed, and what it is needed for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch

Purpose = Literal["server", "client", "sampling", "evaluation", "stragglers", "noise"]


def derived_rng(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """Return a generator for a federation's seed, one purpose and, for example, one partition and one round.

    It is independent of those with other arguments. A negative seed or number is a ValueError.
    """
    if min(seed, *numbers, 0) < 0:
        raise ValueError(f"A seed and its numbers must be at least 0, got {[seed, *numbers]}.")
    return np.random.default_rng([seed, get_args(Purpose).index(purpose), *numbers])


def client_seed(seed: int, client: int, server_round: int) -> int:
    """Return the seed of one client in one round.

    A client that draws from it alone gives the same in a simulation and on a machine of its own.

    Parameters
    ----------
    seed, client, server_round : int
        Seed of the whole federation, partition of the client and number of the round.

    Returns
    -------
    int
        0 to 2**32 - 1.
    """
    return int(derived_rng(seed, "client", client, server_round).integers(2**32))


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and PyTorch, and put them back afterwards."""
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    graphics = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.random.default_generator.manual_seed(seed)
        if graphics:
            torch.cuda.manual_seed_all(seed)
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])
        if graphics:
            torch.cuda.set_rng_state_all(graphics)
