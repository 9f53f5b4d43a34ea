"""The workflow files and the citation are valid, and ask for no more than they need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def complaints(schema: str, *paths: Path) -> str:
    """Compare files with a schema that check-jsonschema brings along, offline; empty if they agree."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_workflows_are_there() -> None:
    assert [path.stem for path in WORKFLOWS] == ["nightly", "pages", "sweep", "test"]


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_the_workflows_are_valid(schema: str) -> None:
    assert complaints(schema, *WORKFLOWS) == ""


def test_the_citation_is_valid(root: Path) -> None:
    assert complaints("vendor.citation-file-format", root / "CITATION.cff") == ""


def test_an_invalid_file_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("on: push\njobs: {test: {runs_on: ubuntu-latest}}\n", encoding="utf-8")
    assert "runs-on" in complaints("vendor.github-workflows", broken)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_reads_only_and_pins_its_actions(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    rights = [right for job in workflow["jobs"].values() for right in job.get("permissions", {}).items()]
    writing = {name for name, right in rights if right == "write"}
    assert writing == ({"pages", "id-token"} if path.stem == "pages" else set())
    uses = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert uses
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in uses), uses


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_input_is_pasted_into_a_command(path: Path) -> None:
    commands = [step.get("run", "") for job in read(path)["jobs"].values() for step in job["steps"]]
    assert any(commands) or path.stem == "pages"
    assert [command for command in commands if "${{" in command] == []


def test_a_profile_for_a_cluster_says_what_that_of_one_machine_says(root: Path) -> None:
    """It stands instead of the default one: what it does not repeat is lost."""
    here = read(root / "profiles" / "default" / "config.yaml")
    del here["cores"]
    others = [path for path in (root / "profiles").glob("*/config.yaml") if path.parent.name != "default"]
    assert sorted(path.parent.name for path in others) == ["kubernetes", "slurm"]
    for path in others:
        profile = read(path)
        assert profile.items() >= here.items(), path
        assert profile["jobs"] > 1 and profile["executor"] != "local"
