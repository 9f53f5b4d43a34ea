"""Trips that can be played: a page of its own with the script as the book ships it, moving only when asked to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebook import style

SCRIPT = Path(__file__).resolve().parents[2] / "book" / "_static" / "episode.js"
pytestmark = pytest.mark.browser


def trip(name: str) -> dict[str, object]:
    steps = [{"pose": [1.0 + at, 5.0, 0.0], "discs": [[6.0, 2.0, 1.0]], "belief": [3.0, 2.0, 3.0, 2.0], "fired": [0]}
             for at in range(6)]  # fmt: skip
    return {"steps": steps, "goal": [8.0, 5.0], "success": name == "first", "joules": 0.002}


@pytest.fixture(params=["no-preference", "reduce"])
def page(request: pytest.FixtureRequest, browser: object) -> Iterator[object]:
    context = browser.new_context(viewport={"width": 390, "height": 800}, reduced_motion=request.param)
    context.set_offline(True)
    opened = context.new_page()
    opened.set_content(style.player({name: trip(name) for name in ("first", "second")}, size=10.0)._repr_html_())
    opened.add_script_tag(content=SCRIPT.read_text(encoding="utf-8"))
    opened.motion = request.param
    yield opened
    context.close()


def test_it_moves_when_asked_to(page: object) -> None:
    slider = page.get_by_label("time")
    before = slider.input_value()
    page.wait_for_timeout(400)
    assert slider.input_value() == before
    words = [button.inner_text() for button in page.get_by_role("button").all()]
    assert words == (["Back", "On"] if page.motion == "reduce" else ["Play"])
    if page.motion == "reduce":
        page.get_by_text("On", exact=True).click()
        assert int(slider.input_value()) == int(before) + 1
    else:
        page.get_by_text("Play").click()
        page.wait_for_function("document.querySelector('input').value === '5'")
        assert page.get_by_role("button").inner_text() == "Play"
    slider.fill("5")
    text = page.locator("div.episode").inner_text()
    assert "has arrived; 2.0 mJ" in text and "has not arrived; 2.0 mJ" in text
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
