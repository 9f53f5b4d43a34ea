"""The minute at the top of a paper's page, and with each figure and table the run that it shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from edgebook.ledger.claims import ledger_path
from edgebook.ledger.links import CARRIED
from edgebook.ledger.minute import in_one_minute
from edgebook.notebooks.cell import tags
from edgebook.notebooks.paths import project_root

Cell = dict[str, Any]


def one_minute_first(app: Sphinx, docname: str, source: list[str]) -> None:
    """Draw the minute of a paper anew, from today's record and catalogue, in its cell or after the first one."""
    name, root = docname.removeprefix("notebooks/"), project_root()
    if not docname.startswith("notebooks/") or not ledger_path(name, root).is_file():
        return
    for file in ("book/papers.yml", *(path.format(name) for path in CARRIED)):
        app.env.note_dependency(str(root / file))
    notebook = json.loads(source[0])
    cells: list[Cell] = notebook["cells"]
    drawn = {"text/html": in_one_minute(name).html(book=True)}
    cell = {
        "cell_type": "code", "id": "one-minute", "execution_count": None, "metadata": {"tags": ["remove-input"]},
        "source": "ledger.in_one_minute()", "outputs": [{"output_type": "display_data", "data": drawn, "metadata": {}}],
    }  # fmt: skip
    known = [at for at, one in enumerate(cells) if "in_one_minute(" in _source(one)]
    cells[known[0] if known else 1 : known[0] + 1 if known else 1] = [cell]
    source[0] = json.dumps(notebook)


def tell_which_run(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say with each figure and table of a cell tagged ``shown`` which run it shows, as `Run.shown` says."""
    if not docname.startswith("notebooks/"):
        return
    notebook = json.loads(source[0])
    said = [text for cell in notebook["cells"] if "run.shown(" in _source(cell) for text in _told(cell)]
    for cell in notebook["cells"] if said else ():
        if "shown" in tags(cell):
            _add(cell, said[0])
    source[0] = json.dumps(notebook)


def carry_files(app: Sphinx, failed: Exception | None) -> None:
    """Lay ledgers and records beside the pages that link to them."""
    if failed is None and app.builder.format == "html":
        for place, folder in CARRIED.items():
            target = Path(app.outdir) / "_static" / folder
            target.mkdir(parents=True, exist_ok=True)
            for path in project_root().glob(place.format("*")):
                if "." not in path.stem:  # what a run measured lies beside its record, and is no record
                    shutil.copy2(path, target / path.name)


def _add(cell: Cell, sentence: str) -> None:
    figure = cell["metadata"].get("mystnb", {}).get("figure")
    if figure:
        figure["caption"] = f"{figure['caption'].rstrip()} {sentence}"
        return
    for output in cell.get("outputs", []):
        html = "".join(output.get("data", {}).get("text/html", ""))
        if "eb-numbers" in html:
            output["data"]["text/html"] = f'{html}<p class="eb-of-run">{sentence}</p>'


def _told(cell: Cell) -> list[str]:
    return ["".join(output["data"]["text/plain"]) for output in cell.get("outputs", []) if "data" in output]


def _source(cell: Cell) -> str:
    return "".join(cell["source"]) if cell["cell_type"] == "code" else ""


def connect(app: Sphinx) -> None:
    """Register all of this with Sphinx; captions are told before cells are taken apart."""
    app.connect("source-read", tell_which_run, priority=400)
    app.connect("source-read", one_minute_first)
    app.connect("build-finished", carry_files)
    app.add_css_file("claim-card.css")
