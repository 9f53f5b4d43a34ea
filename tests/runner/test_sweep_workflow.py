"""A sweep through the workflow: killed at random, with a failed point, and refused.

The runner, its processes and the workflow are the real ones; only in place of papermill with a kernel a stand-in
executes the cells of the notebook, so that 24 points take seconds. Kernels are tested beside this file.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from edgebook.sweeps import table
from edgebook.sweeps.points import points_of

pytestmark = pytest.mark.alone

SWEEP = "says: W?\nnotebook: toy\ntier: quick\ngrid: {seeds: [1, 2, 3, 4, 5, 6], rate: [0.25, 0.5, 1.0, 2.0]}\n"
LINE = [sys.executable, "-m", "snakemake", "sweep", "--cores", "2", "--quiet", "all", "--config"]
# Of the columns, the only one that two runs may differ in.
TIMED = "seconds"
END = 1500  # seconds for a sweep on a busy machine; an idle one takes less than a minute


@pytest.fixture
def flow(flow):
    """The checkout with a sweep of 24 points."""
    flow.write("notebooks/sweeps/toy.yml", SWEEP)
    return flow


def sweep(flow, name="toy"):
    """Run the sweep to its end; return the finished process and the runs that were started meanwhile."""
    (flow.root / "calls").unlink(missing_ok=True)
    words = [*LINE, f"name={name}"]
    done = subprocess.run(words, cwd=flow.root, env=flow.environment, capture_output=True, text=True, timeout=END)
    return done, started(flow)


def started(flow):
    """Count how often each point has been started."""
    noted = flow.root / "calls"
    return Counter(noted.read_text().splitlines()) if noted.exists() else Counter()


def untimed():
    return [{k: v for k, v in row.items() if k != TIMED} for row in table.read_table(table.table_path("toy"))]


def kill_midway(flow, finished):
    """Start the sweep and kill all of it, without warning, a moment after so many points are finished."""
    whole = subprocess.Popen(
        [*LINE, "name=toy"], cwd=flow.root, env=flow.environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + END
    while len(list(flow.root.glob("_build/points/*/outcome.json"))) < finished:
        assert whole.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(whole.pid, signal.SIGKILL)
    whole.wait()


@pytest.mark.slow
def test_killed_twice_it_ends_with_the_table_of_an_undisturbed_run(flow):
    done, calls = sweep(flow)
    assert done.returncode == 0, done.stderr
    assert len(calls) == 24 and set(calls.values()) == {1}
    undisturbed = untimed()
    assert [(row["seeds"], row["rate"], row["value"]) for row in undisturbed] == [
        (seeds, rate, seeds * rate) for seeds in range(1, 7) for rate in (0.25, 0.5, 1.0, 2.0)
    ]
    shutil.rmtree(flow.root / "_build")
    shutil.rmtree(flow.root / ".snakemake")
    (flow.root / "calls").unlink()

    draw = random.Random(8)
    for finished in (draw.randint(2, 8), draw.randint(11, 19)):
        kill_midway(flow, finished)
        time.sleep(1)  # what the killed runner leaves behind takes itself away
    before = started(flow)
    done, after = sweep(flow)
    assert done.returncode == 0, done.stderr
    assert untimed() == undisturbed
    assert len(untimed()) == 24
    # At each kill at most two points run and two are finished but not yet noted; no other is run twice.
    assert 24 <= sum((before + after).values()) <= 24 + 2 * 4
    assert set(before + after) == set(calls)
    done, again = sweep(flow)
    assert done.returncode == 0 and not again, "what is done is not run again"


@pytest.mark.slow
def test_a_failed_point_stops_no_other_and_is_run_again_next_time(flow):
    flow.write("broken", "")
    done, calls = sweep(flow)
    assert done.returncode != 0
    assert len(calls) == 24
    rows = table.read_table(table.table_path("toy"))
    assert Counter(row["kind"] for row in rows) == {"metric": 23, "failure": 1}
    (failure,) = (row for row in rows if row["kind"] == "failure")
    assert (failure["seeds"], failure["rate"], failure["reason"]) == (3, 0.5, "toy: cell 3: no")
    assert (flow.root / "_build/points" / failure["point"] / "toy.ipynb").is_file()
    assert "toy: 24 points, 23 done, 1 failed." in done.stdout
    (flow.root / "broken").unlink()
    done, calls = sweep(flow)
    assert done.returncode == 0, done.stderr
    assert calls == {"3 0.5": 1}
    assert {row["kind"] for row in table.read_table(table.table_path("toy"))} == {"metric"}


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("tyo", "", "", "There is no sweep 'tyo'; did you mean 'toy'?"),
        ("toy", "rate:", "rat:", "notebooks/sweeps/toy.yml: 'toy' has no parameter 'rat'; did you mean 'rate'?"),
        ("toy", "0.25", "true", "notebooks/sweeps/toy.yml: Parameter 'rate' takes a finite float, not True."),
        ("toy", SWEEP[SWEEP.index("grid") :], "grid: {}\n", "notebooks/sweeps/toy.yml: the grid is empty."),
    ],
)
def test_a_wrong_sweep_is_refused_before_the_first_point(flow, name, old, new, says):
    flow.write("notebooks/sweeps/toy.yml", SWEEP.replace(old, new) if old else SWEEP)
    done, calls = sweep(flow, name)
    assert done.returncode != 0 and not calls
    assert done.stderr.splitlines()[-1] == says
    assert not (flow.root / "_build").exists()


def test_the_points_of_the_test_are_24(flow):
    assert len(points_of("toy")) == 24
