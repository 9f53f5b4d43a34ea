"""What the book adds to a paper's page: the minute at its top, and which run each figure and table shows."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

NAME = "temporal-information"
SENTENCE = "Recorded run: toys, 8 seeds."


@pytest.fixture(scope="module")
def pages(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("edgebook_shown", root / "book" / "_ext" / "edgebook_shown.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(source: str, *tags: str, outputs: tuple = (), **metadata: Any) -> dict[str, Any]:
    shown = [{"output_type": "display_data", "metadata": {}, "data": data} for data in outputs]
    return {"cell_type": "code", "source": [source], "outputs": shown, "metadata": {"tags": list(tags)} | metadata}


def markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def figure(caption: str, *tags: str) -> dict[str, Any]:
    picture = {"image/svg+xml": "<svg/>"}
    return code("plt.show()", *tags, outputs=(picture,), mystnb={"figure": {"caption": caption, "name": "f"}})


def told(pages: ModuleType, *cells: dict[str, Any], docname: str = f"notebooks/{NAME}") -> list[dict[str, Any]]:
    source = [json.dumps({"cells": cells})]
    pages.tell_which_run(None, docname, source)
    return json.loads(source[0])["cells"]


def test_figures_and_tables_of_tagged_cells_say_which_run_they_show(pages: ModuleType) -> None:
    run = code("shown = run.shown(results)\nshown", outputs=({"text/plain": [SENTENCE]},))
    table, cards = {"text/html": ['<table class="eb-numbers">', "</table>"]}, {"text/html": "<article>card</article>"}
    found = told(
        pages, figure("A toy."), run, figure("What is shown. ", "hide-input", "shown"), figure("Ours."),
        code("style.table(rows)", "shown", outputs=(table, cards)), code("style.table(rows)", outputs=(table,)),
    )  # fmt: skip
    captions = [cell["metadata"]["mystnb"]["figure"]["caption"] for cell in found if "mystnb" in cell["metadata"]]
    assert captions == ["A toy.", f"What is shown. {SENTENCE}", "Ours."]
    tables = ["".join(output["data"]["text/html"]) for cell in found[4:] for output in cell["outputs"]]
    assert tables == [
        f'<table class="eb-numbers"></table><p class="eb-of-run">{SENTENCE}</p>', "<article>card</article>",
        '<table class="eb-numbers"></table>',
    ]  # fmt: skip


def test_a_page_that_was_not_executed_says_nothing(pages: ModuleType) -> None:
    cells = [code("shown = run.shown(results)\nshown"), figure("What is shown.", "shown")]
    assert told(pages, *cells) == cells
    assert told(pages, *cells, docname="book/data") == cells


def drawn(pages: ModuleType, docname: str, *cells: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    watched: list[str] = []
    app = SimpleNamespace(env=SimpleNamespace(note_dependency=watched.append))
    source = [json.dumps({"cells": cells})]
    pages.one_minute_first(app, docname, source)
    return json.loads(source[0])["cells"], watched


def test_the_minute_is_drawn_anew_in_its_cell(pages: ModuleType, root: Path) -> None:
    old = code(f'ledger.in_one_minute("{NAME}")', outputs=({"text/html": "an old answer"},))
    found, watched = drawn(pages, f"notebooks/{NAME}", markdown("# A"), old, markdown("B"))
    (output,) = found[1]["outputs"]
    assert output["data"]["text/html"].startswith('<section class="minute"')
    assert f"../_static/records/{NAME}.json" in output["data"]["text/html"]
    assert found[1]["metadata"]["tags"] == ["remove-input"]
    assert [found[0]["source"], found[2]["source"], len(found)] == ["# A", "B", 3]
    assert {str(root / "book/papers.yml"), str(root / f"results/full/{NAME}.json")} <= {*watched}


def test_a_page_without_that_cell_gets_it_after_its_title(pages: ModuleType) -> None:
    found, _ = drawn(pages, f"notebooks/{NAME}", markdown("# A"), markdown("B"))
    assert [cell["cell_type"] for cell in found] == ["markdown", "code", "markdown"]


@pytest.mark.parametrize("docname", ["book/data", "notebooks/of-no-paper"])
def test_other_pages_have_no_minute(pages: ModuleType, docname: str) -> None:
    cells = [markdown("# A"), markdown("B")]
    assert drawn(pages, docname, *cells)[0] == cells


def test_ledgers_and_records_lie_beside_the_pages(pages: ModuleType, root: Path, tmp_path: Path, monkeypatch) -> None:
    small = tmp_path / "checkout"
    for folder in ("book/claims", "results/full", "notebooks"):
        (small / folder).mkdir(parents=True)
    shutil.copy2(root / f"book/claims/{NAME}.yml", small / "book/claims")
    (small / f"results/full/{NAME}.json").write_text("{}")
    (small / f"results/full/{NAME}.measured.json").write_text("{}")
    monkeypatch.setenv("EDGEBOOK_ROOT", str(small))
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path / "html")
    pages.carry_files(app, ValueError("no book"))
    assert not (tmp_path / "html").exists()
    pages.carry_files(app, None)
    carried = sorted(path.relative_to(tmp_path / "html").as_posix() for path in (tmp_path / "html").rglob("*.*"))
    assert carried == [f"_static/ledger/{NAME}.yml", f"_static/records/{NAME}.json"]
