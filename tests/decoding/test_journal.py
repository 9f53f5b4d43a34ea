"""The file from which a client that was killed goes on."""

from __future__ import annotations

import errno
import os
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


def written(path: Path) -> tuple[bytes, list[list[int]]]:
    """A journal of three rounds, and what it holds after each of its lines but the target's."""
    with Journal(path, REQUEST) as journal:
        for tokens in ([10, 2], [33], [4, 5, 6]):
            journal.add(tokens, target="7" * 64)
    return path.read_bytes(), [[], [10, 2], [10, 2, 33], [10, 2, 33, 4, 5, 6]]


def test_a_bit_that_has_turned_costs_its_line_and_those_after_it(tmp_path: Path) -> None:
    """Each bit of each byte: the intact beginning is used, and it is said; a journal without one is none."""
    path = tmp_path / "journal"
    whole, held = written(path)
    head, begins = whole.index(b"\n"), [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for place in range(len(whole)):
        for bit in range(8):
            changed = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
            path.write_bytes(changed)
            if place <= head:
                with pytest.raises(ValueError, match="is no journal of a text"):
                    Journal(path, REQUEST)
                assert path.read_bytes() == changed
                continue
            with Journal(path, REQUEST) as journal:
                intact = sum(end < place for end in begins)  # lines before it
                assert journal.tokens == held[max(0, intact - 2)]
                assert journal.target == ("7" * 64 if intact > 1 else None)
                # The last line without its end is one that was cut short, as after a kill.
                assert journal.damaged or place == len(whole) - 1
                journal.add([7])
            with Journal(path, REQUEST) as journal:
                assert (journal.tokens[-1], journal.damaged) == (7, False)


@pytest.mark.parametrize("order", [[0, 1, 3, 2], [0, 1, 2, 2, 3], [0, 1, 3], [0, 1, 2, 4], [0, 2, 3, 4], [0, 1, 0, 2]])
def test_lines_that_have_moved_come_twice_or_are_missing_are_damage(tmp_path: Path, order: list[int]) -> None:
    path = tmp_path / "journal"
    whole, held = written(path)
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in order))
    right = next(place for place, number in enumerate(order) if place != number)
    with Journal(path, REQUEST) as journal:
        assert journal.tokens == held[max(0, right - 2)] and journal.damaged


def test_a_full_disk_raises_and_leaves_whole_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    with Journal(path, REQUEST) as journal:
        journal.add([1])
        with monkeypatch.context() as patch:

            def full(_: int) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                journal.add([2])
        assert journal.tokens == [1]
        journal.add([3])
    with Journal(path, REQUEST) as journal:
        assert (journal.tokens, journal.damaged) == ([1, 3], False)


def test_what_is_no_file_is_no_journal(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is no journal of a text"):
            Journal(path, REQUEST)


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
