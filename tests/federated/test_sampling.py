"""Who is drawn, who is late, and how nodes are found."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.federated import RoundPlan, client_seed
from edgebook.federated.randomness import derived_rng
from edgebook.federated.sampling import late_clients, sample_clients


@given(st.integers(1, 30), st.data(), st.integers(0, 99), st.integers(1, 50))
def test_a_draw_has_the_size_asked_for_and_no_client_twice(
    clients: int, data: st.DataObject, seed: int, n: int
) -> None:
    count = data.draw(st.integers(0, clients))
    drawn = sample_clients(clients, count, seed=seed, server_round=n)
    assert len(set(drawn)) == len(drawn) == count
    assert set(drawn) <= set(range(clients))
    assert drawn == sample_clients(clients, count, seed=seed, server_round=n)


def test_all_clients_are_drawn_alike() -> None:
    seen = Counter(client for n in range(2000) for client in sample_clients(5, 2, seed=0, server_round=n))
    assert all(abs(count - 800) < 4 * (2000 * 0.4 * 0.6) ** 0.5 for count in seen.values())
    assert sample_clients(9, 4, seed=0, server_round=1) != sample_clients(
        9, 4, seed=0, server_round=1, purpose="evaluation"
    )


def test_stragglers_are_nested_and_spare_the_first() -> None:
    chosen = [4, 2, 0, 1, 3]
    late = [[late_clients(chosen, q, seed=0, server_round=n) for q in (0.0, 0.3, 0.6, 1.0)] for n in range(1000)]
    for none, few, many, all_ in late:
        assert none == []
        assert set(few) <= set(many) <= set(all_)
        assert all_ == [2, 0, 1, 3]
    share = sum(len(few) for _, few, _, _ in late) / 4000
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5
    with pytest.raises(ValueError, match="between 0 and 1"):
        late_clients(chosen, 1.1, seed=0, server_round=1)


def test_a_plan_leaves_out_those_who_are_late() -> None:
    plan = RoundPlan(6, 4, seed=2, stragglers=0.5)
    for n in range(1, 20):
        chosen = sample_clients(6, 4, seed=2, server_round=n)
        assert plan.trained(n) == sorted(set(chosen) - set(late_clients(chosen, 0.5, seed=2, server_round=n)))
        assert chosen[0] in plan.trained(n)
    assert RoundPlan(3).trained(1) == [0, 1, 2]


def test_too_many_and_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="At most the 3 clients"):
        sample_clients(3, 4, seed=0, server_round=1)
    with pytest.raises(ValueError, match="at least 0"):
        derived_rng(0, "client", -1)


def test_seeds_of_clients_differ() -> None:
    seeds = {client_seed(seed, client, n) for seed in range(4) for client in range(20) for n in range(20)}
    assert len(seeds) == 1600
