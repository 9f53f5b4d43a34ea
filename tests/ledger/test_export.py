"""Verdicts as JSON, CSV and BibTeX: what cards, the command line and downloads hand out."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from edgebook.ledger import Claim, Verdict, export
from edgebook.ledger.papers import Paper
from edgebook.ledger.record import Alternative, ClaimResult, Hardware, Record
from edgebook.ledger.scoreboard import NOT_RUN, NOT_WRITTEN, Row, rows

PAPER = Paper(name="alpha", short="Alpha", title="On alpha & 5 % of beta", year=2021, wing="a", cite="alpha",
              question="So?")  # fmt: skip
# The keys that the pages' scripts and cards are built on.
KEYS = {
    "id", "paper", "wing", "kind", "says", "where", "measures", "unit", "samples", "method", "expects", "neutral",
    "margin", "target", "size", "tolerance", "bounds", "headline", "mean", "interval", "effect", "size_word", "word",
    "alone", "holm", "reason", "under", "placebo", "seeds", "scale", "commit", "started",
}  # fmt: skip


def asked(**changed: object) -> Claim:
    fields = {"id": "A-1", "says": 'Six "large", at 95 % and more.', "where": "abstract", "paper": 4.0,
              "measures": "a - b", "unit": "points", "expects": "positive", "margin": 1.0}  # fmt: skip
    return Claim(**fields | changed)


def result(claim: Claim, **changed: object) -> ClaimResult:
    known = {"claim": claim, "samples": (2.0, 3.0, 4.5), "mean": 3.25, "interval": (1.5, 4.5), "method": "Student",
             "effect": "shown", "size": None, "gap": -0.75, "p_value": 0.01, "alone": Verdict.REPRODUCED,
             "verdict": Verdict.DEPENDS, "reason": "so, and so", "holm_verdict": Verdict.DEPENDS}  # fmt: skip
    return ClaimResult(**known | changed)


def other(word: Verdict, *samples: float) -> Alternative:
    return Alternative(samples=samples, mean=1.0, interval=None, verdict=word, reason="")


def record(*results: ClaimResult, **changed: object) -> Record:
    known = {"notebook": "alpha", "title": "t", "tier": "full", "scale": "tiny", "parameters": {}, "seeds": (3, 4, 5),
             "results": results, "commit": "0123456789", "dirty": False, "fingerprint": "f",
             "versions": {"edgebook": "0.1.0"}, "seconds": 1.0, "started": "2026-11-29T01:00:00+00:00",
             "hardware": Hardware(cpu="c", cores=1, gpu=None, platform="p")}  # fmt: skip
    return Record(**known | changed)


def row(claim: Claim | None = None, **changed: object) -> Row:
    one = result(claim or asked(), **changed)
    return Row(PAPER, str(one.verdict), one.claim, "notebooks/alpha.html#a-1", one, record(one))


def test_the_json_of_a_claim_has_what_was_asked_and_what_was_found() -> None:
    one = result(asked(headline=True), under={"gain 3": other(Verdict.INCONCLUSIVE, 1.0, 2.0)},
                 placebo=other(Verdict.NOT_REPRODUCED))  # fmt: skip
    found = export.claim_json(one, record(one, dirty=True), PAPER)
    assert set(found) >= KEYS
    assert json.loads(json.dumps(found)) == found
    some = {"id": "A-1", "paper": "alpha", "wing": "a", "kind": "claim", "number": 4.0, "margin": 1.0, "headline": True,
            "samples": [2.0, 3.0, 4.5], "method": "Student", "interval": [1.5, 4.5], "effect": "shown", "size": None,
            "word": "depends", "alone": "reproduced", "under": {"gain 3": "inconclusive"},
            "under_samples": {"gain 3": [1.0, 2.0]}, "placebo": "not reproduced", "seeds": [3, 4, 5],
            "commit": "0123456789 (dirty)", "bounds": [None, None]}  # fmt: skip
    assert {name: found[name] for name in some} == some


def test_shares_keep_successes_and_trials() -> None:
    one = result(asked(unit="%", samples="share"), samples=((3, 5), (4, 5)), method="none", interval=None)
    assert export.claim_json(one, record(one), PAPER)["samples"] == [[3, 5], [4, 5]]
    assert "3/5 4/5" in export.as_csv([row(one.claim, samples=one.samples, method="none", interval=None)])


def test_the_table_reads_back() -> None:
    made = export.as_csv([row(), Row(PAPER, NOT_RUN, asked(id="A-2")), Row(PAPER, NOT_WRITTEN)])
    first, second = csv.DictReader(io.StringIO(made))
    assert (first["says"], first["reason"]) == ('Six "large", at 95 % and more.', "so, and so")
    assert (first["low"], first["high"], first["samples"], first["number"]) == ("1.5", "4.5", "2.0 3.0 4.5", "4.0")
    assert (second["id"], second["word"], second["mean"], second["commit"]) == ("A-2", "not run yet", "", "")


def test_json_reads_back_with_the_same_keys_for_all_rows() -> None:
    first, second = json.loads(export.as_json([row(), Row(PAPER, NOT_RUN, asked(id="A-2")), Row(PAPER, NOT_WRITTEN)]))
    assert set(first) == set(second)
    assert (first["title"], second["word"], second["samples"]) == (PAPER.title, "not run yet", [])


def test_nothing_is_written_as_an_empty_list_or_a_head_alone() -> None:
    assert json.loads(export.as_json([])) == []
    assert export.as_csv([]) == ",".join(export.CSV_COLUMNS) + "\n"
    assert export.as_bibtex([Row(PAPER, NOT_RUN, asked()), Row(PAPER, NOT_WRITTEN)]) == ""


def test_a_verdict_can_be_cited() -> None:
    made = export.as_bibtex([row(), row(asked(id="A-2"))])
    assert re.findall(r"^@misc\{(.*),$", made, re.MULTILINE) == ["edgebook-a-1", "edgebook-a-2"]
    assert r"title = {{A-1, depends: Six \"large\", at 95 \% and more.}}".replace(r"\"", '"') in made
    assert r"On On alpha \& 5 \% of beta (2021). 3.2 [1.5, 4.5] points (3 seeds; counts from ±1 point)" in made
    assert "year = {2026}" in made and "commit 0123456}" in made
    braces = re.sub(r"\\[{}]", "", made)
    assert braces.count("{") == braces.count("}")


def test_signs_that_tex_reads_are_written_out() -> None:
    made = export.as_bibtex([row(asked(says=r"a_b {c} \d ~e ^f #g $h"))])
    assert r"a\_b \{c\} \textbackslash{}d \textasciitilde{}e \textasciicircum{}f \#g \$h" in made


def test_rows_are_chosen_by_paper_wing_kind_and_word() -> None:
    control = asked(id="A-2", kind="control", where="our control")
    held = row(control, verdict=Verdict.HELD, alone=Verdict.HELD)
    all_rows = [row(), held, Row(PAPER.model_copy(update={"name": "beta", "wing": "b"}), NOT_WRITTEN)]
    assert export.chosen(all_rows) == all_rows
    assert export.chosen(all_rows, papers=["beta"]) == export.chosen(all_rows, wings=["b"]) == all_rows[2:]
    assert export.chosen(all_rows, kinds=["control"]) == export.chosen(all_rows, words=["held"]) == [held]
    assert export.chosen(all_rows, papers=["alpha"], words=["not yet written"]) == []
    with pytest.raises(ValueError, match=r"kontrol.*control"):
        export.chosen(all_rows, kinds=["kontrol"])


def test_every_row_of_the_book_can_be_taken_along() -> None:
    found = rows()
    entries = json.loads(export.as_json(found))
    assert [one["id"] for one in entries] == [one.claim.id for one in found if one.claim]
    assert len(list(csv.reader(io.StringIO(export.as_csv(found))))) == 1 + len(entries)
    assert export.as_bibtex(found).count("\n@misc") + 1 == sum(one.result is not None for one in found)
