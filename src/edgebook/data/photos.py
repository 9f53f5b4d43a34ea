"""Crops of ten real photographs: which photograph does this crop come from?

The photographs ship inside the scikit-image and scikit-learn wheels, so nothing is downloaded. Each is cut
into blocks of 64 x 64 pixels; three quarters of the blocks give training crops, one quarter gives test crops,
and a crop lies wholly inside one block. The two never share a pixel, nor a compressed cell of a JPEG file.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

# Class name -> (package whose wheel ships the file, path inside the package).
PHOTOS: dict[str, tuple[str, str]] = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "immunohistochemistry": ("skimage", "data/ihc.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
BLOCK = 64  # pixels; the largest crop
FLAT = 2.0  # grey levels (of 255): a crop with a channel of smaller standard deviation is redrawn


@lru_cache(maxsize=len(PHOTOS))
def photograph(name: str) -> np.ndarray:
    """Return one photograph, uint8 (height, width, 3), read-only.

    The file is read from the installed package's folder: ``skimage.data`` would go through a downloader.

    >>> photograph("china").shape
    (427, 640, 3)
    """
    package, path = PHOTOS[name]
    spec = find_spec(package)  # finds the folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"The photograph {name} comes with the package {package}, which is not installed.")
    pixels = np.array(Image.open(Path(spec.submodule_search_locations[0]) / path).convert("RGB"))
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=len(PHOTOS))
def block_split(name: str) -> np.ndarray:
    """Return which blocks of a photograph are test blocks, bool (rows, columns).

    Every square of two by two blocks has one test block, chosen by a hash of the photograph's name and the square's
    position: the same for every seed and machine. Pixels right of and below the last whole block are not used.

    >>> block_split("china").shape, int(block_split("china").sum())
    ((6, 10), 15)
    """
    height, width, _ = photograph(name).shape
    test = np.zeros((height // BLOCK, width // BLOCK), dtype=bool)
    for row in range(0, test.shape[0], 2):
        for column in range(0, test.shape[1], 2):
            square = test[row : row + 2, column : column + 2]  # smaller at the right and lower edge
            choice = hashlib.sha256(f"{name} {row} {column}".encode()).digest()[0] % 4
            if choice // 2 < square.shape[0] and choice % 2 < square.shape[1]:
                square[choice // 2, choice % 2] = True
    test.flags.writeable = False
    return test


def draw_crops(
    name: str, count: int, size: int, *, test: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw square crops of one photograph from its training or its test blocks.

    Block and place inside it are uniform; crops with a nearly flat channel (clear sky) are drawn again. Returns the
    upper left corners, int64 (count, 2), and the crops, float32 (count, 3, size, size), each channel standardised.
    """
    windows = sliding_window_view(photograph(name), (size, size), axis=(0, 1))  # (H', W', 3, size, size)
    blocks = np.argwhere(block_split(name) == test) * BLOCK
    corners = np.empty((count, 2), dtype=np.int64)
    crops = np.empty((count, 3, size, size), dtype=np.float32)
    wanted = np.arange(count)
    while wanted.size:
        inside = rng.integers(0, BLOCK - size + 1, (wanted.size, 2))
        corners[wanted] = blocks[rng.integers(0, len(blocks), wanted.size)] + inside
        raw = windows[corners[wanted, 0], corners[wanted, 1]].astype(np.float32)
        raw -= raw.mean(axis=(2, 3), keepdims=True)  # (wanted, 3, size, size), each channel of each crop
        spread = raw.std(axis=(2, 3), keepdims=True)
        good = (spread >= FLAT).all(axis=(1, 2, 3))
        crops[wanted[good]] = raw[good] / spread[good]
        wanted = wanted[~good]
    return corners, crops


def make_photos(size: int, count: int, *, test: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw crops (count, 3, size, size) of all photographs, equally many, shuffled; label: position in ``PHOTOS``."""
    y = np.arange(count, dtype=np.int64) % len(PHOTOS)
    per_photo = np.bincount(y, minlength=len(PHOTOS))
    x = np.empty((count, 3, size, size), dtype=np.float32)
    for label, name in enumerate(PHOTOS):
        x[y == label] = draw_crops(name, int(per_photo[label]), size, test=test, rng=rng)[1]
    order = rng.permutation(count)
    return x[order], y[order]
