"""Links to the glossary: the first use of a term on a page, with its meaning on hovering."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

PAGE = "book/glossary"
# Words that prose mostly uses in their plain sense; {term}`size` still links one of them.
EVERYDAY = {
    "agrees", "choice", "confirmed", "depends", "effect", "exact", "gap", "hit", "identity", "kernel", "pass",
    "question", "record", "sample", "scale", "size", "sweep", "target", "tolerance",
}  # fmt: skip
_COUNTED = {"points"}  # terms only after a number, as in "3 points"
_NO_PROSE = (nodes.title, nodes.reference, nodes.literal, nodes.math, nodes.FixedTextElement, nodes.raw, nodes.table,
             nodes.label, nodes.citation, nodes.topic, nodes.term)  # fmt: skip


def read_terms(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Keep what the glossary says of each term: its anchor and its meaning, by the term as written."""
    env.edgebook_terms = {}
    if PAGE in env.found_docs:
        for item in env.get_doctree(PAGE).findall(nodes.definition_list_item):
            meaning = " ".join(item[-1].astext().split())
            for term in item.findall(nodes.term):
                env.edgebook_terms[term.astext()] = (term["ids"][0], meaning)
    return []


def pattern(terms: Iterator[str]) -> re.Pattern[str]:
    """Return what finds a term in prose, singular or plural; a term with a capital letter only as it is written.

    >>> [found[0] for found in pattern(["arm", "MAC"]).finditer("Two Arms of 3 MACs, an army on a mac")]
    ['Arms', 'MACs']
    """
    found = []
    for term in sorted(terms, key=len, reverse=True):
        word = re.escape(term) if term != term.lower() else f"(?i:{re.escape(term)})"
        found.append(rf"(?<=\d[ \u00a0]){word}" if term in _COUNTED else word)
    return re.compile(rf"(?<![\w-])({'|'.join(found) or '(?!)'})s?(?![\w-])")


class LinkTerms(SphinxPostTransform):
    """Turn the first use of each term in the prose of a page into a link, and say on every such link what it means."""

    default_priority = 810
    formats = ("html",)

    def run(self) -> None:
        terms = self.env.edgebook_terms
        self._explain(terms)
        if self.env.docname == PAGE or self.env.docname.startswith("book/api") or not terms:
            return
        free = {term.lower(): term for term in terms if term not in EVERYDAY}
        mention = pattern(iter(free.values()))
        for text in list(self.document.findall(nodes.Text)):
            if any(found[1].lower() in free for found in mention.finditer(text)) and _is_prose(text):
                text.parent.replace(text, list(self._linked(str(text), mention, free)))

    def _linked(self, text: str, mention: re.Pattern[str], free: dict[str, str]) -> Iterator[nodes.Node]:
        done = 0
        for found in mention.finditer(text):
            term = free.pop(found[1].lower(), None)
            if term is not None:
                yield nodes.Text(text[done : found.start()])
                yield self._link(term, found[0])
                done = found.end()
        yield nodes.Text(text[done:])

    def _link(self, term: str, shown: str) -> nodes.reference:
        anchor, meaning = self.env.edgebook_terms[term]
        address = f"{self.app.builder.get_relative_uri(self.env.docname, PAGE)}#{anchor}"
        return nodes.reference("", shown, refuri=address, internal=True, reftitle=meaning, classes=["eb-term"])

    def _explain(self, terms: dict[str, tuple[str, str]]) -> None:
        meanings = dict(terms.values())
        for link in self.document.findall(nodes.reference):
            anchor = (link.get("refuri") or "").rpartition("#")[2] or link.get("refid", "")
            if anchor.startswith("term-") and anchor in meanings:
                link["reftitle"] = meanings[anchor]
                link["classes"].append("eb-term")


def _is_prose(node: nodes.Node) -> bool:
    above = []
    while node.parent is not None:
        node = node.parent
        above.append(node)
    return any(isinstance(one, nodes.paragraph) for one in above) and not any(isinstance(o, _NO_PROSE) for o in above)


def setup(app: Sphinx) -> dict[str, bool]:
    """Read the glossary when all pages are read, and link to it."""
    app.connect("env-check-consistency", lambda app, env: read_terms(app, env))
    app.add_post_transform(LinkTerms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
