"""Two records beside each other: which verdicts got worse, and what else changed."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml

from edgebook.__main__ import main
from edgebook.ledger import Claim, Verdict, judge
from edgebook.ledger.comparison import RANK, Change, as_text, changes, compare_paths, worse
from edgebook.ledger.record import ClaimResult, Hardware, Record, save_record

# From each verdict (rows) to each (columns), in the order of the names: w is worse, b is better.
NAMES = [
    "reproduced", "direction only", "depends", "inconclusive", "not reproduced", "contradicted", "agrees",
    "does not agree", "not testable here", "not judged", "yes", "no", "the other way round", "held", "failed",
]  # fmt: skip
TABLE = """
. w w w w w . w w . . . . . .
b . w w w w b w w . . . . . .
b b . . w w b w w . . . . . .
b b . . w w b w w . . . . . .
b b b b . w b w w . . . . . .
b b b b b . b . w . . . . . .
. w w w w w . w w . . . . . .
b b b b b . b . w . . . . . .
. . . . . . . . . . . . . . .
. . . . . . . . . . . . . . .
. . . . . . . . . . . . . . .
. . . . . . . . . . . . . . .
. . . . . . . . . . . . . . .
. . . . . . . . . . . . . . .
. . . . . . . . . . . . . . .
"""
MACHINE = Hardware(cpu="a", cores=2, gpu=None, platform="Linux x86_64")


def claim(identity: str, **more: object) -> Claim:
    given = {"says": "It is so.", "where": "abstract", "measures": "m", "unit": "points", "expects": "positive"}
    return Claim.model_validate({**given, "id": identity, "margin": 1.0, **more})


def result(identity: str, samples: list[float], **more: object) -> ClaimResult:
    judged = judge(claim(identity, **more), samples, "full")
    fields = {**judged._asdict(), "gap": None, "holm_verdict": judged.verdict, "alone": judged.verdict}
    return ClaimResult(claim=claim(identity, **more), samples=tuple(samples), **fields)


def record(*results: ClaimResult, **more: object) -> Record:
    given = {
        "notebook": "toy", "title": "Toys", "tier": "full", "scale": "toys", "parameters": {"tier": "full", "seeds": 5},
        "seeds": tuple(range(5)), "results": results, "commit": "a" * 40, "dirty": False, "fingerprint": "f" * 16,
        "versions": {"python": "3.11"}, "hardware": MACHINE, "seconds": 10.0, "started": "2026-01-01",
    }  # fmt: skip
    return Record.model_validate({**given, **more})


STRONG, WEAK, WRONG = [2.0, 2.1, 2.2, 1.9, 2.0], [1.0, 3.0, 0.5, -1.0, 2.0], [-2.0, -2.1, -2.2, -1.9, -2.0]
ASIDE = ("metrics", "measured")


def test_the_table_speaks_of_every_verdict() -> None:
    assert {str(verdict) for verdict in Verdict} == set(NAMES)


def with_word(word: str) -> ClaimResult:
    return result("T-1", STRONG).model_copy(update={"verdict": Verdict(word)})


@pytest.mark.parametrize(("row", "column"), list(product(range(15), range(15))))
def test_every_pair_of_verdicts(row: int, column: int) -> None:
    mark = TABLE.split("\n")[row + 1].split()[column]
    change = Change("T-1", with_word(NAMES[row]), with_word(NAMES[column]))
    assert (change.worse, change.better) == (mark == "w", mark == "b")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_lost_verdict_is_worse_and_a_new_one_is_not(verdict: Verdict) -> None:
    assert worse(verdict, None) is (verdict in RANK)
    assert not worse(None, verdict)


def test_what_changed_is_told_with_its_intervals_and_the_rest_is_counted() -> None:
    before = record(result("T-1", STRONG), result("T-2", WEAK), result("T-3", STRONG))
    after = record(
        result("T-1", WRONG), result("T-2", STRONG), result("T-3", STRONG),
        parameters={"tier": "full", "seeds": 8}, fingerprint="e" * 16, commit="b" * 40,
    )  # fmt: skip
    lines = as_text(before, after).splitlines()
    assert lines[0] == "toy, tier full"
    assert lines[1:4] == [
        "  parameter seeds: 5 -> 8",
        "  commit: aaaaaaa -> bbbbbbb",
        f"  fingerprint: {'f' * 16} -> {'e' * 16}",
    ]
    assert lines[4:8] == [
        "  T-1     reproduced -> contradicted  (worse, the intervals do not touch)",
        "          2.04 [1.90, 2.18] points -> -2.04 [-2.18, -1.90] points",
        "  T-2     inconclusive -> reproduced  (better)",
        "          1.1 [-0.8, 3.0] points -> 2.04 [1.90, 2.18] points",
    ]
    assert lines[8:] == ["  claims: 1 worse, 1 better, 2 with other values, 1 the same"]


def test_claims_that_come_and_go_are_told() -> None:
    found = changes(record(result("T-1", STRONG)), record(result("T-2", WRONG)))
    assert [(change.claim, change.worse) for change in found] == [("T-2", False), ("T-1", True)]
    assert "not there -> contradicted" in str(found[0])
    assert "reproduced -> no longer there  (worse)" in str(found[1])


def test_another_claim_under_the_same_id_is_told() -> None:
    change = Change("T-1", result("T-1", STRONG), result("T-1", STRONG, margin=0.5))
    assert not change.same
    assert "reproduced  (the claim itself has changed)" in str(change)


def test_records_of_different_notebooks_are_refused() -> None:
    with pytest.raises(ValueError, match="One record is of 'toy', the other of 'toys'"):
        changes(record(), record(notebook="toys"))


def test_the_command_exits_1_only_when_a_verdict_got_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = save_record(record(result("T-1", STRONG)), tmp_path / "good")
    bad = save_record(record(result("T-1", WRONG)), tmp_path / "bad")
    assert main(["compare", str(good), str(bad)]) == 1
    assert "contradicted  (worse" in capsys.readouterr().out
    assert main(["compare", str(bad), str(good)]) == 0
    assert main(["compare", str(good.parent), str(bad.parent)]) == 1
    assert main(["compare", str(good.parent), str(good.parent)]) == 0
    assert "0 worse, 0 better, 0 with other values, 1 the same" in capsys.readouterr().out


def test_what_cannot_be_compared_gets_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = save_record(record(result("T-1", STRONG)), tmp_path / "good")
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")
    for pair in (
        (good, tmp_path / "none.json"),
        (tmp_path / "empty", good.parent),
        (good.parent, tmp_path / "empty"),
        (good, broken),
    ):
        assert main(["compare", *map(str, pair)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "record" in said


def test_a_path_that_is_missing_is_the_one_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = save_record(record(result("T-1", STRONG)), tmp_path / "there")
    for path in (there, there.parent):
        for missing in (tmp_path / "nowhere", tmp_path / "none.json"):
            for pair in ((path, missing), (missing, path)):
                assert main(["compare", *map(str, pair)]) == 2
                assert capsys.readouterr().err == f"There is no record or folder at {missing}.\n"


def test_what_only_one_folder_has_is_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    for folder, names in (("a", ("toy", "first", "gone")), ("b", ("toy", "new"))):
        for name in names:
            save_record(record(result("T-1", STRONG), notebook=name), tmp_path / folder)
    told, got_worse = compare_paths(tmp_path / "a", tmp_path / "b")
    assert not got_worse
    assert [line for line in told.splitlines() if "tier" in line] == ["toy, tier full"]
    assert told.splitlines()[-2:] == [
        f"Only in {tmp_path / 'a'}: first.json, gone.json", f"Only in {tmp_path / 'b'}: new.json",
    ]  # fmt: skip
    (tmp_path / "b/toy.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"No record in .*a has the name of one in .*b"):
        compare_paths(tmp_path / "a", tmp_path / "b")


def test_a_record_is_compared_with_that_of_its_notebook_in_a_folder(tmp_path: Path) -> None:
    for folder, samples in (("a", STRONG), ("b", WRONG)):
        save_record(record(result("T-1", samples)), tmp_path / folder)
    one = save_record(record(result("T-1", STRONG)), tmp_path, "of my own")
    assert not compare_paths(tmp_path / "a", one)[1]
    assert compare_paths(one, tmp_path / "b")[1]
    (tmp_path / "b/toy.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no record at .*b/toy\.json"):
        compare_paths(one, tmp_path / "b")


@pytest.mark.parametrize(("first", "second"), [("reproduced", "inconclusive"), ("contradicted", "not judged"),
                                               ("inconclusive", "reproduced"), ("reproduced", None)])  # fmt: skip
def test_a_lower_tier_makes_no_verdict_worse_or_better(first: str, second: str | None) -> None:
    before = record(with_word(first))
    after = record(*([with_word(second)] if second else []), tier="book")
    lines = as_text(before, after).splitlines()
    assert lines[:2] == ["toy, tier book", "  tier book is below full, and makes no verdict worse or better"]
    assert "claims: 0 worse, 0 better, 1 with other values, 0 the same" in lines[-1]
    assert not any(change.worse or change.better for change in changes(before, after))
    up = as_text(after, before)
    assert "below" not in up and ("(worse" in up) is (second == "reproduced")  # it was, at the lower tier


def test_folders_are_compared_file_by_file(tmp_path: Path) -> None:
    for name, samples in (("a", STRONG), ("b", WRONG)):
        save_record(record(result("T-1", STRONG)), tmp_path / name)
        save_record(record(result("T-1", samples), notebook="other"), tmp_path / name)
        for what in ASIDE:
            (tmp_path / name / f"toy.{what}.json").write_text("{}")
    told, got_worse = compare_paths(tmp_path / "a", tmp_path / "b")
    assert got_worse
    assert [line for line in told.splitlines() if "tier" in line] == ["other, tier full", "toy, tier full"]


@pytest.mark.parametrize(("samples", "code"), [(WRONG, 1), (STRONG, 0)])
def test_the_nightly_job_fails_when_a_verdict_got_worse(
    root: Path, tmp_path: Path, samples: list[float], code: int
) -> None:
    """Its own commands are run, in a checkout that has one record, with a run that ends otherwise or alike."""
    steps = yaml.safe_load((root / ".github/workflows/nightly.yml").read_text(encoding="utf-8"))["jobs"]["record"][
        "steps"
    ]
    commands = {step["name"]: step["run"] for step in steps if "run" in step}
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    environment = os.environ | {"GITHUB_ENV": str(tmp_path / "environment"), "PYTHONPATH": str(root / "src")}

    def step(name: str) -> int:
        return subprocess.run(["bash", "-e", "-c", commands[name]], cwd=tmp_path, env=environment).returncode

    save_record(record(result("T-1", STRONG)), tmp_path / "results/full")
    assert step("Choose the paper") == 0
    environment |= dict(line.split("=") for line in (tmp_path / "environment").read_text().splitlines())
    assert environment["PAPER"] == "toy" and commands["Run it"] == 'make record PAPER="$PAPER"'
    save_record(record(result("T-1", samples)), tmp_path / "results/full")
    assert step("Compare") == code
