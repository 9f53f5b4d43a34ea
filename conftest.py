"""What holds for tests and notebooks alike when several processes run them."""

from __future__ import annotations

import os
from pathlib import Path

# Numba writes the index of a function's cache and the compiled code one after the other, without a lock: two processes
# that compile at the same time can leave a name in the one that stands for other code in the other. So each process
# keeps a cache of its own, and what it starts uses the same.
if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).resolve().parent / "_build" / "numba" / _worker))
