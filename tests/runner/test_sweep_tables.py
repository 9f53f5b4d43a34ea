"""From points to one table: outcomes of runs with a kernel, a failed point, the columns, and what is left whole."""

from __future__ import annotations

import csv
import json

import pyarrow.parquet as pq
import pytest

from edgebook.__main__ import main
from edgebook.ledger import judge, load_ledger, mean_interval, save_metrics
from edgebook.sweeps import table
from edgebook.sweeps.outcome import forget_failures, read_outcome, run_point
from edgebook.sweeps.points import points_of

SWEEP = "says: W?\nnotebook: toy\ntier: full\ngrid: {rate: [0.5, 1.0, 0.0]}\n"
LEDGER = """
title: Toys
cite: toy2020
statements: [{says: It is so., tested_by: [T-1]}]
claims:
  - {id: T-1, says: More., where: text, measures: m, unit: points, expects: positive, margin: 1}
  - {id: T-2, says: On CIFAR., where: text, measures: m, unit: points, expects: positive, margin: 1, needs: [cifar10]}
  - {id: T-3, kind: control, says: None., where: ours, measures: m, unit: times, expects: equivalent, margin: 1}
"""
CELLS = (
    "from edgebook import ledger\nfrom edgebook.ledger import save_metrics\nrun = ledger.start('toy', globals())",
    "inverse = 1 / rate\nmeasured = {'T-1': lambda n: inverse + 0.1 * n, 'T-3': lambda n: rate * n}",
    "_ = run.save(run.judge(measured, run.seeds, scale='toys'))\n"
    "_ = save_metrics('toy', {'speed': 3 * rate, 'depth': [rate * n for n in run.seeds]})",
)


@pytest.fixture
def toy(checkout):
    checkout.notebook("notebooks/toy.ipynb", *CELLS)
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}, full: {seeds: 6}}\n")
    checkout.write("book/claims/toy.yml", LEDGER)
    checkout.write("notebooks/sweeps/toy.yml", SWEEP)
    return checkout


def note(point, status="done", **more):
    """Write an outcome as `run_point` does."""
    point.folder.mkdir(parents=True, exist_ok=True)
    outcome = {
        "status": status, "message": "toy: cell 3: no" if status == "failed" else "", "seconds": 1.5, "commit": "abc",
        "dirty": False, "fingerprint": point.fingerprint, "record": None, "metrics": None, **more,
    }  # fmt: skip
    (point.folder / "outcome.json").write_text(json.dumps(outcome))


@pytest.mark.alone
@pytest.mark.slow
def test_points_with_a_kernel_become_rows_and_a_failed_one_keeps_its_notebook(toy, capsys):
    """The last point divides by zero; the others have a row per claim and metric, judged as the ledger judges."""
    points = points_of("toy")
    for point in points:
        assert main(["point", "toy", point.id]) == 0, "a failure is an outcome too"
    kept = [read_outcome(point.folder) for point in points]
    assert [outcome["status"] for outcome in kept] == ["done", "done", "failed"]
    assert "ZeroDivisionError" in (points[2].folder / "toy.ipynb").read_text()
    assert not (toy.root / "_build" / "failed").exists()
    assert not (points[2].folder / "toy.json").exists()

    assert main(["sweep", "toy", "--table"]) == 0
    rows = table.read_table(table.table_path("toy"))
    assert [(row["rate"], row["kind"], row["claim"]) for row in rows] == [
        *((rate, kind, name) for rate in (0.5, 1.0) for kind, name in (
            ("claim", "T-1"), ("claim", "T-2"), ("control", "T-3"), ("metric", "speed"), ("metric", "depth"))),
        (0.0, "failure", ""),
    ]  # fmt: skip
    first, untested, control, speed, depth = rows[5:10]
    samples = [1 + 0.1 * seed for seed in range(6)]
    judged = judge(load_ledger("toy").claim("T-1"), samples, "full")
    assert (first["value"], (first["low"], first["high"]), first["verdict"]) == (
        judged.mean, tuple(judged.interval), str(judged.verdict),
    )  # fmt: skip
    assert (untested["value"], untested["low"], untested["verdict"]) == (None, None, "not testable here")
    assert (control["unit"], control["samples"]) == ("times", 6)
    assert (speed["value"], speed["low"], speed["samples"], speed["verdict"]) == (3.0, None, 1, None)
    assert (depth["low"], depth["high"]) == tuple(mean_interval([float(seed) for seed in range(6)]))
    failure = rows[10]
    assert failure["verdict"] == "failed"
    assert failure["reason"] == "toy: cell 4: ZeroDivisionError: float division by zero"
    assert all(row["seeds"] == 6 and row["seconds"] > 0 and row["dirty"] for row in rows)

    capsys.readouterr()
    assert main(["sweep", "toy", "--summary"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].split() == [points[2].id, "failed", "rate=0.0"]
    assert "ZeroDivisionError" in told[1]
    assert told[2] == "toy: 3 points, 2 done, 1 failed."


def test_the_table_has_its_columns_and_both_files_hold_the_same(toy):
    first, second, third = points_of("toy")
    note(first, metrics={"speed": [1.0], "size": [0.1, 0.2]})
    note(second)
    note(third, "failed")
    table.write_table("toy")
    written = pq.read_table(table.table_path("toy"))
    assert written.schema.equals(table.schema_of("toy"))
    assert {field.name: str(field.type) for field in written.schema} == {
        "sweep": "string", "notebook": "string", "point": "string",
        "tier": "string", "seeds": "int64", "rate": "double",
        "kind": "string", "claim": "string", "unit": "string", "samples": "int64", "value": "double", "low": "double",
        "high": "double", "verdict": "string", "reason": "string", "seconds": "double", "commit": "string",
        "dirty": "bool", "fingerprint": "string",
    }  # fmt: skip
    rows = written.to_pylist()
    assert [(row["kind"], row["value"]) for row in rows] == [
        ("metric", 1.0), ("metric", pytest.approx(0.15)), ("nothing", None), ("failure", None),
    ]  # fmt: skip
    with table.table_path("toy", ".csv").open(newline="") as file:
        text = list(csv.DictReader(file))
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows] == text
    assert sorted(path.name for path in table.table_path("toy").parent.iterdir()) == ["toy.csv", "toy.parquet"]


def test_a_table_that_cannot_be_written_leaves_the_earlier_one(toy, monkeypatch):
    note(points_of("toy")[0], metrics={"speed": [1.0]})
    earlier = [path.read_bytes() for path in table.write_table("toy")]

    def half(*arguments, **_):
        arguments[1].write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(table.pq, "write_table", half)
    with pytest.raises(OSError, match="the disk is full"):
        table.write_table("toy")
    kept = [table.table_path("toy", suffix) for suffix in (".parquet", ".csv")]
    assert [path.read_bytes() for path in kept] == earlier
    assert sorted(table.table_path("toy").parent.iterdir()) == sorted(kept)


def with_claims(point, *words, values=(1.0, 2.0)):
    """Note a point as done, with a record that has these words for claims T-1, T-2 and so on."""
    results = [
        {"claim": {"id": f"T-{number}", "kind": "claim", "unit": "points"}, "samples": [value], "mean": value,
         "interval": [value - 1, value + 1], "verdict": word, "reason": ""}
        for number, (word, value) in enumerate(zip(words, values, strict=True), 1)
    ]  # fmt: skip
    note(point, record={"results": results})


def test_a_finished_sweep_is_told_with_a_small_table_of_the_claims_that_it_shows(toy, capsys):
    toy.write("notebooks/sweeps/toy.yml", "says: W?\nnotebook: toy\ntier: full\n"
              "grid: {rate: [0.5, 1.0, 2.0], seeds: [5, 6]}\nshows: [T-1]\n")  # fmt: skip
    points = points_of("toy")
    for number, point in enumerate(points[:-1]):
        with_claims(point, "reproduced", "held", values=(number + 1.0, 0.0))
    assert main(["sweep", "toy"]) == 0
    assert capsys.readouterr().out.splitlines()[6:] == ["toy: 6 points, 5 done, 1 not run."]
    note(points[-1], "failed")
    assert main(["sweep", "toy"]) == 0
    assert capsys.readouterr().out.splitlines()[7:] == [
        "toy: 6 points, 5 done, 1 failed.", "", "T-1, points",
        "           rate=0.5                   rate=1                     rate=2",
        "  seeds=5  1.0 [0.0, 2.0] reproduced  3.0 [2.0, 4.0] reproduced  5.0 [4.0, 6.0] reproduced",
        "  seeds=6  2.0 [1.0, 3.0] reproduced  4.0 [3.0, 5.0] reproduced",
    ]  # fmt: skip
    assert main(["sweep", "toy", "--summary"]) == 1
    assert "T-1" not in capsys.readouterr().out


def test_only_failures_are_forgotten(toy):
    points = points_of("toy")
    note(points[0])
    note(points[1], "failed")
    (points[1].folder / "toy.ipynb").write_text("kept")
    assert forget_failures(point.folder for point in points) == 1
    assert [read_outcome(point.folder) is None for point in points] == [False, True, True]
    assert (points[1].folder / "toy.ipynb").read_text() == "kept"


def test_a_notebook_that_is_changed_while_it_runs_is_no_result(toy, monkeypatch):
    point = points_of("toy")[0]
    record = json.dumps({"fingerprint": "of other code", "results": []})
    monkeypatch.setattr(
        "edgebook.notebooks.runner.run",
        lambda *_, out, failed, **__: [path.write_text(record) for path in (out / "toy.json", failed)],
    )
    outcome = run_point(point)
    assert (outcome["status"], outcome["record"]) == ("failed", None)
    assert "was changed while it ran" in outcome["message"]
    assert read_outcome(point.folder) == outcome


def test_a_rerun_removes_the_earlier_outcome_first(toy, monkeypatch):
    point = points_of("toy")[0]
    note(point)

    def killed(*_, **__):
        assert read_outcome(point.folder) is None
        raise KeyboardInterrupt

    monkeypatch.setattr("edgebook.notebooks.runner.run", killed)
    with pytest.raises(KeyboardInterrupt):
        run_point(point)
    assert read_outcome(point.folder) is None


@pytest.mark.parametrize("value", [[], float("nan"), [1.0, float("inf")]])
def test_a_metric_must_have_finite_values(toy, value):
    with pytest.raises(ValueError, match="The metric 'speed' must have finite values"):
        save_metrics("toy", {"speed": value})
    assert not (toy.root / "_build").exists()
