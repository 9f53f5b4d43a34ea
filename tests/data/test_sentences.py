"""Grammars that give nothing away: labels are even, the hypothesis alone is chance, tests share no text."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from edgebook.data import entailment, records


@pytest.mark.parametrize("facts", [1, 2])
def test_labels_say_what_follows(facts: int) -> None:
    told = re.compile(r"the (\w+) is in the (\w+)|in the (\w+) is the (\w+)")
    for genre in range(5):
        found = entailment(genre, 300, seed=1, facts=facts)
        assert set(Counter(label for _, label in found).values()) == {100}
        for text, label in found:
            said = [(a or d, b or c) for a, b, c, d in told.findall(text)]
            known, (thing, place) = dict(said[:-1]), said[-1]
            assert len(known) == facts
            assert label == ("maybe" if thing not in known else "yes" if known[thing] == place else "no")


def fitted(texts: list[str], labels: list[str], others: list[str], answers: list[str]) -> float:
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+")
    model = LogisticRegression(max_iter=500).fit(words.fit_transform(texts), labels)
    return float(model.score(words.transform(others), answers))


def test_the_hypothesis_alone_is_chance_and_so_is_the_premise() -> None:
    (texts, labels), (others, answers) = (
        zip(*entailment(0, count, seed=2, part=part), strict=True) for part, count in (("train", 3000), ("test", 1500))
    )
    for place in (0, -1):
        half = [[text.split(" so ")[place] for text in of] for of in (texts, others)]
        assert abs(fitted(half[0], labels, half[1], answers) - 1 / 3) < 0.05  # four deviations of 1,500 guesses


@pytest.mark.parametrize("draw", [entailment, records])
def test_no_text_stands_in_both_parts(draw: Any) -> None:
    for genre in range(5):
        parts = [{text for text, _ in draw(genre, 900, seed=0, part=part)} for part in ("train", "test")]
        assert len(parts[0]) > 300 and not parts[0] & parts[1]
        assert draw(genre, 50, seed=0) == draw(genre, 50, seed=0) != draw(genre, 50, seed=1)


def test_genres_share_as_many_words_as_asked() -> None:
    for shared in (0, 3, 8):
        words = [set(re.findall(r"\w+", " ".join(t for t, _ in entailment(g, 900, seed=0, shared=shared))))
                 - {"the", "is", "in", "so"} for g in range(5)]  # fmt: skip
        assert [len(some) for some in words] == [32] * 5
        assert {len(words[a] & words[b]) for a in range(5) for b in range(a)} == {2 * shared}


def test_sentences_say_their_records() -> None:
    for genre in range(5):
        for record, sentence in records(genre, 200, seed=0):
            slots = dict(re.findall(r"(\w+) : (\w+)", record))
            assert {"name", "goods"} <= slots.keys()
            assert all(value in sentence.split() for value in slots.values())
            assert len(sentence.split()) == 6 + 3 * ("area" in slots) + ("price" in slots) + 3 * ("rating" in slots)
    orders = {tuple(re.findall(r"(\w+) :", record)) for record, _ in records(0, 300, seed=0)}
    assert len(orders) > 20


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: entailment(5, 1, seed=0), "genre"),
        (lambda: entailment(0, 1, seed=0, facts=9), "facts"),
        (lambda: entailment(0, 1, seed=0, shared=9), "shared"),
        (lambda: records(0, 0, seed=0), "count"),
        (lambda: records(0, 1, seed=0, part="dev"), "train, test"),
        (lambda: records(0, 1, seed=-1), "seed"),
        (lambda: records(0.5, 1, seed=0), "whole number"),
    ],
)
def test_bad_input_gets_a_sentence(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_numbers_of_numpy_count() -> None:
    assert entailment(np.int64(1), 3, seed=np.int64(0)) == entailment(1, 3, seed=0)
