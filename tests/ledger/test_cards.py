"""Cards of claims: what stands on one, where its strip puts things, and that it can be read without anything else."""

from __future__ import annotations

import json
import math
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from edgebook.ledger import Claim, Verdict, cards
from edgebook.ledger.history import Turn
from edgebook.ledger.record import Alternative, ClaimResult, Hardware, Record
from edgebook.ledger.strip import Scale, scale_of, strip

VOID = {"line", "rect", "path", "br"}
PAPERS = """
wings: {compression: {title: Compression, says: Less.}}
papers:
  - {name: toy, short: Toy, title: On toys & games, year: 2020, wing: compression, cite: toy2020, question: "Is it?"}
"""


class Page(HTMLParser):
    """Collect elements with their attributes, and all text; fail on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, kind: str) -> list[dict[str, str]]:
        return [attrs for _, attrs in self.elements if kind in attrs.get("class", "").split()]


def result(name: str, stated: dict | None = None, **changed: object) -> ClaimResult:
    fields = {"id": name, "says": f"{name} holds.", "where": "table 2", "measures": "a - b", "unit": "points",
              "expects": "positive", "margin": 1.0}  # fmt: skip
    known = {
        "claim": Claim(**fields | (stated or {})), "samples": (2.0, 3.0, 4.0), "mean": 3.0, "interval": (1.5, 4.5),
        "method": "Student", "effect": "shown", "size": None, "gap": None, "p_value": 0.01,
        "alone": Verdict.REPRODUCED, "verdict": Verdict.REPRODUCED, "reason": "beyond the margin",
        "holm_verdict": Verdict.REPRODUCED,
    }  # fmt: skip
    return ClaimResult(**(known | changed))


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A maker of records of a toy that the catalogue knows."""
    for folder in ("book/claims", "notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "book/papers.yml").write_text(PAPERS)
    monkeypatch.setenv("EDGEBOOK_ROOT", str(tmp_path))

    def made(*results: ClaimResult, tier: str = "full") -> Record:
        return Record(
            notebook="toy", title="t", tier=tier, scale="toys", parameters={}, seeds=(0, 1, 2), results=results,
            commit="abcdef0123", dirty=False, fingerprint="f", versions={"edgebook": "1.2"}, seconds=1.0,
            started="2026-11-26T01:02:03+00:00", hardware=Hardware(cpu="c", cores=1, gpu=None, platform="p"),
        )  # fmt: skip

    return made


def value_at(place: str, svg: dict[str, str]) -> float:
    """Return the value that a place in percent stands for: 3 % of the width are left free on either side."""
    share = (float(place.removesuffix("%")) - 3) / 94
    low, high = float(svg["data-low"]), float(svg["data-high"])
    if svg["data-log"] == "true":
        return low * (high / low) ** share
    return low + share * (high - low)


def drawn(one: ClaimResult) -> dict[str, list[float]]:
    """Return what a strip shows as values, by kind."""
    page = Page(strip(one))
    (svg,) = page.of("claim-strip")
    found = {kind: [value_at(part["x1"], svg) for part in page.of(f"strip-{kind}")]
             for kind in ("neutral", "target", "seed")}  # fmt: skip
    found["interval"] = [value_at(part[end], svg) for part in page.of("strip-interval") for end in ("x1", "x2")]
    found["band"] = [
        value_at(f"{at}%", svg) for part in page.of("strip-band")
        for at in (float(part["x"][:-1]), float(part["x"][:-1]) + float(part["width"][:-1]))
    ]  # fmt: skip
    found["mean"] = [value_at(attrs["x"], svg) for tag, attrs in page.elements if tag == "svg" and "x" in attrs]
    return found


def test_a_strip_shows_the_record_and_the_claim() -> None:
    stated = {"target": 5.0, "size": "about", "tolerance": 1.0}
    found = drawn(result("A-1", stated))
    expected = {"neutral": [0.0], "target": [5.0], "seed": [2.0, 3.0, 4.0], "interval": [1.5, 4.5],
                "band": [-1.0, 1.0], "mean": [3.0]}  # fmt: skip
    assert found.keys() == expected.keys()
    for kind, values in expected.items():
        assert found[kind] == pytest.approx(values, abs=2e-3), kind


def test_ratios_far_apart_stand_on_a_logarithmic_strip() -> None:
    stated = {"unit": "times", "neutral": 1.0, "margin": 0.1, "target": 200.0, "size": "at least", "tolerance": 50.0}
    one = result("A-1", stated, samples=(1.0, 1.5, 2.0), mean=1.5, interval=(0.8, 2.2))
    found = drawn(one)
    assert scale_of(one).log
    assert found["seed"] == pytest.approx([1.0, 1.5, 2.0], rel=2e-3)
    assert found["target"] == pytest.approx([200.0], rel=2e-3)
    assert found["band"] == pytest.approx([0.9, 1.1], rel=2e-3)


def test_shares_are_drawn_seed_by_seed_in_their_unit() -> None:
    stated = {"unit": "%", "samples": "share", "neutral": 50.0}
    one = result("A-1", stated, samples=((3, 4), (1, 2), (9, 10)), mean=70.0, interval=(40.0, 95.0))
    assert drawn(one)["seed"] == pytest.approx([75.0, 50.0, 90.0], abs=2e-2)


def test_without_an_interval_or_a_sample_nothing_is_made_up() -> None:
    none = {"samples": (), "mean": None, "interval": None, "p_value": None, "method": "none"}
    found = drawn(result("A-1", **none))
    assert (found["seed"], found["interval"], found["mean"]) == ([], [], [])


@pytest.mark.parametrize("scale", [
    Scale(-1.0, 0.5, False), Scale(0.0, 100.0, False), Scale(-1e-9, 1e-9, False), Scale(0.5, 300.0, True),
    Scale(0.001, 9.0, True), Scale(99.0, 99.5, False),
])  # fmt: skip
def test_ticks_are_a_few_round_numbers_on_the_axis(scale: Scale) -> None:
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(scale.low <= tick <= scale.high * (1 + 1e-12) for tick in ticks)
    for tick in ticks:
        digits = f"{abs(tick):.12e}".split("e")[0].rstrip("0").rstrip(".")
        assert len(digits.replace(".", "")) <= (3 if scale.low > 50 else 2), tick
    places = [scale.place(tick) for tick in ticks]
    assert places == sorted(places) and all(3 - 1e-9 <= place <= 97 + 1e-9 for place in places)
    assert not any(math.isclose(one, other) for one, other in pairwise(places))


def test_a_card_has_all_that_is_known_of_a_claim(record, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    known = [Turn("inconclusive", date(2026, 1, 2), "aaaaaaa"), Turn("depends", date(2026, 11, 26), "8d7ef13")]
    monkeypatch.setattr(importlib.import_module("edgebook.ledger.cards"), "turns", lambda notebook: {"A-1": known})
    other = Alternative(samples=(0.0,), mean=-0.2, interval=(-1.0, 0.6), verdict=Verdict.INCONCLUSIVE, reason="wide")
    nothing = Alternative(samples=(0.0,), mean=0.0, interval=None, verdict=Verdict.NOT_REPRODUCED, reason="none")
    one = result(
        "A-1", {"target": 5.0, "size": "about", "tolerance": 1.0, "headline": True}, size="open",
        under={"gain 3": other}, placebo=nothing, verdict=Verdict.DEPENDS, holm_verdict=Verdict.INCONCLUSIVE,
    )  # fmt: skip
    page = Page(cards(record(one), "A-1")._repr_html_())
    (card,) = page.of("claim-card")
    assert card["id"] == "a-1"
    assert ("a", "#a-1") in [(tag, attrs.get("href")) for tag, attrs in page.elements]
    data = json.loads(card["data-claim"])
    assert (data["id"], data["samples"], data["word"], data["margin"]) == ("A-1", [2.0, 3.0, 4.0], "depends", 1.0)
    text = " ".join(page.text.split())
    for said in (
        "A-1 depends on “gain 3”", "A-1 holds.", "3.0 [1.5, 4.5] points, 3 seeds: beyond the margin.",
        "a \u2212 b; counts from ±1 point",
        "about 5 points, give or take 1 (table 2); this size is open", "as declared reproduced 3.0 [1.5, 4.5] points",
        "gain 3 inconclusive \u22120.20 [\u22121.00, 0.60] points", "the placebo: 0 points, not reproduced",
        "with Holm's correction over the page: inconclusive", "was inconclusive until 26 Nov 2026 (8d7ef13, a new run)",
        "Cite this verdict", "run of 2026-11-26", "On toys & games (2020)", "@misc{edgebook-a-1,",
    ):  # fmt: skip
        assert said in text, said


def test_what_was_not_measured_is_said_and_has_no_strip(record) -> None:
    none = {"samples": (), "mean": None, "interval": None, "gap": None, "p_value": None, "method": "none"}
    made = record(result("A-1", verdict=Verdict.NOT_TESTABLE, reason="needs a robot", **none))
    html = cards(made, "A-1")._repr_html_()
    assert "Not measured: needs a robot." in Page(html).text and "claim-strip" not in html


def test_history_and_dependence_are_left_out_where_there_is_none(record) -> None:
    text = Page(cards(record(result("A-1"), tier="book"), "A-1")._repr_html_()).text
    assert "Choices" not in text and "Notes" not in text


def test_cards_stand_in_the_order_asked_for_and_unknown_ones_are_named(record) -> None:
    made = record(result("A-1"), result("A-2"), result("A-3"))
    page = Page(cards(made, "A-3", "A-1")._repr_html_())
    assert [card["id"] for card in page.of("claim-card")] == ["a-3", "a-1"]
    with pytest.raises(ValueError, match="no claim 'A-9'; it has A-1, A-2, A-3"):
        cards(made, "A-1", "A-9")


def test_in_a_terminal_a_card_is_a_line(record) -> None:
    made = record(result("A-1"), result("A-2", samples=(2.0,) * 3), tier="book")
    first, second = str(cards(made, "A-1", "A-2")).splitlines()
    assert first.startswith("A-1: reproduced, 3.0 [1.5, 4.5] points, 3 seeds: beyond the margin (")
    assert second.startswith("A-2: ") and second.endswith("(this run, tier book)")


def test_text_of_the_ledger_cannot_break_a_card(record) -> None:
    evil = "x < y & <script>alert(1)</script> \"quoted\" 'too'"
    html = cards(record(result("A-1", {"says": evil, "measures": evil}, reason=evil)), "A-1")._repr_html_()
    assert "<script" not in html
    page = Page(html)
    assert page.text.count("<script>alert(1)</script>") >= 3
    assert json.loads(page.of("claim-card")[0]["data-claim"])["says"] == evil
