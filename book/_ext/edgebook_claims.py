"""What the abstract says, at the top of a paper's page, and links from every mention of a claim to its answer."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from edgebook.ledger.claims import ledger_path, load_ledger
from edgebook.ledger.scoreboard import NOT_RUN, find_record
from edgebook.notebooks.paths import project_root

_NO_PROSE = (nodes.title, nodes.reference, nodes.literal, nodes.math, nodes.FixedTextElement, nodes.raw)


@cache
def _pages() -> dict[str, str]:
    """Return the page of each claim, by its id."""
    ledgers = sorted(Path(project_root() / "book" / "claims").glob("*.yml"))
    return {claim.id: f"notebooks/{path.stem}" for path in ledgers for claim in load_ledger(path.stem).claims}


@cache
def _mention() -> re.Pattern[str]:
    names = sorted(map(re.escape, _pages()), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(names) or '(?!)'})(?![\w-])")


def abstract_first(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the statements of the abstract, each with what tests it, after the first cell of a paper's page."""
    if docname not in _pages().values():
        return
    name, staged = docname.removeprefix("notebooks/"), Path(app.srcdir) / "records"
    app.env.note_dependency(str(ledger_path(name, project_root())))
    app.env.note_dependency(str(project_root() / "results" / "full" / f"{name}.json"))
    text = abstract(name, staged if staged.is_dir() else project_root() / "_build" / "book")
    notebook = json.loads(source[0])
    notebook["cells"].insert(1, {"cell_type": "markdown", "id": "abstract", "metadata": {}, "source": text})
    source[0] = json.dumps(notebook)


def abstract(name: str, executed: Path) -> str:
    """Write the statements of a paper's abstract as a list: the verdicts of what tests each, or why nothing does."""
    record = find_record(name, project_root(), executed)
    words = {result.claim.id: result.verdict for result in record.results} if record else {}
    lines = []
    for one in load_ledger(name).statements:
        tests = ", ".join(f"{claim} ({words.get(claim, NOT_RUN)})" for claim in one.tested_by)
        lines.append(f"- {one.says} *{'Tested by' if tests else 'Not tested'}:* {tests or one.untested}.")
    return "\n".join(["```{admonition} What the abstract says, in our words", ":class: eb-abstract", *lines, "```"])


class LinkClaims(SphinxPostTransform):
    """Turn the ids of claims into links, on the page of their paper and on all others."""

    default_priority = 800

    def run(self) -> None:
        for text in list(self.document.findall(nodes.Text)):
            parents = self._above(text)
            if _mention().search(text) and not any(isinstance(parent, _NO_PROSE) for parent in parents):
                text.parent.replace(text, list(self._linked(str(text))))

    def _linked(self, text: str) -> list[nodes.Node]:
        pieces = _mention().split(text)  # text, id, text, id ... text
        found: list[nodes.Node] = []
        for position, piece in enumerate(pieces):
            target = self._address(piece) if position % 2 else None
            if target is not None:
                found.append(nodes.reference("", piece, refuri=target, internal=True, classes=["eb-mention"]))
            elif piece:
                found.append(nodes.Text(piece))
        return found

    def _address(self, claim: str) -> str | None:
        page, anchor = _pages()[claim], f"#{claim.lower()}"
        if page == self.env.docname:
            return anchor
        if page not in self.env.found_docs:
            return None
        return self.app.builder.get_relative_uri(self.env.docname, page) + anchor

    @staticmethod
    def _above(node: nodes.Node) -> list[nodes.Node]:
        found = []
        while node.parent is not None:
            node = node.parent
            found.append(node)
        return found
