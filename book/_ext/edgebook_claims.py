"""Links from every mention of a claim to its card."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

from edgebook.ledger.claims import load_ledger
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
