"""What the head of a page says and loads: a description, a picture, the viewport once, MathJax for formulas."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from edgebook.ledger.papers import load_papers
from edgebook.notebooks.paths import project_root

LONGEST = 200  # characters of a description
_PICTURE = "_static/social.png"
_FORMULA = re.compile(r'class="[^"]*\bmath\b')
_VIEWPORT = re.compile(r'\s*<meta [^>]*name="viewport"[^>]*>')


def describe(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Add description and picture to a page's head; docutils' own viewport goes, Sphinx has named it already."""
    tags = _VIEWPORT.sub("", context.get("metatags", ""))
    if doctree is not None:
        tags += "".join(_tag(*one) for one in _said(app, pagename, context, description(pagename, doctree)))
    context["metatags"] = tags


def description(pagename: str, doctree: nodes.document) -> str:
    """Return what a page is about: of a paper its finding or its question, else the first paragraph of the page."""
    for paper in load_papers(project_root()).papers:
        if pagename == f"notebooks/{paper.name}":
            return _cut(getattr(paper, "finding", None) or paper.question)
    texts = (paragraph.astext() for paragraph in doctree.findall(nodes.paragraph))
    return _cut(next(filter(None, texts), ""))


def _said(app: Sphinx, pagename: str, context: dict[str, Any], text: str) -> list[tuple[str, str, str]]:
    base = app.config.html_baseurl
    base = f"{base.rstrip('/')}/" if base else ""
    title = re.sub(r"<[^>]*>", "", context.get("title", ""))
    said = [
        ("name", "description", text),
        ("property", "og:site_name", app.config.html_title),
        ("property", "og:type", "article"),
        ("property", "og:title", title),
        ("property", "og:description", text),
        ("property", "og:image", base + _PICTURE if base else context["pathto"](_PICTURE, 1)),
        ("property", "og:image:alt", f"The title of the book: {app.config.html_title}"),
        ("name", "twitter:card", "summary_large_image"),
    ]
    return [*said, ("property", "og:url", f"{base}{pagename}.html")] if base else said


def _cut(text: str) -> str:
    """Shorten a text to whole words.

    >>> _cut("a  word " * 40)[-8:]
    'word a …'
    """
    words = " ".join(text.split())
    return words if len(words) <= LONGEST else words[: LONGEST - 2].rsplit(" ", 1)[0] + " …"


def _tag(kind: str, name: str, text: str) -> str:
    return f'\n    <meta {kind}="{name}" content="{escape(text)}" />'


def load_mathjax(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave MathJax out where no formula stands; Sphinx also loads it where only a page of the contents has one."""
    if not _FORMULA.search(context.get("body", "")):
        scripts = context["script_files"]
        scripts[:] = [script for script in scripts if "mathjax/" not in str(script.filename)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Describe each page when it is written."""
    app.connect("html-page-context", describe)
    app.connect("html-page-context", load_mathjax, priority=900)  # after Sphinx has added it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
