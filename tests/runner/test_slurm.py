"""The sweep ``quick`` on a SLURM cluster of one machine gives the table of a run without one.

``.ci/slurm start`` starts such a cluster; another, whose nodes may not see a temporary folder, is left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebook.sweeps import table

pytestmark = pytest.mark.alone

ANSWER, END = 60, 2700  # seconds for a cluster to answer, and for a sweep to end, on a machine with other work too
# A job of this cluster is seen at once, where a large one is asked seldom; and it has no accounts.
SLURM = ["--workflow-profile", "profiles/slurm", "--latency-wait", "5",
         "--slurm-init-seconds-before-status-checks", "3", "--slurm-status-command", "squeue"]  # fmt: skip
TIMED = "seconds"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Skip without a cluster, or fail in continuous integration, where there must be one; leave no job behind."""
    said = "No SLURM cluster of this machine answers: start one with `.ci/slurm start`."
    try:
        line = ["scontrol", "show", "config"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=ANSWER)
        there = re.search(r"^ClusterName += edgebook$", done.stdout, flags=re.MULTILINE) is not None
    except (FileNotFoundError, subprocess.TimeoutExpired):
        there = False
    if not there and os.environ.get("CI") == "true":
        pytest.fail(said)
    if not there:
        pytest.skip(said)
    yield
    subprocess.run(["scancel", "--quiet", "--me"], timeout=ANSWER)


def ended(line: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command, with all that it starts, to its end or to the limit; return what it said."""
    heard = folder / "said"
    with heard.open("w") as file:
        whole = subprocess.Popen(line, cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        code = whole.wait(END)
    except subprocess.TimeoutExpired:
        os.killpg(whole.pid, signal.SIGKILL)
        pytest.fail(f"The sweep did not end within {END} seconds:\n{heard.read_text()}")
    assert code == 0, heard.read_text()
    return heard.read_text()


def swept(root: Path, folder: Path, words: list[str]) -> tuple[list[dict], str]:
    """Run the sweep in a copy of the checkout; return the table without what differs, and what was said."""
    folder.mkdir()
    hidden = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("src", "notebooks", "profiles", "book"):
        shutil.copytree(root / name, folder / name, ignore=hidden)
    for name in ("Snakefile", "constraints.txt"):
        shutil.copy(root / name, folder / name)
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "EDGEBOOK_ROOT": str(folder)}
    line = [sys.executable, "-m", "snakemake", "sweep", *words, "--config", "name=quick"]
    said = ended(line, folder, environment)
    rows = table.read_table(folder / "_build/sweeps/quick.parquet")
    return [{name: value for name, value in row.items() if name != TIMED} for row in rows], said


@pytest.mark.slow
@pytest.mark.slurm
def test_the_quick_sweep_on_slurm_gives_the_same_table(cluster: None, root: Path, tmp_path: Path) -> None:
    here, said = swept(root, tmp_path / "here", ["--cores", "2"])
    assert len({row["point"] for row in here}) == 4 and {row["kind"] for row in here} >= {"claim", "control"}
    assert "SLURM jobid" not in said
    there, said = swept(root, tmp_path / "there", SLURM)
    assert said.count("submitted with SLURM jobid") == 4, "every point is a job of the cluster"
    assert there == here
