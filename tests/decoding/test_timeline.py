"""The clock against closed forms, and against a second one that counts ticks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.decoding import (
    ApiTokens,
    DraftRound,
    Draws,
    Outcome,
    Timeline,
    Times,
    alone_seconds,
    api_tokens,
    forced,
    replay,
    round_seconds,
    trace,
)

G = 4


def rounds_of(
    pattern: list[list[tuple[int, int, float]]], guesses: list[tuple[int, int]] | None = None
) -> list[DraftRound]:
    """Rounds from (accepted, token, confidence) of each exit and, last, of the target."""
    left = sum(step[-1][0] + 1 for step in pattern)
    position, found = 10, []
    for number, step in enumerate(pattern):
        outcomes = [Outcome(i, i == len(step) - 1, *said) for i, said in enumerate(step)]
        drafted = min(G, left - 1)
        guess = guesses[number] if guesses else None
        found.append(DraftRound(position, drafted, outcomes[-1], tuple(outcomes[:-1]), guess, False))
        position, left = position + step[-1][0] + 1, left - step[-1][0] - 1
    return found


def ticking(rounds: list[DraftRound], step: int, verify: int, up: int, down: int, exits: dict[int, int], adapter: int,
            threshold: float, ahead: str) -> tuple[int, int, int]:  # fmt: skip
    """Seconds, hits and drafted ticks by going through time tick by tick; exits at ticks of the pass."""
    end, longest = rounds[-1].position + rounds[-1].outcome.accepted + 1, max(r.drafted for r in rounds)
    now = hits = busy = 0
    todo, todos = rounds[0].drafted * step, {}
    for number, this in enumerate(rounds):
        while todo:  # nothing else goes on until the draft is complete
            now, busy, todo = now + 1, busy + 1, todo - 1
        mail = {}
        begin = now + up
        speaks = ahead in ("exits", "both")
        for count, exit_number in enumerate(sorted(exits) if speaks else [], 1):
            said = this.exits[exit_number]
            if said.confidence >= threshold:
                mail.setdefault(begin + exits[exit_number] + count * adapter + down, []).append(
                    (said.accepted, said.token)
                )
        final = begin + verify + (len(exits) * adapter if speaks else 0) + down
        todos, key = {}, None
        if ahead in ("full acceptance", "both"):
            key, todos = "guess", {"guess": step}

        def start(wanted: tuple[int, int], todos: dict = todos, this: DraftRound = this) -> tuple[int, int]:
            if wanted not in todos:
                todos[wanted] = max(0, min(longest, end - this.position - wanted[0] - 2)) * step
            return wanted

        while now < final:
            for wanted in mail.get(now, []):
                key = start(wanted)
            if key == "guess" and todos[key] == 0:
                key = start(this.guess)
            if key is not None and todos[key] > 0:
                todos[key], busy = todos[key] - 1, busy + 1
            now += 1
        found = (this.outcome.accepted, this.outcome.token)
        if key == "guess" and todos[key] == 0:
            start(this.guess)
        if number + 1 < len(rounds):
            for wanted in mail.get(now, []):
                start(wanted)
            hits += found in todos
            todo = todos.get(found, rounds[number + 1].drafted * step)
    return now, hits, busy


said = st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from([0.2, 0.9]))


@given(
    st.lists(st.lists(said, min_size=3, max_size=3), min_size=1, max_size=6), st.integers(1, 5), st.integers(7, 30),
    st.integers(0, 9), st.integers(0, 9), st.integers(0, 2), st.sampled_from([0.0, 0.5]),
    st.sampled_from(["none", "exits", "full acceptance", "both"]), st.integers(0, 2),
)  # fmt: skip
def test_events_agree_with_ticks(
    pattern: list[list[tuple[int, int, float]]], step: int, verify: int, up: int, down: int, adapter: int,
    threshold: float, ahead: Any, guess: int,
) -> None:  # fmt: skip
    rounds = rounds_of(pattern, [(guess, number % 2) for number in range(len(pattern))])
    shares = {0: 2 / verify, 1: 5 / verify}
    times = Times(step, verify, up, down, shares, adapter)
    found = replay(rounds, times, ahead=ahead, threshold=threshold)
    seconds, hits, busy = ticking(rounds, step, verify, up, down, {0: 2, 1: 5}, adapter, threshold, ahead)
    assert found.seconds == pytest.approx(seconds)
    if ahead in ("none", "exits"):  # where guesses and messages fall on one tick, order is a matter of taste
        assert (found.hits, found.edge_busy) == (hits, pytest.approx(busy))
    assert found.tokens == sum(r.outcome.accepted + 1 for r in rounds)
    assert found.cloud_busy == pytest.approx(len(rounds) * (verify + 2 * adapter * (ahead in ("exits", "both"))))


@given(
    st.lists(st.tuples(st.integers(0, G), st.booleans()), min_size=300, max_size=400), st.floats(0.01, 0.3),
    st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 0.95), st.floats(0, 0.1),
)  # fmt: skip
def test_the_clock_equals_the_closed_forms(
    pattern: list[tuple[int, bool]], draft: float, up: float, down: float, share: float, adapter: float
) -> None:
    rounds = rounds_of([[(n, 7 if hit else 8, 1.0), (n, 7, 1.0)] for n, hit in pattern])
    plain = Times(draft, 1.0, up, down)
    assert replay(rounds, plain, ahead="none").seconds / len(rounds) == pytest.approx(round_seconds(plain, G), rel=0.02)
    times = Times(draft, 1.0, up, down, {0: share}, adapter)
    found = replay(rounds, times)
    closed = round_seconds(times, G, found.hit_rate)
    assert found.seconds / len(rounds) == pytest.approx(closed, rel=0.02)
    assert found.hit_rate == pytest.approx(sum(hit for _, hit in pattern[:-1]) / (len(pattern) - 1))


def test_the_papers_robot_by_hand() -> None:
    """Drafting 288 ms, verification 620 ms, communication 120 ms, drafts of four: 1028 ms a round."""
    robot = Times(0.072, 0.62, 0.06, 0.06)
    assert round_seconds(robot, 4) == pytest.approx(1.028)
    assert pytest.approx(0.21, abs=0.005) == 1 - 1.028 / (2.1 * 0.62)
    assert alone_seconds(robot, 10) == pytest.approx(6.32)
    hidden = Times(0.072, 0.62, 0.06, 0.06, {0: 0.5})
    assert round_seconds(hidden, 4, 1.0) == pytest.approx(1.028 - 0.288)


@pytest.mark.parametrize("draft", [0.02, 0.2])
def test_oracle_and_never_right_bound_every_exit(table: Any, draft: float) -> None:
    target = table(6, 1, exits=2)
    rounds = trace(target, table(6, 2, near=target), [0], max_new_tokens=80, drafted=4, ahead="both").rounds
    times = Times(draft, 1.0, 0.1, 0.1, {0: 0.3, 1: 0.6}, 0.02)
    best, worst = (replay(forced(rounds, hit), times) for hit in (True, False))
    found, plain = replay(rounds, times), replay(rounds, times, ahead="none")
    assert best.seconds <= found.seconds <= worst.seconds
    assert best.hit_rate == 1 and worst.hits == 0
    assert worst.seconds == pytest.approx(plain.seconds + 0.04 * len(rounds))
    assert worst.wasted_steps > 0 == best.wasted_steps
    assert plain.draft_steps == pytest.approx(sum(r.drafted for r in rounds))
    assert best.draft_steps == pytest.approx(plain.draft_steps + 0.0, abs=4)
    silent = replay(rounds, times, threshold=1.1)
    assert silent.messages == 0 and silent.seconds == pytest.approx(worst.seconds)


def test_no_time_is_lost_or_made(table: Any) -> None:
    target = table(6, 1, exits=2)
    rounds = trace(target, table(6, 2, near=target), [0], max_new_tokens=60, drafted=3, ahead="both").rounds
    for ahead in ("none", "exits", "full acceptance", "both"):
        found = replay(rounds, Times(0.1, 1.0, 0.1, 0.2, {0: 0.3, 1: 0.6}, 0.01), ahead=ahead)
        assert 0 <= found.edge_idle < 1 and 0 < found.cloud_idle < 1
        kept = found.draft_steps - found.wasted_steps
        assert kept == pytest.approx(sum(r.drafted for r in rounds))


class Counted:
    """A draft that counts its passes, each of which is a drafted token."""

    def __init__(self, model: Any) -> None:
        self.model, self.passes = model, 0
        self.vocabulary, self.longest = model.vocabulary, model.longest

    def session(self) -> Any:
        inner = self.model.session()
        extend = inner.extend

        def counting(*arguments: Any) -> Any:
            self.passes += 1
            return extend(*arguments)

        inner.extend = counting
        return inner


@pytest.mark.parametrize("ahead", ["none", "exits"])
@pytest.mark.parametrize("seed", range(6))
def test_a_text_that_met_its_stop_token_against_counting(table: Any, seed: int, ahead: Any) -> None:
    """Tokens are those of the text, and steps those that a device makes that is never interrupted.

    Where the stop token is the last of a round that is accepted as a whole, a trace does not say that it is one.
    """
    target = table(6, seed, exits=2)
    options = {"max_new_tokens": 40, "drafted": 4, "draws": Draws(seed), "ahead": ahead}
    whole = trace(target, table(6, 9, near=target), [0], **options).tokens
    times = Times(1e-6, 1.0, 0.1, 0.1, {0: 0.3, 1: 0.6})  # every draft is complete before it is needed
    for stop in sorted(set(whole)):
        draft = Counted(table(6, 9, near=target))
        found = trace(target, draft, [0], stop=stop, **options)
        assert found.tokens == whole[: whole.index(stop) + 1]
        line = replay(found.rounds, times, ahead=ahead)
        assert line.tokens == len(found.tokens)
        if found.rounds[-1].outcome.accepted < found.rounds[-1].drafted:
            assert line.draft_steps == pytest.approx(draft.passes)
        assert sum(step.outcome.accepted + 1 for step in found.rounds) == len(found.tokens)
        assert [step.hit for step in found.rounds[:-1]].count(True) == line.hits


def test_what_a_provider_counts() -> None:
    rounds = rounds_of([[(4, 0, 1.0)], [(1, 0, 1.0)], [(2, 0, 1.0)]])  # 10 tokens from a prompt of 10
    assert [r.drafted for r in rounds] == [4, 4, 2]
    assert api_tokens(rounds, caching=True) == (10 + 10, 3, 3)
    assert api_tokens(rounds, caching=False) == (10 + 15 + 17 + 10, 3, 3)
    assert ApiTokens(10, 10, 1).price(1.0, 4.0) == 50
    assert api_tokens(rounds, caching=True).price(1.0, 4.0) == 32


def test_shares_of_a_timeline() -> None:
    found = Timeline(10.0, 20, 5, 2, 4.0, 3.0, 16.0, 4.0, 3)
    assert (found.per_token, found.hit_rate, found.edge_idle, found.cloud_idle) == (0.5, 0.5, 0.6, 0.7)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rounds: Times(-1.0, 1.0), "must not be negative"),
        (lambda rounds: Times(0.1, 0.0), "verify must be above 0"),
        (lambda rounds: Times(float("nan"), 1.0), "all finite"),
        (lambda rounds: Times(0.1, 1.0, down=float("inf")), "all finite"),
        (lambda rounds: Times(0.1, 1.0, exits={-1: 0.5}), "ascending shares"),
        (lambda rounds: replay(rounds, Times(0.1, 1.0), threshold=float("nan")), "threshold must be a number"),
        (lambda rounds: Times(0.1, 1.0, exits={0: 0.6, 1: 0.5}), "ascending shares"),
        (lambda rounds: replay([], Times(0.1, 1.0)), "at least one round"),
        (lambda rounds: replay(rounds, Times(0.1, 1.0), ahead="now"), "ahead must be one of"),
        (lambda rounds: replay(rounds, Times(0.1, 1.0), ahead="both"), "has no guesses"),
        (lambda rounds: replay(rounds, Times(0.1, 1.0, exits={3: 0.5})), "no exit 3"),
        (lambda rounds: round_seconds(Times(0.1, 1.0), 4, 1.5), "hit rate in"),
        (lambda rounds: round_seconds(Times(0.1, 1.0), -1), "0 or more tokens"),
    ],
)
def test_bad_requests_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(rounds_of([[(1, 0, 1.0), (1, 0, 1.0)]]))
