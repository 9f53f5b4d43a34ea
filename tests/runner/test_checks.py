"""The consistency check: a sound checkout has no problem, and each thing broken is named."""

from __future__ import annotations

import pytest

from edgebook.__main__ import main
from edgebook.pages.check import check

LEDGER = """
title: A title
cite: someone2020
claims:
  - &first
    id: A-1
    says: It is so.
    where: abstract
    measures: a difference
    unit: points
    expects: positive
    margin: 1
  - {<<: *first, id: A-2}
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
    checkout.notebook("notebooks/toy.ipynb", "# Toy {cite}`someone2020`", '# <a id="a-1"></a> and <a id="a-2"></a>')
    checkout.notebook("book/data.ipynb")
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}, full: {seeds: 8}, paper: {seeds: 5}}\n")
    checkout.write("book/claims/toy.yml", LEDGER)
    checkout.write("book/papers.yml", PAPERS)
    checkout.write("book/references.bib", "@article{someone2020,\n  title = {A title}\n}\n")
    checkout.write("book/intro.md", "See {cite:t}`someone2020`.\n")
    chapters = "root: book/intro\nchapters:\n  - file: notebooks/toy\n  - file: book/data\n"
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
        ("book/claims/toy.yml", "A-2", "A-3", '0 anchors <a id="a-3">'),
        ("book/claims/toy.yml", "A-2", "A-3", "anchor 'a-2' but its ledger has no such claim"),
        ("book/claims/toy.yml", "A title", "Another title", "title of 'toy' differs"),
        ("book/papers.yml", "name: toy", "name: tory", "papers.yml does not know 'toy'; did you mean 'tory'"),
        ("book/papers.yml", "Is it?", "It is.", "papers.yml is no valid catalogue"),
        ("notebooks/toy.ipynb", "a-2", "a-1", '2 anchors <a id="a-1">'),
        ("notebooks/toy.ipynb", "rate: float", "rate: list", "has type list"),
        ("notebooks/toy.ipynb", "  # how many", "", "'seeds' of toy.ipynb has no help"),
        ("notebooks/toy.ipynb", "tier: str", "stage: str", "first parameter of toy.ipynb must be"),
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
        ("_config.yml", "title: T", "title: [", "_config.yml is no valid YAML"),
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


def test_the_command_exits_1_and_lists_each_problem(sound, capsys):
    assert main(["check"]) == 0
    assert capsys.readouterr().out == ""
    (sound.root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    assert main(["check"]) == 1
    named = "_toc.yml does not name 'notebooks/toy'.\n_toc.yml does not name 'book/data'.\n"
    assert capsys.readouterr().out == named
