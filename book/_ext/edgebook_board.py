"""Sphinx extension for claims: the scoreboard and its downloads, the picture of all, the papers, the citation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from edgebook_landing import papers_html, picture_html
from edgebook_page import Rendered, rows_of
from edgebook_render import scoreboard_html
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from edgebook.ledger import export
from edgebook.notebooks.paths import project_root

# What a page loads, by what stands in its HTML.
_LOADS = {
    'class="eb-scoreboard"': ("scoreboard.css", "scoreboard.js"),
    'class="eb-picture"': ("scoreboard.css", "picture.js"),
    'class="eb-papers"': ("scoreboard.css",),
    'class="claim-card"': ("claim-try.css", "judge.js", "claim-card.js"),
    'class="calculator"': ("calculators.css", "calculators.js"),
    'class="episode"': ("episode.js",),
    "cell_output": ("sideways.js",),
    'class="eb-grid-table"': ("sideways.js",),
}


class Scoreboard(Rendered):
    """``{scoreboard}``: every claim of every paper."""

    def run(self) -> list[nodes.Node]:
        return self.html(scoreboard_html(self.rows(), self.linked, self.static))


class ClaimsPicture(Rendered):
    """``{claims-picture}``: a tile for each claim."""

    def run(self) -> list[nodes.Node]:
        return self.html(picture_html(self.rows(), self.linked))


class PaperGrid(Rendered):
    """``{paper-grid}``: a sentence for each paper, and those that are planned."""

    def run(self) -> list[nodes.Node]:
        return self.html(papers_html(self.rows(), self.linked))


class GetIt(SphinxDirective):
    """``{get-the-book}``: the commands that get the book and build it, with its address where that is known."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        address = dict(self.config.html_theme_options).get("repository_url")
        clone = f"git clone {address or 'ADDRESS'} efficient-edge-ai" + "  # ADDRESS: of its repository" * (not address)
        text = "\n".join([clone, "cd efficient-edge-ai", *self.content])
        return [nodes.literal_block(text, text, language="bash")]


class HowToCite(SphinxDirective):
    """``{how-to-cite}``: the BibTeX entry of the book, from ``CITATION.cff``."""

    def run(self) -> list[nodes.Node]:
        known = yaml.safe_load((project_root() / "CITATION.cff").read_text(encoding="utf-8"))
        authors = " and ".join(f"{{{one['name']}}}" for one in known["authors"])
        fields = {"author": authors, "title": f"{{{known['title']}}}", "version": known["version"],
                  "year": self.config.copyright}  # fmt: skip
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        text = f"@software{{efficient-edge-ai-reproduced,\n{lines}\n}}"
        return [nodes.literal_block(text, text, language="bibtex")]


def load_files(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: Any) -> None:
    """Load scripts and styles on the pages that hold something for them."""
    body = context.get("body", "") if doctree is not None else ""
    for file in dict.fromkeys(file for sign, files in _LOADS.items() if sign in body for file in files):
        if file.endswith(".css"):
            app.add_css_file(file)
        else:
            app.add_js_file(file, loading_method="defer")


def write_downloads(app: Sphinx, error: Exception | None) -> None:
    """Put all verdicts beside the pages, whole for readers without script and in pieces for the others."""
    folder = Path(app.outdir) / "_static"
    if error is not None or app.builder.format != "html" or not folder.is_dir():
        return
    found = [row for row in rows_of(app) if row.claim]
    for suffix, write in (("json", export.as_json), ("csv", export.as_csv), ("bib", export.as_bibtex)):
        (folder / f"verdicts.{suffix}").write_text(write(found), encoding="utf-8")
    (folder / "verdicts.js").write_text(f"window.edgebookVerdicts = {_in_pieces(found)};\n", encoding="utf-8")


def _in_pieces(found: list) -> str:
    """Write what the downloads consist of, so that a script can put together those of the rows that it shows."""
    cited = {row.claim.id: export.as_bibtex([row]) for row in found}
    rows = {row.claim.id.lower(): [export.json_line(row), export.csv_line(row), cited[row.claim.id]] for row in found}
    return json.dumps({"head": export.csv_head(), "rows": rows}, ensure_ascii=False).replace("</", "<\\/")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register directives and events."""
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("claims-picture", ClaimsPicture)
    app.add_directive("paper-grid", PaperGrid)
    app.add_directive("get-the-book", GetIt)
    app.add_directive("how-to-cite", HowToCite)
    app.connect("html-page-context", load_files)
    app.connect("build-finished", write_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
