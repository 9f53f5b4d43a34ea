"""Ledgers, notebooks, tiers, table of contents and recorded runs belong together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from edgebook import notebooks
from edgebook.ledger import load_ledger, load_record


def stems(folder: Path, pattern: str) -> set[str]:
    return {path.stem for path in folder.glob(pattern)}


def toc_files(node: Any) -> Iterator[str]:
    """Yield the pages that a Jupyter Book table of contents names, at any depth."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        for value in node.values():
            yield from toc_files(value)
    elif isinstance(node, list):
        for value in node:
            yield from toc_files(value)


def test_each_notebook_has_a_ledger_and_the_other_way_round(root: Path) -> None:
    papers = stems(root / "notebooks", "*.ipynb")
    assert papers
    assert stems(root / "book" / "claims", "*.yml") == papers
    assert list((root / "book" / "claims").glob("*.yaml")) == []


def test_ledgers_are_valid(root: Path) -> None:
    for name in stems(root / "book" / "claims", "*.yml"):
        ledger = load_ledger(name, root)  # raises with the name of the field
        assert ledger.claims
        assert any(claim.kind == "claim" for claim in ledger.claims), f"{name} tests only controls"


def test_claim_ids_are_unique_across_papers(root: Path) -> None:
    ledgers = [load_ledger(name, root) for name in stems(root / "book" / "claims", "*.yml")]
    ids = [claim.id.lower() for ledger in ledgers for claim in ledger.claims]
    assert sorted(ids) == sorted(set(ids))


def test_each_claim_has_its_place_on_the_page(root: Path) -> None:
    for name in stems(root / "notebooks", "*.ipynb"):
        text = "\n".join(cell["source"] for cell in notebooks.cells(root / "notebooks" / f"{name}.ipynb"))
        for claim in load_ledger(name, root).claims:
            assert text.count(f'<a id="{claim.id.lower()}"></a>') == 1, f"{name}: {claim.id}"


def test_each_notebook_and_page_is_in_the_table_of_contents(root: Path) -> None:
    listed = list(toc_files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))
    assert len(listed) == len(set(listed))
    here = {f"notebooks/{name}" for name in stems(root / "notebooks", "*.ipynb")}
    here |= {f"book/{name}" for name in stems(root / "book", "*.ipynb") | stems(root / "book", "*.md")}
    assert {name.removesuffix(".ipynb").removesuffix(".md") for name in listed} == here


def test_each_notebook_has_values_for_the_tiers(root: Path) -> None:
    for name in stems(root / "notebooks", "*.ipynb"):
        for tier in notebooks.tiers():
            assert notebooks.resolve(name, tier)["tier"] == tier


def test_the_citation_of_each_ledger_is_in_the_bibliography(root: Path) -> None:
    bibliography = (root / "book" / "references.bib").read_text(encoding="utf-8")
    for name in stems(root / "book" / "claims", "*.yml"):
        assert f"{{{load_ledger(name, root).cite}," in bibliography, name


def test_recorded_runs_are_whole_and_belong_to_a_notebook(root: Path) -> None:
    for path in (root / "results" / "full").glob("*"):
        assert path.suffix == ".json", path.name
        record = load_record(path)
        assert (record.notebook, record.tier) == (path.stem, "full")
        known = {claim.id for claim in load_ledger(path.stem, root).claims}
        assert {result.claim.id for result in record.results} <= known


def test_nested_contents_are_read() -> None:
    toc = {"root": "a", "parts": [{"chapters": [{"file": "b", "sections": [{"file": "c"}]}]}]}
    assert list(toc_files(toc)) == ["a", "b", "c"]
