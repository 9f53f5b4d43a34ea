"""What a network costs: parameters, multiply-accumulates, and the training that led to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from edgebook.measure.multiplications import Multiplications, multiplications
from edgebook.measure.watching import blank_input, probed, watched

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


class LayerCost(NamedTuple):
    """Cost of one convolution or linear layer for one input, over all its calls."""

    macs: int  #: multiply-accumulates; biases and normalisation are not counted
    weights: int  #: without biases
    inputs: int  #: values read, channels times positions
    outputs: int  #: values written


def layer_costs(model: nn.Module, shape: Sequence[int]) -> dict[str, LayerCost]:
    """Count each convolution and linear layer of a network for one input.

    Parameters
    ----------
    model : torch.nn.Module, on any device; "meta" makes it free of arithmetic; left as it is, in modes and buffers
    shape : sequence of int, shape (C, H, W) of one input, which has the type of the model's first parameter

    Returns
    -------
    dict of str to LayerCost
        In the order of execution. For a convolution with kernel k, groups g and output (C_out, H, W):
        MACs = C_out H W C_in k^2 / g, and with the size of the input where it is transposed. What a layer that is used
        twice multiplies, reads and writes counts twice, its weights once; one that does not run is not there.

    Raises
    ------
    ValueError
        Something else multiplies, such as attention or a product of two matrices; `count_macs` may know it.

    Examples
    --------
    >>> layer_costs(nn.Sequential(nn.Flatten(), nn.Linear(12, 10)), (3, 2, 2))
    {'1': LayerCost(macs=120, weights=120, inputs=12, outputs=10)}
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, _LAYERS)}
    inputs, outputs = Counter[str](), Counter[str]()

    def see(name: str, _: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        inputs[name] += given[0].numel()
        outputs[name] += output.numel()

    with watched(layers, see):
        macs = _counted(model, shape).within(layers)
    return {name: LayerCost(macs[name], layers[name].weight.numel(), inputs[name], outputs[name]) for name in inputs}


def count_macs(model: nn.Module, shape: Sequence[int]) -> int:
    """Count the multiply-accumulates of a network for one input: of layers, attention and products of matrices.

    As PyTorch counts them (half of its floating point operations), wherever in the network; elementwise products, norms
    and pooling do not count.

    Parameters
    ----------
    model : torch.nn.Module, as for `layer_costs`
    shape : sequence of int, shape (C, H, W) of one input

    Returns
    -------
    int, MACs

    Raises
    ------
    ValueError
        An operator that may multiply, and whose count is not known, such as that of `torch.nn.Bilinear`.

    Examples
    --------
    >>> count_macs(nn.Conv2d(3, 8, 3), (3, 4, 4))  # 2 x 2 positions, 8 channels, 27 products each
    864
    """
    return sum(_counted(model, shape).macs.values())


def _counted(model: nn.Module, shape: Sequence[int]) -> Multiplications:
    """Send one blank input through a model."""
    with probed(model), multiplications(model) as counted:
        model(blank_input(model, 1, *shape))
    return counted


def count_parameters(model: nn.Module) -> int:
    """Count the trainable values of a network, biases and normalisation included.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    int, parameters that require a gradient

    Examples
    --------
    >>> count_parameters(nn.Linear(12, 10))
    130
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class Phase(NamedTuple):
    """A stretch of training: the MACs of the network that was trained, and for how many epochs."""

    macs: float
    epochs: float


def training_complexity(phases: Sequence[Phase], baseline: Phase) -> float:
    r"""MAC-weighted epochs of a training, relative to a baseline.

    .. math:: \mathrm{TC} = \frac{\sum_i \mathrm{MAC}_i\, e_i}{\mathrm{MAC}_0\, e_0}

    A backward pass costs a fixed multiple of the forward pass, so it cancels. Source: arXiv 2002.02949 (as
    reconstructed from its abstract).

    Parameters
    ----------
    phases : sequence of Phase, the whole training, the last phase included
    baseline : Phase, the unpruned network and its epochs

    Returns
    -------
    float, TC; 1 is what the baseline costs

    Raises
    ------
    ValueError
        A negative count, or a baseline that costs nothing.

    Examples
    --------
    >>> training_complexity([Phase(1e6, 10), Phase(2e5, 50)], baseline=Phase(1e6, 100))
    0.2
    """
    if any(phase.macs < 0 or phase.epochs < 0 for phase in phases) or baseline.macs * baseline.epochs <= 0:
        raise ValueError("MACs and epochs must not be negative, and those of the baseline must be positive.")
    return sum(phase.macs * phase.epochs for phase in phases) / (baseline.macs * baseline.epochs)
