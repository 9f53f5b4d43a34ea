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
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgebook.federated import simulate, to_arrays

pytestmark = [pytest.mark.alone, pytest.mark.slow]
PATIENCE = 600.0  # seconds for anything to happen, on a machine that is busy with other things
BIN = Path(sys.executable).parent
# On Linux, what is started here ends with the process that runs the tests, even if that is killed.
START = (
    "import ctypes, os, signal, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Started:
    """A process in a group of its own, and what it says."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / f"{time.monotonic_ns()}-{Path(words[0]).name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, *words], stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def says(self, words: str, since: int = 0) -> bool:
        return words.encode() in self.log.read_bytes()[since:]

    def ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """End the process and its group as a machine does that loses its power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


class Deployment:
    """A SuperLink with certificates and the keys of nodes, two of them registered."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder, self.home, self.keys = root, folder, folder / "home", folder / "keys"
        self.port, self.nodes, self.started = free_port(), dict[int, Started](), list[Started]()
        runpy.run_path(str(root / "federation" / "keys.py"))["make"](self.keys, "127.0.0.1", 3)
        self.home.mkdir()
        lines = ["[superlink]", 'default = "machines"', "[superlink.machines]", f'address = "127.0.0.1:{self.port}"']
        lines += [f'root-certificates = "{self.keys}/ca.crt"', ""]
        (self.home / "config.toml").write_text("\n".join(lines))
        quiet = {"FLWR_HOME": str(self.home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        paths = {"PYTHONPATH": str(root / "src"), "PATH": str(BIN)}
        found = {name: f"{path}{os.pathsep}{os.environ.get(name, '')}" for name, path in paths.items()}
        self.environment = os.environ | quiet | found

    def start(self, *words: object) -> Started:
        self.started.append(Started([str(word) for word in words], self.folder, self.environment))
        return self.started[-1]

    def call(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, timeout=PATIENCE,
            cwd=self.folder, env=self.environment, check=False,
        )  # fmt: skip

    def serve(self) -> None:
        """Start the SuperLink and register two of the three nodes."""
        keys = self.keys
        server = self.start(
            BIN / "flower-superlink", "--ssl-ca-certfile", keys / "ca.crt", "--ssl-certfile", keys / "server.pem",
            "--ssl-keyfile", keys / "server.key", "--enable-supernode-auth", "--host", "127.0.0.1",
            "--port", self.port, "--disable-runtime-dependency-installation",
        )  # fmt: skip
        self.wait_for(lambda: listens(self.port) or server.ended())
        assert not server.ended(), self.logs()
        for number in range(2):
            done = self.call(BIN / "flwr", "supernode", "register", keys / f"node{number}.pub", "machines")
            assert done.returncode == 0, done.stdout + done.stderr

    def node(self, number: int, *options: object) -> Started:
        """Start a SuperNode that holds one of two partitions."""
        return self.start(
            BIN / "flower-supernode", *options, "--superlink", f"127.0.0.1:{self.port}", "--port", free_port(),
            "--node-config", f"partition-id={number} num-partitions=2",
        )  # fmt: skip

    def trust(self, key: str) -> list[object]:
        return ["--root-certificates", self.keys / "ca.crt", "--auth-supernode-private-key", self.keys / key]

    def join(self) -> None:
        """Start those of the two nodes that do not run, and wait until both are known."""
        for number in range(2):
            if number not in self.nodes or self.nodes[number].ended():
                self.nodes[number] = self.node(number, *self.trust(f"node{number}"))
        for node in self.nodes.values():
            self.wait_for(lambda node=node: node.says("SuperNode ID") or node.ended())
            assert not node.ended(), self.logs()

    def submit(self, run_config: str) -> Started:
        """Have the app run."""
        script = self.root / "federation" / "submit.py"
        return self.start(sys.executable, script, "machines", "--run-config", run_config, "--limit", PATIENCE - 60)

    def outcome(self, run: Started) -> tuple[int, str]:
        """Wait for a run, and return its exit code and what it printed."""
        self.wait_for(run.ended)
        return run.process.returncode, run.log.read_text(errors="replace")

    def wait_for(self, what: Callable[[], bool]) -> None:
        ends = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < ends, self.logs()
            time.sleep(0.1)

    def logs(self) -> str:
        """Return all that the processes have said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def processes(self) -> list[psutil.Process]:
        """Return what still runs with this home of Flower, whoever has started it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # another user's, or ended by now
                if process.environ().get("FLWR_HOME") == str(self.home):
                    found.append(process)
        return found

    def close(self) -> None:
        """End everything, kindly at first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in (running := self.processes()):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            psutil.wait_procs(running, timeout=15)
        for one in self.started:
            one.process.wait(15)


@contextmanager
def deployed(root: Path, folder: Path) -> Iterator[Deployment]:
    found = Deployment(root, folder)
    try:
        found.serve()
        yield found
    finally:
        found.close()
        assert not found.processes()


@pytest.fixture(scope="module")
def here(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One federation for all tests, since its processes take long to start."""
    with deployed(root, tmp_path_factory.mktemp("federation")) as found:
        yield found


def simulated(root: Path, monkeypatch: pytest.MonkeyPatch, **changed: object) -> dict[str, np.ndarray]:
    """Return the arrays of the same two apps in this process."""
    monkeypatch.syspath_prepend(str(root / "federation"))
    from digits import client_app, server_app

    config = tomllib.loads((root / "federation" / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    done = simulate(
        server_app.app, client_app.app, num_clients=2, run_config=config | changed, seed=3, progress=False
    )  # fmt: skip
    return to_arrays(done.state["arrays"])


def test_who_may_not_join(here: Deployment) -> None:
    runpy.run_path(str(here.root / "federation" / "keys.py"))["make"](here.folder / "others", "127.0.0.1", 0)
    node0 = ["--auth-supernode-private-key", here.keys / "node0"]
    strangers = {
        "Failed to activate SuperNode": here.trust("node2"),  # a key that nobody registered
        "All SuperNodes must be registered": ["--root-certificates", here.keys / "ca.crt"],  # no key
        # No encryption: the server hangs up without an answer, which is read as an end or as a reset by chance.
        r"Failed to initialize the connection to the SuperLink\.\n(?!\[code)": ["--insecure", "--max-retries", 2],
        "CERTIFICATE_VERIFY_FAILED": ["--root-certificates", here.folder / "others" / "ca.crt", *node0],
    }
    for words, stranger in {words: here.node(0, *options) for words, options in strangers.items()}.items():
        here.wait_for(stranger.ended)
        assert stranger.process.returncode != 0, (words, here.logs())
        assert re.search(words, said := stranger.log.read_text(errors="replace")), f"{words}\n{said}"
        assert not stranger.says("SuperNode ID"), words


def test_a_run_ends_with_the_arrays_of_the_simulation(here: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    here.join()
    code, printed = here.outcome(here.submit(f'num-server-rounds=2 output="{here.folder}/model.npz"'))
    assert (code, printed.split()[-1]) == (0, "finished:completed"), here.logs()
    expected = simulated(here.root, monkeypatch, **{"num-server-rounds": 2})
    with np.load(here.folder / "model.npz") as found:
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


def test_a_server_app_that_fails_ends_with_a_code(here: Deployment) -> None:
    code, printed = here.outcome(here.submit("seed=-1"))
    assert (code, printed.split()[-1]) == (1, "finished:failed"), here.logs()
    assert "ValueError: seed, noise, tolerated and wait must be at least 0." in printed


@pytest.mark.parametrize(("tolerated", "code", "words"), [
    (1, 0, r"(?m)^lost: client 1 in round 1, Error: Node Unavailable"),
    (0, 1, r"ClientError: Client 1 failed in round 1: Error: Node Unavailable"),
], ids=["tolerated", "not tolerated"])  # fmt: skip
def test_a_node_that_is_killed_in_a_round(here: Deployment, tolerated: int, code: int, words: str) -> None:
    """The server hears of it when the node's next sign of life is overdue, after about a minute."""
    here.join()
    lost = here.nodes[1]
    before = len(lost.log.read_bytes())
    run = here.submit(f"num-server-rounds=1 pause=3.0 timeout=300.0 tolerated={tolerated}")
    here.wait_for(lambda: run.ended() or lost.says("Receiving: train message", before))
    lost.kill()
    found, printed = here.outcome(run)
    assert (found, printed.split()[-1]) == (code, f"finished:{'failed' if code else 'completed'}"), here.logs()
    assert re.search(words, printed), printed
