"""What the directives of this book share: HTML from records, and the rows that it is drawn from."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from edgebook.ledger.scoreboard import Row, rows
from edgebook.notebooks.paths import project_root


def rows_of(app: Sphinx) -> list[Row]:
    """Rows of this build, read once: a staged tree brings the records of its executed notebooks in ``records/``."""
    if not hasattr(app, "edgebook_rows"):
        staged = Path(app.srcdir) / "records"
        app.edgebook_rows = rows(project_root(), staged if staged.is_dir() else None)
    return app.edgebook_rows


class Rendered(SphinxDirective):
    """A directive whose HTML comes from the ledger alone."""

    def rows(self) -> list[Row]:
        return rows_of(self.env.app)

    def linked(self, link: str | None) -> str | None:
        """Turn a link from the book's root into one from this page, or None where the page is not built."""
        page, _, anchor = (link or "").partition("#")
        name = page.removesuffix(".html")
        if name not in self.env.found_docs:
            return None
        target = self.env.app.builder.get_relative_uri(self.env.docname, name)
        return f"{target}#{anchor}" if anchor else target

    def static(self, file: str) -> str:
        """Return the way from this page to a file of ``_static``."""
        return "../" * self.env.docname.count("/") + f"_static/{file}"

    def html(self, text: str) -> list[nodes.Node]:
        self.env.metadata[self.env.docname]["edgebook_rendered"] = True
        return [nodes.raw("", text, format="html")]
