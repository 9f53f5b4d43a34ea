"""What every test shares: one thread, no display, no network, repeatable examples."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

# Before anything imports NumPy or PyTorch, which read these once.
for _name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# The same examples on every run, and no deadline: a busy machine is not a failure.
settings.register_profile(
    "edgebook", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("edgebook")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def _stay_on_this_machine() -> Iterator[None]:
    """Refuse every connection that would leave the machine, so that no test comes to need the network."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(sock: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else address
        if sock.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"Tests do not use the network, and one asked for {host!r}.")

    def local(sock: socket.socket, address: object) -> None:
        check(sock, address)
        return connect(sock, address)

    def local_ex(sock: socket.socket, address: object) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local)
        patch.setattr(socket.socket, "connect_ex", local_ex)
        yield


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which a single process does not need
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup`, give those files of a folder in which a test is marked `alone` to one worker.

    Such tests of two folders may meet. They differ in kind: some wait for minutes and leave the cores to others.

    Groups of pytest-xdist itself go by a suffix of a test's name, which pytest 9.2 no longer takes: it would ignore
    them without a word. Here the process that distributes the tests looks for the mark in their files.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(config.rootpath, nodeid)

    return Groups(config, log) if config.getoption("dist") == "loadgroup" else None


def group_of(root: Path, nodeid: str) -> str:
    """Name what a test is distributed with: all of its kind in a folder, or nothing but itself."""
    return _group_of_file(root / nodeid.partition("::")[0]) or nodeid


@cache
def _group_of_file(path: Path) -> str | None:
    found = re.search(r"\bmark\.alone\b", path.read_text(encoding="utf-8"))
    return found and f"alone in {path.parent.name}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a browser is required, as in CI, a browser test that is skipped has failed."""
    report = yield
    if report.skipped and item.get_closest_marker("browser") and os.environ.get("EDGEBOOK_REQUIRE_BROWSER"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and EDGEBOOK_REQUIRE_BROWSER asks for it."
    return report
