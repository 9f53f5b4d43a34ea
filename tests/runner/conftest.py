"""A small checkout in a temporary folder, with notebooks, kernels and a tier file of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMETERS = 'tier: str = "book"  # tier\nseeds: int = 3  # how many\nrate: float = 0.5  # of learning\n'
# In place of papermill with a kernel: it executes the cells of a notebook, so that a point takes a moment.
WORKER = """
import json, sys, traceback
from pathlib import Path
task = json.loads(Path(sys.argv[1]).read_text())
private = Path(task["private"])
cells = json.loads(Path(task["source"]).read_text())["cells"]
namespace, outcome = {}, {"status": "done", "message": ""}
try:
    for number, cell in enumerate(cells):
        exec("".join(cell["source"]), namespace)
        namespace |= task["values"] if number == 0 else {}
except Exception as error:
    outcome = {"status": "failed", "message": f"cell {number + 1}: {error}"}
(private / "notebook.ipynb").write_text(json.dumps({"cells": cells}))
(private / "outcome.json").write_text(json.dumps(outcome))
"""
CELLS = (
    "import os, time\nfrom pathlib import Path\nfrom edgebook.ledger import save_metrics\n"
    "calls = Path(os.environ['EDGEBOOK_ROOT'], 'calls')\ncalls.open('a').write(f'{seeds} {rate}\\n')\ntime.sleep(0.2)",
    "broken = calls.with_name('broken').exists() and (seeds, rate) == (3, 0.5)\nif broken:\n    raise ValueError('no')",
    "save_metrics('toy', {'product': seeds * rate})",
)


class Checkout:
    """A folder laid out as the project is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("book/claims", "notebooks", "results/full"):
            (root / folder).mkdir(parents=True)
        (root / "constraints.txt").write_text("numpy==1.0\n")
        self.environment = {**os.environ, "EDGEBOOK_ROOT": str(root), "PYTHONPATH": str(REPOSITORY / "src")}

    def write(self, path: str, text: str) -> Path:
        """Write a file, with its folders."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def notebook(self, path: str, *cells: str, parameters: str = PARAMETERS, last: str | None = None) -> Path:
        """Write a notebook with a parameters cell and these code cells; ``# ...`` cells are Markdown.

        The last cell may get a tag.
        """
        written = [
            {
                "cell_type": "markdown" if source.startswith("#") else "code",
                "id": f"cell-{number}",
                "metadata": {"tags": [] if number else ["parameters"]},
                "source": source,
            }
            for number, source in enumerate((parameters, *cells))
        ]
        for cell in written:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        written[-1]["metadata"]["tags"] += [last] if last else []
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        whole = {"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        return self.write(path, json.dumps(whole, indent=1))

    def command(self, *words: str, module: str = "edgebook") -> subprocess.CompletedProcess[str]:
        """Run ``python -m <module>`` in the checkout."""
        line = [sys.executable, "-m", module, *words]
        return subprocess.run(line, cwd=self.root, env=self.environment, capture_output=True, text=True)


def text_of(path: Path) -> str:
    """Return all that the cells of an executed notebook have printed."""
    cells = json.loads(path.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join("".join(output.get("text", [])) for output in outputs)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """An empty checkout that the package takes for the project's."""
    made = Checkout(tmp_path / "checkout")
    for name in ("EDGEBOOK_OUT", "EDGEBOOK_RESUME"):
        monkeypatch.delenv(name, raising=False)
        made.environment.pop(name, None)
    monkeypatch.setenv("EDGEBOOK_ROOT", str(made.root))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    yield made


@pytest.fixture
def printed():
    """The function that reads what an executed notebook has printed."""
    return text_of


@pytest.fixture
def flow(checkout: Checkout) -> Checkout:
    """The checkout with the workflow, a notebook that counts its runs, and the package with a stand-in for the worker.

    The sweep is for the test to write.
    """
    shutil.copy(REPOSITORY / "Snakefile", checkout.root)
    shutil.copytree(REPOSITORY / "profiles/default", checkout.root / "profiles/default")
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "src/edgebook", checkout.root / "real/edgebook", ignore=hidden)
    checkout.write("real/edgebook/notebooks/worker.py", WORKER)
    checkout.environment["PYTHONPATH"] = str(checkout.root / "real")
    checkout.notebook("notebooks/toy.ipynb", *CELLS)
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1}}\n")
    return checkout
