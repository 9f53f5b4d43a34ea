"""The file from which a client that was killed goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.decoding import Draws, Sampling, trace
from edgebook.decoding.service.journal import Journal

REQUEST = {"prompt": "abc", "seed": 7}


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, REQUEST) as first:
        assert first.tokens == []
        first.add([1, 2])
        first.add([3])
    with Journal(path, REQUEST) as second:
        assert second.tokens == [1, 2, 3]
        second.add([4])
    with Journal(path, REQUEST) as third:
        assert third.tokens == [1, 2, 3, 4]


def test_wherever_it_was_cut_short_it_ends_with_a_whole_round(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, REQUEST) as journal:
        journal.add([10, 2])
        journal.add([33])
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with Journal(path, REQUEST) as journal:
            assert journal.tokens == [[], [], [10, 2], [10, 2, 33]][whole[:length].count(b"\n")]
            kept = list(journal.tokens)
            journal.add([5])
        with Journal(path, REQUEST) as journal:
            assert journal.tokens == [*kept, 5]


@pytest.mark.parametrize(
    "content", [b"a text\n", b"[1, 2]\n", b'{"request": {"prompt": "abc", "seed": 7}}\nx\n', b"\x80\n"]
)
def test_files_that_are_no_journal_are_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^The file .* is no journal of a text\.$"):
        Journal(path, REQUEST)
    assert path.read_bytes() == content


def test_another_request_and_another_client_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, REQUEST) as journal:
        journal.add([1])
        with pytest.raises(ValueError, match=r"in use by another client\.$"):
            Journal(path, REQUEST)
    with pytest.raises(ValueError, match=r"of another request; name another file\.$"):
        Journal(path, REQUEST | {"seed": 8})
    with Journal(path, REQUEST) as journal:
        assert journal.tokens == [1]


@given(st.integers(0, 6), st.integers(0, 1000), st.sampled_from([Sampling(), Sampling(0.0), Sampling(0.8, 4, 0.9)]))
def test_a_text_that_goes_on_after_whole_rounds_is_the_same(
    table: Any, rounds: int, seed: int, sampling: Sampling
) -> None:
    """Both sides begun anew with what is verified: the text is the one that there would have been."""
    target = table(6, seed, exits=1)
    draft = table(6, seed + 1, near=target)
    options = {"drafted": 3, "sampling": sampling, "draws": Draws(seed)}
    whole = trace(target, draft, [0, 1], max_new_tokens=20, ahead="none", **options)
    kept = sum(step.outcome.accepted + 1 for step in whole.rounds[:rounds])
    if kept < 20:
        prompt = [0, 1, *whole.tokens[:kept]]
        rest = trace(target, draft, prompt, max_new_tokens=20 - kept, ahead="exits", **options)
        assert whole.tokens[:kept] + rest.tokens == whole.tokens
