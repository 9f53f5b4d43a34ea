"""The example federation on real processes: TLS, keys of nodes, a node that is killed, and what is refused."""

from __future__ import annotations

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from edgebook.federated import simulate, to_arrays

pytestmark = [pytest.mark.slow]
PATIENCE = 300.0  # seconds, on a machine that is busy with other things
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Deployment(NamedTuple):
    """A SuperLink that runs, and what its nodes need."""

    folder: Path
    port: int
    environment: dict[str, str]
    stack: ExitStack

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, ended with the deployment."""
        name = self.folder / f"{Path(str(words[0])).name}-{time.monotonic_ns()}.log"
        log = self.stack.enter_context(name.open("wb"))
        process = subprocess.Popen(
            [str(word) for word in words], stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
            env=self.environment, start_new_session=True,
        )  # fmt: skip
        self.stack.callback(end, process)
        return process

    def node(self, key: str, number: int, *, secure: bool = True) -> subprocess.Popen[bytes]:
        """Start a SuperNode that holds one of two partitions."""
        keys = self.folder / "keys"
        trust = ("--root-certificates", keys / "ca.crt") if secure else ("--insecure",)
        return self.start(
            BIN / "flower-supernode", *trust, "--superlink", f"127.0.0.1:{self.port}", "--port", free_port(),
            "--auth-supernode-private-key", keys / key,
            "--node-config", f"partition-id={number} num-partitions=2",
        )  # fmt: skip

    def call(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, timeout=PATIENCE,
            cwd=self.folder, env=self.environment, check=False,
        )  # fmt: skip

    def submit(self, root: Path, run_config: str) -> subprocess.CompletedProcess[str]:
        """Run the app and wait for it."""
        script = root / "federation" / "submit.py"
        return self.call(
            sys.executable, script, "machines", "--run-config", run_config, "--limit", PATIENCE - 60
        )  # fmt: skip

    def logs(self) -> str:
        """Return all that the processes have said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and the helpers in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
    process.wait(10)


def wait_for(what: Any, why: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < ends, why
        time.sleep(0.5)


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def deployed(root: Path, folder: Path) -> Iterator[Deployment]:
    """Start a SuperLink with certificates and the keys of two nodes."""
    runpy.run_path(str(root / "federation" / "keys.py"))["make"](folder / "keys", "127.0.0.1", 3)
    port, home = free_port(), folder / "home"
    home.mkdir()
    lines = ["[superlink]", 'default = "machines"', "[superlink.machines]", f'address = "127.0.0.1:{port}"']
    (home / "config.toml").write_text("\n".join([*lines, f'root-certificates = "{folder}/keys/ca.crt"', ""]))
    quiet = {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    path = os.pathsep.join([str(root / "src"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | quiet | {"PYTHONPATH": path, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with ExitStack() as stack:
        found = Deployment(folder, port, environment, stack)
        keys = folder / "keys"
        server = found.start(
            BIN / "flower-superlink", "--ssl-ca-certfile", keys / "ca.crt", "--ssl-certfile", keys / "server.pem",
            "--ssl-keyfile", keys / "server.key", "--enable-supernode-auth", "--host", "127.0.0.1", "--port", port,
            "--disable-runtime-dependency-installation",
        )  # fmt: skip
        wait_for(lambda: listens(port) or server.poll() is not None, found.logs())
        assert server.poll() is None, found.logs()
        for number in range(2):
            done = found.call(BIN / "flwr", "supernode", "register", keys / f"node{number}.pub", "machines")
            assert done.returncode == 0, done.stdout + done.stderr
        yield found


def simulated(root: Path, monkeypatch: pytest.MonkeyPatch, **changed: object) -> dict[str, np.ndarray]:
    """Return the arrays of the same two apps in this process."""
    import tomllib

    monkeypatch.syspath_prepend(str(root / "federation"))
    from digits import client_app, server_app

    config = tomllib.loads((root / "federation" / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    done = simulate(
        server_app.app, client_app.app, num_clients=2, run_config=config | changed, seed=3, progress=False
    )  # fmt: skip
    return to_arrays(done.state["arrays"])


def test_a_deployed_federation(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with deployed(root, tmp_path) as here:
        strangers = [here.node("node2", 0), here.node("node0", 0, secure=False)]
        for stranger in strangers:  # a key that nobody registered, and a node that asks for no certificate
            assert stranger.wait(PATIENCE) != 0, here.logs()
        nodes = [here.node(f"node{number}", number) for number in range(2)]
        done = here.submit(root, f'num-server-rounds=2 output="{tmp_path}/model.npz"')
        assert done.returncode == 0, done.stdout + done.stderr + here.logs()
        expected = simulated(root, monkeypatch, **{"num-server-rounds": 2})
        with np.load(tmp_path / "model.npz") as found:
            assert set(found) == set(expected)
            for name, array in expected.items():
                np.testing.assert_array_equal(found[name], array)

        slow = "num-server-rounds=1 pause=15.0 timeout=60.0"
        for tolerated, code, words in ((1, 0, "lost: client 1 in round 1"), (0, 1, "Client 1 failed in round 1")):
            killer = here.start(sys.executable, "-c", watcher(here, nodes[1].pid))
            done = here.submit(root, f"{slow} tolerated={tolerated}")
            assert killer.wait(PATIENCE) == 0
            assert done.returncode == code, done.stdout + done.stderr + here.logs()
            assert re.search(words, done.stdout), done.stdout
            if tolerated:
                nodes[1] = here.node("node1", 1)


def watcher(here: Deployment, group: int) -> str:
    """Return a program that kills a node a little after its client app has begun to train."""
    return f"""
import os, signal, time
import psutil
ends = time.monotonic() + {PATIENCE}
def works():
    return any("clientapp" in " ".join(p.cmdline()) for p in psutil.Process({group}).children(recursive=True))
while not works():
    assert time.monotonic() < ends
    time.sleep(0.2)
time.sleep(8)
os.killpg({group}, signal.SIGKILL)
"""
