"""The workflow on a small checkout: what it executes again, what it leaves, and how it resumes.

In place of notebooks with a kernel each, the workflow calls a stand-in for ``python -m edgebook`` that notes
its call and writes what the runner would; the runner itself is tested beside this file.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.alone

STAND_IN = """
import os, pathlib, sys, time
name, tier, out = sys.argv[2], sys.argv[4], pathlib.Path(sys.argv[6])
with open("calls", "a") as calls:
    print(tier, name, file=calls)
if pathlib.Path("slow").exists() and name == "one":
    time.sleep(600)
if pathlib.Path("broken").exists() and name == "one":
    sys.exit("one: cell 3: ValueError: no.")
out.mkdir(parents=True, exist_ok=True)
(out / f"{name}.ipynb").write_text(tier)
if name != "data":
    (out / f"{name}.json").write_text(f"{tier} {os.environ.get('EDGEBOOK_RESUME')}")
if pathlib.Path("measures").exists():
    (out / f"{name}.measured.json").write_text(tier)
    (out / f"{name}.metrics.json").write_text(tier)
"""


@pytest.fixture
def flow(checkout):
    """A checkout with two papers, a page, a wing of two kernels, and the stand-in for the runner."""
    repository = checkout.environment["PYTHONPATH"].removesuffix("/src")
    shutil.copy(f"{repository}/Snakefile", checkout.root)
    shutil.copytree(f"{repository}/src/edgebook", checkout.root / "real/edgebook", ignore=_only_what_it_reads)
    checkout.write("real/edgebook/__main__.py", STAND_IN)
    checkout.environment["PYTHONPATH"] = str(checkout.root / "real")
    checkout.write("src/edgebook/__init__.py", "")
    checkout.write("src/edgebook/wing/__init__.py", "from .a import f as f\nfrom .b import g as g\n")
    checkout.write("src/edgebook/wing/a.py", "from edgebook.wing.deep import C\ndef f():\n    return C\n")
    checkout.write("src/edgebook/wing/deep.py", "C = 1\n")
    checkout.write("src/edgebook/wing/b.py", "def g():\n    return 2\n")
    checkout.notebook("notebooks/one.ipynb", "from edgebook.wing import f\nf()")
    checkout.notebook("notebooks/two.ipynb", "from edgebook.wing import g\ng()")
    checkout.notebook("book/data.ipynb", "1 + 1")
    tiers = "one: {quick: {seeds: 1}, full: {seeds: 8}}\ntwo: {quick: {seeds: 1}, full: {seeds: 8}}\n"
    checkout.write("notebooks/tiers.yml", tiers)
    for name in ("one", "two"):
        checkout.write(f"book/claims/{name}.yml", f"title: {name}\n")
    return checkout


def _only_what_it_reads(folder, names):
    kept = {"__init__.py", "catalogue.py", "cell.py", "effects.py", "files.py", "modules.py", "notebooks", "paths.py"}
    kept |= {"sources.py", "statements.py"}
    return [name for name in names if name not in kept]


LINE = [sys.executable, "-m", "snakemake", "--cores", "2", "--nolock", "--rerun-incomplete", "--keep-going"]


def calls(flow, *targets, config="unset=1"):
    """Run the workflow; return its exit code and what it has executed, sorted."""
    (flow.root / "calls").unlink(missing_ok=True)
    words = [*LINE, "--quiet", "all", "--config", config, "--", *(targets or ("execute",))]
    done = subprocess.run(words, cwd=flow.root, env=flow.environment, capture_output=True, text=True)
    noted = flow.root / "calls"
    return done, sorted(noted.read_text().splitlines()) if noted.exists() else []


def test_only_what_depends_on_a_change_is_executed_again(flow):
    root = flow.root
    done, executed = calls(flow)
    assert done.returncode == 0, done.stderr
    assert executed == ["book data", "book one", "book two"]

    for path in [
        *root.glob("notebooks/*"),
        *root.glob("src/**/*.py"),
        *root.glob("book/**/*.*"),
        root / "constraints.txt",
    ]:
        path.touch()
    assert calls(flow)[1] == []

    flow.write("src/edgebook/wing/deep.py", "C = 2\n")
    flow.write("src/edgebook/wing/unused.py", "D = 2\n")
    with (root / "src/edgebook/wing/__init__.py").open("a") as names:
        names.write("from .unused import D as D\n")
    assert calls(flow)[1] == ["book one"]
    flow.notebook("notebooks/two.ipynb", "from edgebook.wing import g as h\nh()")
    assert calls(flow)[1] == ["book two"]
    tiers = (root / "notebooks/tiers.yml").read_text()
    flow.write("notebooks/tiers.yml", tiers.replace("two: {", "two: {book: {seeds: 2}, "))
    assert calls(flow)[1] == ["book two"]
    flow.write("book/claims/one.yml", "title: first\n")
    assert calls(flow)[1] == ["book one"]
    flow.write("constraints.txt", "numpy==2.0\n")
    assert calls(flow)[1] == ["book data", "book one", "book two"]


def test_a_failure_is_told_and_the_others_go_on(flow):
    flow.write("broken", "")
    done, executed = calls(flow)
    assert done.returncode != 0
    assert executed == ["book data", "book one", "book two"]
    assert "one: cell 3: ValueError: no." in done.stderr
    (flow.root / "broken").unlink()
    done, executed = calls(flow)
    assert done.returncode == 0, done.stderr
    assert executed == ["book one"]


def test_killed_midway_it_resumes_with_what_was_not_finished(flow):
    flow.write("slow", "")
    started = subprocess.Popen(
        [*LINE, "execute"],
        cwd=flow.root,
        env=flow.environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 300  # on a busy machine; an idle one takes seconds
    finished = [flow.root / f"_build/book/{name}.ipynb" for name in ("two", "data")]
    noted = flow.root / ".snakemake" / "metadata"  # where it notes, after a moment, what it has finished
    while not (all(path.exists() for path in finished) and noted.is_dir() and len(list(noted.iterdir())) >= 3):
        assert started.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    (flow.root / "slow").unlink()
    done, executed = calls(flow)
    assert done.returncode == 0, done.stderr
    assert executed == ["book one"]


def test_a_verdict_grade_run_resumes_and_lands_in_results(flow):
    done, executed = calls(flow, "record", config="paper=one")
    assert done.returncode == 0, done.stderr
    assert executed == ["full one"]
    assert (flow.root / "results/full/one.json").read_text() == "full _build/cache"
    assert calls(flow, "record", config="paper=one")[1] == []
    assert calls(flow, "quick")[1] == ["quick data", "quick one", "quick two"]
    flow.write("results/full/one.json", "another record")
    assert calls(flow, "quick", "record", config="paper=one")[1] == ["quick one"]


def test_what_a_verdict_grade_run_measured_lands_beside_its_record(flow):
    flow.write("measures", "")
    assert calls(flow, "record", config="paper=one")[0].returncode == 0
    assert sorted(path.name for path in (flow.root / "results/full").iterdir()) == ["one.json", "one.measured.json"]
