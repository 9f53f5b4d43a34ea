"""Links of the book: terms of the glossary, works of the bibliography, names of the package, the head of a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import pytest
import yaml
from docutils import nodes
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin


def test_a_term_is_found_in_prose_and_not_in_other_words(extension: Callable[[str], ModuleType]) -> None:
    terms = extension("edgebook_glossary").pattern(["arm", "MAC", "points", "recorded run"])
    prose = "Two Arms of 3 points, an army; the recorded runs of alarm, MACs and a mac, points and non-arm."
    assert [found[0] for found in terms.finditer(prose)] == ["Arms", "points", "recorded runs", "MACs"]
    assert [found[1] for found in terms.finditer(prose)] == ["Arm", "points", "recorded run", "MAC"]


def test_the_glossary_has_the_words_that_readers_asked_for(extension: Callable[[str], ModuleType], root: Path) -> None:
    text = (root / "book" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^(\S.*)\n  \S", text, flags=re.MULTILINE)
    wanted = {"tier", "ledger", "wing", "kernel", "arm", "points", "paired", "stale", "gap", "neutral", "margin",
              "target", "control", "exact count", "Holm's correction", "PC2", "BNTT", "iso ANN", "MAC", "hit", "pass",
              "IC"}  # fmt: skip
    assert wanted - set(terms) == set()
    assert terms == sorted(terms, key=str.lower)
    assert extension("edgebook_glossary").EVERYDAY - set(terms) == set()


def test_every_work_has_a_link_and_a_label_of_its_own(extension: Callable[[str], ModuleType], root: Path) -> None:
    labels = extension("edgebook_bibliography").AuthorYear()
    entries = list(parse_file(str(root / "book" / "references.bib")).entries.values())
    assert [entry.key for entry in entries if not {"url", "eprint", "doi"} & set(entry.fields)] == []
    written = list(labels.format_labels(entries))
    assert len(set(written)) == len(entries)
    alike = [label for label in written if label.startswith("Kim et al., 2022")]
    assert alike == [f"Kim et al., 2022{letter}" for letter in "abcd"]
    assert "Clopper and Pearson, 1934" in written and "Holm, 1979" in written
    assert "Foldy-Porto et al., 2020" in written and "van der Walt et al., 2014" in written


def test_a_bibliographys_links_lead_to_the_works(extension: Callable[[str], ModuleType]) -> None:
    fields = {"title": "T", "journal": "J", "year": "2020", "eprint": "2002.02949", "doi": "10.1/2"}
    entry = Entry("article", fields)
    entry.add_person(import_module("pybtex.database").Person("Foldy-Porto, Timothy"), "author")
    entry.key = "k"
    style = extension("edgebook_bibliography").Style()
    (formatted,) = style.format_entries([entry])
    drawn = formatted.text.render(find_plugin("pybtex.backends", "html")())
    assert 'href="https://arxiv.org/abs/2002.02949"' in drawn and 'href="https://doi.org/10.1/2"' in drawn
    assert "Timothy Foldy-Porto" in drawn and formatted.label == "Foldy-Porto, 2020"


def test_every_room_has_a_page_of_the_reference_and_its_place_in_the_contents(root: Path) -> None:
    rooms = {one.name for one in iter_modules([str(root / "src" / "edgebook")]) if not one.name.startswith("_")}
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (root / "book" / "api").glob("*.md")}
    assert {page.partition("-")[0] for page in pages} == rooms <= set(pages)
    asked = {page: f"```{{api-reference}} {page.partition('-')[0]}\n" for page in pages}
    assert [page for page, text in pages.items() if asked[page] not in text] == []
    left, had = (re.findall(rf"^:{of}: (.+)$", "\n".join(pages.values()), re.MULTILINE) for of in ("without", "only"))
    assert left == had and len(pages) == len(rooms) + len(had)  # what one page leaves out another has
    listed = [part for part in yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))["parts"]]
    (sections,) = [c["sections"] for part in listed for c in part["chapters"] if c["file"] == "book/api"]
    assert {one["file"] for one in sections} == {f"book/api/{page}" for page in pages}


def test_what_to_call_exists_and_every_wing_is_there(extension: Callable[[str], ModuleType], root: Path) -> None:
    api, text = extension("edgebook_api"), (root / "book" / "api.md").read_text(encoding="utf-8")
    named = re.findall(r"\{(?:func|class)\}`(edgebook\.[\w.]+)`", text)
    assert [name for name in named if api._defined(name) is None] == []
    assert {name.split(".")[1] for name in named} >= {
        "data", "measure", "networks", "compression", "spiking", "crossbar", "federated", "decoding", "ledger"
    }  # fmt: skip
    assert api._defined("edgebook.crossbar.effective_conductance").startswith("edgebook.crossbar.solver.")
    assert api._defined("edgebook.nothing.at_all") is None and api._defined("edgebook.spiking.no_such") is None


@pytest.mark.parametrize("name", ["activation-density-pruning", "federated-snn"])
def test_a_papers_page_is_described_by_its_question_or_finding(
    extension: Callable[[str], ModuleType], name: str
) -> None:
    said = extension("edgebook_head").description(f"notebooks/{name}", nodes.document(None, None))
    assert 20 < len(said) <= 200 and said[0].isupper()


def test_another_page_is_described_by_its_first_paragraph(extension: Callable[[str], ModuleType]) -> None:
    document = nodes.document(None, None)
    document += [
        nodes.title("", "Speed"),
        nodes.paragraph("", "How  long\nthe kernels take."),
        nodes.paragraph("", "b"),
    ]
    head = extension("edgebook_head")
    assert head.description("book/speed", document) == "How long the kernels take."
    assert head._cut("a  word " * 40).endswith("word a …") and len(head._cut("a  word " * 40)) <= 200
