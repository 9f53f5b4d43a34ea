"""The consistency check: a sound checkout has no problem, and each thing broken is named."""

from __future__ import annotations

import pytest

from edgebook.__main__ import main
from edgebook.ledger import Verdict, load_ledger, start
from edgebook.ledger.record import ClaimResult, Hardware, Measured, Record, save_measured, save_record
from edgebook.pages.check import check

LEDGER = """
title: A title
cite: someone2020
statements: [{says: It is so., tested_by: [A-1]}]
claims:
  - &first
    id: A-1
    says: It is so.
    where: abstract
    measures: a difference
    unit: points
    expects: positive
    margin: 1
  - {<<: *first, id: A-2, where: table 1}
"""
PAPERS = """
wings:
  compression: {title: Compression, says: Less.}
papers:
  - name: toy
    short: Toy
    title: A title
    year: 2020
    wing: compression
    cite: someone2020
    question: Is it?
"""


@pytest.fixture
def sound(checkout):
    cards = 'ledger.cards(shown.record, "A-1", "A-2")'
    text = ("# Toy {cite}`someone2020`", cards, "# So far", "# The end", "assert seeds")
    checkout.notebook("notebooks/toy.ipynb", *text, last="remove-cell")
    checkout.notebook("book/data.ipynb", "# The data")
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}, full: {seeds: 8}, paper: {seeds: 5}}\n")
    checkout.write("book/claims/toy.yml", LEDGER)
    checkout.write("book/papers.yml", PAPERS)
    checkout.write("book/references.bib", "@article{someone2020,\n  title = {A title}\n}\n")
    checkout.write("book/intro.md", "See {cite:t}`someone2020`.\n")
    chapters = "root: book/intro\nchapters:\n  - file: notebooks/toy\n    sections:\n    - file: book/data\n"
    checkout.write("_toc.yml", f"format: jb-book\n{chapters}")
    execute = "execute: {execute_notebooks: 'off', raise_on_error: true}\n"
    checkout.write("_config.yml", f"title: T\n{execute}sphinx: {{config: {{any_key: 1}}}}\n")
    return checkout


def test_a_sound_checkout_has_no_problem(sound):
    assert check(sound.root) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "says"),
    [
        ("book/claims/toy.yml", "margin: 1", "margin: 1\n    typo: 2", "toy.yml is no valid ledger"),
        ("book/claims/toy.yml", "A-2", "A-3", "0 cards of A-3"),
        ("book/claims/toy.yml", "A-2", "A-3", "a card of A-2 but its ledger has no such claim"),
        ("book/claims/toy.yml", "A title", "Another title", "title of 'toy' differs"),
        ("book/papers.yml", "name: toy", "name: tory", "papers.yml does not know 'toy'; did you mean 'tory'"),
        ("book/papers.yml", "Is it?", "It is.", "papers.yml is no valid catalogue"),
        ("notebooks/toy.ipynb", "A-2", "A-1", "2 cards of A-1"),
        ("notebooks/toy.ipynb", "rate: float", "rate: list", "has type list"),
        (
            "notebooks/toy.ipynb",
            "  # how many",
            "",
            "'seeds: int = 3' is not 'name: int|float|str|bool",
        ),
        ("notebooks/toy.ipynb", "tier: str", "stage: str", "toy.ipynb: the first parameter must be"),
        ("notebooks/toy.ipynb", "{cite}`someone2020`", "{cite}`someone2002`", "did you mean 'someone2020'"),
        ("notebooks/tiers.yml", "quick: {seeds: 1}", "quick: {seeds: x}", "takes an int, not 'x'"),
        ("notebooks/tiers.yml", "paper: {seeds: 5}", "", "no entry for tier 'paper' of 'toy'"),
        ("notebooks/tiers.yml", "quick", "quik", "did you mean 'quick'"),
        ("_toc.yml", "book/data", "book/date", "names 'book/date', which is no file"),
        ("_toc.yml", "book/data", "book/date", "does not name 'book/data'"),
        ("_toc.yml", "file: book/data", "file: book/intro", "names 'book/intro' more than once"),
        (
            "_config.yml",
            "raise_on_error",
            "raise_on_eror",
            "'execute.raise_on_eror', which Jupyter Book does not know",
        ),
        ("_config.yml", "title: T", "titel: T", "did you mean 'title'"),
        ("_config.yml", "title: T", "title: [", "_config.yml is not YAML"),
        ("_config.yml", "title: T", "title: T\ntitle: U", "'title' stands twice"),
        ("book/claims/toy.yml", "margin: 1", "margin: 1\n    kind: control", "toy.yml has no claim"),
        ("notebooks/toy.ipynb", "[]", "[1]", "toy.ipynb: it is no valid notebook: "),
        ("notebooks/toy.ipynb", "null", "1", "has an execution count"),
        ("_toc.yml", "book/data", "README.md", "names 'README.md', which is no file of book/"),
        ("book/intro.md", "See", "From py" + "pi.org, see", "book/intro.md, line 1 names the host"),
        ("book/intro.md", "someone2020", "someone2020, nobody1999", "intro.md cites 'nobody1999'"),
    ],
)
def test_each_broken_thing_is_named(sound, path, old, new, says):
    file = sound.root / path
    text = file.read_text()
    escaped = (old.replace('"', '\\"'), new.replace('"', '\\"')) if path.endswith(".ipynb") else (old, new)
    assert escaped[0] in text
    file.write_text(text.replace(*escaped, 1))
    problems = check(sound.root)
    assert any(says in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("book/claims/toy.yml", "There is no ledger for 'toy'"),
        ("notebooks/toy.ipynb", "book/claims/toy.yml has no notebook"),
        ("book/papers.yml", "book/papers.yml does not exist"),
        ("_toc.yml", "There is no _toc.yml"),
        ("book/references.bib", "not in book/references.bib"),
    ],
)
def test_each_missing_file_is_named(sound, path, says):
    (sound.root / path).unlink()
    assert any(says in problem for problem in check(sound.root))


PLANTED = [
    ("book/claims/other.yaml", "", "book/claims/other.yaml must end in .yml."),
    ("book/claims/other.yml", LEDGER, "book/claims/other.yml has no notebook notebooks/other.ipynb."),
    ("book/claims/other.yml", LEDGER, "book/claims/toy.yml has a claim A-1, and so has book/claims/other.yml."),
    ("book/more.md", "More.", "_toc.yml does not name 'book/more'."),
    ("results/full/toy.txt", "", "results/full/toy.txt is no record."),
    ("results/full/toy.json", "{}", "toy.json is no valid record: notebook: Field required."),
    (
        "results/full/toy.json",
        '{"schema_version": 1, "notebook": "toy"}',
        "toy.json is no valid record: it is of an older form; make it anew: make record PAPER=toy.",
    ),
    ("results/full/toy.measured.json", "{}", "results/full/toy.measured.json is no record."),
    ("toy.ipynb", "{}", "toy.ipynb is a product of a run."),
]


@pytest.mark.parametrize(("path", "text", "says"), PLANTED)
def test_what_does_not_belong_there_is_named(sound, path, text, says):
    sound.write(path, text)
    assert says in check(sound.root)


def test_a_record_must_be_of_its_notebook_at_tier_full_and_of_its_claims(sound):
    results = [
        ClaimResult(
            claim=claim, samples=(), mean=None, interval=None, method="none", effect=None, size=None, gap=None,
            p_value=None, alone=Verdict.INCONCLUSIVE, verdict=Verdict.INCONCLUSIVE, reason="",
            holm_verdict=Verdict.INCONCLUSIVE,
        )
        for claim in load_ledger("toy").claims
    ]  # fmt: skip
    record = Record(
        notebook="toy", title="", tier="full", scale="", parameters={}, seeds=(0,), results=results, commit=None,
        dirty=False, fingerprint="", versions={}, seconds=1, started="",
        hardware=Hardware(cpu="", cores=1, gpu=None, platform=""),
    )  # fmt: skip
    path = save_record(record, sound.root / "results/full")
    beside = save_measured(Measured(started="", seeds=(0,), arms={}, results=({},)), path)
    assert check(sound.root) == []
    beside.write_text("{}")
    assert check(sound.root) == ["toy.measured.json is no valid file of what was measured: started: Field required."]
    beside.unlink()
    path.write_text(path.read_text().replace("A-2", "A-3").replace('"full"', '"book"'))
    assert check(sound.root) == [
        "results/full/toy.json is a record of 'toy' at tier book.",
        "results/full/toy.json has a claim A-3, which no ledger of that name has.",
    ]


def test_the_command_exits_1_and_lists_each_problem(sound, capsys):
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "2 claims in 1 ledger, 0 records: all consistent\n"
    (sound.root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    assert main(["check"]) == 1
    named = "_toc.yml does not name 'notebooks/toy'.\n_toc.yml does not name 'book/data'.\n"
    assert capsys.readouterr().out == f"{named}2 claims in 1 ledger, 0 records: 2 problems\n"


def test_stale_records_are_listed_and_are_no_problem(sound, capsys):
    run = start("toy", {"tier": "full", "seeds": 8, "rate": 0.5})
    save_record(run.judge({"A-1": float, "A-2": float}, run.seeds, scale=""), sound.root / "results/full")
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "2 claims in 1 ledger, 1 record: all consistent\n"
    ledger = sound.root / "book/claims/toy.yml"
    ledger.write_text(ledger.read_text().replace("margin: 1", "margin: 2"))
    assert main(["check"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["stale: toy (the ledger has changed)"]
