"""Runs of small notebooks: what they leave behind when they succeed, fail, hang, or are interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from edgebook.notebooks import runner

pytestmark = pytest.mark.alone

WRITES = "import os, json, pathlib\nout = pathlib.Path(os.environ['EDGEBOOK_OUT'])"
RECORD = "_ = (out / 'toy.json').write_text(json.dumps([tier, seeds, rate]))"
HANGS = (
    "import os, subprocess, pathlib, time\n"
    "helper = subprocess.Popen(['sleep', '600'])\n"
    "_ = pathlib.Path(os.environ['EDGEBOOK_ROOT'], 'pids').write_text(f'{os.getpid()} {helper.pid}')"
)


@pytest.fixture
def toy(checkout):
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}, full: {seeds: 8}}\n")
    checkout.notebook("notebooks/toy.ipynb", WRITES, "print(seeds, rate)", RECORD)
    return checkout


@pytest.fixture
def temporary():
    """A folder with a short path: that of a socket has at most a hundred characters, and pytest's are long."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def wait_for(condition, seconds=120):
    """Wait until a condition holds; fail the test if it does not come to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_run_leaves_the_executed_notebook_and_its_record(toy, printed):
    executed = runner.run("toy", tier="quick", settings={"rate": 2})
    assert executed == toy.root / "_build" / "runs" / "quick" / "toy.ipynb"
    assert printed(executed) == "1 2.0\n"
    assert json.loads(executed.with_suffix(".json").read_text()) == ["quick", 1, 2.0]
    assert sorted(path.name for path in executed.parent.iterdir()) == ["toy.ipynb", "toy.json"]
    nbformat.validate(nbformat.read(executed, as_version=4))


def test_progress_of_a_long_cell_is_seen_while_it_runs(toy, capfd):
    toy.notebook("notebooks/toy.ipynb", "import sys\nprint('seeds: 3/8', file=sys.stderr)")
    runner.run("toy", out=toy.root / "elsewhere")
    said = capfd.readouterr().err
    assert said.index("cell 2 of 2") < said.index("seeds: 3/8")


def test_the_kernel_has_our_interpreter_one_thread_and_an_empty_folder(toy, printed, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(toy.root)
    monkeypatch.setenv("EDGEBOOK_RESUME", "cache")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    tell = (
        "import sys, os\nprint(sys.executable)\n"
        "names = 'OMP_NUM_THREADS MKL_NUM_THREADS EDGEBOOK_ROOT EDGEBOOK_RESUME IPYTHONDIR'\n"
        "print(*(os.environ[name] for name in names.split()), sep='\\n')\n"
        "print(os.environ.get('MPLBACKEND') == 'agg', os.listdir())"
    )
    toy.notebook("notebooks/toy.ipynb", tell)
    lines = printed(runner.run("toy", out=toy.root / "elsewhere")).splitlines()
    assert lines[:5] == [sys.executable, "1", "1", str(toy.root), str(toy.root / "cache")]
    assert not Path(lines[5]).exists()
    assert lines[6] == "False []"


def test_two_runs_and_plain_papermill_give_the_same(toy, tmp_path):
    """papermill alone writes the same outputs and record; two runs write the same bytes."""
    first = runner.run("toy", tier="quick", out=tmp_path / "one").read_bytes()
    assert runner.run("toy", tier="quick", out=tmp_path / "two").read_bytes() == first
    (tmp_path / "plain").mkdir()
    words = (
        "notebooks/toy.ipynb",
        str(tmp_path / "plain/toy.ipynb"),
        "-p",
        "tier",
        "quick",
        "-p",
        "seeds",
        "1",
    )
    toy.environment["EDGEBOOK_OUT"] = str(tmp_path / "plain")
    done = toy.command(*words, "--no-progress-bar", module="papermill")
    assert done.returncode == 0, done.stderr
    plain = nbformat.read(tmp_path / "plain/toy.ipynb", as_version=4)
    ours = nbformat.reads(first.decode(), as_version=4)
    assert [cell.get("outputs") for cell in plain.cells] == [cell.get("outputs") for cell in ours.cells]
    assert (tmp_path / "plain/toy.json").read_bytes() == (tmp_path / "one/toy.json").read_bytes()


LEDGER = """
title: Toy
cite: toy2020
statements: [{says: It is so., tested_by: [T-1]}]
claims:
  - {id: T-1, says: It is so., where: abstract, measures: a value, unit: points, expects: positive, margin: 0.5}
"""


def test_plain_papermill_writes_its_record_beside_its_output_and_over_no_other(toy, printed):
    """A kernel of its own, since what tells where the output goes is the process that started it."""
    judges = "record = run.judge({'T-1': lambda n: 2.0 + n}, run.seeds, scale='s')\nrun.finish(record, {})"
    toy.notebook("notebooks/toy.ipynb", "from edgebook import ledger\nrun = ledger.start('toy', globals())", judges)
    toy.write("book/claims/toy.yml", LEDGER)
    earlier = toy.write("_build/runs/book/toy.json", "of the runner")
    (toy.root / "mine").mkdir()
    words = ("notebooks/toy.ipynb", "mine/out.ipynb", "-p", "seeds", "6", "--no-progress-bar")
    done = toy.command(*words, module="papermill")
    assert done.returncode == 0, done.stderr
    path = toy.root / "mine/out.json"
    assert printed(path.with_suffix(".ipynb")) == f"The record of this run, tier book (changed: seeds), is {path}.\n"
    found = json.loads(path.read_text())
    assert (found["tier"], found["changed"], len(found["seeds"])) == ("book", ["seeds"], 6)
    assert earlier.read_text() == "of the runner"
    assert [file.name for file in toy.root.glob("_build/**/*.json")] == ["toy.json"]


def test_metadata_has_no_time_and_no_place_and_defaults_are_not_injected(toy):
    """At tier book a page shows its parameters cell and nothing beside it."""
    executed = nbformat.read(runner.run("toy"), as_version=4)
    metadata = json.dumps([executed.metadata, [cell.metadata for cell in executed.cells]])
    assert "papermill" not in metadata
    assert "execution" not in metadata
    assert not re.search(r"/(tmp|home|root)/|20\d\d-\d\d-\d\d", metadata)
    assert str(toy.root) not in metadata
    assert [cell.metadata.tags for cell in executed.cells if cell.metadata.get("tags")] == [["parameters"]]


def test_a_failed_run_is_kept_apart_and_leaves_earlier_results(toy):
    toy.notebook("notebooks/toy.ipynb", WRITES, RECORD, "1 / 0")
    earlier = {name: toy.write(f"_build/runs/book/toy.{name}", f"earlier {name}") for name in ("ipynb", "json")}
    done = toy.command("run", "toy")
    kept = toy.root / "_build" / "failed" / "toy.ipynb"
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said == f"toy: cell 4: ZeroDivisionError: division by zero; the notebook with its traceback is at {kept}."
    assert "ZeroDivisionError" in kept.read_text()
    assert "Traceback" not in done.stderr
    assert all(path.read_text() == f"earlier {name}" for name, path in earlier.items())


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("import sys; sys.exit(0)", r"ended itself before cell 4"),
        ("import os; os.kill(os.getpid(), 9)", r"the kernel died in cell 3"),
    ],
)
def test_a_notebook_that_stops_short_is_no_success(toy, cell, says):
    toy.notebook("notebooks/toy.ipynb", WRITES, cell, RECORD)
    with pytest.raises(runner.RunError, match=says):
        runner.run("toy")
    assert not (toy.root / "_build" / "runs").exists()


def test_at_the_time_limit_kernel_and_its_children_are_gone(toy):
    toy.notebook("notebooks/toy.ipynb", HANGS, "time.sleep(600)")
    with pytest.raises(runner.RunError, match=r"stopped in cell 3 after its limit of 15 s; the notebook"):
        runner.run("toy", timeout=15)  # time enough for a kernel to start on a busy machine
    pids = [int(pid) for pid in (toy.root / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    assert (toy.root / "_build" / "failed" / "toy.ipynb").exists()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_takes_its_kernel_along_and_leaves_nothing(toy, sign, temporary):
    toy.notebook("notebooks/toy.ipynb", WRITES, RECORD, HANGS, "time.sleep(600)")
    kept = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and so would the child
    started = subprocess.Popen(
        [sys.executable, "-m", "edgebook", "run", "toy"],
        env=toy.environment | {"TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, kept)
    wait_for((toy.root / "pids").exists)
    os.killpg(started.pid, sign)
    code = started.wait(120)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[sign]
    pids = [int(pid) for pid in (toy.root / "pids").read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in pids))
    wait_for(lambda: not list(temporary.iterdir()))
    assert not (toy.root / "_build").exists()


def test_a_kernel_that_does_not_start_is_tried_again_once(toy, monkeypatch):
    """The first time the kernel's module is hidden behind one that gives up at once."""
    attempts = []
    execute = runner._execute

    def first_without_kernel(source, values, private, limit):
        attempts.append(private)
        hidden = toy.write("hidden/ipykernel_launcher.py", "raise SystemExit(1)\n").parent
        with monkeypatch.context() as patched:
            if len(attempts) == 1:
                patched.setenv("PYTHONPATH", f"{hidden}{os.pathsep}{os.environ['PYTHONPATH']}")
            return execute(source, values, private, limit)

    monkeypatch.setattr(runner, "_execute", first_without_kernel)
    assert runner.run("toy").exists()
    assert len(attempts) == 2


def test_a_kernel_that_never_starts_is_given_up(toy, monkeypatch):
    attempts = []
    outcome = {"status": "no kernel", "message": "no kernel could be started: it sulks"}
    monkeypatch.setattr(runner, "_execute", lambda *_: attempts.append(1) or outcome)
    with pytest.raises(runner.RunError, match=r"^toy: no kernel could be started: it sulks\.$"):
        runner.run("toy")
    assert len(attempts) == 2


def test_prepared_notebooks_hold_the_tier_and_run_anywhere(toy, tmp_path):
    toy.notebook("book/data.ipynb", "print(tier)")
    written = runner.prepare("quick", tmp_path / "prepared")
    assert [path.name for path in written] == ["toy.ipynb", "data.ipynb"]
    for path in written:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        injected = [c.source for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
        namespace: dict[str, object] = {}
        exec(injected[0], namespace)
        assert namespace["tier"] == "quick"
        assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "tory"}, "did you mean 'toy'"),
        ({"name": "toy", "tier": "ful"}, "did you mean 'full'"),
        ({"name": "toy", "settings": {"seed": 1}}, "did you mean 'seeds'"),
        ({"name": "toy", "settings": {"seeds": True}}, "takes an int, not True"),
        ({"name": "toy", "timeout": 0}, "above 0 seconds"),
    ],
)
def test_what_is_wrongly_asked_executes_nothing(toy, monkeypatch, arguments, says):
    monkeypatch.setattr(runner, "_execute", lambda *_: pytest.fail("executed"))
    with pytest.raises(ValueError, match=says):
        runner.run(**arguments)
    assert not (toy.root / "_build").exists()
