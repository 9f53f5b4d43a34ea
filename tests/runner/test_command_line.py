"""The command line: what it says of wrong words, and what its lists hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgebook.__main__ import main
from edgebook.ledger import start
from edgebook.ledger.record import save_record
from edgebook.notebooks import runner


@pytest.fixture
def toy(checkout, monkeypatch):
    checkout.notebook("notebooks/toy.ipynb")
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}}\n")
    checkout.write("book/claims/toy.yml", "claims: [{id: A-1}, {id: A-2, kind: control}]\n")
    papers = "papers:\n  - {name: toy, wing: compression}\n  - {name: later, wing: spiking}\n"
    checkout.write("book/papers.yml", papers)
    return checkout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rum"], "There is no command 'rum'; did you mean 'run'?"),
        ([], "The following arguments are required: command."),
        (["run"], "The following arguments are required: notebook."),
        (["run", "toi"], "There is no notebook 'toi'; did you mean 'toy'?"),
        (["run", "toy", "--tier", "quik"], "There is no tier 'quik'; did you mean 'quick'?"),
        (["run", "toy", "--tier", "full"], "notebooks/tiers.yml has no entry for tier 'full' of 'toy'."),
        (["run", "toy", "--set", "seed=1"], "'toy' has no parameter 'seed'; did you mean 'seeds'?"),
        (["run", "toy", "--set", "seeds=x"], "Parameter 'seeds' takes an int, not 'x'."),
        (["run", "toy", "--set", "seeds"], "--set takes key=value, not 'seeds'."),
        (["run", "toy", "--set", "seeds=1", "seeds=2"], "--set gives 'seeds' twice."),
        (
            ["run", "toy", "--set", "tier=full"],
            "The parameter 'tier' is set by choosing a tier, not by a value.",
        ),
        (["run", "toy", "--timeout", "x"], "Argument --timeout: invalid float value: 'x'."),
        (["run", "toy", "--timeout", "-1"], "The time limit must be above 0 seconds, not -1."),
        (
            ["prepare", "--tier", "fast", "--out", "x"],
            "There is no tier 'fast'; allowed: quick, book, full, paper.",
        ),
        (["list", "more"], "Unrecognized arguments: more."),
    ],
)
def test_wrong_words_get_one_sentence_and_exit_code_2(toy, capsys, monkeypatch, words, says):
    monkeypatch.setattr(runner, "_execute", lambda *_: pytest.fail("executed"))
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.err == f"{says}\n"
    assert shown.out == ""
    assert not (toy.root / "_build").exists()


def test_settings_reach_the_run_with_their_types(toy, monkeypatch, capsys):
    asked = {}
    monkeypatch.setattr(runner, "run", lambda name, **rest: asked.update(rest, name=name) or "done")
    assert main(["run", "toy", "--set", "seeds=2", "rate=3", "--tier", "quick", "--timeout", "9"]) == 0
    assert asked == {
        "name": "toy",
        "tier": "quick",
        "settings": {"seeds": 2, "rate": 3.0},
        "out": None,
        "timeout": 9,
    }
    assert type(asked["settings"]["rate"]) is float
    assert capsys.readouterr().out == "done\n"


def test_list_shows_wings_claims_and_tiers(toy, capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("compression") + 1].split() == ["toy", "1", "claims,", "1", "controls"]
    assert lines[lines.index("compression") + 2].split() == ["quick", "seeds=1"]
    assert lines[lines.index("spiking") + 1].split() == ["later", "not", "yet", "written"]


def test_list_names_the_kinds_that_there_are(toy, capsys):
    kinds = ["identity", "question", "claim", "claim", "control", "question"]
    entries = ", ".join(f"{{id: A-{number}, kind: {kind}}}" for number, kind in enumerate(kinds))
    toy.write("book/claims/toy.yml", f"claims: [{entries}]\n")
    assert main(["list"]) == 0
    assert "2 claims, 2 questions, 1 controls, 1 identities" in capsys.readouterr().out


def test_power_tells_the_seeds_that_would_decide(toy, capsys):
    ledger = """title: T
cite: t
statements: [{says: S., tested_by: [A-1]}]
claims:
  - &one {id: A-1, says: S., where: text, measures: m, unit: points, expects: positive, margin: 1}
  - {<<: *one, id: A-2}
  - {<<: *one, id: A-3}
"""
    toy.write("book/claims/toy.yml", ledger)
    toy.write("notebooks/tiers.yml", "toy: {full: {seeds: 8}}\n")
    run = start("toy", {"tier": "full", "seeds": 8, "rate": 0.5})
    open_ = [0.0, 2.0, 1.5, 3.5, 2.5, 1.0, 4.0, 1.5]
    measured = {"A-1": lambda n: open_[n], "A-2": lambda n: 5.0 + n / 10, "A-3": lambda n: float(n == 3)}
    save_record(run.judge(measured, run.seeds, scale="s"), toy.root / "results/full")
    for words in (["power"], ["power", "toy"]):
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:3] for line in lines] == [
            ["claim", "seeds", "needs"], ["A-1", "8", "10"], ["A-3", "8", "-"],
        ]  # fmt: skip
        assert lines[1].endswith("2.0 [0.9, 3.1] points")
    assert main(["power", "later"]) == 2
    assert capsys.readouterr().err == "There is no record of 'later'.\n"


def test_list_imports_nothing_heavy(toy):
    code = (
        "import sys\nfrom edgebook.__main__ import main\nmain(['list'])\n"
        "heavy = {'numpy', 'torch', 'papermill', 'nbformat', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=toy.environment, stdout=subprocess.DEVNULL)
    assert done.returncode == 0


def test_a_reader_that_goes_away_is_no_error(toy):
    toy.write("book/papers.yml", "papers:\n" + "  - {name: later, wing: spiking}\n" * 5000)  # more than a pipe holds
    line = f"{sys.executable} -m edgebook list | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], env=toy.environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["quick  20 s a notebook: proves that the page works", "141"]
    assert done.stderr == ""


def test_a_further_set_that_is_not_here_is_named_too(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("EDGEBOOK_DATA", str(tmp_path / "data"))
    further = 'dataset: str = "photos"  # images\nother_dataset: str = "photos"  # further images\n'
    toy.notebook("notebooks/toy.ipynb", parameters=f'tier: str = "book"  # tier\n{further}')
    toy.write("notebooks/tiers.yml", "toy: {quick: {}, full: {other_dataset: mnist}, paper: {dataset: cifar100}}\n")
    assert main(["data", "needed", "toy"]) == 2
    assert capsys.readouterr().err.startswith("toy at tier full needs mnist, which is not complete in ")


def test_a_set_that_is_not_here_is_named_before_a_long_run(toy, tmp_path, capsys, monkeypatch):
    """By a run at tier full or paper, and for all papers at once; a short run meets it in its own time."""
    monkeypatch.setenv("EDGEBOOK_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(runner, "_execute", lambda *_: pytest.fail("executed"))
    toy.notebook("notebooks/toy.ipynb", parameters='tier: str = "book"  # tier\ndataset: str = "photos"  # images\n')
    tiers = "toy: {quick: {dataset: digits}, full: {dataset: %s}, paper: {dataset: cifar100}}\n"
    toy.write("notebooks/tiers.yml", tiers % "cifar10")
    for words in (["run", "toy", "--tier", "full"], ["data", "needed"], ["data", "needed", "toy"]):
        assert main(words) == 2
        said = capsys.readouterr()
        assert said.err.startswith("toy at tier full needs cifar10, which is not complete in ")
        assert "'python -m edgebook data fetch cifar10'" in said.err and said.err.count("\n") == 1
        assert said.out == ""
    assert main(["run", "toy", "--tier", "paper"]) == 2
    assert "unpack the Python version of CIFAR-100" in capsys.readouterr().err
    assert main(["run", "toy", "--tier", "full", "--set", "dataset=mnist"]) == 2
    assert "data fetch mnist" in capsys.readouterr().err
    (tmp_path / "data" / "arrays" / "cifar10").mkdir(parents=True)
    assert main(["data", "needed"]) == 0
    toy.write("notebooks/tiers.yml", tiers % "digits")
    assert main(["data", "needed"]) == 0
    assert main(["data", "needed", "toi"]) == 2
    assert main(["data", "look"]) == 2
