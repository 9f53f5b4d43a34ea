"""The command line: what it says of wrong words, and what its lists hold."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

import edgebook.ledger
from edgebook import notebooks
from edgebook.__main__ import _COMMANDS, main
from edgebook.ledger import start
from edgebook.ledger.record import save_record
from edgebook.notebooks import runner

NOT_REPRODUCD = "There is no verdict 'not reproducd'; did you mean 'not reproduced'?"
LEDGER = """title: T
cite: t
statements: [{says: S., tested_by: [A-1]}]
claims:
  - &one {id: A-1, says: It is more., where: text, measures: m, unit: points, expects: positive, margin: 1}
  - {<<: *one, id: A-2}
  - {<<: *one, id: A-3}
"""
PAPER = "short: S, title: T, year: 2020, cite: t, question: 'So?'"
PAPERS = f"""wings: {{compression: {{title: C, says: Less.}}, spiking: {{title: S, says: Rarely.}}}}
papers:
  - {{name: toy, wing: compression, {PAPER}}}
  - {{name: later, wing: spiking, {PAPER}}}
"""


@pytest.fixture
def toy(checkout, monkeypatch):
    checkout.notebook("notebooks/toy.ipynb")
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}}\n")
    checkout.write("book/claims/toy.yml", "claims: [{id: A-1}, {id: A-2, kind: control}]\n")
    checkout.write("book/papers.yml", PAPERS)
    checkout.write("notebooks/sweeps/grid.yml", "says: W?\nnotebook: toy\ntier: quick\ngrid: {rate: [0.5]}\n")
    return checkout


def recorded(toy):
    """A record of eight seeds: one claim is seen, and two are open."""
    toy.write("book/claims/toy.yml", LEDGER)
    toy.write("notebooks/tiers.yml", "toy: {full: {seeds: 8}}\n")
    run = start("toy", {"tier": "full", "seeds": 8, "rate": 0.5})
    open_ = [0.0, 2.0, 1.5, 3.5, 2.5, 1.0, 4.0, 1.5]
    measured = {"A-1": lambda n: open_[n], "A-2": lambda n: 5.0 + n / 10, "A-3": lambda n: float(n == 3)}
    record = run.judge(measured, run.seeds, scale="small")
    save_record(record, toy.root / "results/full")
    return record


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rum"], "There is no command 'rum'; did you mean 'run'?"),
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
        (["list", "toi"], "There is no notebook 'toi'; did you mean 'toy'?"),
        (["list", "later"], "The notebook of 'later' is not yet written."),
        (["list", "toy", "more"], "Unrecognized arguments: more."),
        (["scoreboard", "--paper", "toi"], "There is no paper 'toi'; did you mean 'toy'?"),
        (["scoreboard", "--wing", "compresion"], "There is no wing 'compresion'; did you mean 'compression'?"),
        (["scoreboard", "--kind", "controls"], "There is no kind 'controls'; did you mean 'control'?"),
        (["scoreboard", "--verdict", "not", "reproducd"], NOT_REPRODUCD),
        (["scoreboard", "--csv", "--json"], "Argument --json: not allowed with argument --csv."),
        (["power", "toi"], "There is no paper 'toi'; did you mean 'toy'?"),
        (["power", "later"], "There is no record of 'later'."),
        (["confirm", "toi"], "There is no notebook 'toi'; did you mean 'toy'?"),
        (["compare", "nowhere", "."], "There is no record or folder at nowhere."),
        (["compare", ".", "nowhere"], "There is no record or folder at nowhere."),
        (["sweep", "gird"], "There is no sweep 'gird'; did you mean 'grid'?"),
        (["point", "gird", "0"], "There is no sweep 'gird'; did you mean 'grid'?"),
        (["data", "fetsh"], "There is no action of data 'fetsh'; did you mean 'fetch'?"),
        (["data", "needed", "toi"], "There is no notebook 'toi'; did you mean 'toy'?"),
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


def test_a_run_ends_with_its_verdicts_its_record_and_the_time(toy, monkeypatch, capsys):
    record = recorded(toy)

    def run(name, **_):
        return save_record(record, toy.root / "out").with_suffix(".ipynb")

    monkeypatch.setattr(runner, "run", run)
    assert main(["run", "toy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "toy, tier full, 8 seeds: small"
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["A-1", "inconclusive"], ["A-2", "reproduced"], ["A-3", "inconclusive"],
    ]  # fmt: skip
    assert lines[1].endswith("2.0 [0.9, 3.1] points        the interval spans the margin")
    out = toy.root / "out"
    assert lines[4:] == [
        "1 reproduced, 2 inconclusive", "", f"notebook  {out / 'toy.ipynb'}", f"record    {out / 'toy.json'}",
        "time      0 s",
    ]  # fmt: skip


def test_without_words_the_verbs_are_told(toy, capsys):
    assert main([]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("usage: python -m edgebook")
    verbs = [line.split()[0] for line in lines if line.startswith("    ") and line[4] != " "]
    assert verbs == list(_COMMANDS)


def test_list_shows_wings_claims_and_what_the_recorded_run_took(toy, capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("compression") + 1].split() == ["toy", "1", "claim,", "1", "control"]
    assert lines[lines.index("spiking") + 1].split() == ["later", "not", "yet", "written"]
    for seconds, told in ((754.0, "13 min"), (9000.0, "2.5 h")):
        save_record(recorded(toy).model_copy(update={"seconds": seconds}), toy.root / "results/full")
        assert main(["list"]) == 0
        assert f"  toy                              3 claims; full {told}\n" in capsys.readouterr().out
    toy.write("results/full/toy.json", "{}")
    assert main(["list"]) == 0
    assert "3 claims\n" in capsys.readouterr().out


def test_list_names_the_kinds_that_there_are(toy, capsys):
    kinds = ["identity", "question", "claim", "claim", "control", "question"]
    entries = ", ".join(f"{{id: A-{number}, kind: {kind}}}" for number, kind in enumerate(kinds))
    toy.write("book/claims/toy.yml", f"claims: [{entries}]\n")
    assert main(["list"]) == 0
    assert "2 claims, 2 questions, 1 control, 1 identity" in capsys.readouterr().out


def test_lines_of_the_list_are_short(root, capsys, monkeypatch):
    monkeypatch.setenv("EDGEBOOK_ROOT", str(root))
    assert main(["list"]) == 0
    for name in [*notebooks.paper_names(), *notebooks.page_names()]:
        assert main(["list", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 300 and max(map(len, lines)) <= 100


def test_list_explains_each_parameter_of_a_notebook(toy, capsys):
    toy.write("notebooks/tiers.yml", "toy: {full: {seeds: 8, rate: 0.25}, quick: {seeds: 1}}\n")
    assert main(["list", "toy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["toy: T", "compression; 1 claim, 1 control"]
    assert lines[5:-2] == [
        "  tier: str = 'book'", "    tier", "",
        "  seeds: int = 3", "    how many", "    [quick 1, full 8]", "",
        "  rate: float = 0.5", "    of learning", "    [full 0.25]",
    ]  # fmt: skip


def test_power_tells_the_seeds_that_would_decide(toy, capsys):
    recorded(toy)
    for words in (["power"], ["power", "toy"]):
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:3] for line in lines] == [
            ["claim", "seeds", "needs"], ["A-1", "8", "10"], ["It", "is", "more."],
            ["A-3", "8", "-"], ["It", "is", "more."],
        ]  # fmt: skip
        assert lines[1].endswith("2.0 [0.9, 3.1] points")
    (toy.root / "results/full/toy.json").unlink()
    assert main(["power"]) == 0
    assert capsys.readouterr().out == "Nothing is inconclusive.\n"


def test_the_scoreboard_is_of_what_is_asked_for(toy, capsys):
    recorded(toy)
    assert main(["scoreboard", "--paper", "toy", "--verdict", "reproduced"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "toy (2020): 1 reproduced"
    assert lines[2].split()[:4] == ["A-2", "reproduced", "5.35", "[5.15,"]
    assert lines[3].strip() == "It is more."
    assert lines[5:7] == ["", "All: 1 reproduced"]
    assert main(["scoreboard", "--verdict", "not", "reproduced"]) == 0
    assert capsys.readouterr().out == "No claim is like that.\n"
    assert main(["scoreboard", "--wing", "compression", "--markdown"]) == 0
    assert "| S | 2020 | 1 reproduced, 2 inconclusive |" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["json", "csv", "bibtex"])
def test_the_scoreboard_can_be_taken_along(toy, capsys, monkeypatch, form):
    recorded(toy)
    writer = types.ModuleType("edgebook.ledger.export")
    setattr(writer, f"as_{form}", lambda rows: f"{form} of {' '.join(row.claim.id for row in rows)}\n")
    monkeypatch.setitem(sys.modules, "edgebook.ledger.export", writer)
    monkeypatch.setattr(edgebook.ledger, "export", writer, raising=False)
    assert main(["scoreboard", "--verdict", "inconclusive", f"--{form}"]) == 0
    assert capsys.readouterr().out == f"{form} of A-1 A-3\n"


def test_list_imports_nothing_heavy(toy):
    code = (
        "import sys\nfrom edgebook.__main__ import main\nmain(['list'])\n"
        "heavy = {'numpy', 'torch', 'papermill', 'nbformat', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=toy.environment, stdout=subprocess.DEVNULL)
    assert done.returncode == 0


@pytest.mark.parametrize("words", ["--help", ""])
def test_a_reader_that_has_gone_before_the_first_word_is_no_error(toy, words):
    toy.environment.pop("PYTHONUNBUFFERED", None)  # with it, argparse passes over the error itself
    line = f"exec 3>&1; {{ sleep 0.2; {sys.executable} -m edgebook {words}; echo $? >&3; }} | true"
    done = subprocess.run(["bash", "-c", line], env=toy.environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


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
