"""The papers' own data sets, read from files that are already on this machine; nothing is ever downloaded.

Each set lies under one folder in the layout that torchvision expects (CIFAR, EMNIST, Fashion-MNIST) or as
folders of images, one per class (Tiny ImageNet as published, mini-ImageNet as ``train`` and ``test``).
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

from edgebook.data.vision import import_torchvision


class Source(NamedTuple):
    """Where a set lies under the data folder, what to put there, and the side of its images in pixels."""

    folder: str
    obtain: str
    side: int


SOURCES: dict[str, Source] = {
    "cifar10": Source("cifar-10-batches-py", "unpack the Python version of CIFAR-10", 32),
    "cifar100": Source("cifar-100-python", "unpack the Python version of CIFAR-100", 32),
    "emnist": Source("EMNIST/raw", "put the four unpacked idx files of EMNIST's balanced split", 28),
    "fashion-mnist": Source("FashionMNIST/raw", "put the four unpacked idx files of Fashion-MNIST", 28),
    "tiny-imagenet": Source("tiny-imagenet-200", "unpack Tiny ImageNet", 64),
    "mini-imagenet": Source("mini-imagenet", "put mini-ImageNet as train/<class>/*.jpg and test/<class>/*.jpg", 84),
}
Chooser = Callable[[int, bool], np.ndarray]  # (images that exist, test?) -> indices of the wanted ones
Split = tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the real sets: ``root``, else ``$EDGEBOOK_DATA``, else ``~/.cache/edgebook``."""
    return Path(root or os.environ.get("EDGEBOOK_DATA") or "~/.cache/edgebook").expanduser()


def read_split(name: str, size: int, choose: Chooser, *, test: bool, root: Path) -> Split:
    """Read one half of a real set: float32 (N, C, size, size) in [0, 1], int64 (N,), names of the classes.

    ``choose`` picks the images, given how many exist and which half it is. ``test`` is what the papers report accuracy
    on (of Tiny ImageNet ``val``). A set that is not there, incomplete or damaged raises `FileNotFoundError`.
    """
    source = SOURCES[name]
    missing = (
        f"The image set {name} is not complete in {root}: {source.obtain} in {root / source.folder}, "
        "or name another data folder with root= or EDGEBOOK_DATA."
    )
    if not (root / source.folder).is_dir():
        raise FileNotFoundError(missing)
    import_torchvision()  # its own failure is not a matter of missing files
    try:
        if name in ("tiny-imagenet", "mini-imagenet"):
            return _from_folders(root / source.folder, size, choose, test)
        return _from_torchvision(name, size, choose, test, root)
    except (RuntimeError, OSError, AssertionError, LookupError) as error:  # absent, cut short or damaged files
        raise FileNotFoundError(missing) from error


def _from_torchvision(name: str, size: int, choose: Chooser, test: bool, root: Path) -> Split:
    sets = import_torchvision().datasets
    kind, options = {
        "cifar10": (sets.CIFAR10, {}),
        "cifar100": (sets.CIFAR100, {}),
        "emnist": (sets.EMNIST, {"split": "balanced"}),
        "fashion-mnist": (sets.FashionMNIST, {}),
    }[name]
    half: Any = kind(str(root), train=not test, download=False, **options)
    index = choose(len(half), test)
    x = torch.as_tensor(np.asarray(half.data)[index])  # uint8, (N, H, W) or (N, H, W, 3)
    y = torch.as_tensor(np.asarray(half.targets, dtype=np.int64)[index])
    x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)  # (N, C, H, W)
    if name == "emnist":
        x = x.transpose(2, 3)  # its files hold every image mirrored at the diagonal
    return resample(x.float() / 255, size), y, tuple(half.classes)


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
