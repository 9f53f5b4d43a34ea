"""The merge of catalogue, ledgers and records into rows, and what is written from them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import yaml

from edgebook.ledger import scoreboard
from edgebook.ledger.claims import load_ledger
from edgebook.ledger.papers import load_papers
from edgebook.ledger.record import Alternative, ClaimResult, Hardware, Record, save_record
from edgebook.ledger.rule import Kind, Verdict
from edgebook.ledger.terminal import Look, look_of, run_table

CATALOGUE = {
    "wings": {"a": {"title": "Wing A", "says": "First."}, "b": {"title": "Wing B", "says": "Second."}},
    "papers": [
        {"name": name, "short": name.title(), "title": f"On {name}", "year": 2021, "wing": wing, "cite": name,
         "question": f"Is {name} so?"}
        for name, wing in (("alpha", "a"), ("beta", "a"), ("gamma", "b"))
    ],
}  # fmt: skip


def claim(name: str, **changed: object) -> dict:
    known = {"id": name, "says": f"{name} holds.", "where": "abstract", "measures": "a - b", "unit": "points",
             "expects": "positive", "margin": 1.0}  # fmt: skip
    return known | changed


def checkout(root: Path, ledgers: dict[str, list[dict]]) -> Path:
    (root / "book" / "claims").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "book" / "papers.yml").write_text(yaml.safe_dump(CATALOGUE, sort_keys=False), encoding="utf-8")
    for name, claims in ledgers.items():
        statements = [{"says": "It is so.", "tested_by": [one["id"] for one in claims]}]
        ledger = {"title": f"On {name}", "cite": name, "statements": statements, "claims": claims}
        (root / "book" / "claims" / f"{name}.yml").write_text(yaml.safe_dump(ledger), encoding="utf-8")
        (root / "notebooks" / f"{name}.ipynb").write_text("{}", encoding="utf-8")
    return root


def record(root: Path, name: str, tier: str, verdicts: dict[str, tuple[Verdict, Verdict]], **changed: object) -> Record:
    ledger = load_ledger(name, root)
    results = [
        ClaimResult(claim=ledger.claim(key), samples=(1.0, 2.0, 6.0), mean=3.0, interval=(1.0, 5.0), gap=None,
                    p_value=None, verdict=first, reason="so", holm_verdict=second, alone=first, method="Student",
                    effect=None, size=None)
        for key, (first, second) in verdicts.items()
    ]  # fmt: skip
    known = {
        "notebook": name, "title": ledger.title, "tier": tier, "scale": "tiny", "parameters": {}, "seeds": (0, 1, 2),
        "results": tuple(results), "commit": "0123456789", "dirty": True, "fingerprint": "f", "versions": {},
        "hardware": Hardware(cpu="Some CPU", cores=2, gpu=None, platform="Linux"), "seconds": 75.0, "started": "now",
    }  # fmt: skip
    return Record(**(known | changed))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoreboard, "stale_reasons", lambda record, root: [])


BOTH = (Verdict.REPRODUCED, Verdict.REPRODUCED)


def test_papers_without_ledger_and_claims_without_record_have_rows(tmp_path: Path) -> None:
    rows = scoreboard.rows(checkout(tmp_path, {"beta": [claim("B-1"), claim("B-2")]}))
    found = [(row.paper.name, row.claim and row.claim.id, row.verdict) for row in rows]
    assert found == [
        ("alpha", None, "not yet written"),
        ("beta", "B-1", "not run yet"),
        ("beta", "B-2", "not run yet"),
        ("gamma", None, "not yet written"),
    ]


def test_the_committed_record_wins_over_the_executed_one(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1")]})
    save_record(record(root, "alpha", "book", {"A-1": (Verdict.INCONCLUSIVE,) * 2}), root / "_build" / "book")
    assert scoreboard.rows(root)[0].verdict == "inconclusive"
    save_record(record(root, "alpha", "full", {"A-1": BOTH}), root / "results" / "full")
    row = scoreboard.rows(root)[0]
    assert (row.verdict, row.record.tier) == ("reproduced", "full")


def test_another_folder_of_executed_records_can_be_named(tmp_path: Path) -> None:
    root = checkout(tmp_path / "root", {"alpha": [claim("A-1")]})
    save_record(record(root, "alpha", "quick", {"A-1": (Verdict.NOT_JUDGED,) * 2}), tmp_path / "elsewhere")
    assert scoreboard.rows(root)[0].verdict == "not run yet"
    assert scoreboard.rows(root, tmp_path / "elsewhere")[0].verdict == "not judged"


def test_a_row_tells_the_whole_run(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1"), claim("A-2")]})
    changed = (Verdict.REPRODUCED, Verdict.INCONCLUSIVE)
    save_record(record(root, "alpha", "full", {"A-1": changed}), root / "results" / "full")
    first, second = scoreboard.rows(root)[:2]
    assert (first.result.mean, first.result.interval, len(first.result.samples)) == (3.0, (1.0, 5.0), 3)
    assert (first.record.scale, first.record.seconds) == ("tiny", 75.0)
    assert scoreboard.commit_mark(first.record.commit, first.record.dirty) == "0123456 (dirty)"
    assert scoreboard.hardware_line(first.record.hardware) == "Some CPU, 2 cores"
    assert first.link == "notebooks/alpha.html#a-1"
    assert first.holm == "inconclusive"
    assert (second.verdict, second.result, second.record) == ("not run yet", None, None)


def test_holm_is_named_only_where_it_differs(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1")]})
    save_record(record(root, "alpha", "full", {"A-1": BOTH}), root / "results" / "full")
    assert scoreboard.rows(root)[0].holm == ""


def test_stale_rows_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1")]})
    save_record(record(root, "alpha", "full", {"A-1": BOTH}), root / "results" / "full")
    monkeypatch.setattr(scoreboard, "stale_reasons", lambda record, root: ["a kernel has changed"])
    assert scoreboard.rows(root)[0].stale == ("a kernel has changed",)
    assert "stale: a kernel has changed" in scoreboard.as_text(scoreboard.rows(root))


def test_a_record_that_cannot_be_compared_is_stale_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(record: Record, root: Path) -> list[str]:
        raise ValueError("tier 'full' is gone.")

    root = checkout(tmp_path, {"alpha": [claim("A-1")]})
    save_record(record(root, "alpha", "full", {"A-1": BOTH}), root / "results" / "full")
    monkeypatch.setattr(scoreboard, "stale_reasons", fail)
    assert "tier 'full' is gone" in scoreboard.rows(root)[0].stale[0]


def test_a_broken_record_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1")]})
    (root / "results" / "full").mkdir(parents=True)
    (root / "results" / "full" / "alpha.json").write_text('{"notebook": "alpha"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"alpha\.json is no valid record"):
        scoreboard.rows(root)


def test_the_markdown_table_adds_up_to_the_claims(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1"), claim("A-2")], "beta": [claim("B-1")]})
    both = {"A-1": BOTH, "A-2": (Verdict.CONTRADICTED,) * 2}
    save_record(record(root, "alpha", "full", both), root / "results" / "full")
    lines = scoreboard.as_markdown(scoreboard.rows(root)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {len(cells[0])}
    assert cells[0] == ["Paper", "Year", "Claims"]
    assert cells[2:] == [
        ["Alpha", "2021", "1 reproduced, 1 contradicted"],
        ["Beta", "2021", "1 not run yet"],
        ["Gamma", "2021", "not yet written"],
    ]


def mixed(root: Path) -> None:
    """A paper with one claim, two questions, three controls and an identity."""
    kinds = ["claim", "question", "question", "control", "control", "control", "identity"]
    words = ["reproduced", "the other way round", "inconclusive", "held", "failed", "held", "agrees"]
    claims = [claim(f"A-{n}", kind=kind) for n, kind in enumerate(kinds)]
    claims[3]["speaks_against_the_paper"] = "held"
    checkout(root, {"alpha": claims, "beta": [claim("B-1", kind="claim"), claim("B-2", kind="control")]})
    found = {f"A-{n}": (Verdict(word), Verdict(word)) for n, word in enumerate(words)}
    save_record(record(root, "alpha", "full", found), root / "results" / "full")


def test_counts_are_of_claims_and_the_other_kinds_stand_apart(tmp_path: Path) -> None:
    mixed(tmp_path)
    rows = scoreboard.rows(tmp_path)
    assert scoreboard.counts(rows) == {"reproduced": 1, "not run yet": 1, "not yet written": 1}
    assert scoreboard.counts(rows, Kind.CONTROL) == {"held": 2, "failed": 1, "not run yet": 1}
    assert scoreboard.apart(rows) == {
        "questions answered": "1 of 2", "controls held": "2 of 4", "identities that agree": "1 of 1",
        "controls against the paper": "1 of 1",
    }  # fmt: skip
    lines = scoreboard.as_markdown(rows).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][2:] == [
        "Claims", "Questions answered", "Controls held", "Identities that agree", "Controls against the paper",
    ]  # fmt: skip
    assert cells[2][2:] == ["1 reproduced", "1 of 2", "2 of 3", "1 of 1", "1 of 1"]
    assert cells[3][2:] == ["1 not run yet", "", "0 of 1", "", ""]
    assert cells[4][2:] == ["not yet written", "", "", "", ""]
    text = scoreboard.as_text(rows)
    told = "questions answered: 1 of 2; controls held: 2 of 3; identities that agree: 1 of 1; "
    told += "controls against the paper: 1 of 1"
    assert text.splitlines()[0] == f"alpha (2021): 1 reproduced; {told}"
    assert "(control)" in text and "(claim" not in text and text.count("tier full") == 1


def test_the_rate_of_placebos_is_told(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim(f"A-{n}", headline=True) for n in range(5)]})
    assert "Placebos called reproduced, direction only or yes: 0 of 0" in scoreboard.as_text(scoreboard.rows(root))
    made = record(root, "alpha", "full", {f"A-{n}": BOTH for n in range(5)})
    words = [Verdict.REPRODUCED, Verdict.DIRECTION_ONLY, Verdict.NOT_REPRODUCED, Verdict.NOT_JUDGED]
    nothing = [Alternative(samples=(), mean=None, interval=None, verdict=word, reason="") for word in words]
    pairs = zip(made.results, [*nothing, None], strict=True)
    results = tuple(one.model_copy(update={"placebo": placebo}) for one, placebo in pairs)
    save_record(made.model_copy(update={"results": results}), root / "results" / "full")
    assert scoreboard.placebos(scoreboard.rows(root)) == (2, 3)


def test_the_text_names_every_claim_once_and_the_total(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1"), claim("A-2")]})
    save_record(record(root, "alpha", "full", {"A-1": BOTH}), root / "results" / "full")
    text = scoreboard.as_text(scoreboard.rows(root))
    first = text.splitlines().index("  A-1     reproduced           3.0 [1.0, 5.0] points")
    assert text.splitlines()[first + 1 : first + 4] == [
        "          A-1 holds.", "          paper: above 0 points, no number; counts from ±1 point; abstract",
        "  A-2     not run yet",
    ]  # fmt: skip
    assert text.splitlines()[-2] == "All: 1 reproduced, 1 not run yet; 2 papers not yet written"
    assert "3.0 [1.0, 5.0] points" in text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"paper": ["alpha"]}, {"A-0", "A-1", "A-2", "A-3", "A-4", "A-5", "A-6"}),
        ({"paper": ["alpha"], "kind": ["question"]}, {"A-1", "A-2"}),
        ({"kind": ["control", "identity"]}, {"A-3", "A-4", "A-5", "A-6", "B-2"}),
        ({"verdict": ["held", "not run yet"]}, {"A-3", "A-5", "B-1", "B-2"}),
        ({"verdict": ["not yet written"]}, {None}),
        ({"wing": ["b"]}, {None}),
        ({"wing": ["b"], "kind": ["claim"]}, set()),
        ({"paper": ["alpha", "beta"], "verdict": ["contradicted"]}, set()),
    ],
)
def test_rows_of_some_papers_wings_kinds_and_verdicts(
    tmp_path: Path, asked: dict[str, list[str]], found: set[str | None]
) -> None:
    mixed(tmp_path)
    assert {row.claim and row.claim.id for row in scoreboard.rows(tmp_path, **asked)} == found


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"paper": "alfa"}, "There is no paper 'alfa'; did you mean 'alpha'?"),
        ({"wing": "c"}, "There is no wing 'c'; allowed: a, b."),
        ({"kind": "controls"}, "There is no kind 'controls'; did you mean 'control'?"),
        ({"verdict": "reproducd"}, "There is no verdict 'reproducd'; did you mean 'reproduced'?"),
    ],
)
def test_what_no_row_can_have_is_refused_with_the_nearest(tmp_path: Path, asked: dict[str, str], says: str) -> None:
    mixed(tmp_path)
    with pytest.raises(ValueError) as refused:
        scoreboard.rows(tmp_path, **{what: [name] for what, name in asked.items()})
    assert str(refused.value) == says


class Stream(io.StringIO):
    """A stream that is a terminal or none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),  # only a value that is not empty counts
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_words_have_colour_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], coloured: bool
) -> None:
    for name, value in ({"TERM": "xterm", "COLUMNS": "40", "NO_COLOR": ""} | environment).items():
        monkeypatch.setenv(name, value)
    look = look_of(Stream(terminal))
    assert look.colour is coloured
    assert look.width == (40 if terminal else None)
    assert re.sub("\x1b.*?m", "", look.word("held", 9)) == "held     "
    assert ("\x1b" in look.word("held", 9)) is coloured
    assert look.word("not run yet") == "not run yet"
    assert all(len(line) <= 40 for line in look.beneath("word " * 30)) is terminal


def test_the_text_is_the_same_with_colour_and_on_lines_of_a_width(tmp_path: Path) -> None:
    mixed(tmp_path)
    rows = scoreboard.rows(tmp_path)
    plain, coloured = scoreboard.as_text(rows), scoreboard.as_text(rows, Look(colour=True))
    assert coloured != plain == re.sub("\x1b.*?m", "", coloured)
    assert scoreboard.as_text(rows, Look(width=40)).split() == plain.split()


def test_a_run_is_told_in_a_line_for_each_claim(tmp_path: Path) -> None:
    root = checkout(tmp_path, {"alpha": [claim("A-1"), claim("A-2")]})
    made = record(root, "alpha", "book", {"A-1": BOTH, "A-2": BOTH}, changed=("seeds", "rate"))
    reason = "beyond the margin; the paper's number stays open; the same under gain 3; not judged under: x"
    results = [
        one.model_copy(update={"reason": words}) for one, words in zip(made.results, ["so", reason], strict=True)
    ]
    lines = run_table(made.model_copy(update={"results": tuple(results)}), Look()).splitlines()
    assert lines[0] == "alpha, tier book (changed: seeds, rate), 3 seeds: tiny"
    assert lines[2].split(maxsplit=5) == [
        "A-2", "reproduced", "3.0", "[1.0,", "5.0]", "points  beyond the margin; the paper's number stays open",
    ]  # fmt: skip
    assert run_table(made, Look()).splitlines()[-1] == "  All: so"
    narrow = run_table(made, Look(colour=True, width=50)).splitlines()
    assert max(len(re.sub("\x1b.*?m", "", line)) for line in narrow[1:]) <= 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "Extra inputs"),
        ({"wing": "c"}, r"wing that does not exist: alpha \(c\)"),
        ({"name": "beta"}, "stand more than once: beta"),
        ({"question": "No question."}, "question"),
    ],
)
def test_a_wrong_catalogue_is_refused(tmp_path: Path, change: dict[str, str], message: str) -> None:
    (tmp_path / "book").mkdir()
    papers = [CATALOGUE["papers"][0] | change, *CATALOGUE["papers"][1:]]
    (tmp_path / "book" / "papers.yml").write_text(yaml.safe_dump(CATALOGUE | {"papers": papers}), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_papers(tmp_path)


def test_the_catalogue_of_the_book_has_fifteen_papers(root: Path) -> None:
    assert len(load_papers(root).papers) == 15
