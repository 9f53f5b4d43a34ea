"""What the processes of a run do without: loading it would cost each point of a sweep seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgebook.notebooks import worker

LEDGER = """
title: Toy
cite: toy2020
statements: [{says: It is so., tested_by: [T-1]}]
claims:
  - {id: T-1, says: It is so., where: abstract, measures: a value, unit: points, expects: positive, margin: 0.5}
"""


def test_the_worker_imports_nothing_that_takes_a_second_and_still_validates():
    code = (
        "import contextlib, runpy, sys\n"
        "with contextlib.suppress(IndexError):\n"  # it is told what to do by its arguments
        "    runpy.run_module('edgebook.notebooks.worker', run_name='__main__')\n"
        "import nbformat\n"
        "nbformat.validate(nbformat.v4.new_notebook())\n"
        "heavy = {'torch', 'pandas', 'scipy', 'matplotlib', 'numpy', 'pyarrow', 'arrow'} & set(sys.modules)\n"
        "sys.exit(bool(heavy or sys.modules['rfc3987_syntax']))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_notebook_that_trains_nothing_keeps_its_ledger_without_loading_pytorch(checkout):
    checkout.notebook("notebooks/toy.ipynb")
    checkout.write("book/claims/toy.yml", LEDGER)
    code = (
        "import sys\n"
        "from edgebook import ledger, style\n"
        "run = ledger.start('toy', {'tier': 'full', 'seeds': 4, 'rate': 0.5})\n"
        "record = run.judge({'T-1': lambda seed: seed + 1}, run.seeds, scale='small')\n"
        "run.save(record)\n"
        "assert record.hardware.gpu is None and record.versions['torch'] and str(ledger.claims_table(record))\n"
        "heavy = {'torch', 'scipy', 'pandas'} & set(sys.modules)\n"
        "print(record.results[0].mean, record.results[0].verdict, *heavy)"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=checkout.root, env=checkout.environment, capture_output=True, text=True)
    assert done.stdout == "2.5 inconclusive\n", done.stderr


class Bar:
    """papermill's bar, as far as it is used."""

    said = ""

    def set_postfix_str(self, text):
        self.said = text


@pytest.mark.parametrize(("cells", "told"), [(3, [1, 2, 3]), (33, [4, 7, 10, 14, 17, 20, 24, 27, 30, 33])])
@pytest.mark.parametrize("terminal", [False, True])
def test_off_a_terminal_every_tenth_of_the_cells_is_told(tmp_path, monkeypatch, capsys, cells, told, terminal):
    code = [SimpleNamespace(cell_type="code") for _ in range(cells)]
    manager = SimpleNamespace(
        nb=SimpleNamespace(cells=[SimpleNamespace(cell_type="markdown"), *code]),
        pbar=Bar() if terminal else None, cell_start=lambda cell, cell_index: None,
    )  # fmt: skip

    def execute(nb_man, kernel_name, **_):
        for index, cell in enumerate(nb_man.nb.cells):
            nb_man.cell_start(cell, index)

    monkeypatch.setattr(worker.NBClientEngine, "execute_managed_notebook", execute)
    for name, value in {"name": "toy", "note": tmp_path / "cell", "said": worker._Said()}.items():
        monkeypatch.setattr(worker._Watched, name, value, raising=False)
    worker._Watched.execute_managed_notebook(manager, "python3")
    lines = [] if terminal else [f"toy: cell {number} of {cells}" for number in told]
    assert capsys.readouterr().err.splitlines() == lines
    assert Path(tmp_path / "cell").read_text() == str(cells)


def test_what_a_notebook_says_stands_beside_the_bar_or_as_it_is(capsys):
    said = worker._Said()
    text = "\rseeds:  50%|#####     | 1/2 [00:01<00:01,  1.50s/it]"
    said.write(text)
    assert capsys.readouterr().err == text
    said.bar = Bar()
    said.write("a warning\n" + text)
    said.write("\n")
    assert said.bar.said == "seeds: 50% 1/2 [00:01<00:01, 1.50s/it]"
    assert capsys.readouterr().err == ""


def test_a_run_goes_on_when_nobody_reads_its_progress(monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", gone)
    worker._Said().write("seeds")
