"""Papers' pages in a real browser: the answer on the first screen, links that land on their cards, legible strips."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("EDGEBOOK_HTML") or ROOT / "_build" / "html").resolve()
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("notebooks/*.html"))
CARDS = [page for page in PAGES if "claim-card" in (HTML / page).read_text(encoding="utf-8")]
SCREENS = ({"width": 1280, "height": 900}, {"width": 390, "height": 844})


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: str(screen["width"]))
@pytest.mark.parametrize("page", CARDS)
def test_the_answer_stands_on_the_first_screen(look, page: str, screen: dict[str, int]) -> None:
    opened = look(page, screen).page
    opened.evaluate("scrollTo(0, 0)")
    box = opened.locator(".minute-answer").bounding_box()
    assert box["y"] + box["height"] < screen["height"]
    assert opened.locator(".minute").evaluate("one => one.scrollWidth <= one.clientWidth")


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: str(screen["width"]))
@pytest.mark.parametrize("page", CARDS)
def test_a_link_to_a_claim_lands_on_its_card_which_is_marked(visit, page: str, screen: dict[str, int]) -> None:
    names = re.findall(r'<article class="claim-card" id="([^"]+)"', (HTML / page).read_text(encoding="utf-8"))
    assert len(names) == len(set(names))
    middle = names[len(names) // 2]
    opened = visit(f"{page}#{middle}").page
    opened.set_viewport_size(screen)
    for name in dict.fromkeys((middle, names[0], names[-1])):  # the first from outside, the others from within the page
        opened.goto(f"{opened.url.partition('#')[0]}#{name}")
        card = opened.locator(f"#{name}")
        opened.wait_for_function("name => document.getElementById(name).matches(':target')", arg=name)
        card.scroll_into_view_if_needed()
        box = card.bounding_box()
        assert 0 <= box["y"] < screen["height"]
        shadows = opened.locator(".claim-card").evaluate_all("all => all.map((one) => getComputedStyle(one).boxShadow)")
        assert [shadow != "none" for shadow in shadows].count(True) == 1


@pytest.mark.parametrize("page", CARDS)
def test_a_phone_shows_strips_whose_text_can_be_read(look, page: str) -> None:
    opened = look(page, SCREENS[1]).page
    sizes = opened.locator(".claim-strip text").evaluate_all("all => all.map((t) => t.getBoundingClientRect().height)")
    assert sizes and min(sizes) >= 9
    cards = opened.locator(".claim-card")
    assert cards.evaluate_all("all => all.filter((one) => one.scrollWidth > one.clientWidth).length") == 0
    outside = (
        "all => all.filter((line) => { const [box] = line.getClientRects(), "
        "strip = line.ownerSVGElement.getBoundingClientRect(); "
        "return box && (box.left < strip.left - 1 || box.right > strip.right + 1); }).length"  # hidden: no box
    )
    assert opened.locator(".claim-strip line").evaluate_all(outside) == 0


@pytest.mark.parametrize("page", CARDS)
def test_cards_can_be_read_without_script_and_style(browser, address: str, page: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.route("**/*.css*", lambda route: route.abort())
    opened.goto(address + page, wait_until="load")
    card = opened.locator(".claim-card").first
    assert card.locator(".claim-says").is_visible() and card.locator(".claim-found").is_visible()
    box = card.locator(".claim-strip").bounding_box()
    assert box["width"] > 200 and box["height"] > 40
    card.locator("summary", has_text="Cite this verdict").click()
    assert "@misc{" in card.locator("pre").inner_text()
    context.close()
