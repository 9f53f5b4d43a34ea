"""The claims table of a notebook, as HTML and as text."""

from __future__ import annotations

from html.parser import HTMLParser

from edgebook.ledger.claims import Claim, Verdict
from edgebook.ledger.display import claims_table
from edgebook.ledger.record import ClaimResult, Hardware, Record


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


def result(name: str, verdict: Verdict, **changed: object) -> ClaimResult:
    kind = changed.pop("kind", "claim")
    says = changed.pop("says", f"{name} holds.")
    claim = Claim(id=name, says=says, where="table 2", paper=4.0, measures="m", unit="points", expects="positive",
                  margin=1.0, kind=kind)  # fmt: skip
    known = {
        "claim": claim, "samples": (2.0, 3.0, 4.0), "mean": 3.0, "interval": (1.5, 4.5), "gap": -1.0, "p_value": 0.01,
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
    assert cells[1:] == ["4 pointstable 2", "3.0 [1.5, 4.5] points3 seeds", "-1", "reproducedbecause"]
    assert "contradicted" in shown.rows[3][4]


def test_controls_stand_below_the_claims_whatever_their_order() -> None:
    table = claims_table(record(result("C-1", Verdict.REPRODUCED, kind="control"), result("A-1", Verdict.REPRODUCED)))
    firsts = [row[0] for row in Cells(table._repr_html_()).rows[1:]]
    assert firsts == ["Claims", "A-1 A-1 holds.", "Controls", "C-1 C-1 holds."]
    assert str(table).index("A-1") < str(table).index("Controls") < str(table).index("C-1")


def test_text_of_the_ledger_cannot_break_the_page() -> None:
    table = claims_table(record(result("A-1", Verdict.REPRODUCED, says="x < y & <script>alert(1)</script> | z")))
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
    empty = result("A-1", Verdict.NOT_TESTABLE, samples=(), mean=None, interval=None, gap=None, p_value=None)
    row = Cells(claims_table(record(empty))._repr_html_()).rows[2]
    assert row[2:] == ["–no value", "–", "not testable herebecause"]
