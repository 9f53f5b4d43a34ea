"""Networks on crossbars: layers that multiply by what a chip makes of their weights."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.crossbar.chip import CrossbarConfig, FoldedWeights, fold, generator
from edgebook.crossbar.tiles import weight_matrix, weight_tensor


class Chip(NamedTuple):
    """Where a layer is: the chip, or the sequence of reads that `restart_reads` has chosen, and the layer's name."""

    seed: int
    name: str


class _OnCrossbar(nn.Module):
    """The folded weight, which no optimiser moves unless asked to, its deviation, and the number of reads so far."""

    weight: nn.Parameter
    deviation: Tensor | None

    def _load(self, layer: nn.Conv2d | nn.Linear, folded: FoldedWeights, chip: Chip) -> None:
        def like(matrix: Tensor) -> Tensor:  # in the type, on the device and in the memory layout of the weight
            return torch.empty_like(layer.weight).copy_(weight_tensor(matrix, layer.weight.shape))

        with torch.no_grad():
            self.weight = nn.Parameter(like(folded.weight), requires_grad=False)
            self.register_buffer("deviation", None if folded.deviation is None else like(folded.deviation))
            if layer.bias is not None:
                self.bias = nn.Parameter(layer.bias.clone(), requires_grad=layer.bias.requires_grad)
        self.chip, self.reads = chip, 0
        self.train(layer.training)

    def read_weight(self) -> Tensor:
        """Return the weight as one more read finds it, of the shape of the weight."""
        weight, deviation = self.weight, self.deviation
        if deviation is None:
            return weight
        source = generator(self.chip.seed, self.chip.name, "reads", self.reads, device=weight.device)
        self.reads += 1
        normal = torch.randn(weight.shape, generator=source, dtype=weight.dtype, device=weight.device)
        return torch.addcmul(weight, deviation, normal)


class CrossbarConv2d(_OnCrossbar, nn.Conv2d):
    """A convolution whose weight is that of a chip.

    Its parameter `weight` is the folded weight and requires no gradient; set ``weight.requires_grad_()`` to train it,
    the deviations of reads staying as they are. Gradients of the input go through the weight of the same read.

    Parameters
    ----------
    layer : torch.nn.Conv2d, the convolution that is replaced
    folded : FoldedWeights, its weight matrices (groups, K, N) on the chip
    chip : Chip, decides the noise of reads
    """

    def __init__(self, layer: nn.Conv2d, folded: FoldedWeights, chip: Chip) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            layer.bias is not None,
            layer.padding_mode,
            device="meta",  # nothing is initialised, and no random number used up
        )
        self._load(layer, folded, chip)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H', W') for (N, inputs, H, W), with the noise of one read."""
        return self._conv_forward(x, self.read_weight(), self.bias)


class CrossbarLinear(_OnCrossbar, nn.Linear):
    """A linear layer whose weight is that of a chip.

    Parameters
    ----------
    layer, folded, chip : as for `CrossbarConv2d`, with one group
    """

    def __init__(self, layer: nn.Linear, folded: FoldedWeights, chip: Chip) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self._load(layer, folded, chip)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., outputs) for (..., inputs), with the noise of one read."""
        return F.linear(x, self.read_weight(), self.bias)


def on_crossbar(model: nn.Module, config: CrossbarConfig) -> nn.Module:
    """Return a copy of a network with its convolutions, and on request its linear layers, on a chip.

    Everything else stays digital; batch norm must not have been folded into weights. Circuits are solved here, once.
    Parameters keep their names: a state can be loaded into a plain network with ``strict=False``.

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
    mapped, found = copy.deepcopy(model), False
    done: dict[nn.Module, nn.Module] = {}
    for name, layer in list(mapped.named_modules(remove_duplicate=False)):  # a layer that is used twice is one layer
        if not _belongs(name, layer, config):
            continue
        found = True
        if layer not in done:
            done[layer] = _replaced(name, layer, config)
        if not name:
            return done[layer]
        mapped.set_submodule(name, done[layer])
    if not found:
        kinds = "convolution or linear layer" if config.linear else "convolution"
        raise ValueError(f"The model has no {kinds} to put on a crossbar.")
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
    seed : int, at least 0; the weights of the chip stay as they are

    Raises
    ------
    ValueError
        A negative seed, or a network without crossbars.

    Examples
    --------
    >>> from edgebook.crossbar import relative_deviation
    >>> chip = on_crossbar(nn.Conv2d(3, 8, 3), CrossbarConfig(read=lambda g: relative_deviation(g, sigma=0.1)))
    >>> restart_reads(chip, 7)
    """
    layers = crossbar_layers(model)
    if not layers:
        raise ValueError("The model has no layer on a crossbar.")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}.")
    for layer in layers.values():
        layer.chip, layer.reads = layer.chip._replace(seed=seed), 0


def _belongs(name: str, layer: nn.Module, config: CrossbarConfig) -> bool:
    """Say whether a layer is to be mapped; refuse those that should be and cannot."""
    if isinstance(layer, CrossbarConv2d | CrossbarLinear):
        raise ValueError(f"Layer {name!r} is on a crossbar already.")
    if type(layer) is nn.Conv2d or (config.linear and type(layer) is nn.Linear):
        return True
    if isinstance(layer, nn.modules.conv._ConvNd) or (config.linear and isinstance(layer, nn.Linear)):
        raise ValueError(f"Layer {name!r} is a {type(layer).__name__}; only Conv2d and Linear can be mapped.")
    return False


def _replaced(name: str, layer: nn.Conv2d | nn.Linear, config: CrossbarConfig) -> nn.Module:
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    try:
        folded = fold(weight_matrix(layer.weight.detach(), groups=groups), config, name=name)
    except ValueError as error:
        raise ValueError(f"Layer {name!r} cannot be mapped: {error}") from error
    kind = CrossbarConv2d if isinstance(layer, nn.Conv2d) else CrossbarLinear
    return kind(layer, folded, Chip(config.seed, name))
