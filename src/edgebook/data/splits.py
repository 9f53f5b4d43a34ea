"""Images in parts on one scale: for training, for choosing, and for measuring."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from edgebook.data.images import load_images


class Part(NamedTuple):
    """Images (N, C, H, W) and labels int64 (N,)."""

    x: Tensor
    y: Tensor


class Split(NamedTuple):
    """Parts that share no image; ``mean`` and ``std`` are those of the training pixels before they were scaled."""

    train: Part
    validation: Part
    test: Part
    mean: float
    std: float
    classes: int

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.train.x.shape[1]


def split(
    name: str,
    *,
    size: int,
    train: int,
    test: int,
    seed: int,
    validation: int = 0,
    pixels: bool = False,
    standard: bool = True,
    channels_last: bool = True,
    device: torch.device | str = "cpu",
) -> Split:
    """Load a set of images in three parts on one scale.

    Parameters
    ----------
    name, size, train, test, seed : as for `load_images`
    validation : int, further images from where the training images come from, drawn from both by `seed`
    pixels : bool
        Bring the values into [0, 1]; standardised crops of photographs have 0 and 1 at two and a half deviations.
    standard : bool, after that, subtract the mean of the training images and divide by their deviation
    channels_last : bool, how the images lie in memory; narrow convolutions on a CPU are faster channels-last
    device : torch.device or str, where the images go

    Returns
    -------
    Split, with an empty validation part where none was asked for

    Raises
    ------
    ValueError
        As `load_images`.

    Examples
    --------
    >>> digits = split("digits", size=8, train=100, validation=20, test=50, seed=0)
    >>> digits.train.x.shape, digits.validation.y.shape, digits.classes
    (torch.Size([100, 1, 8, 8]), torch.Size([20]), 10)
    """
    images = load_images(name, size=size, train=train + validation, test=test, seed=seed)
    order = torch.arange(train)
    if validation:
        order = torch.randperm(train + validation, generator=torch.Generator().manual_seed(seed))
    first, second = order[:train], order[train:]
    seen, unseen = (_as_pixels(x, name) if pixels else x for x in (images.train_x, images.test_x))
    mean, std = seen[first].mean(), seen[first].std()
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def part(x: Tensor, y: Tensor) -> Part:
        scaled = (x - mean) / std if standard else x
        return Part(scaled.to(device, memory_format=layout), y.to(device))

    y = images.train_y
    parts = part(seen[first], y[first]), part(seen[second], y[second]), part(unseen, images.test_y)
    return Split(*parts, float(mean), float(std), len(images.classes))


def _as_pixels(x: Tensor, name: str) -> Tensor:
    return (x / 5 + 0.5).clamp(0, 1) if name == "photos" else x
