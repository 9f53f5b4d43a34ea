"""Run the app on a SuperLink, wait, print its log, and exit with 1 unless it completed.

`flwr run` itself exits with 0 as soon as a run has been accepted, whatever becomes of it.
`python federation/submit.py machines --run-config "num-server-rounds=5"`, where `machines` is a connection in
Flower's `config.toml`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

APP = Path(__file__).resolve().parent
FLWR = Path(sys.executable).with_name("flwr")
INTERVAL = 5.0  # seconds between two looks at a run, each of which starts a process


def flwr(*words: str, limit: float = 120) -> str:
    """Return what a command of Flower prints."""
    done = subprocess.run([FLWR, *words], capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        sys.exit(f"flwr {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def answer(text: str) -> dict[str, Any]:
    """Return the JSON in what a command printed; Flower's commands may fail with a code of 0."""
    found = json.loads(text[text.index("{") :])
    if not found.get("success", True):
        sys.exit(" ".join(found.get("error-message", text).split()))
    return found


def submit(connection: str, run_config: str, limit: float) -> str:
    """Return the last status of a run, after printing its log."""
    more = ["--run-config", run_config] if run_config else []
    run_id = str(answer(flwr("run", str(APP), connection, *more, "--format", "json"))["run-id"])
    print(f"Run {run_id} is accepted; flwr log {run_id} {connection} follows it.", flush=True)
    ends = time.monotonic() + limit
    while True:
        status = answer(flwr("list", connection, "--run-id", run_id, "--format", "json"))["runs"][0]["status"]
        if status.startswith("finished"):
            break
        if time.monotonic() > ends:
            flwr("stop", run_id, connection)
            status = f"stopped after {limit:g} s, it was {status}"
            break
        time.sleep(INTERVAL)
    print(flwr("log", run_id, connection, "--show"))
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the app on a SuperLink and wait for it.")
    parser.add_argument("connection", help="a connection in Flower's config.toml")
    parser.add_argument("--run-config", default="", help="values for the app, such as 'num-server-rounds=5'")
    parser.add_argument("--limit", type=float, default=3600, help="seconds to wait")
    chosen = parser.parse_args()
    last = submit(chosen.connection, chosen.run_config, chosen.limit)
    print(last)
    sys.exit(0 if last == "finished:completed" else 1)
