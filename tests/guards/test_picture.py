"""The picture of all claims is that of the records, needs nothing but itself, and can be told apart without colour."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgebook.ledger.rule import Kind, Verdict
from edgebook.ledger.scoreboard import NOT_RUN, NOT_WRITTEN, VERDICTS, Row, rows
from edgebook.pages import picture


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows(executed=tmp_path_factory.mktemp("none"))  # the committed records alone


def test_the_picture_is_that_of_the_records(root: Path, found: list[Row]) -> None:
    kept = (root / picture.FILE).read_text(encoding="utf-8")
    assert kept == picture.svg(found), "make picture draws it anew"


def test_each_claim_has_one_tile_with_a_letter(found: list[Row]) -> None:
    drawn = picture.svg(found)
    ElementTree.fromstring(drawn)
    claims = [row for row in found if row.claim]
    tiles = len(re.findall(r'<text class="(?:letter|hollow)"', drawn))
    legend = picture.legend(found)
    assert tiles == len(claims) + sum(map(len, legend.values()))
    assert sum(sum(counted.values()) for counted in legend.values()) == len(claims)
    hollow = sum(row.claim.kind in (Kind.CONTROL, Kind.IDENTITY) for row in claims)
    hollow += sum(len(legend.get(kind, ())) for kind in (Kind.CONTROL, Kind.IDENTITY))
    assert drawn.count('class="edge"') == hollow
    assert f"All {len(claims)} statements" in drawn


def test_it_needs_no_script_and_nothing_from_elsewhere(found: list[Row]) -> None:
    drawn = picture.svg(found).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<script|href|url\(|https?:|@import", drawn)
    assert "prefers-color-scheme: dark" in drawn


def test_every_word_has_a_sign_and_no_two_of_a_kind_share_their_letter() -> None:
    assert set(picture.SIGNS) == set(VERDICTS) - {NOT_WRITTEN}
    shared = {Verdict.INCONCLUSIVE, Verdict.DEPENDS, Verdict.NOT_TESTABLE, Verdict.NOT_JUDGED, NOT_RUN}
    own = {
        Kind.CLAIM: {Verdict.REPRODUCED, Verdict.DIRECTION_ONLY, Verdict.NOT_REPRODUCED, Verdict.CONTRADICTED},
        Kind.QUESTION: {Verdict.YES, Verdict.NO, Verdict.OTHER_WAY},
        Kind.CONTROL: {Verdict.HELD, Verdict.FAILED},
        Kind.IDENTITY: {Verdict.AGREES, Verdict.DISAGREES},
    }
    assert set.union(shared, *own.values()) == set(picture.SIGNS)
    for kind, words in own.items():
        letters = [picture.SIGNS[word].letter for word in words | shared]
        assert len(letters) == len(set(letters)), kind
