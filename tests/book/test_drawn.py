"""What a figure shows equals the record: the numbers that it draws are compared with the samples, seed by seed.

Executed notebooks are looked for in ``EDGEBOOK_EXECUTED``, by default the checkout's ``_build/book``.
"""

from __future__ import annotations

import copy
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = Path(os.environ.get("EDGEBOOK_EXECUTED") or ROOT / "_build" / "book")
CARD = re.compile(r'data-claim="([^"]*)"')


class Stand(NamedTuple):
    """A claim on a page: what its card says, and what the figures above it draw."""

    card: dict[str, Any]
    figures: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return self.card["id"]


def stands(notebook: dict[str, Any]) -> Iterator[Stand]:
    """Yield the claims of an executed notebook, each with the figures since the cards before."""
    above: list[dict[str, Any]] = []
    for cell in notebook["cells"]:
        outputs = cell.get("outputs", [])
        above += [
            about["edgebook"] for output in outputs for about in output.get("metadata", {}).values()
            if isinstance(about, dict) and "edgebook" in about
        ]  # fmt: skip
        cards = [
            card for output in outputs for card in CARD.findall("".join(output.get("data", {}).get("text/html", "")))
        ]
        yield from (Stand(json.loads(html.unescape(card)), above) for card in cards)
        if cards:
            above = []


def per_seed(result: dict[str, Any]) -> list[float]:
    """Return a record's samples of a claim as numbers; successes of trials in the unit of the claim."""
    whole = 100 if result["claim"]["unit"] == "%" else 1
    return [whole * one[0] / one[1] if isinstance(one, list) else one for one in result["samples"]]


def rows_of(stand: Stand) -> list[dict[str, Any]]:
    """Return the rows of dots, one for each seed, that the figures have for a claim: its id begins their names."""
    seeds = len(stand.card["seeds"])
    every = [row for figure in stand.figures for axes in figure["axes"] for row in axes]
    return [row for row in every if row["row"].split(" ")[0] == stand.id and len(row["x"]) == seeds > 1]


def differences(notebook: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """Return what cards and figures show of a claim and the record does not say."""
    known = {result["claim"]["id"]: result for result in record["results"]}
    found = []
    for stand in stands(notebook):
        if stand.card["started"] != record["started"]:
            found.append(f"the card of {stand.id} is of another run than the record")
        if stand.card["samples"] != known[stand.id]["samples"] or stand.card["word"] != known[stand.id]["verdict"]:
            found.append(f"the card of {stand.id} differs from the record")
        found += [
            f"a figure above {stand.id} is of another run than the record" for figure in stand.figures
            if figure["started"] != record["started"]
        ]  # fmt: skip
        samples = per_seed(known[stand.id])
        found += [f"a figure draws {row['x']} for {stand.id}" for row in rows_of(stand) if row["x"] != samples]
    return found


def record_of(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the record that a page was drawn from: the committed one, or that of the run itself."""
    own = json.loads((EXECUTED / f"{name}.json").read_text(encoding="utf-8"))
    full = ROOT / "results" / "full" / f"{name}.json"
    recorded = json.loads(full.read_text(encoding="utf-8")) if full.is_file() else own
    return next((one for one in (own, recorded) if one["started"] == first(notebook).card["started"]), own)


def first(notebook: dict[str, Any]) -> Stand:
    return next(stands(notebook))


def converted() -> list[str]:
    """Return the executed notebooks that have cards."""
    papers = [path for path in sorted(EXECUTED.glob("*.ipynb")) if (ROOT / "notebooks" / path.name).is_file()]
    return [path.stem for path in papers if "claim-card" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", converted() or [pytest.param("", marks=pytest.mark.skip("No page was executed."))])
def test_what_a_page_shows_of_its_claims_is_the_record(name: str) -> None:
    notebook = json.loads((EXECUTED / f"{name}.ipynb").read_text(encoding="utf-8"))
    record = record_of(notebook, name)
    assert differences(notebook, record) == []
    assert {stand.id for stand in stands(notebook)} == {result["claim"]["id"] for result in record["results"]}


def made() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a page with one figure of two rows above the cards of three claims, and its record."""
    results = [
        {"claim": {"id": f"A-{i}", "unit": "%"}, "samples": samples, "verdict": "reproduced"}
        for i, samples in enumerate(([1.0, 2.5], [[3, 4], [1, 2]], [7.0, 8.0]), 1)
    ]
    record = {"started": "today", "seeds": [0, 1], "results": results}
    drawn = [
        {"row": "A-1  more", "x": [1.0, 2.5], "y": [0.2, 0.2]}, {"row": "A-2  share", "x": [75.0, 50.0], "y": [1, 1]},
        {"row": "A-1  more", "x": [1.75], "y": [0]}, {"row": "", "x": [9.0, 9.0], "y": [0, 1]},
    ]  # fmt: skip
    cards = "".join(
        f'<article data-claim="{html.escape(json.dumps(card))}">'
        for result in results
        for card in [{"id": result["claim"]["id"], "samples": result["samples"], "word": "reproduced", "seeds": [0, 1],
                      "started": "today"}]
    )  # fmt: skip
    figure = {"metadata": {"image/svg+xml": {"edgebook": {"started": "today", "axes": [drawn]}}}, "data": {}}
    return {"cells": [{"outputs": [figure, {"data": {"text/html": cards}}]}, {}]}, record


def test_a_page_that_shows_its_record_is_found_in_order() -> None:
    notebook, record = made()
    assert differences(notebook, record) == []
    assert [len(rows_of(stand)) for stand in stands(notebook)] == [1, 1, 0]


@pytest.mark.parametrize(("change", "says"), [
    (lambda r: r["results"][0]["samples"].reverse(), "a figure draws [1.0, 2.5] for A-1"),
    (lambda r: r["results"][1]["samples"][0].reverse(), "a figure draws [75.0, 50.0] for A-2"),
    (lambda r: r["results"][2].update(verdict="inconclusive"), "the card of A-3 differs from the record"),
    (lambda r: r["results"][2].update(samples=[7.0, 8.5]), "the card of A-3 differs from the record"),
    (lambda r: r.update(started="yesterday"), "a figure above A-1 is of another run than the record"),
    (lambda r: r.update(started="yesterday"), "the card of A-2 is of another run than the record"),
])  # fmt: skip
def test_what_differs_from_the_record_is_named(change, says: str) -> None:
    notebook, record = made()
    other = copy.deepcopy(record)
    change(other)
    assert says in differences(notebook, other)
