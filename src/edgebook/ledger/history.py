"""How the word of each claim has changed from one committed record to the next."""

from __future__ import annotations

import json
import subprocess
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from edgebook.notebooks.paths import project_root

# Words that say the same of statements of different kinds; in the first form of the rule all had those of claims.
_FOR = {"reproduced", "yes", "held", "agrees"}
_AGAINST = {"not reproduced", "contradicted", "no", "the other way round", "failed", "does not agree"}
_APART = [{"not reproduced", "contradicted"}, {"no", "the other way round"}]  # of one kind, two verdicts


class Turn(NamedTuple):
    """A word of a claim, with the commit that brought it, that commit's date, and whether samples were new in it."""

    word: str
    when: date
    commit: str
    measured: bool = True


def turns(notebook: str, root: Path | None = None) -> dict[str, list[Turn]]:
    """Return for each claim its words in the committed records, oldest first, one for each time that it changed.

    Records of every form count. Empty where there is no git, no record, or not the whole history.
    """
    root, path = root or project_root(), f"results/full/{notebook}.json"
    if _git(root, "rev-parse", "--is-shallow-repository").strip() != b"false":
        return {}
    lines = _git(root, "log", "--reverse", "--format=%H %cs", "--", path).decode().split("\n")
    commits = [line.split() for line in lines if line]
    asked = "".join(f"{commit}:./{path}\n" for commit, _ in commits)
    found: dict[str, list[Turn]] = {}
    last: dict[str, object] = {}
    for (commit, when), text in zip(commits, _objects(_git(root, "cat-file", "--batch", asked=asked)), strict=True):
        for claim, (word, samples) in _words(text).items():
            known = found.setdefault(claim, [])
            if not known or known[-1].word != word:
                known.append(Turn(word, date.fromisoformat(when), commit[:7], samples != last.get(claim)))
            last[claim] = samples
    return found


def was(known: list[Turn]) -> str:
    """Say what a claim's word was before, until when and why; empty where it has never been another.

    Another word for the same, which a statement has since it is of another kind, is told as a name.

    >>> was([Turn("inconclusive", date(2026, 1, 2), "a1"), Turn("reproduced", date(2026, 3, 4), "b2")])
    'was inconclusive until 4 Mar 2026 (b2, a new run)'
    >>> was([Turn("reproduced", date(2026, 1, 2), "a1"), Turn("held", date(2026, 3, 4), "b2", measured=False)])
    'was called reproduced until 4 Mar 2026 (b2, the same samples)'
    """
    past = [
        f"{'called ' * _renamed(one.word, other.word)}{one.word} until {_day(other.when)} "
        f"({other.commit}, {'a new run' if other.measured else 'the same samples'})"
        for one, other in pairwise(known)
    ]
    return f"was {', '.join(past)}" if past else ""


def last_change(path: str, root: Path | None = None) -> str:
    """Say at which commit and when a file was changed last; empty where git does not know."""
    commit, _, when = _git(root or project_root(), "log", "-1", "--format=%h %cs", "--", path).decode().partition(" ")
    return f"commit {commit[:7]}, {_day(date.fromisoformat(when.strip()))}" if commit else ""


def _renamed(before: str, after: str) -> bool:
    """Tell whether two words say the same of statements of different kinds; among claims no two do."""
    both = {before, after}
    return (both <= _FOR or both <= _AGAINST) and both not in _APART


def _day(when: date) -> str:
    return f"{when.day} {when:%b %Y}"


def _git(root: Path, *words: str, asked: str = "") -> bytes:
    """Return what a git command prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(["git", *words], cwd=root, input=asked.encode(), capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


def _objects(printed: bytes) -> list[bytes]:
    """Take apart what ``git cat-file --batch`` prints; an object that is missing is empty."""
    found = []
    while printed:
        head, _, rest = printed.partition(b"\n")
        size = 0 if head.endswith(b" missing") else int(head.split()[-1]) + 1
        found.append(rest[: max(0, size - 1)])
        printed = rest[size:]
    return found


def _words(record: bytes) -> dict[str, tuple[str, object]]:
    """Return for each claim of a record its word and its samples."""
    try:
        found = json.loads(record)["results"]
        return {result["claim"]["id"]: (result["verdict"], result.get("samples")) for result in found}
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # a commit that took the record away, or a form of long ago
        return {}
