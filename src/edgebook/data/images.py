"""One door to every image set of the book: :func:`load_images`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from operator import index as as_integer
from typing import NamedTuple

import numpy as np
import torch

from edgebook.data import glyphs, photos, real


class Images(NamedTuple):
    """A set of images in two halves."""

    train_x: torch.Tensor  #: float32 (N, C, H, W)
    train_y: torch.Tensor  #: int64 (N,), positions in ``classes``
    test_x: torch.Tensor
    test_y: torch.Tensor
    classes: tuple[str, ...]  #: names


class Request(NamedTuple):
    """A checked call of :func:`load_images`; ``train`` and ``test`` may be None (all) for a real set."""

    name: str
    size: int
    train: int | None
    test: int | None
    seed: int
    root: str | os.PathLike[str] | None


class Defaults(NamedTuple):
    """What a set gives when nothing else is asked for, and the sizes it can give."""

    size: int
    train: int | None
    test: int | None
    largest: int
    classes: int = 1  # a smaller half could not hold every class


SETS: dict[str, Defaults] = {
    "digits": Defaults(8, 1437, 360, 64, 10),
    "photos": Defaults(16, 4000, 2000, photos.BLOCK, len(photos.PHOTOS)),
    **{name: Defaults(16, 4000, 2000, 64, len(letters)) for name, letters in glyphs.ALPHABETS.items()},
    **{name: Defaults(source.side, None, None, 256) for name, source in real.SOURCES.items()},
}
SMALLEST = 8  # pixels
DIGITS = 1797  # images in scikit-learn's set


def load_images(
    name: str,
    *,
    size: int | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
) -> Images:
    """Load or generate one set of images. Never uses the network; same arguments, same bytes.

    ============== =========================================== ============== ==================== ==========
    name           what                                        values         default size, counts classes
    ============== =========================================== ============== ==================== ==========
    digits         scikit-learn's handwritten digits           [0, 1]         8, 1,437 and 360     10
    photos         crops of ten photographs                    normalised     16, 4,000 and 2,000  10
    glyphs         characters from Matplotlib's fonts          [0, 1]         16, 4,000 and 2,000  62
    glyphs-10      the digits among them                       [0, 1]         16, 4,000 and 2,000  10
    glyphs-26      the capital letters among them              [0, 1]         16, 4,000 and 2,000  26
    cifar10        CIFAR-10                                    [0, 1]         32, all              10
    cifar100       CIFAR-100                                   [0, 1]         32, all              100
    emnist         EMNIST, balanced split                      [0, 1]         28, all              47
    mnist          MNIST                                       [0, 1]         28, all              10
    fashion-mnist  Fashion-MNIST                               [0, 1]         28, all              10
    tiny-imagenet  Tiny ImageNet, tested on its ``val`` images [0, 1]         64, all              200
    mini-imagenet  mini-ImageNet, from ``train`` and ``test``  [0, 1]         84, all              any
    ============== =========================================== ============== ==================== ==========

    "Normalised" means: each channel of each crop has mean 0 and standard deviation 1. Digits, glyphs, EMNIST, MNIST
    and Fashion-MNIST have one channel, bright on dark; the others have three.

    Images take four bytes for each value: all of CIFAR-10 takes 737 MB at 32x32 and 184 MB at 16x16. What is read of
    a set that was fetched is mapped, so that little beside the result is in memory.

    Parameters
    ----------
    name : one of the names above.
    size : side of the images in pixels. Photos are cropped at that size (at most 64), glyphs drawn at it,
        CIFAR, EMNIST, MNIST and Fashion-MNIST averaged over areas where it divides their own size, and the other
        sets and sizes resampled (bilinear).
    train, test : numbers of images. Photos and glyphs make as many as asked for, balanced over the classes;
        digits and the real sets give a part, drawn from ``seed`` (of digits, stratified).
    seed : draws crops, glyphs, subsets and the split of the digits. The division of the photographs into
        training and test blocks, and of the fonts, does not depend on it.
    root : folder of the real sets; by default ``$EDGEBOOK_DATA``, else ``~/.cache/edgebook``.

    Returns
    -------
    Images

    Raises
    ------
    ValueError
        Unknown name, or a size, number or seed that the set cannot give.
    FileNotFoundError
        A real set is not in the data folder; the message says how to fetch it, or what to put where.

    Examples
    --------
    >>> images = load_images("digits")
    >>> images.train_x.shape, len(images.classes)
    (torch.Size([1437, 1, 8, 8]), 10)
    """
    request = _checked(name, size, train, test, seed, root)
    if name == "digits":
        return _digits(request)
    if name == "photos":
        return _generated(request, photos.make_photos, tuple(photos.PHOTOS))
    if name in glyphs.ALPHABETS:
        letters = glyphs.ALPHABETS[name]
        return _generated(request, lambda *a, **k: glyphs.make_glyphs(letters, *a, **k), tuple(letters))
    return _real(request)


def _checked(
    name: str, size: int | None, train: int | None, test: int | None, seed: int, root: str | os.PathLike[str] | None
) -> Request:
    if name not in SETS:
        nearest = difflib.get_close_matches(str(name).lower(), SETS, n=1, cutoff=0)[0]
        raise ValueError(f"There is no image set {name!r}: the nearest name is {nearest!r}, all are {', '.join(SETS)}.")
    usual = SETS[name]
    size = _number("size", usual.size if size is None else size, SMALLEST, name)
    if size > usual.largest:
        raise ValueError(f"size must be {SMALLEST} to {usual.largest} for {name}, not {size}.")
    counts = [usual.train if train is None else train, usual.test if test is None else test]
    for label, count in zip(("train", "test"), counts, strict=True):
        if count is not None:
            _number(label, count, usual.classes, name)
    if name == "digits" and sum(counts) > DIGITS:
        raise ValueError(f"digits holds {DIGITS:,} images, fewer than train={counts[0]} and test={counts[1]} together.")
    return Request(name, size, *counts, _number("seed", seed, 0, name), root)


def _number(label: str, value: int, least: int, name: str) -> int:
    try:
        number = -1 if isinstance(value, bool) else as_integer(value)
    except TypeError:
        number = -1
    if number < least:
        raise ValueError(f"{label} must be a whole number of at least {least} for {name}, not {value!r}.")
    return number


def _generated(
    request: Request, make: Callable[..., tuple[np.ndarray, np.ndarray]], classes: tuple[str, ...]
) -> Images:
    halves = []
    for test, count in enumerate((request.train, request.test)):
        rng = np.random.default_rng([request.seed, test])  # so the number of one half does not change the other
        halves += make(request.size, count, test=bool(test), rng=rng)
    return Images(*map(torch.from_numpy, halves), classes)


def _digits(request: Request) -> Images:
    from sklearn.datasets import load_digits  # slow to import, and needed here alone
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    x = real.resample(torch.from_numpy(bunch.images).float().unsqueeze(1) / 16, request.size)
    y = torch.from_numpy(bunch.target.astype(np.int64))
    train, test = train_test_split(
        np.arange(DIGITS), train_size=request.train, test_size=request.test, stratify=y, random_state=request.seed
    )
    return Images(x[train], y[train], x[test], y[test], tuple(map(str, bunch.target_names)))


def _real(request: Request) -> Images:
    def choose(exist: int, test: bool) -> np.ndarray:
        count = request.test if test else request.train
        if count is not None and count > exist:
            raise ValueError(f"{request.name} has {exist:,} {'test' if test else 'training'} images, not {count:,}.")
        rng = np.random.default_rng([request.seed, test])
        return np.arange(exist) if count is None else rng.choice(exist, count, replace=False)

    root = real.data_root(request.root)
    train, test = (real.read_split(request.name, request.size, choose, test=test, root=root) for test in (False, True))
    return Images(*train[:2], *test[:2], train[2])
