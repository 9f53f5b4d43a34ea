"""The check of what a page says in one minute, of its cards, and of the cells that show the recorded run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebook import notebooks
from edgebook.ledger.claims import load_ledger
from edgebook.ledger.record import ClaimResult, Hardware, Record, save_record
from edgebook.ledger.rule import Verdict
from edgebook.notebooks import sources
from edgebook.pages.check.findings import findings
from edgebook.pages.check.ledgers import papers
from edgebook.pages.check.shown_cells import problems_of

LEDGER = """
title: A title
cite: someone2020
statements: [{says: It is so., tested_by: [A-1]}]
claims:
  - &first
    {id: A-1, says: So., where: abstract, measures: a difference, unit: points, expects: positive, margin: 1}
  - {<<: *first, id: A-2, where: table 1}
"""
PAPERS = """
wings: {compression: {title: Compression, says: Less.}}
papers:
  - name: toy
    short: Toy
    title: A title
    year: 2020
    wing: compression
    cite: someone2020
    question: Is it?
"""
FINDING = "    finding: It is.\n    rests_on: {reproduced: [A-1], inconclusive: [A-2]}\n"


@pytest.fixture
def toy(checkout):
    checkout.notebook("notebooks/toy.ipynb", 'ledger.cards(shown.record, "A-1", "A-2")')
    checkout.write("notebooks/tiers.yml", "toy: {full: {seeds: 8, rate: 0.25}}\n")
    checkout.write("book/claims/toy.yml", LEDGER)
    checkout.write("book/papers.yml", PAPERS)
    return checkout


def record(root: Path, first: Verdict, **changed: object) -> None:
    """Write the record of the toy as it stands; the second claim is inconclusive."""
    results = [
        ClaimResult(
            claim=claim, samples=(), mean=None, interval=None, method="none", effect=None, size=None, gap=None,
            p_value=None, alone=word, verdict=word, reason="", holm_verdict=word,
        )
        for claim, word in zip(load_ledger("toy").claims, (first, Verdict.INCONCLUSIVE), strict=True)
    ]  # fmt: skip
    known = {
        "notebook": "toy", "title": "", "tier": "full", "scale": "", "seeds": (), "results": results, "commit": None,
        "parameters": notebooks.resolve("toy", "full"), "dirty": False, "versions": {}, "seconds": 1, "started": "",
        "fingerprint": sources.fingerprint(root / "notebooks/toy.ipynb"),
        "hardware": Hardware(cpu="", cores=1, gpu=None, platform=""),
    }  # fmt: skip
    save_record(Record(**known | changed), root / "results/full")


def test_a_finding_that_is_what_the_record_says_is_in_order(toy) -> None:
    toy.write("book/papers.yml", PAPERS + FINDING)
    record(toy.root, Verdict.REPRODUCED)
    assert [*findings(toy.root)] == []


def test_a_finding_with_another_word_than_the_record_is_named_unless_the_record_is_stale(toy) -> None:
    toy.write("book/papers.yml", PAPERS + FINDING)
    record(toy.root, Verdict.CONTRADICTED)
    where = "book/papers.yml: the finding of toy"
    assert [*findings(toy.root)] == [f"{where} rests on A-1 being 'reproduced', and its record says 'contradicted'."]
    record(toy.root, Verdict.CONTRADICTED, fingerprint="another")
    assert [*findings(toy.root)] == []


@pytest.mark.parametrize(("added", "says"), [
    (FINDING.replace("A-2", "A-9"), "rests on A-9, which its ledger does not have"),
    (FINDING.replace("It is.", "It " + "is " * 25), "the finding of toy has 26 words; 25 are the most"),
    ("    finding: It is.\n", "the finding of toy rests on no verdict"),
    ("    rests_on: {reproduced: [A-1]}\n", "toy has rests_on without a finding"),
    (FINDING.replace("reproduced", "replicated"), "papers.yml is no valid catalogue: papers.0.rests_on.replicated"),
    ("    scale: [{what: images, paper: many, here: '{images:,}'}]\n", "'{images:,}' cannot be written from"),
    ("    scale: [{what: images, paper: many, here: '{tier:,}'}]\n", "'{tier:,}' cannot be written from"),
    ("    links: {arxiv: arXiv:2101.00001}\n", "papers.yml is no valid catalogue: papers.0.links.arxiv"),
    ("    links: {code: example.org}\n", "papers.yml is no valid catalogue: papers.0.links.code"),
])  # fmt: skip
def test_what_is_wrong_with_the_minute_is_named(toy, added: str, says: str) -> None:
    record(toy.root, Verdict.REPRODUCED)
    toy.write("book/papers.yml", PAPERS + added)
    found = [*papers(toy.root), *findings(toy.root)]
    assert len(found) == 1 and says in found[0], found


def test_a_finding_without_a_record_rests_on_nothing(toy) -> None:
    toy.write("book/papers.yml", PAPERS + FINDING)
    assert [*findings(toy.root)] == ["book/papers.yml: the finding of toy has no record to rest on."]


def test_a_claim_has_one_card(toy) -> None:
    assert [*papers(toy.root)] == []
    toy.notebook("notebooks/toy.ipynb", 'ledger.cards(shown.record, "A-1", "A-9")', 'ledger.cards(shown.record, "A-1")')
    found = [*papers(toy.root)]
    assert len(found) == 3, found
    assert "2 cards of A-1; it must have one" in found[0]
    assert "0 cards of A-2" in found[1]
    assert "a card of A-9" in found[2]


BEFORE = (
    "limit = rate * 2", "def above(r):\n    return r > limit", "results = run.over_seeds(measure)",
    "record = run.judge({}, results, scale='')", "shown = run.shown(results)\nits = shown.parameters",
)  # fmt: skip


def cells(*shows: str) -> list[dict]:
    plain = [{"cell_type": "code", "source": source, "metadata": {}} for source in BEFORE]
    return plain + [{"cell_type": "code", "source": one, "metadata": {"tags": ["shown"]}} for one in shows]


@pytest.mark.parametrize("source", [
    "rows = [r for r in shown.results]\nfor name, r in enumerate(rows):\n    style.table({name: {its.rate: r}})",
    "limit = 2 * its.rate\nlimit > 0",
    "fig, ax = plt.subplots()\nax.plot(shown.seeds)\nplt.show()\nledger.cards(shown.record, 'A-1')",
    "style.table({f'{seeds}': {}})",  # tier full sets rate alone otherwise
])  # fmt: skip
def test_a_cell_that_shows_what_is_shown_is_in_order(source: str) -> None:
    assert problems_of(cells(source), ["rate"]) == []


@pytest.mark.parametrize(("source", "says"), [
    ("style.table({'a': results[0]})", "results (run.over_seeds)"),
    ("style.table({'a': [r for r in results]})", "results (run.over_seeds)"),
    ("ledger.cards(record, 'A-1')", "record (run.over_seeds)"),
    ("style.table({'a': rate})", "rate (the parameter rate)"),
    ("style.table({'a': limit})", "limit (the parameter rate)"),
    ("style.table({'a': [above(r) for r in shown.results]})", "above (the parameter rate)"),
    ("zip(run.seeds, shown.results)", "run.seeds"),
    ("limit += 1", "limit (the parameter rate)"),
    ("later(1)", "later (the parameter rate)"),
])  # fmt: skip
def test_a_cell_that_mixes_the_two_runs_is_named(source: str, says: str) -> None:
    late = {"cell_type": "code", "source": "def later(x):\n    return after(x)", "metadata": {}}
    after = {"cell_type": "code", "source": "def after(x):\n    return x * rate", "metadata": {}}
    (found,) = problems_of([late, after, *cells(source)], ["rate"])
    assert "is tagged shown and reads of this run: " in found and found.endswith(says), found


def test_a_figure_after_the_run_is_shown_needs_the_tag() -> None:
    made = [*cells(), {"cell_type": "code", "source": "style.table({})", "metadata": {}}]
    (found,) = problems_of(made, [])
    assert found == "cell 'style.table({})' shows a figure or a table after run.shown(...) and is not tagged shown"
    assert problems_of(made[-1:], []) == []
