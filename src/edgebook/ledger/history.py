"""How the word of each claim has changed from one committed record to the next."""

from __future__ import annotations

import json
import subprocess
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from edgebook.notebooks.paths import project_root


class Turn(NamedTuple):
    """A word of a claim, with the commit that brought it and that commit's date."""

    word: str
    when: date
    commit: str


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
    for (commit, when), text in zip(commits, _objects(_git(root, "cat-file", "--batch", asked=asked)), strict=True):
        for claim, word in _words(text).items():
            known = found.setdefault(claim, [])
            if not known or known[-1].word != word:
                known.append(Turn(word, date.fromisoformat(when), commit[:7]))
    return found


def was(known: list[Turn]) -> str:
    """Say what a claim's word was before, and until when; empty where it has never been another.

    >>> was([Turn("open", date(2026, 1, 2), "a1"), Turn("shown", date(2026, 3, 4), "b2")])
    'was open until 4 Mar 2026 (b2)'
    """
    past = [f"{one.word} until {_day(other.when)} ({other.commit})" for one, other in pairwise(known)]
    return f"was {', '.join(past)}" if past else ""


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


def _words(record: bytes) -> dict[str, str]:
    try:
        return {result["claim"]["id"]: result["verdict"] for result in json.loads(record)["results"]}
    except (ValueError, KeyError, TypeError):  # a commit that took the record away, or a form of long ago
        return {}
