"""A small book built with the real configuration and extension: staging, rendering, and what must fail."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml

from edgebook.pages import render

TOC = {
    "format": "jb-book",
    "root": "book/intro",
    "parts": [{"caption": "Papers", "chapters": [{"file": "notebooks/activation-density-pruning"}]}],
}
CLAIM = {"id": "AP-7", "says": "Zebrafish beats a uniform width.", "where": "abstract", "measures": "m",
         "unit": "points", "expects": "positive", "margin": 1.0}  # fmt: skip
NOTEBOOK = "activation-density-pruning"
# Those that the catalogue names where it tells the scale of the paper.
PARAMETERS = (
    'tier: str = "book"  # scale\ndataset: str = "digits"  # images\nsize: int = 8  # pixels\n'
    "train: int = 800  # images\nepochs: int = 20  # of a training\nseeds: int = 2  # repetitions\n"
)


def notebook(output: str | None) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell("40 + 2")
    if output is not None:
        data = {"text/plain": output}
        cell.outputs = [nbformat.v4.new_output("execute_result", data=data, execution_count=1)]
    text = nbformat.v4.new_markdown_cell(
        '# A paper\n\n<a id="ap-7"></a>\n\nIt says $x^2$ (AP-7, but AP-77 and `AP-7`).'
    )
    parameters = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=[text, cell, parameters], metadata={"kernelspec": kernel})


@pytest.fixture
def checkout(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one paper, an executed copy of its notebook, and no record."""
    small = tmp_path / "checkout"
    (small / "book" / "claims").mkdir(parents=True)
    (small / "notebooks").mkdir()
    shutil.copy2(root / "_config.yml", small / "_config.yml")
    (small / "_toc.yml").write_text(yaml.safe_dump(TOC, sort_keys=False), encoding="utf-8")
    for name in ("papers.yml", "references.bib"):
        shutil.copy2(root / "book" / name, small / "book" / name)
    for name in ("_ext", "_static"):
        shutil.copytree(root / "book" / name, small / "book" / name, ignore=shutil.ignore_patterns("__pycache__"))
    intro = "# Small\n\n```{scoreboard}\n```\n\n## Papers\n\nOf AP-7 more is said.\n\n```{paper-grid}\n```\n"
    (small / "book" / "intro.md").write_text(intro, encoding="utf-8")
    statements = [{"says": "It is so.", "tested_by": ["AP-7"]}]
    ledger = {"title": "T", "cite": "foldyporto2020activation", "statements": statements, "claims": [CLAIM]}
    (small / "book" / "claims" / f"{NOTEBOOK}.yml").write_text(yaml.safe_dump(ledger), encoding="utf-8")
    nbformat.write(notebook(None), small / "notebooks" / f"{NOTEBOOK}.ipynb")
    (small / "notebooks" / "tiers.yml").write_text(f"{NOTEBOOK}: {{full: {{train: 2500}}}}\n", encoding="utf-8")
    (small / "_build" / "book").mkdir(parents=True)
    nbformat.write(notebook("42"), small / "_build" / "book" / f"{NOTEBOOK}.ipynb")
    monkeypatch.setenv("EDGEBOOK_ROOT", str(small))
    return small


def with_address(small: Path) -> None:
    path = small / "_config.yml"
    text = path.read_text(encoding="utf-8")
    assert text.count('  url: ""\n') == 1, "the repository's address is no longer empty or stands in two places"
    path.write_text(text.replace('  url: ""\n', "  url: https://github.com/someone/somewhere\n"), encoding="utf-8")


def test_staging_prefers_the_executed_notebook_and_names_the_rest(checkout: Path, tmp_path: Path) -> None:
    extra = checkout / "book" / "page.ipynb"
    nbformat.write(notebook(None), extra)
    assert render.stage(checkout / "_build" / "book", tmp_path / "stage") == ["page"]
    staged = nbformat.read(tmp_path / "stage" / "notebooks" / f"{NOTEBOOK}.ipynb", as_version=4)
    assert staged.cells[1].outputs[0]["data"]["text/plain"] == "42"
    assert (tmp_path / "stage" / "book" / "page.ipynb").read_bytes() == extra.read_bytes()


def test_staging_again_forgets_what_is_gone(checkout: Path, tmp_path: Path) -> None:
    page = checkout / "book" / "page.ipynb"
    nbformat.write(notebook(None), page)
    render.stage(checkout / "_build" / "book", tmp_path / "stage")
    page.unlink()
    render.stage(checkout / "_build" / "book", tmp_path / "stage")
    assert not (tmp_path / "stage" / "book" / "page.ipynb").exists()


def test_staging_refuses_a_folder_that_holds_something_else(checkout: Path, tmp_path: Path) -> None:
    keep = tmp_path / "home" / "letter.txt"
    keep.parent.mkdir()
    keep.write_text("dear", encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty"):
        render.stage(checkout / "_build" / "book", keep.parent)
    assert keep.read_text(encoding="utf-8") == "dear"


@pytest.mark.slow
def test_the_book_shows_the_ledger_and_hides_buttons_without_an_address(checkout: Path) -> None:
    html = checkout / "_build" / "html"
    assert render.main([]) == 0
    landing = (html / "book" / "intro.html").read_text(encoding="utf-8")
    assert "Zebrafish beats a uniform width." in landing
    assert f'href="../notebooks/{NOTEBOOK}.html#ap-7"' in landing
    planned = re.search(r'<p class="eb-planned"><strong>Planned:</strong>(.*?)</p>', landing)
    assert landing.count('<p class="eb-paper-says">') == 1 and planned and planned[1].count(" (20") == 14
    assert (html / "_static" / "verdicts.csv").read_text(encoding="utf-8").count("\nAP-7,") == 1
    assert "zebrafish" in (html / "searchindex.js").read_text(encoding="utf-8")
    assert '<link rel="icon" href="data:,">' in (html / "index.html").read_text(encoding="utf-8")
    page = (html / "notebooks" / f"{NOTEBOOK}.html").read_text(encoding="utf-8")
    assert 'id="ap-7"' in page
    mention = r'<a class="eb-mention[^"]*" href="([^"]*)">AP-7</a>'
    assert re.findall(mention, page) == ["#ap-7"]  # of the text; not in code, nor in AP-77
    minute = page[page.index('<section class="minute"') : page.index("</section>", page.index('class="minute"'))]
    stated = re.sub(" +", " ", re.sub(r"<[^>]+>|\s+", " ", minute))
    assert "images all of CIFAR-10, CIFAR-100 and TinyImageNet 2,500 of digits at 8x8" in stated
    assert "It is so. AP-7 not run yet" in stated and "No run at tier full has been recorded yet." in stated
    assert 'href="#ap-7"' in minute and f'href="../_static/ledger/{NOTEBOOK}.yml"' in minute
    assert (html / "_static" / "ledger" / f"{NOTEBOOK}.yml").is_file()
    assert re.findall(mention, landing) == [f"../notebooks/{NOTEBOOK}.html#ap-7"]
    assert not re.search(r"unpkg|mybinder|colab|source-repository-button|executablebooks/jupyter-book", page)
    download = json.loads((html / "_sources" / "notebooks" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))
    assert download["cells"][1]["outputs"][0]["data"]["text/plain"] == ["42"]


@pytest.mark.slow
def test_what_stands_beside_a_figure_in_its_cell_gets_no_caption(checkout: Path) -> None:
    page = notebook("42")
    described = {"figure": {"caption": "A red dot.", "name": "fig-dot"}, "image": {"alt": "A dot."}}
    cell = nbformat.v4.new_code_cell("plt.show()\nlines", metadata={"mystnb": described, "tags": ["hide-input"]})
    dot = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle cx="4" cy="4" r="3"/></svg>'
    words = {"text/html": "<ul><li>Beneath it.</li></ul>", "text/plain": "Beneath it."}
    cell.outputs = [
        nbformat.v4.new_output("display_data", data={"image/svg+xml": dot}),
        nbformat.v4.new_output("execute_result", data=words, execution_count=1),
    ]
    page.cells.append(cell)
    nbformat.write(page, checkout / "_build" / "book" / f"{NOTEBOOK}.ipynb")
    assert render.main([]) == 0
    html = (checkout / "_build" / "html" / "notebooks" / f"{NOTEBOOK}.html").read_text(encoding="utf-8")
    assert html.count("A red dot.") == html.count("<figcaption>") == 1
    assert html.index("</figure>") < html.index("Beneath it.")


@pytest.mark.slow
def test_an_address_brings_launch_and_repository_buttons(checkout: Path) -> None:
    with_address(checkout)
    assert render.main([]) == 0
    page = (checkout / "_build" / "html" / "notebooks" / f"{NOTEBOOK}.html").read_text(encoding="utf-8")
    path = f"notebooks/{NOTEBOOK}.ipynb"
    assert f"https://colab.research.google.com/github/someone/somewhere/blob/main/{path}" in page
    assert f"https://mybinder.org/v2/gh/someone/somewhere/main?urlpath=lab/tree/{path}" in page
    assert 'href="https://github.com/someone/somewhere"' in page


@pytest.mark.slow
def test_a_warning_fails_the_build_and_keeps_the_old_pages(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = checkout / "_build" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("old", encoding="utf-8")
    intro = checkout / "book" / "intro.md"
    intro.write_text(intro.read_text(encoding="utf-8") + "\nSee {doc}`nowhere-at-all`.\n", encoding="utf-8")
    assert render.main([]) == 1
    said = capsys.readouterr().err
    assert "nowhere-at-all" in said and "intro.md" in said
    assert old.read_text(encoding="utf-8") == "old"
