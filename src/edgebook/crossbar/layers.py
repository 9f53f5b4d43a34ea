"""Networks on crossbars: layers that multiply by what a chip makes of their weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import type_before_parametrizations

from edgebook.crossbar.adaptation import NORMS
from edgebook.crossbar.chip import CrossbarConfig, Redraw, checked_seed, fold
from edgebook.crossbar.plain import copied, make_plain
from edgebook.crossbar.reads import layer_number, read_noise
from edgebook.crossbar.tiles import check_kind, weight_matrix, weight_tensor

# What multiplies by matrices, and stays digital unless linear layers are mapped; and what does not multiply by one.
_MATRICES = (nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
_OTHERS = (*NORMS, nn.Embedding, nn.EmbeddingBag)


class _OnCrossbar(nn.Module):
    """The folded weight, which no optimiser moves unless asked to, its deviation, and the numbers of its reads.

    `on_crossbar` makes one of a layer in place, so that all else that the layer has, its hooks among it, stays.
    """

    weight: Tensor
    deviation: Tensor | None
    reads: Tensor  # (3,): seed, layer, reads so far; its presence tells the state of a chip from others
    redraw: Redraw

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("Layers are put on a crossbar by on_crossbar.")

    def read_weight(self) -> Tensor:
        """Return the weight as one more read finds it, of the shape of the weight."""
        weight, deviation = self.weight, self.deviation
        if deviation is None:
            return weight
        normal = read_noise(self.reads, weight.detach())  # in single precision at least
        noisy = torch.addcmul(weight.to(normal.dtype), deviation.to(normal.dtype), normal)
        return noisy.to(weight.dtype)

    def _read(self, product: Callable[[Tensor, Tensor, Tensor | None], Tensor], x: Tensor) -> Tensor:
        """Return a layer's product of input, weight and bias, with the noise of its reads."""
        weight, deviation = self.weight, self.deviation
        if deviation is None or self.redraw == "forward":
            return product(x, self.read_weight(), self.bias)
        y, wide = product(x, weight, self.bias), torch.promote_types(weight.dtype, torch.float32)
        # A sum of independent draws is normal, with the sum of their variances, which half types would lose.
        kind = self._parameters["weight"].device.type  # which symbolic tracing must know
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            variance = product(x.to(wide).square(), deviation.to(wide).square(), None)
        some = variance > 0  # without, the root has no slope
        noise = torch.where(some, variance, 1.0).sqrt() * read_noise(self.reads, y.detach(), each=True)
        return (y + torch.where(some, noise, 0.0)).to(y.dtype)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Refuse weights of a plain network, whether `strict` or not: they would make the chip ideal."""
        given = {name for name in ("weight", "deviation", "reads") if prefix + name in state}
        noise = {"deviation"} if self.deviation is not None else set()
        if "weight" in given and given != {"weight", "reads"} | noise:
            rest[-1].append(
                f"Layer {prefix[:-1]!r} is on a chip {'with' if noise else 'without'} noise of reads and takes the "
                "state of such a layer alone; on_crossbar puts the weights of a plain network on a chip."
            )
            return
        super()._load_from_state_dict(state, prefix, *rest)


class CrossbarConv2d(_OnCrossbar, nn.Conv2d):
    """A convolution whose weight is that of a chip, made by `on_crossbar`.

    Its parameter `weight` is the folded weight and requires no gradient; set ``weight.requires_grad_()`` to train it,
    the deviations of reads staying as they are. Gradients of the input go through the weight of the same read; where
    each image and position has a read of its own, through what is expected of its weights, given its output.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, outputs, H', W') for (N, inputs, H, W), with the noise of one read or of one for each position."""
        return self._read(self._conv_forward, input)


class CrossbarLinear(_OnCrossbar, nn.Linear):
    """A linear layer whose weight is that of a chip, made by `on_crossbar`; its weight is as in `CrossbarConv2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (..., outputs) for (..., inputs), with the noise of one read or of one for each row."""
        return self._read(F.linear, input)


_KINDS: dict[type[nn.Module], type[_OnCrossbar]] = {nn.Conv2d: CrossbarConv2d, nn.Linear: CrossbarLinear}


def on_crossbar(model: nn.Module, config: CrossbarConfig) -> nn.Module:
    """Return a copy of a network with its convolutions, and on request its linear layers, on a chip.

    These are layers of the classes Conv2d and Linear themselves. They keep their names, biases, hooks and whatever else
    they have; weights that PyTorch's pruning, norms of weights or parametrisations compute are read as they are now.
    Nothing that multiplies by weights stays ideal unsaid: other convolutions, and with `linear` other layers that
    multiply by matrices (attention, recurrent, of your own class with a `weight`), are refused by name. All else is
    digital; batch norm must not have been folded into weights. Circuits are solved here, once.

    A chip's state holds how many reads it has had, so that one that is loaded goes on with the next. The state of a
    plain network is refused; that of a chip can be loaded into a plain network with ``strict=False``.

    Parameters
    ----------
    model : torch.nn.Module, left as it is
    config : CrossbarConfig

    Returns
    -------
    torch.nn.Module, the network on the chip, in the mode of the original

    Raises
    ------
    ValueError
        No layer to map, or one (it is named) that is on a crossbar, of another kind, or refused by `fold`.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(32, 10))
    >>> on_crossbar(net, CrossbarConfig(linear=True))
    Sequential(
      (0): CrossbarConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): Flatten(start_dim=1, end_dim=-1)
      (2): CrossbarLinear(in_features=32, out_features=10, bias=True)
    )
    """
    with torch.inference_mode(False), torch.no_grad():  # tensors that can be trained and counted in afterwards
        found = layers_to_map(model, config)
        mapped = copied(model)
        for name in found:
            _put(name, mapped.get_submodule(name), config)
    return mapped


def crossbar_layers(model: nn.Module) -> dict[str, CrossbarConv2d | CrossbarLinear]:
    """Return the layers of a network that are on a crossbar, by name.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict of str to CrossbarConv2d or CrossbarLinear, in the order of the modules

    Examples
    --------
    >>> list(crossbar_layers(on_crossbar(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), CrossbarConfig())))
    ['0']
    """
    return {name: m for name, m in model.named_modules() if isinstance(m, CrossbarConv2d | CrossbarLinear)}


def restart_reads(model: nn.Module, seed: int) -> None:
    """Choose the sequence of read noise that follows, in place: the same seed gives the same noise again.

    Parameters
    ----------
    model : torch.nn.Module, from `on_crossbar`
    seed : int, at least 0 and below 2^63; the weights of the chip stay as they are

    Raises
    ------
    ValueError
        A negative seed, or a network without crossbars.

    Examples
    --------
    >>> from edgebook.crossbar import relative_deviation
    >>> config = CrossbarConfig(read=lambda g: relative_deviation(g, sigma=0.1), redraw="read")
    >>> chip = on_crossbar(nn.Conv2d(3, 8, 3), config)
    >>> restart_reads(chip, 7)
    """
    layers = crossbar_layers(model)
    if not layers:
        raise ValueError("The model has no layer on a crossbar.")
    number = checked_seed(seed, "at least 0")
    for layer in layers.values():
        layer.reads[0], layer.reads[2] = number, 0


def layers_to_map(model: nn.Module, config: CrossbarConfig) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the layers of a plain network that belong on a crossbar, by name; refuse what should and cannot."""
    found = {name: layer for name, layer in model.named_modules() if _belongs(name, layer, config)}
    if not found:
        kinds = "convolution or linear layer" if config.linear else "convolution"
        raise ValueError(f"The model has no {kinds} to put on a crossbar.")
    return found


def _belongs(name: str, layer: nn.Module, config: CrossbarConfig) -> bool:
    if isinstance(layer, _OnCrossbar):
        raise ValueError(f"Layer {name!r} is on a crossbar already.")
    kind = type_before_parametrizations(layer)
    if kind is nn.Conv2d or (config.linear and kind is nn.Linear):
        if "forward" in vars(layer):
            raise ValueError(f"Layer {name!r} cannot be mapped: its forward has been replaced by another.")
        if "weight" in layer._parameters and layer.weight.layout is not torch.strided:
            raise ValueError(f"Layer {name!r} cannot be mapped: its weight is not dense.")
        return True
    if _multiplies(layer, config):
        said = f"{kind.__module__}.{kind.__name__}" if kind.__name__ in ("Conv2d", "Linear") else kind.__name__
        raise ValueError(f"Layer {name!r} is a {said}; only Conv2d and Linear can be mapped.")
    return False


def _multiplies(layer: nn.Module, config: CrossbarConfig) -> bool:
    """Say whether a layer multiplies by weights of its own that would have to be on the chip."""
    if isinstance(layer, _MATRICES):
        return config.linear
    if isinstance(layer, _OTHERS) or hasattr(layer, "running_mean"):  # norms of sequences have matrices of scales
        return False
    weight = vars(layer).get("weight", layer._parameters.get("weight"))
    axes = weight.ndim if isinstance(weight, Tensor) else 0
    quantised = callable(getattr(type(layer), "weight", None))
    convolution = axes > 2 or isinstance(layer, nn.modules.conv._ConvNd)
    return convolution or quantised or (axes == 2 and config.linear)


def _put(name: str, layer: nn.Conv2d | nn.Linear, config: CrossbarConfig) -> None:
    """Make a layer of a network one on a crossbar, in place."""
    try:
        make_plain(layer)
        weight, groups = layer._parameters.get("weight"), getattr(layer, "groups", 1)
        if weight is None:
            raise ValueError("Its weight is no parameter.")
        check_kind(weight)
        with torch.enable_grad():
            folded = fold(weight_matrix(weight.detach(), groups=groups), config, name=name)
        found = [weight_tensor(matrix, weight.shape) for matrix in folded if matrix is not None]
        if any(matrix.requires_grad for matrix in found):
            raise ValueError("An effect of the chip wants a gradient, which the weights of layers do not pass on.")
        # In the type, on the device and in the memory layout of the weight.
        found = [torch.empty_like(weight).copy_(matrix) for matrix in found]
        if not all(torch.isfinite(one).all() for one in found):
            raise ValueError(f"What the chip makes of its weights is too large for {weight.dtype}.")
    except ValueError as error:
        raise ValueError(f"Layer {name!r} cannot be mapped: {error}") from error
    layer.__class__ = _KINDS[type(layer)]
    layer.weight = nn.Parameter(found[0], requires_grad=False)
    layer.register_buffer("deviation", found[1] if len(found) > 1 else None)
    layer.redraw = config.redraw
    layer.register_buffer("reads", torch.tensor([config.seed, layer_number(name), 0], device=weight.device))
