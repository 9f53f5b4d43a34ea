"""The Makefile lists its targets, and says in one sentence what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Not the variables of the `make test` that may have started this.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, env=kept, timeout=60)


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A folder with nothing but what `make venv` reads."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def test_help_lists_every_target(root: Path, checkout: Path) -> None:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    shown = make(checkout).stdout
    assert [line.split()[0] for line in shown.splitlines()[1:]] == phony.group(1).split()


@pytest.mark.parametrize("answer", ["exit 1", "exit 127"])
def test_an_old_python_is_refused_in_one_sentence(checkout: Path, answer: str) -> None:
    old = checkout / "python3.10"
    old.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    old.chmod(0o755)
    done = make(checkout, "venv", "PYTHON=./python3.10")
    assert done.returncode != 0
    sentence = done.stderr.splitlines()[0]
    assert sentence.startswith("Python 3.11 or later is needed, and './python3.10' is not one")
    assert "Creating" not in done.stdout
    assert not (checkout / ".venv").exists()


def test_the_job_follows_the_lock(checkout: Path) -> None:
    """An up-to-date environment is not installed again; a changed lock is."""
    stamp = checkout / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(checkout / name, (1, 1))
    assert "pip install" not in make(checkout, "--dry-run", "venv").stdout
    os.utime(checkout / "constraints.txt")
    os.utime(stamp, (2, 2))
    assert "pip install" in make(checkout, "--dry-run", "venv").stdout


def test_sweep_and_serve_say_what_is_missing(checkout: Path) -> None:
    stamp = checkout / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(checkout / name, (1, 1))
    for target, words in (
        ("sweep", "Name the sweep: make sweep NAME="),
        ("serve", "There is no book yet"),
    ):
        done = make(checkout, target)
        assert done.returncode != 0
        assert done.stderr.startswith(words)


def test_record_runs_one_paper_or_all(checkout: Path) -> None:
    said = [make(checkout, "--dry-run", "record", *words).stdout for words in (["PAPER=toy"], [])]
    assert "--config paper='toy'" in said[0] and "every paper" not in said[0]
    assert "--config" not in said[1] and "Running every paper" in said[1]


def test_tests_run_on_as_many_cores_as_asked_for(checkout: Path) -> None:
    """Units with their groups, notebooks, and the browser; the look at what figures draw takes a second."""
    said = make(checkout, "--dry-run", "test", "JOBS=3").stdout
    calls = [line for line in said.splitlines() if "-m pytest" in line]
    assert len(calls) == 4
    assert [call for call in calls if "-n 3 --dist" not in call] == [call for call in calls if "test_drawn" in call]
    assert [call for call in calls if "--dist loadgroup" in call] == calls[:1]


def test_ci_runs_the_same_command(root: Path) -> None:
    script = (root / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(root / ".ci" / "run", os.X_OK)
    assert script.splitlines()[-1] == "make test"
    assert "set -euo pipefail" in script
