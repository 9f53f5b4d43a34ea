"""The words of a claim over the commits of its record, in small repositories."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date
from pathlib import Path

import pytest

from edgebook.ledger.history import Turn, turns, was

PATH = "results/full/toy.json"


def git(root: Path, *words: str, when: str = "2026-01-02") -> str:
    stamp = f"{when}T12:00:00+00:00"
    environment = os.environ | {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
    line = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words]
    return subprocess.run(line, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, content: object, when: str, samples: list[float] | None = None) -> str:
    """Commit a record with these words, or a text as it is; return the commit as it is shown."""
    words = isinstance(content, dict)
    entries = content.items() if words else ()
    results = [{"claim": {"id": claim}, "verdict": word, "samples": samples or [when]} for claim, word in entries]
    (root / PATH).parent.mkdir(parents=True, exist_ok=True)
    (root / PATH).write_text(json.dumps({"results": results, "when": when}) if words else str(content))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "record", when=when)
    return git(root, "rev-parse", "HEAD")[:7]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def test_only_changes_of_a_word_are_turns_the_oldest_first(root: Path) -> None:
    first = commit(root, {"T-1": "inconclusive", "T-2": "reproduced"}, "2026-01-02")
    commit(root, {"T-1": "inconclusive", "T-2": "reproduced"}, "2026-01-03")
    third = commit(root, {"T-1": "reproduced", "T-2": "reproduced"}, "2026-02-14")
    fourth = commit(root, {"T-1": "depends", "T-2": "reproduced", "T-3": "yes"}, "2026-03-01")
    assert turns("toy", root) == {
        "T-1": [
            Turn("inconclusive", date(2026, 1, 2), first),
            Turn("reproduced", date(2026, 2, 14), third),
            Turn("depends", date(2026, 3, 1), fourth),
        ],
        "T-2": [Turn("reproduced", date(2026, 1, 2), first)],
        "T-3": [Turn("yes", date(2026, 3, 1), fourth)],
    }
    told = [was(known) for known in turns("toy", root).values()]
    past = f"was inconclusive until 14 Feb 2026 ({third}, a new run), reproduced until 1 Mar 2026 ({fourth}, a new run)"
    assert told == [past, "", ""]


@pytest.mark.parametrize(("before", "after", "told"), [
    ("reproduced", "held", "called reproduced"), ("contradicted", "failed", "called contradicted"),
    ("contradicted", "no", "called contradicted"), ("inconclusive", "failed", "inconclusive"),
    ("reproduced", "does not agree", "reproduced"), ("contradicted", "not reproduced", "contradicted"),
    ("direction only", "agrees", "direction only"), ("reproduced", "direction only", "reproduced"),
    ("held", "reproduced", "called held"),
])  # fmt: skip
def test_another_name_for_the_same_is_told_from_another_verdict(root: Path, before: str, after: str, told: str) -> None:
    commit(root, {"T-1": before}, "2026-01-02", samples=[1.0])
    second = commit(root, {"T-1": after}, "2026-02-14", samples=[1.0])
    assert was(turns("toy", root)["T-1"]) == f"was {told} until 14 Feb 2026 ({second}, the same samples)"


def test_samples_are_those_of_the_record_before_also_where_no_word_changed(root: Path) -> None:
    commit(root, {"T-1": "inconclusive"}, "2026-01-02", samples=[1.0])
    commit(root, {"T-1": "inconclusive"}, "2026-01-03", samples=[2.0])
    commit(root, {"T-1": "failed"}, "2026-01-04", samples=[2.0])
    assert [turn.measured for turn in turns("toy", root)["T-1"]] == [True, False]


def test_what_is_not_committed_and_other_papers_count_for_nothing(root: Path) -> None:
    commit(root, {"T-1": "reproduced"}, "2026-01-02")
    (root / PATH).write_text('{"results": [{"claim": {"id": "T-1"}, "verdict": "contradicted"}]}')
    assert [len(known) for known in turns("toy", root).values()] == [1]
    assert turns("other", root) == {}


@pytest.mark.parametrize("broken", ["{", "[]", '{"results": [1]}', '{"results": null}', ""])
def test_a_record_that_cannot_be_read_is_passed_over(root: Path, broken: str) -> None:
    commit(root, broken, "2026-01-01")
    commit(root, {"T-1": "reproduced"}, "2026-01-02")
    git(root, "rm", "-q", PATH)
    git(root, "commit", "-qm", "gone")
    commit(root, {"T-1": "inconclusive"}, "2026-01-04")
    assert [turn.word for turn in turns("toy", root)["T-1"]] == ["reproduced", "inconclusive"]


def test_without_git_or_the_whole_history_there_are_no_turns(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert turns("toy", root) == {}  # no commit yet
    commit(root, {"T-1": "inconclusive"}, "2026-01-02")
    commit(root, {"T-1": "reproduced"}, "2026-01-03")
    clone, bare = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("bare")
    git(clone, "clone", "-q", "--depth", "1", f"file://{root}", "shallow")
    assert turns("toy", clone / "shallow") == {}
    assert turns("toy", bare) == {}
    monkeypatch.setenv("PATH", "")
    assert turns("toy", root) == {}
