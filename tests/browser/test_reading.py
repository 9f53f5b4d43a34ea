"""How pages read: nothing is cut, folded away without a name, drawn too small, or said twice."""

from __future__ import annotations

import json
import os
import re
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("EDGEBOOK_HTML") or ROOT / "_build" / "html").resolve()
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html") if "_static" not in path.parts)
WRITTEN = [page for page in PAGES if page.startswith(("book/", "notebooks/")) and not page.startswith("book/api/")]
API = [page for page in PAGES if page.startswith("book/api")]
ROOMS = [path.name for path in (ROOT / "src" / "edgebook").iterdir() if path.is_dir()]
EXECUTED = [page for page in PAGES if page.startswith("notebooks/")] + ["book/verdicts.html", "book/data.html"]
PHONE = {"width": 390, "height": 844}
READABLE = 9.0  # pixels
HEAVY = 500_000  # bytes of HTML that a page of the reference may have
# Legends that stand on a line in a cell that a record's fingerprint covers; each goes when that record is made anew.
KNOWN = {"notebooks/snn-lottery-tickets.html": "one stands on a Line2D"}  # of the tolerance, in Fig. 2

# Elements whose content is wider than they are and that do not scroll; and those that scroll where nothing should.
CUT = """() => [...document.querySelectorAll('article :is(pre, table, p, li, dd, figcaption, .cell_output, figure)')]
  .filter((one) => one.offsetParent && one.scrollWidth > one.clientWidth + 2
    && !one.closest('.eb-scroll, .pst-scrollable-table-container, .eb-grid-table, mjx-container, .math'))
  .map((one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`)"""

# Lines of code that take more than one line on the screen.
WRAPPED = """() => [...document.querySelectorAll('article div.highlight pre')].filter((pre) => pre.offsetParent)
  .flatMap((pre) => {
    const style = getComputedStyle(pre), high = parseFloat(style.lineHeight);
    const shown = pre.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const written = pre.textContent.replace(/\\n$/, '').split('\\n');
    return shown > (written.length + 0.6) * high ? [written.sort((a, b) => b.length - a.length)[0]] : [];
  })"""

# The size of every text of a figure in pixels; a raised or lowered sign in a formula does not count.
SIZES = """() => [...document.querySelectorAll('.eb-figure svg text')].map((text) => {
    const parts = [text, ...text.querySelectorAll('tspan')].filter((part) => part.style.fontSize);
    const size = Math.max(...parts.map((part) => parseFloat(part.style.fontSize)));
    const at = text.getScreenCTM();
    return [size * Math.hypot(at.a, at.b), text.textContent.trim()];
  })"""


def numbers(text: str) -> set[str]:
    """Return the numbers in a text, a decimal comma and signs left out."""
    return set(re.findall(r"(?<![\w.])\d+(?:[.,]\d+)*", text))


@pytest.mark.parametrize("page", WRITTEN)
def test_nothing_is_cut_on_a_screen_or_a_phone(look, page: str) -> None:
    opened = look(page).page
    opened.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    desk = opened.evaluate(CUT)
    opened.set_viewport_size(PHONE)
    assert (desk, opened.evaluate(CUT)) == ([], [])


@pytest.mark.parametrize("page", WRITTEN)
def test_code_has_room_for_its_lines(look, page: str) -> None:
    opened = look(page).page
    opened.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert [line for line in opened.evaluate(WRAPPED) if len(line) <= 120] == []


@pytest.mark.parametrize("page", EXECUTED)
def test_figures_can_be_read_on_a_phone_and_enlarged(look, page: str) -> None:
    opened = look(page, PHONE).page
    assert [one for one in opened.evaluate(SIZES) if one[0] < READABLE - 0.1] == []
    assert opened.locator(".eb-figure").count() == opened.locator(".eb-figure a.eb-alone").count() > 0


@pytest.mark.parametrize("page", [page for page in EXECUTED if page.startswith("notebooks/")])
def test_what_scrolls_sideways_says_so_until_its_end(look, page: str) -> None:
    opened = look(page, PHONE).page
    opened.wait_for_function("document.querySelector('.eb-more')")
    wide = "all => all.filter((one) => one.scrollWidth > one.clientWidth + 4).map((one) => [...one.classList])"
    found = opened.locator(".cell_output, .eb-scroll, .pst-scrollable-table-container").evaluate_all(wide)
    assert found and all("eb-more" in classes for classes in found)
    part = opened.locator(".eb-scroll.eb-more").first.element_handle()
    part.evaluate("one => one.scrollTo(one.scrollWidth, 0)")
    opened.wait_for_function("one => !one.classList.contains('eb-more')", arg=part)


@pytest.mark.parametrize("page", EXECUTED)
def test_words_of_a_figure_are_text_and_its_alt_names_no_number_that_it_does_not_hold(look, page: str) -> None:
    found = (
        look(page)
        .page.locator(".eb-figure")
        .evaluate_all(
            "all => all.map((one) => [one.querySelector('svg').getAttribute('aria-label'), one.textContent, "
            "one.closest('figure')?.querySelector('figcaption')?.textContent || '', one.innerHTML])"
        )
    )
    assert found
    for alt, words, caption, drawing in found:
        assert re.search(r"[A-Za-z]{3}", words), alt
        assert not re.search(r"font-family: '?cm", drawing), alt  # a font that no reader has
        assert numbers(alt) - numbers(words.replace("\u2212", "")) - numbers(caption) == set(), alt


@pytest.mark.parametrize("page", EXECUTED)
def test_no_legend_hides_data(address: str, page: str) -> None:
    notebook = json.loads((HTML / "_sources" / page.replace(".html", ".ipynb")).read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    said = "".join("".join(output["text"]) for output in outputs if output.get("name") == "stderr")
    hidden = [found for found in re.findall("A legend hides data: (.*)\\.", said) if found != KNOWN.get(page)]
    assert hidden == []


@pytest.mark.parametrize("page", EXECUTED)
def test_figures_are_counted_on_each_page(look, page: str) -> None:
    captions = look(page).page.locator("article figcaption .caption-number").all_text_contents()
    counted = [int(number) for number in re.findall(r"Fig\. (\d+)", " ".join(captions))]
    assert counted == list(range(1, len(counted) + 1)) and counted


@pytest.mark.parametrize("page", EXECUTED)
def test_folded_code_is_named_and_small(look, page: str) -> None:
    folds = look(page).page.locator("article div.cell details.hide > summary")
    named = folds.locator("p.collapsed").all_text_contents()
    assert named and "Show code cell source" not in named
    assert max(folds.evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")) < 30


@pytest.mark.parametrize("page", ["notebooks/activation-density-pruning.html"])
def test_in_the_dark_comments_are_quieter_than_code(look, page: str) -> None:
    opened = look(page).page
    opened.evaluate("document.documentElement.dataset.theme = 'dark'")
    light = (
        "one => getComputedStyle(one).color.match(/[\\d.]+/g).slice(0, 3)"
        ".map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)"
        ".reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)"
    )
    comment = opened.locator("article div.highlight .c1").first.evaluate(light)
    code = opened.locator("article div.highlight pre").first.evaluate(light)
    ground = opened.locator("article div.highlight").first.evaluate(light.replace(".color", ".backgroundColor"))
    contrast = (comment + 0.05) / (ground + 0.05)
    assert 4.5 <= contrast < 0.8 * (code + 0.05) / (ground + 0.05)


@pytest.mark.parametrize("page", [*WRITTEN, *API])
def test_the_head_says_once_what_a_page_is(look, page: str) -> None:
    opened = look(page).page
    for name in ('meta[name="viewport"]', 'meta[name="description"]', 'meta[property="og:image"]'):
        assert opened.locator(f"head {name}").count() == 1, name
    said = opened.locator('head meta[name="description"]').get_attribute("content")
    assert 10 < len(said) <= 200
    picture = opened.locator('head meta[property="og:image"]').get_attribute("content")
    assert ((HTML / page).parent / picture).is_file() or picture.startswith("http")


@pytest.mark.parametrize("page", WRITTEN)
def test_a_term_is_linked_where_it_is_first_used_and_says_what_it_means(look, page: str) -> None:
    opened = look(page).page
    terms = opened.locator("article a.eb-term").evaluate_all(
        "all => all.map((one) => [one.href, one.title, Boolean(one.closest('h1, h2, h3, h4, pre, code'))])"
    )
    if page == "book/glossary.html":
        return
    assert [link for link, says, misplaced in terms if misplaced or len(says) < 20] == []
    linked = [link for link, *_ in terms]
    assert len(set(linked)) == len(linked)
    assert linked or not page.startswith("notebooks/")


def test_speed_shows_one_picture_first_and_its_tables_on_a_click(visit) -> None:
    opened = visit("book/speed.html").page
    plot = opened.locator("figure.eb-plot")
    assert plot.count() == 1 and plot.bounding_box()["y"] < 400
    folds = opened.locator("details.eb-speed")
    assert folds.count() > 10 and opened.locator("details.eb-speed table:visible").count() == 0
    headings = folds.evaluate_all("all => all.map((one) => one.closest('section').id)")
    assert len(set(headings)) == len(headings)  # each under a heading of its own
    folds.first.locator("summary").click()
    assert opened.locator("details.eb-speed table:visible").count() == 1
    opened.locator("figure.eb-plot g").first.hover()
    assert "times" in opened.locator("figure.eb-plot g title").first.text_content()


def test_what_to_call_leads_to_a_page_of_the_reference(visit) -> None:
    opened = visit("book/api.html").page
    calls = opened.locator("article table code.xref")
    assert calls.count() > 40
    assert calls.evaluate_all("all => all.filter((one) => !one.closest('a')).map((one) => one.textContent)") == []


@pytest.mark.parametrize("page", API)
def test_the_reference_is_light_and_its_contents_are_whole(look, page: str) -> None:
    assert (HTML / page).stat().st_size < HEAVY
    cut = "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"
    room = page.rpartition("/")[2].removesuffix(".html")
    text = room in ROOMS and import_module(f"edgebook.{room}").__doc__
    first = "article => [...article.querySelectorAll('p, section > h2')].map((one) => one.tagName)"
    begins = look(page).page.locator("article").evaluate(first)[:1]
    assert begins == ["P"] or not text  # what the room is, before its modules
    assert look(page).page.locator(".bd-sidebar-secondary a").evaluate_all(cut) == []


def test_the_bibliography_links_every_work_and_names_it_as_the_text_does(visit) -> None:
    opened = visit("book/bibliography.html").page
    works = opened.locator("article .citation")
    links = works.evaluate_all("all => all.map((one) => one.querySelectorAll('a.external').length)")
    assert len(links) > 30 and min(links) >= 1
    labels = {label.strip("[] \n") for label in works.locator(".label").all_text_contents()}
    page = visit("notebooks/rate-vs-direct-coding.html").page
    cited = page.locator("article a[href*='bibliography.html#id']").all_text_contents()
    assert cited and {name.strip("[]") for name in cited} <= labels
