"""From a notebook's globals to a record on disk, in a toy checkout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import nbformat
import pytest
import yaml

from edgebook import ledger
from edgebook.ledger import Verdict, load_record, start
from edgebook.ledger.record import full_measured, records_in, save_record, stale_reasons

PARAMETERS = 'tier: str = "book"  # scale\nseeds: int = 5  # repetitions\nrate: float = 0.5  # a number\n'
VALUES = {"tier": "full", "seeds": 8, "rate": 0.5}
CLAIMS = [
    {"id": "T-1", "says": "More.", "where": "table 1", "paper": 3.0, "measures": "a - b", "unit": "points",
     "expects": "positive", "margin": 1.0},
    {"id": "T-2", "says": "On CIFAR.", "where": "table 2", "measures": "a - b", "unit": "points",
     "expects": "positive", "margin": 1.0, "needs": ["cifar10"]},
    {"id": "T-3", "says": "Fewer.", "where": "text", "paper": 4, "measures": "a / b", "unit": "times",
     "expects": "positive", "neutral": 1, "margin": 0.1, "kind": "identity", "samples": "exact"},
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout with one notebook, its ledger and its tiers."""
    for folder in ("book/claims", "notebooks", "src/edgebook"):
        (tmp_path / folder).mkdir(parents=True)
    parameters = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}, id="p")
    code = nbformat.v4.new_code_cell("x = 1  # a comment", id="c")
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters, code]), tmp_path / "notebooks/toy.ipynb")
    tiers = {"toy": {"quick": {"seeds": 2}, "full": {"seeds": 8}, "paper": {}}}
    (tmp_path / "notebooks/tiers.yml").write_text(yaml.safe_dump(tiers))
    statements = [{"says": "It is more.", "tested_by": ["T-1"]}]
    content = {"title": "Toys", "cite": "toy2020", "statements": statements, "claims": CLAIMS}
    (tmp_path / "book/claims/toy.yml").write_text(yaml.safe_dump(content))
    for name in ("EDGEBOOK_OUT", "EDGEBOOK_RESUME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EDGEBOOK_ROOT", str(tmp_path))
    return tmp_path


def record(values: dict | None = None, arms=None):
    run = start("toy", {**VALUES, **(values or {}), "unrelated": object()})
    results = [{"a": 2.0 + 0.1 * i} for i in range(8)]
    return run, run.judge({"T-1": lambda r: r["a"]}, results, exact={"T-3": 5}, scale="toys, 3 bricks", arms=arms)


def test_a_record_holds_what_is_needed_to_judge_the_run_again(root: Path) -> None:
    _, made = record()
    assert made.parameters == VALUES
    assert made.seeds == tuple(range(8))
    first, second, third = made.results
    assert (first.verdict, second.verdict, third.verdict) == (
        Verdict.REPRODUCED, Verdict.NOT_TESTABLE, Verdict.AGREES,
    )  # fmt: skip
    assert first.gap == pytest.approx(first.mean - 3.0)
    assert second.mean is None
    assert third.interval == (5.0, 5.0)
    again = ledger.judge(first.claim, first.samples, made.tier)
    assert (again.mean, tuple(again.interval), again.verdict) == (first.mean, first.interval, first.verdict)
    assert made.versions["torch"]
    assert made.hardware.cores >= 1
    assert made.commit is None
    assert made.dirty  # no repository: nothing vouches for the tree


def test_commit_and_cleanliness_come_from_git(root: Path) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "toys")
    _, made = record()
    assert made.commit == git("rev-parse", "HEAD").strip()
    assert not made.dirty
    (root / "results").mkdir()
    (root / "results/other.json").write_text("{}")  # written by the record of another paper, which changes no code
    assert not record()[1].dirty
    (root / "new.txt").write_text("x")
    assert record()[1].dirty


def test_a_record_is_written_and_read_back_whole(root: Path) -> None:
    run, made = record()
    path = run.save(made)
    assert path == root / "_build/runs/full/toy.json"
    assert load_record(path) == made
    assert list(path.parent.iterdir()) == [path]


def test_the_runner_decides_where_it_is_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBOOK_OUT", str(root / "elsewhere"))
    run, made = record()
    assert run.save(made) == root / "elsewhere/toy.json"


def test_a_failed_write_leaves_the_old_record(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, made = record()
    path = run.save(made)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_record(made.model_copy(update={"scale": "other"}), path.parent)
    assert load_record(path) == made
    assert list(path.parent.iterdir()) == [path]


def test_samples_must_match_the_ledger(root: Path) -> None:
    run = start("toy", VALUES)
    with pytest.raises(ValueError, match=r"samples: missing \['T-3'\], not in the ledger \['T-9'\]"):
        run.judge({"T-1": float}, [1.0] * 8, exact={"T-9": 1.0}, scale="s")
    with pytest.raises(ValueError, match="Results of the run are one for each of 8 seeds, got 1"):
        run.judge({"T-1": float}, [1.0], exact={"T-3": 1.0}, scale="s")


def test_what_was_measured_lies_beside_the_record(root: Path) -> None:
    run, made = record(arms=lambda r: {"new": {"accuracy": 90 + r["a"]}, "old": {"accuracy": 90}})
    path = run.save(made)
    beside = path.with_name("toy.measured.json")
    assert sorted(path.parent.iterdir()) == [path, beside]
    assert records_in(path.parent) == [path]
    save_record(made, root / "results/full")
    assert full_measured("toy") is None
    shutil.copy(beside, root / "results/full")
    measured = full_measured("toy")
    assert measured.seeds == made.seeds
    assert measured.arms["new"]["accuracy"] == pytest.approx([92 + 0.1 * i for i in range(8)])
    assert measured.arms["old"]["accuracy"] == (90.0,) * 8
    assert measured.results[3] == {"a": 2.0 + 0.1 * 3}
    (root / "results/full/toy.measured.json").write_text("{}")
    with pytest.raises(ValueError, match=r"toy.measured.json is no valid file of what was measured: started"):
        full_measured("toy")
    (root / "results/full/toy.measured.json").write_text(measured.model_copy(update={"seeds": (1,)}).model_dump_json())
    with pytest.raises(ValueError, match=r"toy.measured.json is of the run of .*, and the record of that of"):
        full_measured("toy")
    with pytest.raises(ValueError, match=r"results\.0[\s\S]* not a valid JSON value"):
        run.judge({"T-1": lambda r: 2.0}, [object()] * 8, exact={"T-3": 5}, scale="s", arms=lambda r: {})


def test_a_record_of_an_older_form_is_refused_with_what_to_do(root: Path) -> None:
    run, made = record()
    path = run.save(made)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"schema_version": 1}))
    with pytest.raises(ValueError, match=r"it is of an older form; make it anew: make record PAPER=toy\.$") as caught:
        load_record(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"seeds": 2.5}, "seeds"), ({"seeds": True}, "seeds"), ({"rate": "fast"}, "rate"), ({"tier": "fast"}, "tier")],
)
def test_a_wrong_parameter_is_one_sentence(root: Path, change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        start("toy", {**VALUES, **change})
    assert "\n" not in str(caught.value)


def test_lists_of_numbers_and_batches_are_checked_for_every_notebook(root: Path) -> None:
    more = [
        'widths: str = "8 16"  # of the stages',
        'plan: str = "8 M"  # M is a pool',
        "batch_size: int = 4  # images",
    ]
    path = root / "notebooks" / "toy.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells[0].source = "\n".join([PARAMETERS.rstrip(), *more])
    nbformat.write(notebook, path)
    values = {**VALUES, "widths": "4  8.5", "plan": "4 M 4", "batch_size": 1}
    assert start("toy", values).parameters["plan"] == "4 M 4"
    for change, sentence in [
        ({"widths": "a b"}, "widths must be numbers separated by spaces, such as '8 16', got 'a b'."),
        ({"widths": ""}, "widths must be numbers"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0."),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            start("toy", {**values, **change})


def test_bounds_name_the_parameter(root: Path) -> None:
    run = start("toy", VALUES)
    run.at_least(seeds=8)
    with pytest.raises(ValueError, match="seeds must be at least 9, got 8"):
        run.at_least(seeds=9)


def test_a_fresh_record_is_not_stale_and_each_change_makes_it_so(root: Path) -> None:
    _, made = record()
    assert stale_reasons(made) == []
    assert stale_reasons(record({"rate": 0.7})[1]) == ["its parameters are not those of tier full"]
    path = root / "notebooks/toy.ipynb"
    source = path.read_text()
    path.write_text(source.replace("a comment", "another"))
    assert stale_reasons(made) == []
    path.write_text(source.replace("x = 1", "x = 2"))
    assert stale_reasons(made) == ["the notebook's code or a kernel has changed"]
    path.write_text(source)
    ledger_file = root / "book/claims/toy.yml"
    ledger_file.write_text(ledger_file.read_text().replace("margin: 1.0", "margin: 0.5"))
    assert stale_reasons(made) == ["the ledger has changed"]
    path.unlink()
    assert stale_reasons(made) == ["the notebook is gone"]


def test_a_choice_or_a_floor_of_later_makes_a_record_stale(root: Path) -> None:
    path = root / "book/claims/toy.yml"
    ledger = yaml.safe_load(path.read_text())
    ledger["claims"][0]["headline"] = True
    path.write_text(yaml.safe_dump(ledger))
    _, made = record()
    assert stale_reasons(made) == []
    choice = {"choices": [{"name": "gain", "says": "Four.", "claims": ["T-1"]}]}
    for later in (choice, {"floor": {"measure": "accuracy", "chance": 10, "beyond": 5}}):
        path.write_text(yaml.safe_dump(ledger | later))
        assert stale_reasons(made) == ["the ledger has changed", "what it measured is not beside it"]


def test_a_damaged_record_is_named(root: Path) -> None:
    run, made = record()
    path = run.save(made)
    content = json.loads(path.read_text())
    content["results"][0]["verdict"] = "great"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"toy.json is no valid record: results\.0\.verdict"):
        load_record(path)
    with pytest.raises(FileNotFoundError, match="no record"):
        load_record(root / "none.json")


def test_an_interrupted_run_resumes_and_a_changed_one_does_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def work(seed: int) -> dict:
        calls.append(seed)
        return {"value": (seed, 2)}

    run = start("toy", VALUES)
    assert [run.cached(work, seed=1) for _ in range(2)] == [{"value": [1, 2]}] * 2
    assert calls == [1, 1]  # nothing is kept unless asked for
    monkeypatch.setenv("EDGEBOOK_RESUME", str(root / "cache"))
    for values in ({}, {}, {"seeds": 9}, {"rate": 0.6}):
        assert start("toy", {**VALUES, **values}).cached(work, seed=3) == {"value": [3, 2]}
    assert calls == [1, 1, 3, 3]  # a further seed reuses it, another rate does not


def test_a_resumed_run_counts_the_seconds_of_the_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBOOK_RESUME", str(root / "cache"))
    for _ in range(2):
        run = start("toy", VALUES)
        run.cached(lambda seed: time.sleep(0.3), seed=1)
        made = run.judge({"T-1": float}, range(8), exact={"T-3": 5}, scale="s")
        assert made.seconds >= 0.3
