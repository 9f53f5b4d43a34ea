"""How much of a reference text another text repeats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

LONGEST = 4  # words in a row


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    r"""Return the BLEU of a corpus, words being what spaces divide.

    .. math:: 100\, \min\!\big(1, e^{1 - r/c}\big) \Big(\prod_{n=1}^{4} p_n\Big)^{1/4}

    with :math:`p_n` the share of runs of n words that the reference has too, each counted as often as it is there, and
    :math:`c` and :math:`r` the words of all texts and of all references; 0 where no run of four words is met.
    Source: Papineni et al., *BLEU: a Method for Automatic Evaluation of Machine Translation*, ACL 2002.

    Parameters
    ----------
    texts, references : sequence of str
        One reference for each text.

    Returns
    -------
    float
        0 to 100.

    Raises
    ------
    ValueError
        No text, or not one reference each.

    Examples
    --------
    >>> bleu(["the mill serves thai goods ."], ["the mill serves thai goods ."])
    100.0
    """
    if not texts or len(texts) != len(references):
        raise ValueError(f"Texts with one reference each are needed, got {len(texts)} and {len(references)}.")
    met, said = [0] * LONGEST, [0] * LONGEST
    pairs = [(text.split(), reference.split()) for text, reference in zip(texts, references, strict=True)]
    for words, wanted in pairs:
        for n in range(1, LONGEST + 1):
            runs, known = _runs(words, n), _runs(wanted, n)
            met[n - 1] += sum((runs & known).values())
            said[n - 1] += sum(runs.values())
    if not all(met):
        return 0.0
    ours, theirs = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    brevity = min(0.0, 1 - theirs / ours)
    return 100 * math.exp(brevity + sum(math.log(a / b) for a, b in zip(met, said, strict=True)) / LONGEST)


def _runs(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[k : k + n]) for k in range(len(words) - n + 1))
