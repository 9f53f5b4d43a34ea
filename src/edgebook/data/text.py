"""English prose that every CPython brings along: the help texts of its own language reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

TEXTS = ("topics",)
TEST_SHARE = 0.1  # of the characters, at the end, that no training sees


@dataclass(frozen=True)
class Text:
    """A text as tokens, one for each character.

    Parameters
    ----------
    train, test : Tensor, tokens, int64: the beginning of the text and the rest of it
    symbols : str, the characters in the order of their tokens

    Examples
    --------
    >>> text = load_text("topics")
    >>> text.decode(text.encode("for x in range(3):"))
    'for x in range(3):'
    """

    train: Tensor
    test: Tensor
    symbols: str

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text of known characters; refuse one that is not known."""
        unknown = sorted(set(text) - set(self.symbols))
        if unknown:
            raise ValueError(f"The text has no character {unknown[0]!r}.")
        return [self.symbols.index(character) for character in text]

    def decode(self, tokens: Tensor | list[int]) -> str:
        """Return the characters of some tokens."""
        return "".join(self.symbols[int(token)] for token in tokens)


@lru_cache(maxsize=1)
def _topics() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(text.strip("\n") for _, text in sorted(topics.items()))


def load_text(name: str = "topics") -> Text:
    """Load a text and split it by position: the last tenth of the characters is for tests.

    Parameters
    ----------
    name : {"topics"}
        ``pydoc_data.topics`` of the running CPython, about 465,000 characters; it differs a little between versions.

    Returns
    -------
    Text, characters are numbered in the order of their code points

    Raises
    ------
    ValueError
        An unknown name.
    """
    if name not in TEXTS:
        raise ValueError(f"The text must be one of {', '.join(TEXTS)}, got {name!r}.")
    whole = _topics()
    symbols = "".join(sorted(set(whole)))
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    tokens = torch.tensor([numbers[character] for character in whole])
    cut = round(len(tokens) * (1 - TEST_SHARE))
    return Text(tokens[:cut], tokens[cut:], symbols)
