"""Models small enough to be enumerated: logits are a table over the last two tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import pytest
import torch
from torch import Tensor


class TableSession:
    """Keeps all it has read, so that a cache that is cropped wrongly gives wrong logits."""

    def __init__(self, tables: list[Tensor]) -> None:
        self.tables, self.read = tables, []
        self.exits = len(tables) - 1

    @property
    def length(self) -> int:
        return len(self.read)

    def _rows(self, table: Tensor, read: list[int], rows: int) -> Tensor:
        ends = range(len(read) - rows, len(read))
        return torch.stack([table[read[end - 1] if end else 0, read[end]] for end in ends])

    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        assert len(tokens) >= rows >= 1
        self.read = [*self.read, *tokens]
        return self._rows(self.tables[-1], self.read, rows)

    def crop(self, length: int) -> None:
        assert 0 <= length <= len(self.read)
        self.read = self.read[:length]

    def stages(self, tokens: Sequence[int], rows: int) -> Iterator[Tensor]:
        assert len(tokens) >= rows >= 1
        for table in self.tables[:-1]:
            yield self._rows(table, [*self.read, *tokens], rows)
        yield self.extend(tokens, rows)


class Table:
    """A target whose exits are noisier the earlier they are; without exits, a draft."""

    longest = 10_000

    def __init__(self, vocabulary: int, seed: int, *, exits: int = 0, near: Table | None = None, noise: float = 1.0):
        self.vocabulary = vocabulary
        generator = torch.Generator().manual_seed(seed)
        fresh = [torch.randn(vocabulary, vocabulary, vocabulary, generator=generator) for _ in range(exits + 1)]
        final = 1.5 * fresh[-1] if near is None else near.tables[-1] + noise * fresh[-1]
        self.tables = [final + (exits - j) * 0.5 * fresh[j] for j in range(exits)] + [final]

    def session(self) -> TableSession:
        return TableSession(self.tables)

    def enumerated(self, prompt: Sequence[int], length: int, law: Callable[[Tensor], Tensor]) -> Tensor:
        """Probability of every string of some length, in the order of `itertools.product`."""
        found = []
        for string in product(range(self.vocabulary), repeat=length):
            text, probability = list(prompt), 1.0
            for token in string:
                before = text[-2] if len(text) > 1 else 0
                probability *= float(law(self.tables[-1][before, text[-1]])[token])
                text.append(token)
            found.append(probability)
        return torch.tensor(found, dtype=torch.float64)


@pytest.fixture(scope="session")
def table() -> type[Table]:
    return Table
