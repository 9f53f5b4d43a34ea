"""What the processes of a run do without: loading it would cost each point of a sweep seconds."""

from __future__ import annotations

import subprocess
import sys

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
