"""What the process that executes a notebook does without."""

from __future__ import annotations

import subprocess
import sys


def test_the_worker_imports_nothing_that_takes_a_second_and_still_validates():
    code = (
        "import sys, edgebook.worker, nbformat\n"
        "nbformat.validate(nbformat.v4.new_notebook())\n"
        "heavy = {'torch', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(bool(heavy or sys.modules['rfc3987_syntax']))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
