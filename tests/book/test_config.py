"""The book's configuration: what Sphinx takes, and one catalogue behind all pages; the check has the rest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from edgebook.ledger import Verdict
from edgebook.ledger.papers import load_papers


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


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
