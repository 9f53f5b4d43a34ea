"""The scaffold of a notebook: seeds, experiments over them, judging from results, and the guard of the prose."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from edgebook.ledger import load_record, start
from edgebook.ledger.record import Measured, Record, full_record, save_record
from edgebook.ledger.run import Run
from edgebook.notebooks.by_hand import record_path

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


IN_A_NOTEBOOK = {"get_ipython": None}  # which all globals of a notebook have
TIERS = "toy: {quick: {seeds: 1}, full: {seeds: 8, first_seed: 3}}\n"


@pytest.fixture
def toy(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout as a notebook finds it that the runner has not started."""
    (tmp_path / "notebooks/tiers.yml").write_text(TIERS)
    for name in ("EDGEBOOK_OUT", "EDGEBOOK_RUNNER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def judged(**values: object) -> tuple[Run, Record]:
    run = start("toy", {"tier": "book", "seeds": 5, "first_seed": 0} | IN_A_NOTEBOOK | values)
    return run, run.judge({"T-1": lambda n: 9.0 + n}, run.seeds, exact={"T-2": 4}, scale="toys")


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({}, "tier book"),
        ({"seeds": 6}, "tier book (changed: seeds)"),
        ({"seeds": 6, "first_seed": 1}, "tier book (changed: seeds, first_seed)"),
        ({"tier": "full", "seeds": 8, "first_seed": 3}, "tier full"),
    ],
)
def test_what_a_notebook_changes_is_in_its_record(toy: Path, values: dict[str, object], label: str) -> None:
    run, record = judged(**values)
    path = run.save(record)
    assert record.label == label
    assert load_record(path) == record
    assert (record.results[0].verdict == "reproduced") is (len(run.seeds) >= 5)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"tier": "full"}, "tier full means seeds = 8, first_seed = 3, which this run does not have: leave tier as it "
         "is, or let the runner set them all: python -m edgebook run toy --tier full."),
        ({"tier": "full", "seeds": 8}, "tier full means first_seed = 3, which"),
        ({"tier": "quick"}, "tier quick means seeds = 1, which"),
        ({"tier": "paper"}, "notebooks/tiers.yml has no entry for tier 'paper' of 'toy'."),
    ],
)  # fmt: skip
def test_a_notebook_cannot_take_the_name_of_a_tier_whose_parameters_it_does_not_have(
    toy: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError) as refused:
        judged(**values)
    assert str(refused.value).startswith(says)
    if values["tier"] != "paper":  # what the runner starts was asked for by name, and is told as changed
        monkeypatch.setenv("EDGEBOOK_RUNNER", "1")
        assert judged(**values)[1].label.startswith(f"tier {values['tier']} (changed: ")


def test_a_default_that_an_editor_has_saved_is_a_change(toy: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@e", *words], cwd=toy, check=True)

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "toys")
    assert judged()[1].label == "tier book"
    path = toy / "notebooks/toy.ipynb"
    path.write_text(path.read_text().replace("seeds: int = 5", "seeds: int = 6"))
    assert judged(seeds=6)[1].label == "tier book (changed: seeds)"
    assert judged(seeds=5)[1].label == "tier book"


def test_a_notebook_of_its_own_never_writes_over_another_record(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = toy / "_build/runs"
    save_record(judged()[1], runs / "book")
    first = load_record(runs / "book/toy.json")
    run, record = judged(seeds=6)
    run.finish(record, {})
    path = run.save(record)
    assert capsys.readouterr().out == f"The record of this run, tier book (changed: seeds), is {path}.\n"
    assert path.parent.parent == runs and path.parent.name != "book"
    assert (load_record(path), load_record(runs / "book/toy.json")) == (record, first)


CALLS = [
    (["python", "/bin/papermill", "in.ipynb", "out.ipynb", "-p", "seeds", "6"], "out.json"),
    (
        ["python", "-m", "papermill", "-p", "seeds", "6", "in.ipynb", "/else/where/out.v2.ipynb"],
        "/else/where/out.v2.json",
    ),
    (["python", "/bin/papermill", "in.ipynb", "../out.ipynb"], "../out.json"),
    (["python", "/bin/papermill", "in.ipynb"], None),
    (["python", "/bin/papermill", "in.ipynb", "out.ipynb", "--cwd", "/tmp"], None),
    (["python", "/bin/papermill", "in.ipynb", "/out.ipynb", "--cwd", "/tmp"], "/out.json"),
    (["python", "/bin/papermill", "in.ipynb", "s3://bucket/out.ipynb"], None),
    (["python", "/bin/papermill", "in.ipynb", "out-{seeds}.ipynb"], None),
    (["python", "/bin/jupyter-lab", "in.ipynb", "out.ipynb"], None),
    (["python", "script.py"], None),
]


@pytest.mark.parametrize(("words", "place"), CALLS)
def test_the_record_of_papermill_goes_beside_its_output_where_that_is_known(
    toy: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], place: str | None
) -> None:
    class Process:
        def parent(self) -> Process:
            return self

        def cmdline(self) -> list[str]:
            return words

        def cwd(self) -> str:
            return "/called/from"

    monkeypatch.setattr("psutil.Process", Process)
    found = record_path("toy", IN_A_NOTEBOOK)
    if place is None:
        assert found.parent.parent == toy / "_build/runs" and found.name == "toy.json"
        found = record_path("toy", {"PAPERMILL_OUTPUT_PATH": "/injected/one.ipynb"})
        assert found == Path("/injected/one.json")
    else:
        assert found == Path("/called/from", place).resolve()
