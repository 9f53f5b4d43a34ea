"""The built book in a real browser: every page works, offline, in light and dark, on a desk and on a phone.

``EDGEBOOK_HTML`` names the folder with the pages; by default the checkout's ``_build/html``.
"""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("EDGEBOOK_HTML") or ROOT / "_build" / "html").resolve()
# Made by Sphinx itself; they hold no text of ours.
GENERATED = ("search.html",)
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html") if "_static" not in path.parts)
WRITTEN = [page for page in PAGES if page.startswith(("book/", "notebooks/"))]
NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]
PHONE = {"width": 390, "height": 844}


def test_there_are_pages_to_look_at(address: str) -> None:
    assert {"index.html", "book/intro.html", "book/scoreboard.html", "book/api.html"} <= set(PAGES)
    assert NOTEBOOKS


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_trouble_asks_nobody_outside_and_fits_a_phone(look, page: str) -> None:
    opened = look(page, PHONE)
    wide = {}
    for theme in ("light", "dark"):
        opened.page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        if opened.overflow() > 0:
            wide[theme] = opened.overflow()
    assert (wide, opened.troubles) == ({}, [])


@pytest.mark.parametrize("page", WRITTEN)
def test_maths_is_rendered(look, page: str) -> None:
    source = (HTML / page).read_text(encoding="utf-8")
    formulas = len(re.findall(r'class="(?:notranslate nohighlight math|math notranslate nohighlight)"', source))
    assert formulas or "_static/mathjax" not in source  # a megabyte that only formulas need
    opened = look(page).page
    if formulas:
        opened.wait_for_function(f"document.querySelectorAll('.math mjx-container').length >= {formulas}")
    assert opened.locator("mjx-merror").count() == 0
    # What a reader sees; code may well contain a backslash and a bracket.
    text = opened.evaluate(
        "(() => { const copy = document.querySelector('article').cloneNode(true);"
        " copy.querySelectorAll('pre, code, script').forEach((part) => part.remove()); return copy.textContent; })()"
    )
    assert not re.search(r"\\\(|\\\[|\$\$", text)


def test_search_finds_a_claim_from_a_notebooks_page(visit) -> None:
    opened = visit(NOTEBOOKS[0])
    opened.page.locator("button.search-button__button:visible").first.click()
    opened.page.locator("dialog input[type=search]:visible, input[type=search]:visible").first.fill("saturates")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("#search-results li a")
    found = opened.page.locator("#search-results li a").evaluate_all("links => links.map((link) => link.href)")
    assert any("book/scoreboard.html" in link for link in found), found
    assert opened.troubles == []


def test_dark_mode_switches(visit) -> None:
    page = visit("book/intro.html").page
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button:visible").first.click()
        seen.add((page.evaluate("document.documentElement.dataset.theme"), page.evaluate(ground)))
    grounds = dict(seen)
    assert {"light", "dark"} <= set(grounds)
    assert grounds["light"] != grounds["dark"]


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_the_executed_notebook_can_be_downloaded(look, page: str) -> None:
    opened = look(page)
    link = opened.page.locator("a.btn-download-source-button").first.get_attribute("href")
    answer = opened.page.request.get(opened.page.evaluate("(link) => new URL(link, location.href).href", link))
    assert answer.status == 200
    notebook = json.loads(answer.text())
    assert any(cell.get("outputs") for cell in notebook["cells"] if cell["cell_type"] == "code")


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_figures_have_words_for_those_who_do_not_see_them(look, page: str) -> None:
    said = "all => all.map((one) => one.alt || one.getAttribute('aria-label'))"
    figures = look(page).page.locator("article .cell_output :is(img, svg[role=img])").evaluate_all(said)
    # Without one of its own, a figure's text is its file name.
    assert figures and [alt for alt in figures if not alt or re.fullmatch(r"(\.\./)*_images/.*", alt)] == []


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_code_wraps_and_no_number_loses_its_percent_sign(look, page: str) -> None:
    shown = look(page).page
    cut = "all => all.filter((code) => code.scrollWidth > code.clientWidth + 1).length"
    assert shown.locator("article div.highlight pre").count() > 0
    assert shown.locator("article div.highlight pre").evaluate_all(cut) == 0
    paragraphs = shown.locator("article p:not(.cell_output p), article figcaption").all_text_contents()
    assert [text for text in paragraphs if re.search(r"\d %", text)] == []
    assert any(re.search(r"\d\u00a0%", text) for text in paragraphs)


class Targets(HTMLParser):
    """Collect the links and the anchors of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := known.get(name))]
        self.anchors |= {value for name in ("id", "name") if (value := known.get(name))}


def test_every_link_within_the_book_leads_somewhere(address: str) -> None:
    parsed = {page: Targets(HTML / page) for page in PAGES}
    broken = []
    for page, found in parsed.items():
        for link in found.links:
            path, anchor = urldefrag(link)
            if urlsplit(path).scheme or path.startswith("//"):
                continue
            target = (HTML / page).parent / unquote(path.split("?")[0]) if path.split("?")[0] else HTML / page
            target = target.resolve()
            if not target.is_file():
                broken.append(f"{page}: {link}")
            elif anchor and target.suffix == ".html" and page not in GENERATED and "=" not in anchor:
                known = parsed[target.relative_to(HTML).as_posix()].anchors
                broken += [] if unquote(anchor) in known or anchor == "top" else [f"{page}: {link} (no anchor)"]
    assert broken == []


def test_no_traceback_and_no_path_of_a_machine_is_shown(address: str) -> None:
    homes = {f"{ROOT}/", f"{Path.home()}/", "/tmp/", "/site-packages/"} - {"//"}
    bad = {}
    for page in PAGES:
        text = (HTML / page).read_text(encoding="utf-8")
        # Code pages show sources, which may name the words that are looked for.
        words = [] if page.startswith("_modules/") else ["Traceback (most recent call last)"]
        found = [word for word in (*words, *homes) if word in text]
        if found:
            bad[page] = found
    assert bad == {}
