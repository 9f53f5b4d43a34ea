"""The whole protocol, exits and drafts made ahead included, against the enumerated distribution of the target."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from edgebook.decoding import Draws, Sampling, autoregressive, distribution, generate, trace
from edgebook.decoding.cloud import Cloud
from edgebook.decoding.edge import Edge
from edgebook.ledger.statistics import holm

AHEAD = ["none", "exits", "full acceptance", "both"]
LENGTH = 3


def frequencies(target: Any, draft: Any, count: int, first: int, sampling: Sampling, ahead: str) -> torch.Tensor:
    """How often each string of three tokens came out, over texts of their own seeds."""
    found = torch.zeros(target.vocabulary**LENGTH, dtype=torch.float64)
    for seed in range(first, first + count):
        options = {"sampling": sampling, "draws": Draws(seed), "ahead": ahead}
        tokens = trace(target, draft, [1, 0], max_new_tokens=LENGTH, drafted=2, **options).tokens
        found[sum(token * target.vocabulary ** (LENGTH - 1 - i) for i, token in enumerate(tokens))] += 1
    return found


def p_value(counts: torch.Tensor, expected: torch.Tensor) -> float:
    """Chi-square test, strings that are expected less than five times taken together."""
    expected = expected / expected.sum() * counts.sum()
    assert float(counts[expected == 0].sum()) == 0
    rare = expected < 5
    merged = [torch.cat([x[~rare], x[rare].sum()[None]]) for x in (counts, expected)]
    if float(merged[1][-1]) < 5:
        merged = [x[:-1] if float(x[-1]) == 0 else x for x in merged]
    return float(chisquare(*(x / merged[1].sum() * merged[1].sum() for x in merged)).pvalue)


def exactness(table: Any, count: int, vocabulary: int, sampling: Sampling, ahead: str) -> list[float]:
    found = []
    for seed in range(5):
        target = table(vocabulary, seed, exits=2)
        draft = table(vocabulary, 100 + seed, near=target)
        counts = frequencies(target, draft, count, 1_000_000 * seed, sampling, ahead)
        law = target.enumerated([1, 0], LENGTH, lambda row: distribution(row, sampling))
        found.append(p_value(counts, law))
    return holm(found)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.8, top_k=3, top_p=0.9)])
def test_strings_have_the_targets_distribution(table: Any, sampling: Sampling) -> None:
    assert min(exactness(table, 200, 4, sampling, "exits")) > 0.01


@pytest.mark.slow
def test_many_strings_have_the_targets_distribution(table: Any) -> None:
    """Texts of each of five seeds: 4,000, or as many as `EDGEBOOK_TEXTS` says (CONTRIBUTING has the command)."""
    found = exactness(table, int(os.environ.get("EDGEBOOK_TEXTS", "4000")), 4, Sampling(), "exits")
    print("p values after Holm's correction:", *(f"{value:.3f}" for value in found))
    assert min(found) > 0.01


@given(
    st.integers(2, 8), st.integers(0, 5), st.integers(1, 24), st.integers(0, 3), st.integers(0, 100_000),
    st.sampled_from([Sampling(), Sampling(0.0), Sampling(1.3, 4, 0.8)]),
)  # fmt: skip
def test_no_detour_changes_a_token(
    table: Any, vocabulary: int, drafted: int, new: int, exits: int, seed: int, sampling: Sampling
) -> None:
    target = table(vocabulary, seed, exits=exits)
    draft = table(vocabulary, seed + 1, near=target)
    options = {"max_new_tokens": new, "drafted": drafted, "sampling": sampling, "draws": Draws(seed)}
    plain, *others = (trace(target, draft, [0], ahead=ahead, **options) for ahead in AHEAD)
    assert len(plain.tokens) == new
    for other in others:
        assert other.tokens == plain.tokens
        assert [r.outcome.accepted for r in other.rounds] == [r.outcome.accepted for r in plain.rounds]
    position = 1
    for step in others[0].rounds:
        assert step.position == position
        position += step.outcome.accepted + 1
        found = {(o.accepted, o.token) for o in step.exits}
        assert step.hit == ((step.outcome.accepted, step.outcome.token) in found)


@pytest.mark.parametrize("drafted", [0, 1, 4, 7])
def test_greedy_text_is_the_targets_own_on_two_hundred_prompts(table: Any, drafted: int) -> None:
    target = table(8, 3, exits=2)
    draft = table(8, 4, near=target)
    for seed in range(200):
        prompt = torch.randint(8, (1 + seed % 6,), generator=torch.Generator().manual_seed(seed)).tolist()
        alone = autoregressive(target, prompt, max_new_tokens=20, sampling=Sampling(0.0))
        assert generate(target, draft, prompt, max_new_tokens=20, drafted=drafted, temperature=0).tolist() == alone


def test_common_random_numbers_raise_the_hit_rate(table: Any) -> None:
    """The same exits with numbers of their own agree less often, and change no token."""
    target = table(4, 1, exits=1)
    draft = table(4, 2, near=target)
    hits = [0, 0]
    for seed in range(100):
        options = {"max_new_tokens": 8, "drafted": 3, "draws": Draws(seed)}
        found = [trace(target, draft, [1, 0], exit_draws=own, **options) for own in (None, Draws(10_000 + seed))]
        assert found[0].tokens == found[1].tokens
        hits = [count + sum(step.hit for step in part.rounds) for count, part in zip(hits, found, strict=True)]
    assert hits[0] > 1.4 * hits[1]


def test_a_guess_with_numbers_of_its_own_is_wrong_where_a_shared_one_is_right(table: Any) -> None:
    """A target that drafts for itself accepts everything, and its next token hangs on nothing but the number."""
    target, right = table(4, 1), [[], []]
    for seed in range(40):
        options = {"max_new_tokens": 9, "drafted": 2, "draws": Draws(seed), "ahead": "full acceptance"}
        found = [trace(target, target, [1, 0], exit_draws=own, **options) for own in (None, Draws(10_000 + seed))]
        assert found[0].tokens == found[1].tokens
        for kept, part in zip(right, found, strict=True):
            kept += [step.guess == step.outcome[2:4] for step in part.rounds]
    assert all(right[0]) and 0.1 < sum(right[1]) / len(right[1]) < 0.8


def test_an_abandoned_verification_leaves_no_trace(table: Any) -> None:
    target = table(6, 1, exits=2)
    draft = table(6, 2, near=target)
    edge = Edge(draft, [3, 1], max_new_tokens=8, drafted=3, sampling=Sampling(), draws=Draws(0))
    cloud = Cloud(target, [3, 1], sampling=Sampling(), draws=Draws(0))
    proposed = edge.drafting.finish()
    half = cloud.verify(proposed.tokens, proposed.distributions)
    first = next(half)
    half.close()
    assert cloud.text == [3, 1] and cloud.session.length <= 1
    again = list(cloud.verify(proposed.tokens, proposed.distributions))
    assert again[0] == first and len(again) == 3
    assert cloud.text == [3, 1, *proposed.tokens[: again[-1].accepted], again[-1].token]


def test_a_stop_token_ends_the_text(table: Any) -> None:
    target = table(4, 5)
    alone = autoregressive(target, [0], max_new_tokens=40, sampling=Sampling(0.0))
    for stop in set(alone):
        found = generate(target, target, [0], max_new_tokens=40, drafted=3, temperature=0, stop=stop).tolist()
        assert found == alone[: alone.index(stop) + 1]


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling()])
def test_the_first_of_several_stop_tokens_ends_the_text(table: Any, sampling: Sampling) -> None:
    """In every form that Transformers and tokenizers give them, and on each way of drafting ahead."""
    target = table(8, 5, exits=1)
    options = {"max_new_tokens": 40, "drafted": 3, "sampling": sampling}
    whole = trace(target, table(8, 6), [0], **options).tokens
    first, second = whole[5], whole[11]
    expected = whole[: min(whole.index(first), whole.index(second)) + 1]
    several = [first, second]
    forms = (several, tuple(several), set(several), torch.tensor(several), np.array(several), map(int, several))
    for stop in forms:
        assert trace(target, table(8, 6), [0], stop=stop, **options).tokens == expected
    for ahead in AHEAD:
        assert trace(target, table(8, 6), [0], stop=several, ahead=ahead, **options).tokens == expected
    for stop in (first, np.int64(first), torch.tensor(first), [first]):
        found = trace(target, table(8, 6), [0], stop=stop, **options).tokens
        assert found == whole[: whole.index(first) + 1]
    target.stop = several
    assert trace(target, table(8, 6), [0], **options).tokens == expected
    assert trace(target, table(8, 6), [0], stop=(), **options).tokens == whole
    assert autoregressive(target, [0], max_new_tokens=40, sampling=Sampling(0.0))[-1] in several


@pytest.mark.parametrize("stop", ["3", 3.0, [3.0], True, [[3], [4]], [None], torch.tensor([[3]]), torch.tensor([3.0])])
def test_stop_tokens_that_are_none_are_refused(table: Any, stop: Any) -> None:
    with pytest.raises(TypeError, match="stop must be a row of whole numbers"):
        generate(table(8, 1), table(8, 2), [0], max_new_tokens=4, stop=stop)
    for outside in (8, -1, [2, 50256]):
        with pytest.raises(ValueError, match="stop must have tokens from 0 to 7"):
            generate(table(8, 1), table(8, 2), [0], max_new_tokens=4, stop=outside)


@pytest.mark.parametrize(
    "prompt",
    [torch.tensor([[2], [3]]), torch.tensor([[2, 3]]), [[2, 3]], [2.0, 3.0], torch.tensor([2.0]), "23", b"23", [True],
     torch.tensor([True]), [None], ["2"], 2, torch.tensor(2), {"input_ids": [2]}],
)  # fmt: skip
def test_a_prompt_is_a_row_of_whole_numbers(table: Any, prompt: Any) -> None:
    model = table(8, 1)
    makers = (
        lambda: generate(model, model, prompt, max_new_tokens=2),
        lambda: autoregressive(model, prompt, max_new_tokens=2),
        lambda: Cloud(model, prompt, sampling=Sampling(), draws=Draws(0)),
        lambda: Edge(model, prompt, max_new_tokens=2, drafted=1, sampling=Sampling(), draws=Draws(0)),
    )
    for make in makers:
        with pytest.raises(TypeError, match="A prompt must be a row of whole numbers, got"):
            make()


def test_rows_of_whole_numbers_of_every_kind_are_one_prompt(table: Any) -> None:
    model = table(8, 1)
    rows = ([2, 3], (2, 3), torch.tensor([2, 3]), torch.tensor([2, 3], dtype=torch.int16), np.array([2, 3]),
            [np.int64(2), torch.tensor(3)], range(2, 4))  # fmt: skip
    texts = [generate(model, model, row, max_new_tokens=5).tolist() for row in rows]
    assert all(text == texts[0] for text in texts)


def test_drafts_are_checked_where_they_come_in(table: Any) -> None:
    cloud = Cloud(table(8, 0), [0], sampling=Sampling(), draws=Draws(0))
    rows = torch.full((1, 8), 0.125)
    for tokens in ([-1], [8], [1, 9]):
        with pytest.raises(ValueError, match="A draft must have tokens from 0 to 7"):
            next(cloud.verify(tokens, rows))
    for tokens in ([1.0], "1", torch.tensor([[1]])):
        with pytest.raises(TypeError, match="A draft must be a row of whole numbers"):
            next(cloud.verify(tokens, rows))
    for wrong in (rows[:, :7], rows.expand(2, 8), rows[0]):
        with pytest.raises(ValueError, match="1 drafted tokens need 1 draft"):
            next(cloud.verify([1], wrong))
    assert cloud.text == [0]


@pytest.mark.parametrize(
    "change", [{"max_new_tokens": 4.5}, {"drafted": 2.5}, {"drafted": None}, {"drafted": "2"}, {"drafted": True}]
)
def test_counts_are_whole_numbers(table: Any, change: dict[str, Any]) -> None:
    """Half a drafted token is never complete, and was waited for without end."""
    with pytest.raises(TypeError, match=f"{next(iter(change))} must be a whole number"):
        generate(table(8, 1), table(8, 2), [0], **{"max_new_tokens": 4} | change)


def test_another_thing_is_no_model(table: Any) -> None:
    for thing in (None, "gpt2", torch.nn.Linear(2, 2)):
        with pytest.raises(TypeError, match=f"A model must be a CharacterDecoder, .* got {type(thing).__name__}"):
            generate(table(8, 1), thing, [0], max_new_tokens=4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("side", ["target", "draft", "exit"])
def test_logits_that_are_no_numbers_write_nothing(table: Any, side: str, temperature: float) -> None:
    target, draft = table(8, 1, exits=1), table(8, 2)
    broken = {"target": target.tables[-1:], "draft": draft.tables, "exit": target.tables[:1]}[side]
    for part in broken:
        part[:, :, 3] = float("nan")
    with pytest.raises(ValueError, match="Logits, divided by the temperature, must be finite numbers"):
        trace(target, draft, [0], max_new_tokens=5, sampling=Sampling(temperature))


def test_sampling_follows_the_generator(table: Any) -> None:
    target = table(8, 1)
    texts = [
        generate(target, table(8, 2), [0], max_new_tokens=30, generator=torch.Generator().manual_seed(s)).tolist()
        for s in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": []}, "at least one token"),
        ({"prompt": [8]}, "from 0 to 7"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"max_new_tokens": 20_000}, "10000 together"),
        ({"drafted": -1}, "drafted 0"),
        ({"ahead": "always"}, "ahead must be one of"),
    ],
)
def test_bad_requests_are_refused(table: Any, change: dict[str, Any], words: str) -> None:
    options = {"prompt": [0], "max_new_tokens": 4, "drafted": 2, "ahead": "none"} | change
    with pytest.raises(ValueError, match=words):
        trace(table(8, 0), table(8, 1), options.pop("prompt"), **options)
    with pytest.raises(ValueError, match="share one vocabulary, got 7 and 8"):
        trace(table(8, 0), table(7, 1), [0], max_new_tokens=2)
    cloud = Cloud(table(8, 0), [0], sampling=Sampling(), draws=Draws(0))
    with pytest.raises(ValueError, match="distributions that the tokens were drawn from"):
        next(cloud.verify([1], None))
