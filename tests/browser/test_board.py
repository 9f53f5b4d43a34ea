"""The scoreboard, the picture of all claims, and the scripts that judge and reckon again, in a real browser."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

from edgebook.decoding import DraftRound, Outcome, Times, alone_seconds, expected_tokens, forced, replay, round_seconds
from edgebook.ledger import export
from edgebook.ledger.claims import Claim, Ledger
from edgebook.ledger.judging import judge, under_all
from edgebook.ledger.papers import Paper, load_papers
from edgebook.ledger.record import Hardware, Record, load_record, records_in
from edgebook.ledger.results import judge_all
from edgebook.measure import ENERGY_45NM, arithmetic_energy
from edgebook.notebooks import paper_names

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "book" / "_static"
PAPER = Paper(name="alpha", short="A", title="A", year=2021, wing="a", cite="a", question="So?")
PHONE = {"width": 390, "height": 844}
JUDGED = ("word", "alone", "method", "effect", "reason")


@pytest.fixture(scope="module")
def scripts(browser: object) -> Iterator[object]:
    """A page with nothing but the scripts that judge and reckon."""
    context = browser.new_context()
    page = context.new_page()
    page.set_content("<!doctype html><title>scripts</title>")
    for name in ("judge.js", "calculators.js"):
        page.add_script_tag(path=STATIC / name)
    yield page
    context.close()


def recorded() -> list[dict[str, Any]]:
    """Every claim of every committed record, as scripts read it."""
    papers = {paper.name: paper for paper in load_papers(ROOT).papers}
    records = [load_record(path) for path in records_in(ROOT / "results" / "full")]
    return [export.claim_json(one, record, papers[record.notebook]) for record in records for one in record.results]


def record_of(tier: str) -> Record:
    return Record(
        notebook="alpha", title="A", tier=tier, scale="s", parameters={}, seeds=(), results=(), commit=None,
        dirty=False, fingerprint="f", versions={}, seconds=1.0, started="now",
        hardware=Hardware(cpu="c", cores=1, gpu=None, platform="p"),
    )  # fmt: skip


def some_claim(draw: random.Random) -> Claim:
    """A claim of any kind that the ledger allows."""
    while True:
        kind = draw.choice(["claim", "claim", "question", "control", "identity"])
        form = draw.choice(["seeds", "seeds", "seeds", "share", "exact" if kind == "identity" else "seeds"])
        expects = draw.choice(["positive", "negative", "equivalent"])
        neutral = draw.choice([0, 0, 1, -1, 0.5, 40])
        asked = {
            "id": "A-1", "says": "s", "where": "table 1", "measures": "m", "kind": kind, "samples": form,
            "unit": draw.choice(["%", "share"]) if form == "share" else "points", "expects": expects,
            "neutral": neutral, "margin": draw.choice([0, 0.1, 1, 2.5]),
            "headline": kind in ("claim", "question"),
            "bounds": draw.choice([(None, None), (None, None), (-100, 100), (0, None), (None, 3)]),
        }  # fmt: skip
        if draw.random() < 0.4 and kind in ("claim", "identity"):
            asked |= {"target": round(draw.uniform(-5, 5), 2), "tolerance": draw.choice([0, 0.3, 1]),
                      "size": draw.choice(["at least", "about", "up to"])}  # fmt: skip
        if draw.random() < 0.05:
            asked["needs"] = ["a robot"]
        try:
            return Claim.model_validate(asked)
        except ValueError:
            continue


def some_samples(draw: random.Random, claim: Claim) -> list[Any]:
    """Samples that the claim allows: spread, of two values, constant, on a bound, many or few."""
    low, high = claim.ends
    count = draw.choice([0, 1, 4, 5, 6, 7, 8, 8, 8, 12, 20])
    if claim.samples == "exact":
        values = [draw.choice([claim.neutral, claim.neutral + 1, claim.target or 2.0])] * min(count, 1)
        return [min(max(one, low), high) for one in values]
    if claim.samples == "share":
        trials = draw.choice([1, 3, 40, 500])
        chance = draw.choice([0, 0.02, 0.5, 0.9, 1])
        return [(sum(draw.random() < chance for _ in range(trials)), trials) for _ in range(count)]
    centre = draw.choice([claim.neutral, claim.target or 0, claim.neutral + draw.gauss(0, 3)])
    spread = draw.choice([0.01, 0.5, 4, 1e-15, 1e5])
    values = [draw.gauss(centre, spread) for _ in range(count)]
    shape = draw.random()
    if shape < 0.1:
        values = [draw.choice([centre, centre + 1]) for _ in values]
    elif shape < 0.15:
        values = [centre] * count
    return [min(max(one, low), high) for one in values]


def some_results(count: int, seed: int) -> list[dict[str, Any]]:
    """Claims and samples made with a seed, judged by Python: headlines also under two choices."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        claim, tier = some_claim(draw), draw.choice(["full", "full", "full", "paper", "quick"])
        names = ["gain 3", "an epoch less"] if claim.headline and draw.random() < 0.5 else []
        ledger = Ledger.model_validate({
            "title": "A", "cite": "a", "statements": [{"says": "s", "tested_by": ["A-1"]}], "claims": [claim],
            "choices": [{"name": name, "says": "s", "claims": ["A-1"]} for name in names],
        })  # fmt: skip
        (result,) = judge_all(
            ledger, {"A-1": some_samples(draw, claim)}, tier, levels={},
            under={name: {"A-1": some_samples(draw, claim)} for name in names},
            placebo={"A-1": some_samples(draw, claim)} if names else {},
        )  # fmt: skip
        found.append(export.claim_json(result, record_of(tier), PAPER))
    return found


def differences(entries: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[tuple[str, str, Any, Any]]:
    """Compare what the script found with what Python did."""
    found = []
    for entry, answer in zip(entries, answers, strict=True):
        for name in JUDGED:
            wanted, given = entry[name], answer[name]
            if name == "reason" and wanted.startswith("nothing learnt"):  # which arms, no sample says
                wanted = wanted[: len(given)]
            if wanted != given:
                found.append((entry["id"], name, wanted, given))
        if entry["size_word"] != answer["size"]:
            found.append((entry["id"], "size", entry["size_word"], answer["size"]))
        for name in ("mean", "interval"):
            wanted, given = entry[name], answer[name]
            same = wanted is given if None in (wanted, given) else wanted == pytest.approx(given, rel=1e-9, abs=1e-12)
            if not same:
                found.append((entry["id"], name, wanted, given))
        words = {name: one["word"] for name, one in answer["under"].items()}
        if words != entry["under"]:
            found.append((entry["id"], "under", entry["under"], words))
    return found


JUDGE = "entries => entries.map((entry) => window.edgebookJudge.judge(entry))"


def test_the_script_judges_every_recorded_claim_as_python_did(scripts: object) -> None:
    entries = recorded()
    assert len(entries) > 100
    assert differences(entries, scripts.evaluate(JUDGE, entries)) == []


def test_the_script_judges_a_thousand_random_claims_as_python_does(scripts: object) -> None:
    entries = some_results(1000, seed=20)
    met = {(entry["kind"], entry["word"]) for entry in entries}
    assert {word for _, word in met} >= {
        "reproduced", "direction only", "not reproduced", "contradicted", "yes", "no", "the other way round", "held",
        "failed", "agrees", "does not agree", "inconclusive", "depends", "not testable here", "not judged",
    }  # fmt: skip
    assert {entry["method"] for entry in entries} == {"Student", "values", "Clopper-Pearson", "exact", "none"}
    assert differences(entries, scripts.evaluate(JUDGE, entries)) == []


def test_another_margin_and_a_seed_left_out_are_judged_as_python_would(scripts: object) -> None:
    papers = {paper.name: paper for paper in load_papers(ROOT).papers}
    asked, wanted = [], []
    for path in records_in(ROOT / "results" / "full"):
        record = load_record(path)
        for one in record.results:
            for factor, without in ((0.5, None), (2.0, None), (1.0, 0), (3.0, 2)):
                margin = factor * one.claim.margin
                changed = one.claim.model_copy(update={"margin": margin})
                samples = [sample for place, sample in enumerate(one.samples) if place != without]
                told = judge(changed, samples, record.tier, "so" if one.alone == "not judged" else "")
                word, _ = under_all(told, {})
                asked.append([export.claim_json(one, record, papers[record.notebook]),
                              {"margin": margin, "without": without}])  # fmt: skip
                wanted.append(str(word))
    judged = scripts.evaluate("all => all.map(([entry, how]) => window.edgebookJudge.judge(entry, how).alone)", asked)
    assert judged == wanted
    assert len({word for word in wanted}) > 5


def shown(page: object) -> list[str]:
    """The ids of the rows that can be seen, in their order."""
    return page.locator(".eb-row:visible").evaluate_all("rows => rows.map((row) => row.id)")


def test_the_scoreboard_filters_by_verdict(visit: Callable) -> None:
    page = visit("book/scoreboard.html").page
    rows, shown = page.locator(".eb-row"), page.locator(".eb-row:visible")
    assert shown.count() == rows.count() > 0
    for button in page.locator(".eb-filter").all():
        verdict = button.get_attribute("data-verdict")
        button.click()
        verdicts = shown.evaluate_all("rows => rows.map((row) => row.dataset.verdict)")
        assert button.get_attribute("aria-pressed") == "true"
        assert len(verdicts) == int(button.locator(".eb-count").inner_text()) > 0
        assert not verdict or set(verdicts) == {verdict}
        assert page.locator(".eb-shown").inner_text() == f"{len(verdicts)} of {rows.count()} rows shown"


def test_the_scoreboard_filters_by_text_and_from_the_keyboard(visit: Callable) -> None:
    page = visit("book/scoreboard.html").page
    shown = page.locator(".eb-row:visible")
    everything = shown.count()
    page.locator(".eb-search input").fill("spiking")
    some = shown.count()
    assert 0 < some < everything
    page.locator(".eb-search input").fill("no such words at all")
    assert shown.count() == 0 and page.locator(".eb-empty").is_visible()
    page.locator(".eb-search input").fill("")
    last = page.locator(".eb-filter").last
    last.focus()
    page.keyboard.press("Enter")
    assert set(shown.evaluate_all("rows => rows.map((r) => r.dataset.verdict)")) == {last.get_attribute("data-verdict")}


def test_a_filter_can_be_linked_to(visit: Callable) -> None:
    page = visit("book/scoreboard.html#verdict=control%3A+held").page
    verdicts = page.locator(".eb-row:visible").evaluate_all("rows => rows.map((row) => row.dataset.verdict)")
    assert set(verdicts) <= {"control: held"} and verdicts


def test_every_column_sorts_up_and_down_and_a_third_press_gives_the_order_back(visit: Callable) -> None:
    page = visit("book/scoreboard.html").page
    before = shown(page)
    for head in page.locator(".eb-board thead th").all():
        key = head.get_attribute("data-key")
        seen = {}
        for order in ("ascending", "descending"):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == order
            rows = page.locator(".eb-row:visible").evaluate_all("rows => rows.map((row) => ({...row.dataset}))")
            name = f"sort{key.capitalize()}"
            values = [float(row[name]) for row in rows if name in row] if key != "id" else shown(page)
            assert len(rows) == len(before)
            if key != "id":
                assert values == sorted(values, reverse=order == "descending") and values
                assert [name in row for row in rows] == [True] * len(values) + [False] * (len(rows) - len(values))
            seen[order] = values
        assert seen["ascending"] != seen["descending"]
        head.locator("button").click()
        assert shown(page) == before


def test_words_find_their_row_in_any_order(visit: Callable) -> None:
    page = visit("book/scoreboard.html").page
    for words in ("direct coding more accurate", "accurate more CODING direct"):
        page.locator(".eb-search input").fill(words)
        assert "rd-1" in shown(page) and len(shown(page)) < 15
    page.locator(".eb-search input").fill("2022 contradicted")
    words = page.locator(".eb-row:visible .eb-badge").all_inner_texts()
    papers = page.locator(".eb-row:visible .eb-of-paper").all_text_contents()
    assert "contradicted" in words and all(paper.endswith(", 2022") for paper in papers)
    page.locator(".eb-search input").fill("energy-efficient spiking neural networks 2022")  # of a paper's title alone
    assert "rd-1" in shown(page)


def test_filters_work_together_stand_in_the_address_and_survive_a_reload(visit: Callable) -> None:
    page = visit("book/scoreboard.html").page
    for name in ("year", "wing", "kind", "source", "size", "paper"):
        select = page.locator(f"select[data-filter={name}]")
        for value in select.locator("option").evaluate_all("all => all.map((one) => one.value)")[1:]:
            select.select_option(value)
            of = page.locator(".eb-row:visible").evaluate_all(f"rows => rows.map((row) => row.dataset.{name})")
            assert set(of) <= {value}
        select.select_option("")
    page.locator("select[data-filter=wing]").select_option("federated")
    page.locator("select[data-filter=kind]").select_option("claim")
    page.locator("select[data-filter=sort]").select_option("mean")
    left = shown(page)
    assert left and {name.partition("-")[0] for name in left} == {"fs", "fc", "dc", "fh"}
    words = page.locator(".eb-filter").evaluate_all(  # a word counts the rows that the other filters leave
        "all => all.map((one) => [one.dataset.verdict, Number(one.querySelector('.eb-count').textContent)])"
    )
    of_claims = {word: count for word, count in words if count}
    assert of_claims.pop("") == len(left) == sum(of_claims.values())
    assert set(page.url.partition("#")[2].split("&")) == {"wing=federated", "kind=claim", "sort=mean"}
    page.reload()
    assert shown(page) == left
    page.locator(".eb-reset").click()
    assert len(shown(page)) == page.locator(".eb-row").count() and "#" not in page.url


def download(page: object, name: str) -> str:
    with page.expect_download() as waiting:
        page.locator(f".eb-download[data-format={name}]").click()
    return Path(waiting.value.path()).read_text(encoding="utf-8")


def test_what_is_shown_can_be_downloaded_in_three_forms(visit: Callable) -> None:
    opened = visit("book/scoreboard.html#wing=federated")
    page, ids = opened.page, shown(opened.page)
    assert [one["id"].lower() for one in json.loads(download(page, "json"))] == ids
    table = list(csv.DictReader(io.StringIO(download(page, "csv"))))
    assert [row["id"].lower() for row in table] == ids and {row["wing"] for row in table} == {"federated"}
    cited = re.findall(r"^@misc\{edgebook-(.*),$", download(page, "bib"), re.MULTILINE)
    assert cited == [row["id"].lower() for row in table if row["tier"]]
    assert page.locator(".eb-run").inner_text() == str(len(cited))  # said beside the link, for what is shown
    page.locator(".eb-reset").click()
    for name in ("json", "csv", "bib"):  # of everything: what stands beside the page for readers without script
        whole = page.request.get(f"{opened.address}_static/verdicts.{name}")
        assert download(page, name) == whole.text()
    assert opened.troubles == []


def test_a_link_to_a_row_lands_on_it_beneath_the_head(visit: Callable) -> None:
    page = visit("book/scoreboard.html#fs-2e").page
    row, head = page.locator("#fs-2e"), page.locator(".eb-board thead th").first
    places = "one => { const box = one.getBoundingClientRect(); return [box.top, box.bottom]; }"
    page.wait_for_function("window.scrollY > 0")
    top, bottom = row.evaluate(places)
    assert head.evaluate(places)[1] - 1 <= top < bottom <= 900
    assert row.locator("td").first.evaluate("cell => getComputedStyle(cell).backgroundColor") != "rgba(0, 0, 0, 0)"
    page.locator(".eb-search input").fill("no such words at all")
    page.evaluate("location.hash = '#rd-1'")
    page.wait_for_function("!document.getElementById('rd-1').hidden")


def test_every_row_has_its_link_and_its_picture_with_margin(visit: Callable) -> None:
    page = visit("book/scoreboard.html").page
    rows = page.locator(".eb-row").evaluate_all(
        "rows => rows.map((row) => [row.id, row.querySelector('.eb-permalink').hash, 'sortMean' in row.dataset,"
        " row.querySelectorAll('.eb-strip .band').length, row.querySelectorAll('.eb-strip .mean').length])"
    )
    assert all(link == f"#{name}" and band == mean == int(known) for name, link, known, band, mean in rows)
    assert any(known for *_, known, _, _ in rows)
    over = "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"
    assert page.locator("td[data-label='Gap']").evaluate_all(over) == []  # else it runs beneath the verdict
    cells = page.locator(".eb-row td:not(:first-child):not(:nth-child(6))").all_text_contents()
    bad = re.compile(r"(^|[\s\[(])-\d|\de[-+]\d|(?<![.\d])(?<!±.)1 times")  # hyphens for minus, bare exponents
    assert [text for text in cells if bad.search(text)] == []


def test_without_script_the_whole_table_and_the_files_are_there(browser: object, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}book/scoreboard.html")
    assert page.locator(".eb-row:visible").count() == page.locator(".eb-row").count() > 100
    assert page.locator(".eb-toolbar").is_hidden()
    for link in page.locator(".eb-download").all():
        assert page.request.get(f"{address}book/{link.get_attribute('href')}").status == 200
    page.goto(f"{address}book/intro.html")
    assert all(page.locator("a.eb-tile").evaluate_all("tiles => tiles.map((tile) => tile.title.length > 20)"))
    page.goto(f"{address}book/calculators.html")
    assert page.locator(".calculator table:visible").count() == 2
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()


def test_on_a_phone_rows_are_cards_and_nothing_overflows(visit: Callable) -> None:
    for name in ("book/scoreboard.html", "book/intro.html", "book/calculators.html"):
        opened = visit(name)
        opened.page.set_viewport_size(PHONE)
        opened.page.reload()
        assert opened.overflow() <= 0, name
        beyond = "one.checkVisibility() && one.getBoundingClientRect().right > 391"
        wide = opened.page.locator("article *").evaluate_all(
            f"all => all.filter((one) => {beyond} && !one.closest('mjx-container, pre, thead, .math'))"
            ".map((one) => one.outerHTML.slice(0, 80))"
        )
        assert wide == [], name
        assert opened.troubles == []


def test_each_claim_has_a_tile_that_tells_it_and_leads_to_it(visit: Callable) -> None:
    opened = visit("book/intro.html")
    page = opened.page
    tiles, tip = page.locator("a.eb-tile"), page.locator(".eb-tip")
    rows = len(json.loads(page.request.get(f"{opened.address}_static/verdicts.json").text()))
    assert page.locator(".eb-tiles .eb-tile").count() == rows
    tiles.nth(3).hover()
    assert tip.is_visible() and tip.inner_text() == tiles.nth(3).get_attribute("aria-label")
    tiles.nth(3).focus()
    page.keyboard.press("ArrowRight")
    assert tip.inner_text() == tiles.nth(4).get_attribute("aria-label")
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    target = tiles.nth(4).evaluate("tile => tile.href")
    tiles.nth(4).click()
    page.wait_for_load_state()
    assert page.url == target and page.locator(f"[id='{target.partition('#')[2]}']").count() == 1


def test_tiles_of_kinds_differ_without_colour(visit: Callable) -> None:
    page = visit("book/intro.html").page
    looks = {}
    for kind in ("claim", "question", "control", "identity"):
        style = page.locator(f".eb-tile-{kind}").first.evaluate(
            "one => [getComputedStyle(one).borderRadius, getComputedStyle(one).backgroundColor]"
        )
        looks[kind] = (style[0] == "50%", style[1] == "rgba(0, 0, 0, 0)")  # round, hollow
    assert looks == {
        "claim": (False, False), "question": (True, False), "control": (False, True), "identity": (True, True),
    }  # fmt: skip


def test_the_landing_page_says_how_to_get_run_and_cite_the_book(visit: Callable) -> None:
    text = visit("book/intro.html").page.locator("article").inner_text()
    assert text.index("git clone") < text.index("make book")
    planned = len(load_papers().papers) - len(paper_names())
    assert "Start here" in text and "@software{" in text and text.count("Planned:") == bool(planned)


STRIP = """<svg class="claim-strip" width="400" height="54" data-low="-4" data-high="14" data-log="false">
<rect class="strip-band" x="18%" y="4" width="10%" height="32"/><line class="strip-interval" x1="0%" x2="9%" y1="20"
y2="20"/><svg x="50%" y="20"><path class="strip-mean" d="M-5 0L0 -6L5 0L0 6Z"/></svg>SEEDS</svg>"""


@pytest.fixture
def card(browser: object) -> Iterator[Callable]:
    """A page with one card, as the cards of a paper's page are."""
    context = browser.new_context(viewport={"width": 800, "height": 600})

    def put(entry: dict[str, Any]) -> object:
        seeds = "".join('<line class="strip-seed" x1="1%" x2="1%" y1="28" y2="36"/>' for _ in entry["samples"])
        page = context.new_page()
        page.set_content(
            f'<!doctype html><article class="claim-card" id="a-1" data-claim="{escape(json.dumps(entry))}"><p>A-1</p>'
            f"{STRIP.replace('SEEDS', seeds)}<details class='claim-cite'><summary>Cite</summary></details></article>"
        )
        for name in ("judge.js", "claim-card.js"):
            page.add_script_tag(path=STATIC / name)
        return page

    yield put
    context.close()


def tried(*samples: float, **asked: object) -> dict[str, Any]:
    """The JSON of a claim with these samples, as Python judges it."""
    known = {"id": "A-1", "says": "s", "where": "table 1", "measures": "m", "unit": "points", "expects": "positive",
             "margin": 1.0}  # fmt: skip
    claim = Claim.model_validate(known | asked)
    ledger = Ledger.model_validate(
        {"title": "A", "cite": "a", "statements": [{"says": "s", "tested_by": ["A-1"]}], "claims": [claim]}
    )
    (result,) = judge_all(ledger, {"A-1": samples}, "full", under={}, placebo={}, levels={})
    record = record_of("full").model_copy(update={"seeds": tuple(range(8, 8 + len(samples)))})
    return export.claim_json(result, record, PAPER)


def test_a_margin_is_moved_by_arrow_keys_and_judged_again(card: Callable) -> None:
    page = card(tried(2.0, 2.4, 2.2, 2.6, 2.1, 2.5))
    page.locator(".claim-try summary").click()
    word, slider = page.locator(".claim-try-word"), page.locator(".claim-try input")
    assert word.inner_text() == "reproduced" and "So the record says" in page.locator(".claim-try-answer").inner_text()
    slider.focus()
    words = [word.inner_text()]
    for _ in range(60):
        page.keyboard.press("ArrowRight")
        if word.inner_text() != words[-1]:
            words.append(word.inner_text())
    assert words == ["reproduced", "inconclusive", "not reproduced"]
    assert "The record says reproduced" in page.locator(".claim-try-answer").inner_text()
    assert "±1 point" in page.locator(".claim-try-note").inner_text() and page.locator(".strip-ledger").count() == 2
    page.locator(".claim-try button").click()
    assert word.inner_text() == "reproduced" and page.locator(".claim-try output").inner_text() == "±1 point"


def test_a_margin_is_dragged_on_the_strip(card: Callable) -> None:
    page = card(tried(2.0, 2.4, 2.2, 2.6, 2.1, 2.5))
    grip, strip = page.locator(".strip-grip").nth(1), page.locator("svg.claim-strip")
    box, whole = grip.bounding_box(), strip.bounding_box()
    at = whole["x"] + whole["width"] * (3 + 94 * (5 + 4) / 18) / 100  # where the axis says 5
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(at, box["y"])
    page.mouse.up()
    assert page.locator(".claim-try-word").inner_text() == "not reproduced"
    assert page.locator(".claim-try output").inner_text() in ("±4.9 points", "±5 points", "±5.1 points")
    ends = [float(strip.locator(".strip-band").get_attribute(name).rstrip("%")) for name in ("x", "width")]
    assert ends == pytest.approx([3 + 94 * (4 - 5) / 18 if 4 - 5 > 0 else 3, ends[1]], abs=6)


def test_a_seed_is_left_out(card: Callable) -> None:
    samples = (2.0, 2.4, 2.2, 2.6, 2.1, -9.0)
    page = card(tried(*samples))
    page.locator(".claim-try summary").click()
    assert page.locator(".claim-try-word").inner_text() == "inconclusive"
    options = page.locator(".claim-try option").all_inner_texts()
    assert options[-1] == "without seed 13: −9 points"
    page.locator(".claim-try select").select_option("5")
    assert page.locator(".claim-try-word").inner_text() == tried(*samples[:5])["word"] == "reproduced"
    page.locator(".claim-try select").select_option("0")
    page.locator(".claim-try button").click()
    assert page.locator(".claim-try-word").inner_text() == "inconclusive"


@pytest.mark.parametrize(("samples", "asked"), [
    ((), {}), ((2.0, 3.0, 4.0, 5.0, 6.0), {"needs": ["a robot"]}),
])  # fmt: skip
def test_what_samples_cannot_change_is_not_offered(card: Callable, samples: tuple, asked: dict) -> None:
    assert card(tried(*samples, **asked)).locator(".claim-try").count() == 0


def some_times(draw: random.Random) -> dict[str, float]:
    return {
        "step": draw.uniform(0.001, 0.4), "drafted": draw.randint(1, 12), "messages": draw.uniform(0, 1.5),
        "acceptance": draw.choice([0, 1, draw.random()]), "hits": draw.choice([0, 1, draw.random()]),
        "exit": draw.uniform(0.05, 0.95), "adapter": draw.uniform(0, 0.3),
    }  # fmt: skip


def test_the_calculator_of_decoding_has_the_formulas_of_the_kernels(scripts: object) -> None:
    draw = random.Random(20)
    asked = [some_times(draw) for _ in range(300)]
    found = scripts.evaluate("all => all.map((one) => window.edgebookCalculators.decoding(one))", asked)
    for one, answer in zip(asked, found, strict=True):
        way = one["messages"] / 2
        with_exit = Times(one["step"], 1.0, way, way, {0: one["exit"]}, one["adapter"])
        none = Times(one["step"], 1.0, way, way)
        tokens = expected_tokens(one["acceptance"], one["drafted"])
        plain = round_seconds(none, one["drafted"])
        seconds = round_seconds(with_exit, one["drafted"], one["hits"])
        alone = alone_seconds(Times(one["step"], 1.0), 1)
        wanted = {"tokens": tokens, "plain": plain, "round": seconds, "further": 100 * (1 - seconds / plain)}
        wanted |= {"savedPlain": 100 * (1 - plain / tokens / alone), "saved": 100 * (1 - seconds / tokens / alone)}
        assert {name: answer[name] for name in wanted} == pytest.approx(wanted, rel=1e-12, abs=1e-10)


def test_the_two_lanes_are_those_of_the_clock(scripts: object) -> None:
    draw = random.Random(21)
    asked = [some_times(draw) for _ in range(100)]
    call = "all => all.map((one) => [false, true].map((hit) => window.edgebookCalculators.lanes(one, hit, 3)))"
    for one, (plain, ahead) in zip(asked, scripts.evaluate(call, asked), strict=True):
        way, drafted = one["messages"] / 2, one["drafted"]
        times = Times(one["step"], 1.0, way, way, {0: one["exit"]}, one["adapter"])
        final = Outcome(1, True, 0, 7, 1.0)
        provisional = Outcome(0, False, 0, 7, 1.0)
        rounds = [DraftRound(10 + n, drafted, final, (provisional,), None, False) for n in range(3)]
        for drawn, how, text in ((plain, "none", rounds), (ahead, "exits", forced(rounds, True))):
            clock = replay(text, times, ahead=how)
            assert drawn["end"] == pytest.approx(clock.seconds, rel=1e-9)
            assert sum(to - at for at, to, _ in drawn["cloud"]) == pytest.approx(clock.cloud_busy, rel=1e-9)


def test_the_calculator_of_spikes_has_the_constants_of_the_kernels(scripts: object) -> None:
    draw = random.Random(22)
    asked = [
        {"steps": draw.randint(1, 40), "rate": draw.uniform(0.001, 1), "precision": draw.choice(list(ENERGY_45NM)),
         "first": draw.choice([0, draw.uniform(0, 0.3)]), "again": draw.random() < 0.5}
        for _ in range(300)
    ]  # fmt: skip
    found = scripts.evaluate("all => all.map((one) => window.edgebookCalculators.spikes(one))", asked)
    for one, answer in zip(asked, found, strict=True):

        def spiking(steps: float, one: dict = one) -> float:
            macs = one["first"] * (steps if one["again"] else 1)
            return arithmetic_energy(macs, (1 - one["first"]) * one["rate"] * steps, precision=one["precision"])

        dense = arithmetic_energy(1, precision=one["precision"])
        assert answer["ratio"] == pytest.approx(dense / spiking(one["steps"]), rel=1e-12)
        assert spiking(answer["until"]) == pytest.approx(dense, rel=1e-9)


def test_the_calculators_answer_to_sliders_and_presets(visit: Callable) -> None:
    opened = visit("book/calculators.html")
    decoding, spikes = (opened.page.locator(f".calculator[data-calculator={n}]") for n in ("decoding", "spike-energy"))
    first = decoding.locator(".calculator-answer").inner_text()
    decoding.get_by_role("button", name="faster, farther away").click()
    second = decoding.locator(".calculator-answer").inner_text()
    assert "1.66 without exits" in first and "1.70 without exits" in second
    slider = decoding.get_by_label("Messages, there and back")
    slider.focus()
    opened.page.keyboard.press("End")
    assert "more" in decoding.locator(".calculator-answer").inner_text()
    assert decoding.locator("svg rect.pass").count() == 4
    spikes.get_by_label("Time steps").focus()
    opened.page.keyboard.press("End")
    assert "1.3 times less" in spikes.locator(".calculator-answer").inner_text()
    spikes.get_by_label("Numbers").select_option("int8")
    assert "1.9 times less" in spikes.locator(".calculator-answer").inner_text()
    assert opened.troubles == []
