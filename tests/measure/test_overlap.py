"""BLEU against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from edgebook.measure import bleu


def test_a_text_and_a_shorter_one() -> None:
    reference = "a b c d e f"
    assert bleu([reference], [reference]) == 100
    assert bleu(["a b c d"], [reference]) == pytest.approx(100 * math.exp(1 - 6 / 4))  # all right, and too short
    assert bleu(["a b c d e f g h"], [reference]) == pytest.approx(100 * (6 / 8 * 5 / 7 * 4 / 6 * 3 / 5) ** 0.25)
    assert bleu(["a b c x e f"], [reference]) == 0  # no run of four


def test_a_word_counts_as_often_as_it_is_wanted() -> None:
    """The example of the paper: "the" seven times has 2 of 7 words right."""
    repeated, reference = "the the the the the the the", "the cat is on the mat"
    assert bleu([repeated], [reference]) == 0
    both = bleu([repeated, "p q r s"], [reference, "p q r s"])
    assert both == pytest.approx(100 * ((2 + 4) / 11 * 3 / 9 * 2 / 7 * 1 / 5) ** 0.25)


def test_a_corpus_is_no_mean_of_sentences() -> None:
    texts, references = ["a b c d", "e f g h i"], ["a b c d", "e f g h x"]
    assert bleu(texts, references) == pytest.approx(100 * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** 0.25)


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(ValueError, match="one reference each"):
        bleu([], [])
    with pytest.raises(ValueError, match="one reference each"):
        bleu(["a"], ["a", "b"])
