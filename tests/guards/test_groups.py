"""Tests that are marked as not to run beside each other are given to one worker; all others to whoever is free."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = "import pytest\n{mark}\n@pytest.mark.parametrize('number', range(8))\ndef test(number): ...\n"


def test_marked_tests_of_all_files_share_one_worker(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    shutil.copy(root / "tests" / "conftest.py", tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    alone: x\naddopts = --import-mode=importlib\n")
    for name, mark in {"one": "pytestmark = pytest.mark.alone", "two": "@pytest.mark.alone", "free": ""}.items():
        (tmp_path / "tests" / f"test_{name}.py").write_text(TESTS.format(mark=mark))
    line = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"\[(gw\d)\].* PASSED tests/test_(\w+)\.py", done.stdout)
    assert len(found) == 24
    assert len({worker for worker, file in found if file != "free"}) == 1
