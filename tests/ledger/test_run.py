"""The scaffold of a notebook: seeds, experiments over them, judging from results, and the guard of the prose."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import yaml

from edgebook.ledger import start
from edgebook.ledger.record import Measured, full_record, save_record
from edgebook.ledger.run import Run

PARAMETERS = 'tier: str = "book"  # scale\nseeds: int = 5  # repetitions\nfirst_seed: int = 0  # the first of them\n'
CLAIM = {"id": "T-1", "says": "More.", "where": "table 1", "measures": "a - b", "unit": "points",
         "expects": "positive", "margin": 1.0}  # fmt: skip
STATEMENT = {"says": "It is more.", "tested_by": ["T-1"]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for folder in ("book/claims", "notebooks", "src/edgebook", "results/full"):
        (tmp_path / folder).mkdir(parents=True)
    cell = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}, id="p")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks/toy.ipynb")
    claims = [CLAIM, CLAIM | {"id": "T-2", "kind": "identity", "samples": "exact"}]
    ledger = {"title": "Toys", "cite": "toy2020", "statements": [STATEMENT], "claims": claims}
    (tmp_path / "book/claims/toy.yml").write_text(yaml.safe_dump(ledger))
    monkeypatch.setenv("EDGEBOOK_ROOT", str(tmp_path))
    monkeypatch.setenv("EDGEBOOK_OUT", str(tmp_path / "out"))
    monkeypatch.delenv("EDGEBOOK_RESUME", raising=False)
    return start("toy", {"tier": "full", "seeds": 5, "first_seed": 3})


def test_seeds_begin_with_the_first(run: Run) -> None:
    assert run.seeds == [3, 4, 5, 6, 7]


def test_an_experiment_gives_a_result_for_every_seed_in_order(run: Run) -> None:
    assert run.over_seeds(lambda seed, factor: seed * factor, factor=2) == [6, 8, 10, 12, 14]


def test_parts_are_put_together_for_every_seed(run: Run) -> None:
    asked = []

    def first(seed: int) -> int:
        asked.append(("first", seed))
        return seed

    def second(seed: int) -> list[int]:
        asked.append(("second", seed))
        return [seed]

    found = run.over_seeds({"first": first, "second": second})
    assert found == [{"first": seed, "second": [seed]} for seed in run.seeds]
    assert asked == [(part, seed) for seed in run.seeds for part in ("first", "second")]


def test_finished_parts_are_not_computed_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBOOK_RESUME", str(tmp_path / "cache"))
    asked = []

    def part(seed: int) -> int:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(seed)
        return seed

    with pytest.raises(KeyboardInterrupt):
        run.over_seeds({"part": part})
    asked.clear()
    assert [found["part"] for found in run.over_seeds({"part": part})] == run.seeds
    assert asked == [6, 7]
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        run.over_seeds(part, cached=False)
    assert asked == [3, 4, 5]


def test_claims_are_judged_from_the_results(run: Run) -> None:
    results = [{"a": seed, "b": 1} for seed in run.seeds]
    record = run.judge({"T-1": lambda r: r["a"] - r["b"]}, results, exact={"T-2": 4}, scale="toys")
    assert [result.samples for result in record.results] == [(2.0, 3.0, 4.0, 5.0, 6.0), (4.0,)]
    assert record.seeds == (3, 4, 5, 6, 7)


def test_choices_placebo_and_arms_reach_the_record(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "book/claims/toy.yml"
    ledger = yaml.safe_load(path.read_text())
    ledger["claims"][0] |= {"headline": True, "learnt": ["a"]}
    ledger["choices"] = [{"name": "gain", "says": "Four.", "claims": ["T-1"]}]
    ledger["floor"] = {"measure": "accuracy", "chance": 10, "beyond": 5}
    path.write_text(yaml.safe_dump(ledger))
    run = start("toy", {"tier": "full", "seeds": 6, "first_seed": 3})
    judged = {"T-1": lambda r: r["a"] - r["b"]}
    results = [{"a": 20.0 + seed, "b": 1} for seed in run.seeds]
    other, nothing = ([{"a": value + 0.1 * seed, "b": 20} for seed in run.seeds] for value in (20, 19.5))
    more = {"under": {"gain": other}, "placebo": nothing, "arms": lambda r: {"a": {"accuracy": r["a"]}}}
    record = run.judge(judged, results, exact={"T-2": 4}, scale="toys", **more)
    first, _ = record.results
    run.save(record)
    kept = Measured.model_validate_json((tmp_path / "out/toy.measured.json").read_text())
    assert (kept.started, kept.seeds, kept.results) == (record.started, record.seeds, tuple(results))
    assert (kept.under, kept.placebo) == ({"gain": tuple(other)}, tuple(nothing))
    assert kept.arms_under["gain"]["a"]["accuracy"] == tuple(one["a"] for one in other)
    assert (first.alone, first.verdict) == ("reproduced", "depends")
    assert first.under["gain"].samples == tuple(one["a"] - 20 for one in other)
    assert first.placebo.verdict == "not reproduced"
    short = more | {"arms": lambda r: {"a": {"accuracy": 11.0}}}
    first, _ = run.judge(judged, results, exact={"T-2": 4}, scale="toys", **short).results
    assert first.reason.startswith("nothing learnt: accuracy of a 11")
    with pytest.raises(ValueError, match=r"choices: missing \['gain'\]"):
        run.judge(judged, results, exact={"T-2": 4}, scale="toys", arms=more["arms"])


def test_prose_that_outlives_its_verdict_fails(run: Run, tmp_path: Path) -> None:
    record = run.judge({"T-1": lambda r: 9.0 + r}, [0.1, 0.2, 0.3, 0.4, 0.5], exact={"T-2": 4}, scale="toys")
    assert run.recorded() is None
    run.finish(record, {"contradicted": "T-1"})  # nothing is recorded yet, so nothing is outlived
    assert (tmp_path / "out/toy.json").is_file()
    save_record(record, tmp_path / "results/full")
    assert run.recorded() == full_record("toy") == record
    run.finish(record, {"reproduced": "T-1", "agrees": "T-2"})
    with pytest.raises(AssertionError, match="T-1 is 'contradicted', the recorded run 'reproduced'"):
        run.finish(record, {"contradicted": "T-1"})
    with pytest.raises(ValueError, match="no claim 'T-9'"):
        run.finish(record, {"reproduced": "T-9"})
