"""The claims table of a notebook, as HTML and as text."""

from __future__ import annotations

from datetime import date
from html.parser import HTMLParser

import pytest

from edgebook.ledger import Claim, Verdict, display
from edgebook.ledger.display import claims_table, notes_on
from edgebook.ledger.history import Turn
from edgebook.ledger.record import Alternative, ClaimResult, Hardware, Record


class Cells(HTMLParser):
    """Collect the text of each row's cells, and fail on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def result(name: str, verdict: Verdict, stated: dict | None = None, **changed: object) -> ClaimResult:
    fields = {"id": name, "says": f"{name} holds.", "where": "table 2", "paper": 4.0, "measures": "m",
              "unit": "points", "expects": "positive", "margin": 1.0}  # fmt: skip
    known = {
        "claim": Claim(**fields | (stated or {})), "samples": (2.0, 3.0, 4.0), "mean": 3.0, "interval": (1.5, 4.5),
        "method": "Student", "effect": "shown", "size": None, "gap": -1.0, "p_value": 0.01, "alone": verdict,
        "verdict": verdict, "reason": "because", "holm_verdict": verdict,
    }  # fmt: skip
    return ClaimResult(**(known | changed))


def record(*results: ClaimResult) -> Record:
    return Record(
        notebook="n", title="t", tier="full", scale="s", parameters={}, seeds=(0, 1, 2), results=results, commit=None,
        dirty=False, fingerprint="f", versions={}, seconds=1.0, started="now",
        hardware=Hardware(cpu="c", cores=1, gpu=None, platform="p"),
    )  # fmt: skip


def test_html_has_a_row_per_claim_with_words_for_the_verdict() -> None:
    table = claims_table(record(result("A-1", Verdict.REPRODUCED), result("A-2", Verdict.CONTRADICTED)))
    shown = Cells(table._repr_html_())
    assert shown.rows[0] == ["Claim", "Paper", "Measured", "Gap", "Verdict"]
    assert shown.rows[1] == ["Claims"]
    assert [row[0] for row in shown.rows[2:]] == ["A-1 A-1 holds.", "A-2 A-2 holds."]
    cells = [cell.replace("\xa0", " ") for cell in shown.rows[2]]
    assert cells[1:] == [
        "4 pointstable 2", "3.0 [1.5, 4.5] points3 seeds; counts from ±1 point", "\u22121", "reproducedbecause",
    ]  # fmt: skip
    assert "contradicted" in shown.rows[3][4]


def test_kinds_stand_apart_whatever_their_order() -> None:
    kinds = ("identity", "control", "question", "claim")
    found = [result(kind[0].upper() + "-1", Verdict.INCONCLUSIVE, {"kind": kind, "paper": None}) for kind in kinds]
    table = claims_table(record(*found))
    firsts = [row[0] for row in Cells(table._repr_html_()).rows[1:]]
    assert firsts[::2] == ["Claims", "Questions", "Controls", "Identities"]
    assert firsts[1::2] == [f"{letter}-1 {letter}-1 holds." for letter in "CQCI"]
    titles = [line for line in str(table).splitlines() if line[0] != " "]
    assert titles == firsts[::2]


def test_effect_and_size_the_papers_number_and_its_tolerance_are_shown() -> None:
    stated = {"target": 4.0, "size": "up to", "tolerance": 0.5}
    found = result("A-1", Verdict.DIRECTION_ONLY, stated, reason="beyond the margin; the paper's number is ruled out")
    row = Cells(claims_table(record(found))._repr_html_()).rows[2]
    assert row[1] == "up to 4 pointsgive or take 0.5table 2"
    assert row[4] == "direction onlybeyond the margin; the paper's number is ruled out"


def test_values_without_an_interval_are_shown_as_they_are() -> None:
    found = result("A-1", Verdict.INCONCLUSIVE, samples=(1.0,) * 7 + (4.155,), interval=None, method="values")
    row = Cells(claims_table(record(found))._repr_html_()).rows[2]
    assert row[2] == "1 point in 7 seeds, 4.16 in 18 seeds; counts from ±1 point"


@pytest.mark.parametrize(("verdict", "note"), [
    (Verdict.FAILED, "speaks against the paper"), (Verdict.HELD, "would speak against the paper if it had failed"),
])  # fmt: skip
def test_a_control_says_what_it_means_for_the_paper(verdict: Verdict, note: str) -> None:
    found = result("C-1", verdict, {"kind": "control", "paper": None, "speaks_against_the_paper": "failed"})
    assert notes_on(found) == ["because", note]
    assert note in str(claims_table(record(found)))


def test_the_word_of_the_placebo_stands_beneath_the_verdict() -> None:
    nothing = Alternative(samples=(0.0,), mean=0.0, interval=None, verdict=Verdict.NOT_REPRODUCED, reason="none")
    assert notes_on(result("A-1", Verdict.REPRODUCED, placebo=nothing)) == [
        "because", "the placebo: 0 points, not reproduced",
    ]  # fmt: skip


def test_a_headline_claim_shows_what_was_measured_under_each_choice() -> None:
    other = Alternative(samples=(0.0,), mean=0.2, interval=(-1.0, 1.4), verdict=Verdict.INCONCLUSIVE, reason="wide")
    found = result("A-1", Verdict.DEPENDS, under={"gain": other}, alone=Verdict.REPRODUCED)
    text = str(claims_table(record(found)))
    assert "as declared: 3.0 [1.5, 4.5] points, reproduced" in text
    assert "under gain: 0.2 [-1.0, 1.4] points, inconclusive" in text
    assert "under gain" not in claims_table(record(found))._repr_html_()  # on a page the card has it


def test_what_a_word_was_before_stands_beneath_it_at_tier_full_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [Turn("inconclusive", date(2026, 1, 2), "aaaaaaa"), Turn("reproduced", date(2026, 11, 26), "8d7ef13")]
    monkeypatch.setattr(display, "turns", lambda notebook: {"A-1": known})
    note, made = "was inconclusive until 26 Nov 2026 (8d7ef13, a new run)", record(result("A-1", Verdict.REPRODUCED))
    assert str(claims_table(made)).count(note) == 1
    assert note not in claims_table(made)._repr_html_()  # on a page the card has it
    assert note not in str(claims_table(made.model_copy(update={"tier": "book"})))


def test_text_of_the_ledger_cannot_break_the_page() -> None:
    table = claims_table(record(result("A-1", Verdict.REPRODUCED, {"says": "x < y & <script>alert(1)</script> | z"})))
    html = table._repr_html_()
    assert "<script" not in html
    assert Cells(html).rows[2][0] == "A-1 x < y & <script>alert(1)</script> | z"


def test_holm_is_mentioned_from_six_claims_on() -> None:
    five = [result(f"A-{i}", Verdict.REPRODUCED) for i in range(5)]
    weak = result("A-9", Verdict.REPRODUCED, holm_verdict=Verdict.INCONCLUSIVE)
    assert "Holm" not in str(claims_table(record(*five)))
    assert "no verdict would change" in str(claims_table(record(*five, result("A-6", Verdict.REPRODUCED))))
    note = "this verdict would change: A-9 (reproduced to inconclusive)."
    table = claims_table(record(*five, weak))
    assert all(note in text for text in (str(table), table._repr_html_()))


def test_holm_is_not_mentioned_where_nothing_was_tested() -> None:
    results = [result(f"A-{i}", Verdict.NOT_JUDGED, p_value=None) for i in range(8)]
    assert "Holm" not in str(claims_table(record(*results)))


def test_a_claim_without_samples_shows_that() -> None:
    none = {"samples": (), "mean": None, "interval": None, "gap": None, "p_value": None, "method": "none"}
    row = Cells(claims_table(record(result("A-1", Verdict.NOT_TESTABLE, **none)))._repr_html_()).rows[2]
    assert row[2:] == ["–no value; counts from ±1 point", "–", "not testable herebecause"]
