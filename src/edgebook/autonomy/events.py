"""Events of a camera that reports changes, neurons that see speed, and what a network on frames can skip.

`dotie` is one layer of leaky neurons over the events of their neighbourhood (Nagaraj et al., 2022): events that come
close together in time, those of fast things, make them fire.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from edgebook.measure.arguments import whole

Frames = NDArray[np.floating]


def camera_events(frames: Frames, threshold: float = 0.15) -> NDArray[np.int8]:
    """Return the events between frames: by how many thresholds the logarithm of each pixel has moved.

    Each pixel compares with the level of its own last event, so that slow changes add up.

    Parameters
    ----------
    frames : numpy.ndarray, (T, H, W), light, above 0
    threshold : float, in logarithms, above 0

    Returns
    -------
    numpy.ndarray of int8, (T - 1, H, W), positive where it grew brighter

    Raises
    ------
    ValueError
        A threshold or light that is not above 0.

    Examples
    --------
    >>> camera_events(np.exp(np.array([0.0, 0.1, 0.2, -0.1])).reshape(4, 1, 1))[:, 0, 0].tolist()
    [0, 1, -1]
    """
    if not threshold > 0 or not np.all(frames > 0):
        raise ValueError("threshold and light must be above 0.")
    light = np.log(np.asarray(frames, np.float64))
    level, found = light[0].copy(), np.zeros((len(light) - 1, *light.shape[1:]), np.int8)
    for step, now in enumerate(light[1:]):
        count = np.trunc((now - level) / threshold)
        level += count * threshold
        found[step] = np.clip(count, -127, 127)
    return found


def dotie(found: NDArray[np.int8], weights: Tensor, neuron: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the spikes of a layer of neurons, each of which sees the events around its pixel.

    Parameters
    ----------
    found : numpy.ndarray of int8, (T, H, W); brighter and darker count alike
    weights : Tensor, (k, k) with k odd, of the neighbourhood
    neuron : callable, currents (T, 1, H, W) to spikes, such as `edgebook.spiking.LIF`

    Returns
    -------
    Tensor, (T, H, W)

    Examples
    --------
    >>> seen = np.zeros((1, 3, 3), np.int8)
    >>> seen[0, 1, 1] = -1
    >>> int(dotie(seen, torch.ones(3, 3), lambda currents: (currents > 0.5).float()).sum())
    9
    """
    counts = torch.from_numpy(np.abs(found.astype(np.float32)))[:, None].to(weights)
    return neuron(F.conv2d(counts, weights[None, None], padding=weights.shape[-1] // 2))[:, 0]


def clusters(spikes: NDArray[np.bool_], gap: int = 2, least: int = 3) -> NDArray[np.int64]:
    """Return boxes around spikes that lie together.

    Parameters
    ----------
    spikes : numpy.ndarray of bool, (H, W)
    gap : int, pixels; spikes at most so far apart, along both axes, belong together
    least : int, spikes that a cluster has at least

    Returns
    -------
    numpy.ndarray of int, (n, 4), first row, first column, and those behind the last

    Examples
    --------
    >>> clusters(np.eye(4, dtype=bool), gap=1).tolist()
    [[0, 0, 4, 4]]
    """
    spikes = np.asarray(spikes, bool)
    grown = ndimage.maximum_filter(spikes, whole("gap", gap), mode="constant")  # squares that touch if that near
    names = np.where(spikes, ndimage.label(grown, np.ones((3, 3)))[0], 0)
    boxes = [
        [rows.start, columns.start, rows.stop, columns.stop]
        for name, place in enumerate(ndimage.find_objects(names), start=1)
        if place is not None and np.count_nonzero(names[place] == name) >= least
        for rows, columns in [place]
    ]
    return np.array(boxes, np.int64).reshape(-1, 4)


def changed_tiles(frames: Frames, threshold: float, tile: int = 8, halo: int = 2) -> NDArray[np.float64]:
    """Return the share of tiles that a network on frames must compute anew; all others it can skip.

    Parameters
    ----------
    frames : numpy.ndarray, (T, H, W), light, above 0
    threshold : float, a change of the logarithm since the frame before, beyond which a pixel has changed
    tile : int, side of a tile, which divides both sides of a frame
    halo : int, pixels around a tile that its outputs see

    Returns
    -------
    numpy.ndarray, (T - 1,), 0 to 1

    Raises
    ------
    ValueError
        A tile that does not divide the frame.

    Examples
    --------
    >>> frames = np.ones((2, 16, 16))
    >>> frames[1, 4, 4] = 2.0
    >>> changed_tiles(frames, 0.15).tolist()
    [0.25]
    """
    steps, height, width = frames.shape
    if height % whole("tile", tile) or width % tile:
        raise ValueError(f"tile must divide {height} and {width}, got {tile}.")
    changed = np.abs(np.diff(np.log(frames), axis=0)) > threshold
    changed = ndimage.maximum_filter(changed, (1, 2 * halo + 1, 2 * halo + 1), mode="constant")
    return changed.reshape(steps - 1, height // tile, tile, width // tile, tile).any(axis=(2, 4)).mean(axis=(1, 2))
