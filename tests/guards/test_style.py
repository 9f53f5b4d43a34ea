"""The checks of the pre-commit hooks, so that they hold without the hooks too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml


def said(root: Path, *words: str) -> str:
    """Run a tool of this environment at the root; return what it complains about."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=root, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def test_ruff_finds_nothing(root: Path) -> None:
    assert said(root, "ruff", "check", "--output-format", "concise", ".") == ""


def test_codespell_finds_nothing(root: Path) -> None:
    written = ["book", "notebooks", "src", *(path.name for path in root.glob("*.md"))]
    assert said(root, "codespell_lib", *written) == ""


def test_the_hooks_download_nothing(root: Path) -> None:
    config = yaml.safe_load((root / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff", "nbstripout", "codespell", "check"]
    assert {hook["language"] for hook in hooks} == {"system"}


def test_a_tool_that_complains_is_heard(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\n# " + "te" + "h\n", encoding="utf-8")
    assert "F401" in said(tmp_path, "ruff", "check", "--isolated", "a.py")
    assert "the" in said(tmp_path, "codespell_lib", "a.py")
