"""What all tests in a browser share: one browser, a server of the built book, and pages that note what goes wrong.

``EDGEBOOK_HTML`` names the folder with the pages; by default the checkout's ``_build/html``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("EDGEBOOK_HTML") or ROOT / "_build" / "html").resolve()
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# No sandbox, since containers give it no rights, and none of the browser's own calls home.
FLAGS = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
         "disable-component-update", "disable-sync")  # fmt: skip
DESK = {"width": 1280, "height": 900}
FOLDS = "document.querySelectorAll('details')"


def lacking(what: str) -> None:
    """Skip, or fail in continuous integration, where nothing may be lacking."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Serve the pages on a free port of the loopback address."""
    if not (HTML / "index.html").is_file():
        lacking("There is no built book: run `make book` first, or let EDGEBOOK_HTML name its folder.")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HTML))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Start the machine's own Chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        lacking(f"No browser is installed: none of {', '.join(BROWSERS)} was found.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=[f"--{flag}" for flag in FLAGS])
        yield started
        started.close()


class Visit:
    """A page that was opened, and everything that went wrong on it."""

    def __init__(self, context: object, address: str) -> None:
        self.address = address
        self.troubles: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda said: self.note(f"console: {said.text}") if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.note(f"error: {error}"))
        self.page.on("requestfailed", lambda request: self.note(f"failed: {request.url}"))
        self.page.on("response", lambda got: self.note(f"{got.status}: {got.url}") if got.status >= 400 else None)
        self.page.on("request", self.stays)

    def note(self, trouble: str) -> None:
        self.troubles.append(trouble)

    def stays(self, request: object) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.note(f"leaves the machine: {request.url}")

    def open(self, page: str) -> Visit:
        self.page.goto(self.address + page, wait_until="load")
        if page == "index.html":  # it sends its reader on, and a page that is being left answers nothing
            self.page.wait_for_url("**/book/intro.html", wait_until="load")
        if self.page.locator("article .math").count():
            self.page.wait_for_selector("mjx-container", state="attached")
        return self

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture(scope="module")
def context(browser: object) -> Iterator[object]:
    """One profile for all visits, so that what pages share is loaded once."""
    made = browser.new_context(viewport=DESK, color_scheme="light")
    made.set_default_timeout(120_000)  # a busy machine is not a failure
    yield made
    made.close()


@pytest.fixture
def visit(context: object, address: str) -> Iterator[object]:
    opened: list[Visit] = []

    def go(page: str) -> Visit:
        opened.append(Visit(context, address))
        return opened[-1].open(page)

    yield go
    for one in opened:
        one.page.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of a page next to each other, so that `look` opens it once."""
    ours = [item for item in items if item.get_closest_marker("browser")]
    ours.sort(key=lambda item: str(item.callspec.params.get("page", "")) if hasattr(item, "callspec") else "")
    ordered = iter(ours)
    items[:] = [next(ordered) if item.get_closest_marker("browser") else item for item in items]


@pytest.fixture(scope="session")
def look(browser: object, address: str) -> Iterator[object]:
    """Show a page that is read and not used, at a size and in the light; it stays open until another is asked for."""
    context = browser.new_context(viewport=DESK, color_scheme="light")
    context.set_default_timeout(120_000)
    shown: dict[str, Visit] = {}

    def at(page: str, size: dict[str, int] = DESK) -> Visit:
        if page not in shown:
            for old in shown.values():
                old.page.close()
            shown.clear()
            shown[page] = Visit(context, address).open(page)
            shown[page].page.evaluate(f"{FOLDS}.forEach((fold) => {{ fold.dataset.was = fold.open ? 'open' : ''; }})")
        here = shown[page].page
        here.evaluate(f"{FOLDS}.forEach((fold) => {{ fold.open = fold.dataset.was === 'open'; }})")
        here.evaluate("document.documentElement.dataset.theme = 'light'")
        here.set_viewport_size(size)
        return shown[page]

    yield at
    context.close()
