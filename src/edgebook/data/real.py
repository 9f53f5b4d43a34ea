"""The papers' own data sets, read from files that are already on this machine; `edgebook.data.fetching` brings some.

Each set lies in the data folder as arrays that were fetched, in the layout that torchvision expects (CIFAR, EMNIST,
MNIST, Fashion-MNIST), or as folders of images, one per class (Tiny ImageNet as published, mini-ImageNet as ``train``
and ``test``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from edgebook.data.kept import kept_folder, read_kept
from edgebook.data.packages import PACKAGES
from edgebook.data.vision import import_torchvision


class Source(NamedTuple):
    """Where a set lies under the data folder, what to put there, and the side of its images in pixels."""

    folder: str
    obtain: str
    side: int
    kind: str = ""  #: the class of torchvision that reads it, where one does


SOURCES: dict[str, Source] = {
    "cifar10": Source("cifar-10-batches-py", "unpack the Python version of CIFAR-10", 32, "CIFAR10"),
    "cifar100": Source("cifar-100-python", "unpack the Python version of CIFAR-100", 32, "CIFAR100"),
    "emnist": Source("EMNIST/raw", "put the four unpacked idx files of EMNIST's balanced split", 28, "EMNIST"),
    "mnist": Source("MNIST/raw", "put the four unpacked idx files of MNIST", 28, "MNIST"),
    "fashion-mnist": Source("FashionMNIST/raw", "put the four unpacked idx files of Fashion-MNIST", 28, "FashionMNIST"),
    "tiny-imagenet": Source("tiny-imagenet-200", "unpack Tiny ImageNet", 64),
    "mini-imagenet": Source("mini-imagenet", "put mini-ImageNet as train/<class>/*.jpg and test/<class>/*.jpg", 84),
}
Chooser = Callable[[int, bool], np.ndarray]  # (images that exist, test?) -> indices of the wanted ones
Half = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
Split = tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the real sets: ``root``, else ``$EDGEBOOK_DATA``, else ``~/.cache/edgebook``."""
    return Path(root or os.environ.get("EDGEBOOK_DATA") or "~/.cache/edgebook").expanduser()


def is_here(name: str, root: Path) -> bool:
    """Say whether a real set lies in the data folder, in any layout; whether it is whole shows when it is read."""
    return kept_folder(name, root).is_dir() or (root / SOURCES[name].folder).is_dir()


def how_to_get(name: str, root: Path, lead: str) -> str:
    """Return the sentence that says what to do about a set that is not whole in the data folder."""
    source = SOURCES[name]
    fetch = f"fetch it with 'python -m edgebook data fetch {name}', " if name in PACKAGES else ""
    return (
        f"{lead} is not complete in {root}: {fetch}{source.obtain} in {root / source.folder}, "
        "or name another data folder with root= or EDGEBOOK_DATA."
    )


def require_here(name: str, who: str) -> None:
    """Refuse with a `FileNotFoundError` what names a real set that is not in the data folder."""
    if name in SOURCES and not is_here(name, data_root()):
        raise FileNotFoundError(how_to_get(name, data_root(), f"{who} needs {name}, which"))


def read_split(name: str, size: int, choose: Chooser, *, test: bool, root: Path) -> Split:
    """Read one half of a real set: float32 (N, C, size, size) in [0, 1], int64 (N,), names of the classes.

    ``choose`` picks the images, given how many exist and which half it is. ``test`` is what the papers report accuracy
    on (of Tiny ImageNet ``val``). A set that is not there, incomplete or damaged raises `FileNotFoundError`.
    """
    missing = how_to_get(name, root, f"The image set {name}")
    if not is_here(name, root):
        raise FileNotFoundError(missing)
    kept = kept_folder(name, root).is_dir()
    if not kept:
        import_torchvision()  # its own failure is not a matter of missing files
    try:
        if not SOURCES[name].kind:
            return _from_folders(root / SOURCES[name].folder, size, choose, test)
        half = _kept_half(name, test, root) if kept else torchvision_half(name, test, root)
    except (RuntimeError, OSError, AssertionError, LookupError) as error:  # absent, cut short or damaged files
        raise FileNotFoundError(missing) from error
    x, y, classes = half
    index = choose(len(x), test)
    return _at_size(x, index, size), torch.from_numpy(y[index].astype(np.int64)), classes


def _kept_half(name: str, test: bool, root: Path) -> Half:
    arrays = read_kept(name, root)
    return *(arrays[2:] if test else arrays[:2]), PACKAGES[name].classes


def torchvision_half(name: str, test: bool, root: Path) -> Half:
    """Read one half of a set from the layout of torchvision: uint8 (N, C, H, W), labels (N,), names of the classes."""
    options = {"split": "balanced"} if name == "emnist" else {}
    half: Any = getattr(import_torchvision().datasets, SOURCES[name].kind)(str(root), train=not test, **options)
    x = np.asarray(half.data)  # uint8, (N, H, W) or (N, H, W, 3)
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)  # (N, C, H, W)
    if name == "emnist":
        x = x.swapaxes(2, 3)  # its files hold every image mirrored at the diagonal
    return x, np.asarray(half.targets), tuple(label.partition(" - ")[0] for label in half.classes)  # "0 - zero"


def _at_size(x: np.ndarray, index: np.ndarray, size: int) -> torch.Tensor:
    """Bring chosen images of uint8 (N, C, H, W) to (n, C, size, size) in [0, 1], by areas where ``size`` divides H."""
    out = torch.empty((len(index), x.shape[1], size, size))
    factor, rest = divmod(x.shape[-1], size)
    for start in range(0, len(index), 1024):  # so that little beside the result is in memory
        some = torch.from_numpy(x[index[start : start + 1024]]).float()
        made = resample(some / 255, size) if rest else F.avg_pool2d(some, factor) / 255
        out[start : start + 1024] = made
    return out


def resample(x: torch.Tensor, size: int) -> torch.Tensor:
    """Resample images (N, C, H, W) to (N, C, size, size), bilinear with antialiasing, contiguous."""
    if x.shape[-2:] == (size, size):
        return x.contiguous()
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def _from_folders(folder: Path, size: int, choose: Chooser, test: bool) -> Split:
    train = import_torchvision().datasets.ImageFolder(str(folder / "train"))
    files = _test_files(folder, train.class_to_idx) if test else train.samples
    index = choose(len(files), test)
    x = np.empty((len(index), 3, size, size), dtype=np.float32)
    for row, position in enumerate(index):
        with Image.open(files[position][0]) as image:
            # The largest square in the middle: photographs need not be square.
            fitted = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
        x[row] = np.asarray(fitted, dtype=np.float32).transpose(2, 0, 1) / 255  # (H, W, C) -> (C, H, W)
    y = torch.tensor([files[position][1] for position in index], dtype=torch.int64)
    return torch.from_numpy(x), y, tuple(train.classes)


def _test_files(folder: Path, labels: dict[str, int]) -> list[tuple[str, int]]:
    """Return (file, label) of the test images: ``val`` with a list of labels, or one folder per class."""
    notes = folder / "val" / "val_annotations.txt"
    if notes.is_file():  # one line per image: file, class, and a box that is not needed here
        rows = [line.split("\t") for line in notes.read_text().splitlines() if line]
        return [(str(notes.parent / "images" / row[0]), labels[row[1]]) for row in rows]
    half = folder / ("val" if (folder / "val").is_dir() else "test")
    held_out = import_torchvision().datasets.ImageFolder(str(half))
    if held_out.class_to_idx != labels:
        raise ValueError(f"{half} and {folder / 'train'} must hold the same classes, and they differ.")
    return held_out.samples
