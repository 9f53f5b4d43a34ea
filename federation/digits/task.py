"""What server and clients share: the network and the images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgebook.data import Images, load_images
from edgebook.federated import iid


def new_model(seed: int) -> nn.Module:
    """Return an untrained network of one hidden layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def images() -> Images:
    """Return 1,000 digits for training and 797 that only measure."""
    return load_images("digits", train=1000, test=797)


def own_images(partition: int, partitions: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return what one client holds; on real machines this would read that machine's data."""
    everything = images()
    own = iid(len(everything.train_x), partitions, seed=seed)[partition]
    return everything.train_x[own], everything.train_y[own]
