"""The book's configuration: keys that exist, pages that exist, and one catalogue behind all of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgebook.ledger.claims import Verdict
from edgebook.ledger.papers import load_papers

# Known to Jupyter Book's code, but not in its list of defaults.
EXTRA = {"bibtex_bibfiles", "bibtex_reference_style"}
# Below these, names are free: they belong to Sphinx or name our own extension.
FREE = {("sphinx", "config"), ("sphinx", "local_extensions")}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def defaults() -> dict:
    spec = find_spec("jupyter_book")
    assert spec is not None and spec.origin is not None
    return load(Path(spec.origin).with_name("default_config.yml"))


def unknown(config: dict, known: dict, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in config.items():
        here = (*above, key)
        if key not in known and not (above == () and key in EXTRA):
            yield here
        elif isinstance(value, dict) and isinstance(known.get(key), dict) and here not in FREE:
            yield from unknown(value, known[key], here)


def test_every_key_of_the_configuration_is_known(root: Path, defaults: dict) -> None:
    assert list(unknown(load(root / "_config.yml"), defaults)) == []


def test_a_misspelt_key_would_be_found(defaults: dict) -> None:
    wrong = {"executes": {}, "html": {"favicons": "x"}, "repository": {"url": ""}}
    assert list(unknown(wrong, defaults)) == [("executes",), ("html", "favicons")]


def test_every_sphinx_key_is_known_to_sphinx_and_its_extensions(root: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    script = """
import json, sys
from pathlib import Path
from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
cli = {"latex_individualpages": False}
config, _ = get_final_config(user_yaml=Path(sys.argv[1]), cli_config=cli, use_external_toc=False)
config |= {"bibtex_bibfiles": [], "html_static_path": [], "html_logo": "", "html_favicon": ""}
app = Sphinx("src", None, "out", "trees", "html", confoverrides=config, status=None)
print(json.dumps(sorted(app.config.values)))
"""
    command = [sys.executable, "-c", script, str(root / "_config.yml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    known = json.loads(done.stdout.splitlines()[-1])
    assert set(load(root / "_config.yml")["sphinx"]["config"]) - set(known) == set()


def test_notebooks_are_never_executed_by_the_book(root: Path) -> None:
    assert load(root / "_config.yml")["execute"]["execute_notebooks"] == "off"


def pages(root: Path) -> list[str]:
    toc = load(root / "_toc.yml")
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def test_every_page_exists_and_every_notebook_is_a_page(root: Path) -> None:
    listed = pages(root)
    assert [page for page in listed if not any((root / f"{page}{end}").is_file() for end in (".md", ".ipynb"))] == []
    notebooks = [path for folder in ("book", "notebooks") for path in (root / folder).glob("*.ipynb")]
    there = {path.relative_to(root).with_suffix("").as_posix() for path in notebooks}
    assert sorted(there - set(listed)) == []


def test_papers_stand_in_the_part_of_their_wing(root: Path) -> None:
    catalogue = load_papers(root)
    wing = {f"notebooks/{paper.name}": catalogue.wings[paper.wing].title for paper in catalogue.papers}
    listed = {c["file"]: part["caption"] for part in load(root / "_toc.yml")["parts"] for c in part["chapters"]}
    placed = {page: caption for page, caption in listed.items() if page.startswith("notebooks/")}
    assert placed == {page: wing.get(page) for page in placed}


def test_the_bibliography_has_every_paper_under_its_title(root: Path) -> None:
    text = (root / "book" / "references.bib").read_text(encoding="utf-8")
    entries = dict(re.findall(r"@\w+\{(\w+),.*?\n\s*title\s*=\s*\{(.*?)\},\n", text, flags=re.DOTALL))
    wanted = {paper.cite: paper.title for paper in load_papers(root).papers}
    assert {key: re.sub(r"[{}]", "", entries.get(key, "")) for key in wanted} == wanted


def test_the_landing_page_explains_every_verdict(root: Path) -> None:
    lines = (root / "book" / "intro.md").read_text(encoding="utf-8").splitlines()
    explained = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert set(map(str, Verdict)) == set(explained) - {"Verdict"}
