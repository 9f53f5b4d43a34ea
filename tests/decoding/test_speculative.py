"""The acceptance rule against enumeration, closed forms and another library's filters."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from edgebook.decoding import (
    Draws,
    Sampling,
    acceptance,
    distribution,
    expected_tokens,
    pick,
    verify,
)
from edgebook.decoding.draws import draws_from
from edgebook.decoding.speculative import residual, verify_greedy
from edgebook.ledger.statistics import holm

SEEDS = range(5)


def random_rows(generator: torch.Generator, *shape: int) -> Tensor:
    return (1.5 * torch.randn(*shape, generator=generator)).softmax(-1)


def one_round(target: Tensor, draft: Tensor, count: int, seed: int, **change: bool) -> Tensor:
    """Empirical distribution (V,) of the first token of a round over so many independent rounds."""
    generator = torch.Generator().manual_seed(seed)
    g, vocabulary = draft.shape
    uniform = torch.rand(count, 2 * g + 1, generator=generator, dtype=torch.float64)
    drafted = pick(draft.expand(count, g, vocabulary), uniform[:, :g])
    if change.get("swapped"):
        target, draft = torch.cat([draft, draft[:1]]), target[:-1]
    found = verify(drafted, draft.expand(count, g, vocabulary), target.expand(count, g + 1, vocabulary),
                   uniform[:, g : 2 * g], uniform[:, -1])  # fmt: skip
    first = torch.where(found.accepted > 0, drafted[:, 0], found.token)
    return torch.bincount(first, minlength=vocabulary)


@pytest.mark.parametrize("vocabulary", [2, 5, 8])
def test_the_first_token_of_a_round_has_the_targets_distribution(vocabulary: int) -> None:
    p_values = []
    for seed in SEEDS:
        rows = torch.Generator().manual_seed(100 + seed)
        target, draft = random_rows(rows, 4, vocabulary), random_rows(rows, 3, vocabulary)
        counts = one_round(target, draft, 50_000, seed)
        p_values.append(chisquare(counts, 50_000 * target[0].double() / target[0].double().sum()).pvalue)
    assert min(holm(p_values)) > 0.01


def test_swapped_sides_are_seen() -> None:
    rows = torch.Generator().manual_seed(7)
    target, draft = random_rows(rows, 4, 5), random_rows(rows, 3, 5)
    counts = one_round(target, draft, 50_000, 0, swapped=True)
    assert chisquare(counts, 50_000 * target[0].double() / target[0].double().sum()).pvalue < 1e-6


def test_the_mean_number_of_accepted_tokens_is_the_overlap() -> None:
    rows = torch.Generator().manual_seed(3)
    target, draft = random_rows(rows, 6).expand(5, 6), random_rows(rows, 6).expand(4, 6)
    share = float(acceptance(target[0], draft[0]))
    count = 40_000
    uniform = torch.rand(count, 9, generator=rows, dtype=torch.float64)
    drafted = pick(draft.expand(count, 4, 6), uniform[:, :4])
    found = verify(drafted, draft.expand(count, 4, 6), target.expand(count, 5, 6), uniform[:, 4:8], uniform[:, 8])
    assert float(found.accepted.double().mean()) + 1 == pytest.approx(expected_tokens(share, 4), abs=0.03)


def test_expected_tokens_by_enumeration_of_all_patterns() -> None:
    for a, g in itertools.product((0.0, 0.3, 0.66, 1.0), (0, 1, 4)):
        mean = 0.0
        for pattern in itertools.product((True, False), repeat=g):
            probability = 1.0
            for kept in pattern:
                probability *= a if kept else 1 - a
            run = next((i for i, kept in enumerate(pattern) if not kept), g)
            mean += probability * (run + 1)
        assert expected_tokens(a, g) == pytest.approx(mean)


@given(st.integers(2, 8), st.integers(0, 5), st.integers(0, 10_000))
def test_greedy_is_the_rule_at_temperature_zero(vocabulary: int, g: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, g + 1, vocabulary, generator=generator)
    near = logits[:, :g] + 0.7 * torch.randn(3, g, vocabulary, generator=generator)
    greedy = Sampling(0.0)
    uniforms = torch.rand(3, g, generator=generator, dtype=torch.float64)
    last = torch.rand(3, generator=generator, dtype=torch.float64)
    rule = verify(near.argmax(-1), distribution(near, greedy), distribution(logits, greedy), uniforms, last)
    fast = verify_greedy(near.argmax(-1), logits)
    assert torch.equal(rule.accepted, fast.accepted) and torch.equal(rule.token, fast.token)
    for row, drafted in zip(logits.argmax(-1).tolist(), near.argmax(-1).tolist(), strict=True):
        length = next((i for i in range(g) if drafted[i] != row[i]), g)
        assert [length, row[length]] == [int(fast.accepted[0]), int(fast.token[0])]
        fast = fast._replace(accepted=fast.accepted[1:], token=fast.token[1:])


def test_equal_models_accept_everything_and_the_last_token_is_not_forgotten() -> None:
    rows = random_rows(torch.Generator().manual_seed(1), 4, 6)
    uniforms = torch.full((3,), 1 - 2**-53, dtype=torch.float64)
    drafted = torch.tensor([1, 0, 5])
    found = verify(drafted, rows[:3], rows, uniforms, torch.tensor(0.0, dtype=torch.float64))
    assert (int(found.accepted), int(found.token)) == (3, 0)


def test_a_token_that_the_target_excludes_is_refused_and_never_drawn() -> None:
    target = torch.tensor([[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]])
    draft = torch.tensor([[0.6, 0.4, 0.0]])
    for u in (0.0, 0.3, 0.99):
        last = torch.tensor(u, dtype=torch.float64)
        found = verify(torch.tensor([0]), draft, target, torch.tensor([0.0], dtype=torch.float64), last)
        assert int(found.accepted) == 0
        assert int(found.token) == (1 if u < 1 / 6 else 2)  # max(0, t - d) is 0, 0.1 and 0.5


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 drafted tokens need 2 draft and 3 target distributions"):
        verify(torch.zeros(2, dtype=torch.long), torch.ones(2, 4), torch.ones(2, 4), torch.zeros(2), torch.zeros(()))


def test_shapes_are_those_of_one_text_or_of_as_many_on_each_side() -> None:
    """Nothing is stretched: one row of numbers for three texts would give all three the same."""
    drafted, rows = torch.zeros(3, 2, dtype=torch.long), torch.full((3, 3, 4), 0.25)
    uniforms, last = torch.zeros(3, 2).double(), torch.zeros(3).double()
    assert verify(drafted, rows[:, :2], rows, uniforms, last).accepted.tolist() == [2, 2, 2]
    right = {"drafted": drafted, "draft": rows[:, :2], "target": rows, "uniforms": uniforms, "last": last}
    for name in right:
        with pytest.raises(ValueError, match="drafted tokens need"):
            verify(**right | {name: right[name][0]})
        with pytest.raises(ValueError, match="drafted tokens need"):
            verify(**right | {name: right[name][:1]})
    for shape in ((3, 2), (3, 2, 4), (3, 4, 4), (1, 3, 4), (3, 4)):
        with pytest.raises(ValueError, match="2 drafted tokens need 3 rows of logits"):
            verify_greedy(drafted, torch.zeros(shape))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(), Sampling(0.7, 2, 0.9)])
def test_logits_that_are_no_numbers_give_no_token(bad: float, sampling: Sampling) -> None:
    logits = torch.tensor([[0.5, 1.0, 0.0], [0.5, bad, 0.0]])
    with pytest.raises(ValueError, match="must be finite numbers"):
        distribution(logits, sampling)
    with pytest.raises(ValueError, match="must be finite numbers"):
        verify_greedy(torch.tensor([1]), logits)
    for excluded in (torch.full((3,), -torch.inf), torch.tensor([[0.0, 1.0], [-torch.inf, -torch.inf]])):
        with pytest.raises(ValueError, match="must be finite numbers"):
            distribution(excluded, sampling)


def test_minus_infinity_excludes_a_token_and_a_tiny_temperature_is_no_way_round() -> None:
    logits = torch.tensor([-torch.inf, 1.0, 1.0])
    assert distribution(logits, Sampling()).tolist() == [0.0, 0.5, 0.5]
    assert distribution(logits, Sampling(0.0)).tolist() == [0.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="divided by the temperature"):
        distribution(torch.tensor([1.0, 2.0]), Sampling(1e-42))


def test_weights_that_are_none_give_no_token() -> None:
    half = torch.tensor(0.5, dtype=torch.float64)
    for weights in ([0.0, 0.0], [float("nan"), 1.0], [1.0, float("nan")], [float("inf"), 1.0]):
        with pytest.raises(ValueError, match="Weights must be finite, and above 0"):
            pick(torch.tensor(weights), half)
    rows = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    for draft, target in ((rows[:1] * float("nan"), rows), (rows[:1], rows * float("nan"))):
        with pytest.raises(ValueError, match="Weights must be finite"):
            verify(torch.tensor([1]), draft, target, half[None], half)


@given(st.integers(2, 9), st.integers(0, 10_000))
def test_pick_inverts_the_cumulative_distribution(vocabulary: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(vocabulary, generator=generator) * (torch.rand(vocabulary, generator=generator) < 0.6)
    weights[int(torch.randint(vocabulary, (), generator=generator))] = 0.5
    uniform = float(torch.rand((), generator=generator, dtype=torch.float64))
    token = int(pick(weights, torch.tensor(uniform, dtype=torch.float64)))
    below, share = 0.0, weights.double() / weights.double().sum()
    assert weights[token] > 0
    below = float(share[:token].sum())
    assert below - 1e-12 <= uniform <= below + float(share[token]) + 1e-12
    assert weights[int(pick(weights, torch.tensor(1 - 2**-53, dtype=torch.float64)))] > 0


@given(st.floats(0.2, 3), st.one_of(st.none(), st.integers(1, 9)), st.floats(0.05, 1), st.integers(0, 10_000))
def test_filters_agree_with_a_plain_sort(temperature: float, top_k: int | None, top_p: float, seed: int) -> None:
    logits = torch.randn(7, generator=torch.Generator().manual_seed(seed))
    found = distribution(logits, Sampling(temperature, top_k, top_p))
    full = (logits.double() / temperature).softmax(-1).tolist()
    order = sorted(range(7), key=lambda token: -full[token])[:top_k]
    total = sum(full[token] for token in order)
    kept, mass = {}, 0.0
    for token in order:
        if mass < top_p - 1e-6:
            kept[token] = full[token] / total
        mass += full[token] / total
    expected = [kept.get(token, 0.0) / sum(kept.values()) for token in range(7)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert float(found.sum()) == pytest.approx(1)


def test_a_residual_without_anything_left_is_the_target() -> None:
    rows = random_rows(torch.Generator().manual_seed(1), 3)
    assert torch.equal(residual(rows, rows), rows)


@pytest.mark.parametrize(
    "bad", [{"temperature": -1.0}, {"temperature": float("inf")}, {"top_k": 0}, {"top_k": 2.5}, {"top_p": 0.0}]
)
def test_bad_sampling_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Sampling(**bad)
    for words in ({"temperature": "1"}, {"temperature": None}, {"top_p": [1.0]}):
        with pytest.raises(TypeError, match="temperature and top_p must be numbers"):
            Sampling(**words)
    with pytest.raises(ValueError, match="acceptance must lie"):
        expected_tokens(1.5, 2)


def test_draws_depend_on_position_and_purpose_alone() -> None:
    draws = Draws(5)
    assert torch.equal(draws.draft(7, 3), draws.draft(7, 4)[:3])
    assert torch.equal(draws.accept(7, 3)[1], draws.accept(7, 0)[1])
    everything = [draws.draft(7, 3), draws.draft(8, 3), *draws.accept(7, 3), Draws(6).draft(7, 3)]
    assert len(torch.cat([part.reshape(-1) for part in everything]).unique()) == 13


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "3", None])
def test_a_seed_is_a_whole_number_and_not_made_one(seed: object) -> None:
    with pytest.raises(ValueError, match="seed must be a whole number"):
        Draws(seed)


def test_draws_are_uniform_and_uncorrelated_between_neighbours() -> None:
    rows = torch.stack([torch.cat([Draws(1).draft(p, 4), Draws(1).accept(p, 3)[0]]) for p in range(4000)])
    counts = torch.histc(rows.flatten(), 20, 0, 1)
    assert chisquare(counts).pvalue > 0.001
    columns = torch.cat([rows[:-1], rows[1:]], 1)
    assert float((torch.corrcoef(columns.T) - torch.eye(14)).abs().max()) < 0.08


def test_a_generator_gives_a_new_seed_each_time() -> None:
    generator = torch.Generator().manual_seed(0)
    assert draws_from(generator) != draws_from(generator)
    assert draws_from(torch.Generator().manual_seed(4)) == draws_from(torch.Generator().manual_seed(4))
    assert draws_from(None) == Draws(0)
