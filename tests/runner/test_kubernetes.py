"""The profile for Kubernetes, with a stand-in for kubectl that runs each Job on this machine.

What is real are the workflow, the profile and its scripts; what no test sees here are the cluster and its volume.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgebook.sweeps import table

pytestmark = pytest.mark.alone

KUBECTL = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
word, name, jobs = sys.argv[1], sys.argv[3], Path(os.environ["JOBS"])
if word == "create":
    job = json.load(sys.stdin)
    container = job["spec"]["template"]["spec"]["containers"][0]
    done = subprocess.run(container["command"], cwd=container["workingDir"], stderr=subprocess.DEVNULL)
    (jobs / job["metadata"]["name"]).write_text("/1" if done.returncode else "1/")
    print("job.batch/" + job["metadata"]["name"] + " created")
elif word == "get":
    print((jobs / name).read_text() if (jobs / name).exists() else "", end="")
"""
POINTS = "says: W?\nnotebook: toy\ntier: quick\ngrid: {seeds: [1, 2]}\n"


@pytest.fixture
def fleet(flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The checkout of two points, with the profile, and the stand-in in the path."""
    repository = Path(__file__).resolve().parents[2]
    shutil.copytree(repository / "profiles/kubernetes", flow.root / "profiles/kubernetes")
    flow.write("notebooks/sweeps/toy.yml", POINTS)
    programs, jobs = tmp_path / "programs", tmp_path / "jobs"
    programs.mkdir()
    jobs.mkdir()
    (programs / "kubectl").write_text(KUBECTL.format(python=sys.executable))
    (programs / "kubectl").chmod(0o755)
    flow.environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "JOBS": str(jobs)}
    flow.environment |= {"EDGEBOOK_IMAGE": "python", "EDGEBOOK_CLAIM": "shared"}
    flow.jobs = jobs
    return flow


def sweep(fleet) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "snakemake", "sweep", "--workflow-profile", "profiles/kubernetes",
            "--latency-wait", "2", "--config", "name=toy"]  # fmt: skip
    return subprocess.run(line, cwd=fleet.root, env=fleet.environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_every_point_is_a_job_and_the_table_is_whole(fleet) -> None:
    done = sweep(fleet)
    assert done.returncode == 0, done.stderr
    assert [path.read_text() for path in fleet.jobs.iterdir()] == ["1/", "1/"]
    assert [row["seeds"] for row in table.read_table(table.table_path("toy"))] == [1, 2]


def test_what_is_not_set_is_said_in_one_sentence(fleet) -> None:
    fleet.environment.pop("EDGEBOOK_CLAIM")
    line = [sys.executable, "profiles/kubernetes/submit.py", "script.sh"]
    done = subprocess.run(line, cwd=fleet.root, env=fleet.environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Set EDGEBOOK_CLAIM: the page 'Scaling out' of the book says to what.\n"
    assert list(fleet.jobs.iterdir()) == []


@pytest.mark.parametrize(("kept", "word"), [("/", "running"), ("1/", "success"), ("/1", "failed"), (None, "failed")])
def test_the_status_of_a_job_is_one_word(fleet, kept: str | None, word: str) -> None:
    if kept is not None:
        (fleet.jobs / "edgebook-1").write_text(kept)
    line = ["profiles/kubernetes/status", "edgebook-1"]
    done = subprocess.run(line, cwd=fleet.root, env=fleet.environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{word}\n")


def test_a_cluster_that_does_not_answer_ends_nothing(fleet) -> None:
    fleet.environment["PATH"] = os.environ["PATH"]  # where there is no kubectl, or one without this Job
    fleet.environment["KUBECONFIG"] = str(fleet.root / "none")
    line = ["profiles/kubernetes/status", "edgebook-1"]
    done = subprocess.run(line, cwd=fleet.root, env=fleet.environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "running\n"


@pytest.fixture(scope="module")
def submit(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("submit", root / "profiles/kubernetes/submit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_pod_sees_the_checkout_where_it_is(submit: ModuleType, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = {"EDGEBOOK_IMAGE": "python:3.11", "EDGEBOOK_CLAIM": "shared", "EDGEBOOK_MOUNT": str(tmp_path.parent)}
    job = json.loads(json.dumps(submit.manifest(Path("a.sh"), 2, 4000, asked)))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["/bin/sh", str(tmp_path / "a.sh")] and container["workingDir"] == str(tmp_path)
    assert container["volumeMounts"] == [{"name": "checkout", "mountPath": str(tmp_path.parent)}]
    assert pod["volumes"] == [{"name": "checkout", "persistentVolumeClaim": {"claimName": "shared"}}]
    assert container["resources"]["requests"] == {"cpu": "2", "memory": "4000M"}
    assert job["spec"]["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
    with pytest.raises(ValueError, match="the checkout lies outside"):
        submit.manifest(Path("a.sh"), 1, 1, asked | {"EDGEBOOK_MOUNT": "/elsewhere"})
