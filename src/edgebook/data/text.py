"""English prose that every CPython brings along: the help texts of its own language reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

TEXTS = ("topics",)


@dataclass(frozen=True)
class Text:
    """A text as tokens, one for each character.

    Parameters
    ----------
    train, test : Tensor
        Tokens, int64: the beginning of the text and the rest of it.
    symbols : str
        The characters in the order of their tokens.
    """

    train: Tensor
    test: Tensor
    symbols: str

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text.

        Parameters
        ----------
        text : str
            Of known characters.

        Returns
        -------
        list of int
            One for each character.

        Raises
        ------
        ValueError
            A character that the text does not have.
        """
        unknown = sorted(set(text) - set(self.symbols))
        if unknown:
            raise ValueError(f"The text has no character {unknown[0]!r}.")
        return [self.symbols.index(character) for character in text]

    def decode(self, tokens: Tensor | list[int]) -> str:
        """Return the characters of some tokens.

        Parameters
        ----------
        tokens : Tensor or list of int
            Each from 0 to ``len(symbols) - 1``.

        Returns
        -------
        str
            One character for each.
        """
        return "".join(self.symbols[int(token)] for token in tokens)


@lru_cache(maxsize=1)
def _topics() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(text.strip("\n") for _, text in sorted(topics.items()))


def load_text(name: str = "topics", *, test_share: float = 0.1) -> Text:
    """Load a text and split it by position.

    Parameters
    ----------
    name : {"topics"}
        ``pydoc_data.topics`` of the running CPython, about 465,000 characters; it differs a little between versions.
    test_share : float
        Share of the characters, at the end, that no training sees.

    Returns
    -------
    Text
        Characters are numbered in the order of their code points.

    Raises
    ------
    ValueError
        An unknown name, or a share outside (0, 1).
    """
    if name not in TEXTS:
        raise ValueError(f"The text must be one of {', '.join(TEXTS)}, got {name!r}.")
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must lie strictly between 0 and 1, got {test_share}.")
    whole = _topics()
    symbols = "".join(sorted(set(whole)))
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    tokens = torch.tensor([numbers[character] for character in whole])
    cut = round(len(tokens) * (1 - test_share))
    return Text(tokens[:cut], tokens[cut:], symbols)
