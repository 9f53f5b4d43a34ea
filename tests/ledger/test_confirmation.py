"""Records confirmed by one seed run again: on this processor, on another, after a change, in a changed tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from edgebook.__main__ import main
from edgebook.ledger import confirmation, load_record
from edgebook.ledger.confirmation import confirm
from edgebook.ledger.record import Alternative, full_record, stale_reasons
from edgebook.notebooks import runner, sources

PARAMETERS = 'tier: str = "book"  # scale\nseeds: int = 5  # repetitions\nfirst_seed: int = 0  # the first of them\n'
CODE = """
from edgebook import ledger
from edgebook.wing import kernel
run = ledger.start("toy", globals())
record = run.judge({"T-1": kernel}, run.seeds, exact={"T-2": 2.0}, scale="toys")
run.save(record)
"""
CLAIM = {"id": "T-1", "says": "More.", "where": "table 1", "measures": "a - b", "unit": "points",
         "expects": "positive", "margin": 1.0}  # fmt: skip
HEAD = {"title": "Toys", "cite": "toy2020", "statements": [{"says": "It is more.", "tested_by": ["T-1"]}]}
KERNEL = "import os\n\n\ndef kernel(seed):\n    return 3.0 + 0.1 * seed + float(os.environ.get('OTHER', 0))\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with one paper and its record of eight seeds."""
    for folder in ("book/claims", "notebooks", "src/edgebook/wing", "results/full"):
        (tmp_path / folder).mkdir(parents=True)
    cells = [
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}, id="p"),
        nbformat.v4.new_code_cell(CODE, id="c"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks/toy.ipynb")
    (tmp_path / "notebooks/tiers.yml").write_text("toy: {full: {seeds: 8, first_seed: 4}}\n")
    claims = [CLAIM, CLAIM | {"id": "T-2", "kind": "identity", "samples": "exact"}]
    ledger = HEAD | {"claims": claims}
    (tmp_path / "book/claims/toy.yml").write_text(yaml.safe_dump(ledger))
    (tmp_path / "src/edgebook/wing/__init__.py").write_text(KERNEL)
    monkeypatch.setenv("EDGEBOOK_ROOT", str(tmp_path))
    monkeypatch.setattr(runner, "_execute", executed(tmp_path))
    for words in (["init", "-q"], ["config", "user.email", "a@b.c"], ["config", "user.name", "A"]):
        git(tmp_path, *words)
    commit(tmp_path)
    runner.run("toy", tier="full", out=tmp_path / "results/full")
    commit(tmp_path)
    return tmp_path


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "as it is")


def executed(root: Path):
    """Return a stand-in for the process with a kernel: it runs the cells here, with the checkout's toy wing."""

    def execute(source, values, private, limit):
        import sys
        import types

        for name in ("out", "cwd"):
            (private / name).mkdir()
        wing = types.ModuleType("edgebook.wing")
        exec((root / "src/edgebook/wing/__init__.py").read_text(), vars(wing))
        cells = [cell.source for cell in nbformat.read(source, as_version=4).cells if cell.cell_type == "code"]
        namespace: dict = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "edgebook.wing", wing)
            patch.setenv("EDGEBOOK_OUT", str(private / "out"))
            for cell in cells:
                exec(cell, namespace)
                namespace |= values if cell is cells[0] else {}
        nbformat.write(nbformat.read(source, as_version=4), private / "notebook.ipynb")
        return {"status": "done", "message": ""}

    return execute


def change_kernel(root: Path, old: str, new: str) -> None:
    path = root / "src/edgebook/wing/__init__.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_fresh_record_is_confirmed_with_date_commit_and_seed(root, capsys):
    assert main(["confirm", "toy"]) == 0
    assert "seed 4 gives the same samples as the record, all 2 claims; noted" in capsys.readouterr().out
    noted = full_record("toy")
    assert (noted.confirmed.seed, noted.confirmed.commit) == (4, git(root, "rev-parse", "HEAD"))
    assert stale_reasons(noted) == []
    assert noted.seeds == tuple(range(4, 12))


def test_a_record_that_another_form_of_the_same_code_made_stale_gets_the_new_fingerprint(root):
    change_kernel(root, "3.0 + 0.1 * seed", "0.1 * seed + 3.0")
    commit(root)
    assert stale_reasons(full_record("toy")) == ["the notebook's code or a kernel has changed"]
    assert confirm("toy")[0]
    assert stale_reasons(full_record("toy")) == []
    assert full_record("toy").fingerprint == sources.fingerprint(root / "notebooks/toy.ipynb")


def test_a_changed_constant_fails_and_says_which_claims_differ(root, capsys):
    before = (root / "results/full/toy.json").read_text()
    change_kernel(root, "3.0", "3.0000000000001")
    assert main(["confirm"]) == 1
    said = capsys.readouterr().out
    assert "seed 4 gives other values for 1 claims" in said
    assert "T-1: 3.4 in the record, 3.4000000000001" in said
    assert "T-2" not in said
    assert (root / "results/full/toy.json").read_text() == before  # stale it was, and stale it stays
    assert stale_reasons(load_record(root / "results/full/toy.json")) != []


def test_a_record_that_its_own_code_does_not_meet_becomes_stale(root, monkeypatch):
    monkeypatch.setenv("OTHER", "1")
    assert not confirm("toy")[0]
    (reason,) = stale_reasons(full_record("toy"))
    assert reason.startswith("its seed 4, run again 20")
    assert reason.endswith("differs in T-1")
    monkeypatch.delenv("OTHER")
    assert confirm("toy")[0]
    assert stale_reasons(full_record("toy")) == []


def test_in_a_changed_tree_nothing_is_noted(root):
    before = (root / "results/full/toy.json").read_text()
    change_kernel(root, "3.0 + 0.1 * seed", "0.1 * seed + 3.0")
    equal, said = confirm("toy")
    assert equal
    assert "not noted, for src/edgebook/wing/__init__.py has changes" in said
    assert (root / "results/full/toy.json").read_text() == before


def test_on_another_processor_the_seed_is_run_at_both_commits(root, monkeypatch):
    recorded = full_record("toy")
    elsewhere = recorded.hardware.model_copy(update={"cpu": "Another"})
    confirmation.save_record(recorded.model_copy(update={"hardware": elsewhere}), root / "results/full")
    commit(root)
    asked = []

    def run_at(record, seed, folder):
        asked.append((record.commit, seed))
        return recorded.model_copy(update={"hardware": elsewhere})

    monkeypatch.setattr(confirmation, "_run_at", run_at)
    equal, said = confirm("toy")
    assert equal
    assert asked == [(recorded.commit, 4)]
    assert "the same samples as a run at its commit" in said
    assert full_record("toy").confirmed.beside == "a run at its commit"


def test_the_run_at_a_commit_takes_its_code_from_there(root, monkeypatch):
    """The command is a stand-in that writes down from where it was called; the worktree is git's own."""
    change_kernel(root, "3.0", "4.0")
    commit(root)
    record, words = full_record("toy"), []
    run = subprocess.run

    def called(line, **options):
        if line[0] == "git":
            return run(line, **options)
        words.append((line[3:], (options["cwd"] / "src/edgebook/wing/__init__.py").read_text(), options["env"]))
        confirmation.save_record(record, Path(line[-1]))
        return subprocess.CompletedProcess(line, 0)

    monkeypatch.setattr(confirmation.subprocess, "run", called)
    assert confirmation._run_at(record, 4, root / "then") == record
    ((line, kernel, environment),) = words
    assert line[:7] == ["run", "toy", "--tier", "full", "--set", "seeds=1", "first_seed=4"]
    assert kernel == KERNEL
    assert environment["EDGEBOOK_ROOT"] == str(root / "then/tree")
    assert git(root, "worktree", "list").count("\n") == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda root: (root / "results/full/toy.json").unlink(), "There is no record of 'toy' to confirm"),
        (lambda root: (root / "notebooks/tiers.yml").write_text("toy: {full: {seeds: 9}}"), "its parameters are not"),
        (
            lambda root: (root / "book/claims/toy.yml").write_text(yaml.safe_dump(HEAD | {"claims": [CLAIM]})),
            "the ledger has changed",
        ),
    ],
)
def test_what_cannot_be_confirmed_is_refused_before_anything_runs(root, monkeypatch, capsys, change, says):
    change(root)
    monkeypatch.setattr(runner, "run", lambda *_, **__: pytest.fail("executed"))
    assert main(["confirm", "toy"]) == 2
    assert says in capsys.readouterr().err


def test_the_scoreboard_shows_a_confirmation(root):
    from edgebook.ledger import scoreboard

    confirm("toy")
    paper = {
        "name": "toy",
        "short": "Toy",
        "title": "Toys",
        "year": 2020,
        "wing": "a",
        "cite": "toy2020",
        "question": "?",
    }
    catalogue = {"wings": {"a": {"title": "A", "says": "First."}}, "papers": [paper]}
    (root / "book/papers.yml").write_text(yaml.safe_dump(catalogue))
    (row, *_) = scoreboard.rows(root)
    assert row.confirmed == str(full_record("toy").confirmed)
    assert f"confirmed: {row.confirmed}" in scoreboard.as_text(scoreboard.rows(root))


def test_samples_under_a_choice_and_of_the_placebo_are_compared_too(root):
    record = full_record("toy")
    first, second = record.results
    other = Alternative(samples=first.samples, mean=None, interval=None, verdict=first.verdict, reason="")
    whole = first.model_copy(update={"under": {"gain": other}, "placebo": other})
    moved = other.model_copy(update={"samples": (0.5, *other.samples[1:])})

    def differing(**change):
        pair = (
            record.model_copy(update={"results": (one, second)}) for one in (whole, whole.model_copy(update=change))
        )
        return list(confirmation._differing(*pair))

    assert differing() == []
    assert differing(under={"gain": moved}) == differing(placebo=moved) == ["T-1"]
