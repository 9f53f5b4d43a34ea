"""The cloud in a process of its own on this machine, for as long as a block of code lasts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgebook.decoding.exits import Exits
from edgebook.decoding.service.storage import save_models
from edgebook.networks.decoder import CharacterDecoder


@contextmanager
def serving(target: CharacterDecoder, exits: Exits | None = None, *, pass_seconds: float = 0.0) -> Iterator[str]:
    """Serve a target from a process of its own, which ends with the block; yield its host and port for `EdgeClient`.

    A pass is stretched to so many seconds; 0 leaves it as it is. A `RuntimeError` where the process has ended before
    it could serve; what it said of that is on the standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "target.pt"
        save_models(path, target, "".join(map(chr, range(target.vocabulary))), exits)
        words = ["serve", "--target", str(path), "--pass-seconds", str(pass_seconds)]
        command = [sys.executable, "-m", "edgebook.decoding.service", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                line = process.stdout.readline()  # serving at 127.0.0.1:50051
                if not line:
                    raise RuntimeError("The server has ended before it could serve.")
                yield line.split()[-1]
            finally:
                process.terminate()
