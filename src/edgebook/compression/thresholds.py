"""One frozen network for many tasks: a task has thresholds of its own for the neurons, and a head.

Source: Bhattacharjee, Venkatesha, Moitra, Panda, *MIME: Adapting a Single Neural Network for Multi-task Inference with
Memory-efficient Dynamic Pruning*, arXiv 2204.05274 (as reconstructed from its abstract).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from edgebook.compression.threshold_operator import checked_window, threshold
from edgebook.measure.arguments import whole
from edgebook.measure.watching import probed, watched

Per = Literal["neuron", "channel"]


class Thresholds(nn.Module):
    """A layer of neurons that pass what reaches their thresholds; it begins as ReLU.

    Parameters
    ----------
    shape : sequence of int, of the thresholds: that of one sample (C, H, W), or (C, 1, 1) for one in each channel
    window, full : float, bool, as for `threshold`

    Raises
    ------
    ValueError
        A shape of other than whole numbers above 0, or a window as for `threshold`.

    Examples
    --------
    >>> layer = Thresholds((2, 1, 1))
    >>> bool((layer(torch.ones(3, 2, 4, 4)) == 1).all())
    True
    """

    def __init__(self, shape: Sequence[int], *, window: float = 1.0, full: bool = True) -> None:
        super().__init__()
        self.window, self.full = checked_window(window), bool(full)
        self.t = nn.Parameter(torch.zeros([whole("A length of a sample", length) for length in shape]))

    def forward(self, y: Tensor) -> Tensor:
        """Return what of pre-activations (N, C, ...) reaches its threshold, and 0 elsewhere."""
        return threshold(y, self.t, window=self.window, full=self.full)

    def extra_repr(self) -> str:
        """Return what is printed between the brackets."""
        return f"{' x '.join(map(str, self.t.shape))}, window={self.window:g}, full={self.full}"


@torch.inference_mode(mode=False)  # whose tensors no training could use
def with_thresholds(
    model: nn.Module,
    names: Iterable[str],
    example: Tensor,
    *,
    per: Per = "neuron",
    window: float = 1.0,
    full: bool = True,
) -> nn.Module:
    """Return a copy of a network in which nothing can be trained but new thresholds in place of ReLUs.

    Parameters are frozen, and what has buffers, as batch norms have, runs in evaluation mode also while the network
    trains. A task then gets a head of its own, as in ``child.linear = torch.nn.Linear(64, 26)``, which is trained too.

    Parameters
    ----------
    model : torch.nn.Module, the parent
    names : iterable of str, its ReLUs, such as those of an `Architecture`'s ``activations``
    example : Tensor, an input (1, C, H, W) that tells the shape of each layer; that of images to come
    per : {"neuron", "channel"}, whether each neuron has a threshold, or each channel one for all its places
    window, full : float, bool, as for `threshold`

    Returns
    -------
    torch.nn.Module, in the modes of the parent; thresholds of 0, so that it computes what the parent does

    Raises
    ------
    ValueError
        Another word for `per`, a lazy layer that has not run, a name that is no ReLU of the model, one that does not
        run exactly once in a pass, or a buffer that changes in training mode nevertheless; and as for `Thresholds`.

    Examples
    --------
    >>> parent = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 10))
    >>> child = with_thresholds(parent, ["1"], torch.zeros(1, 1, 4, 4))
    >>> child[3] = nn.Linear(8, 3)
    >>> [name for name, parameter in child.named_parameters() if parameter.requires_grad]
    ['1.t', '3.weight', '3.bias']
    """
    if per not in get_args(Per):
        raise ValueError(f"per must be one of {', '.join(get_args(Per))}, got {per!r}.")
    if lazy := [name for name, parameter in model.named_parameters() if is_lazy(parameter)]:
        raise ValueError(f"{', '.join(lazy)} has no values yet: a lazy layer must have run.")
    child, names = copy.deepcopy(model).requires_grad_(False), tuple(names)
    for module in child.modules():
        if any(buffer is not None for buffer in module._buffers.values()):  # such as the statistics of a batch norm
            module.register_forward_pre_hook(_stay, prepend=True)
    relus = {name: _relu(child, name) for name in names}
    runs: dict[str, list[Tensor]] = {name: [] for name in names}
    with probed(child), watched(relus, lambda name, _, __, output: runs[name].append(output)):
        child(example)
    for name, outputs in runs.items():
        if len(outputs) != 1:
            raise ValueError(f"{name} runs {len(outputs)} times in a pass, and thresholds belong to one place.")
        sample = tuple(outputs[0].shape[1:])  # (C, ...)
        own = sample if per == "neuron" else sample[:1] + (1,) * len(sample[1:])
        layer = Thresholds(own, window=window, full=full)
        child.set_submodule(name, layer.to(outputs[0]).train(relus[name].training))
    if moving := _moving(child, example):
        raise ValueError(f"{', '.join(moving)} changes in training mode, and thresholds want a frozen network.")
    return child


def threshold_penalty(model: nn.Module, *, sign: int = 1) -> Tensor:
    r"""Return the mean of :math:`e^{-s t}` over all thresholds of a network, to be added to its loss.

    With sign 1 it drives thresholds up, so that more neurons are silent; with -1 it keeps them down.

    Source: Liu et al. (2020), *Dynamic Sparse Training*, where it is a sum, whose weight grows with the network.

    Parameters
    ----------
    model : torch.nn.Module, with at least one layer of `Thresholds`
    sign : {1, -1}, `s`

    Returns
    -------
    Tensor, ()

    Raises
    ------
    ValueError
        No thresholds, or another sign.

    Examples
    --------
    >>> threshold_penalty(Thresholds((3,))).item()
    1.0
    """
    if sign not in (1, -1):
        raise ValueError(f"sign must be 1 or -1, got {sign!r}.")
    values = [layer.t.flatten() for layer in model.modules() if isinstance(layer, Thresholds)]
    if not values:
        raise ValueError("The model has no layer of thresholds.")
    return torch.exp(-sign * torch.cat(values)).mean()


def _relu(model: nn.Module, name: str) -> nn.ReLU:
    module = dict(model.named_modules()).get(name)
    if not isinstance(module, nn.ReLU):
        raise ValueError(f"The model has no ReLU named {name!r}.")
    return module


def _stay(module: nn.Module, _: object) -> None:
    """Return to evaluation mode before each call; a hook, so that the module stays of the type that tools know."""
    if module.training:
        module.eval()


def _moving(model: nn.Module, example: Tensor) -> list[str]:
    """Name the buffers that one pass in training mode changes, tried on a copy."""
    trial = copy.deepcopy(model).train()
    with torch.random.fork_rng(), torch.no_grad():
        trial(example)
    after = dict(trial.named_buffers())
    return [name for name, buffer in model.named_buffers() if not (buffer.is_meta or torch.equal(buffer, after[name]))]
