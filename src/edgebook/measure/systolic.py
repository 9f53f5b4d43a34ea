r"""What an inference costs on a systolic array: words moved at each level, operations and cycles, counted.

The array keeps the weights of a layer, or of as many output channels as its cache holds, while images stream past.
Words that are 0 are neither moved nor multiplied where the array skips them. Of a layer with `W` weights, `X` inputs,
`O` outputs and `M` multiply-accumulates an image, in :math:`G = \lceil W / \text{cache} \rceil` groups of channels,
for `B` images of which shares :math:`s, s'` of inputs and outputs are 0 and skipped:

.. math::
    \text{DRAM} &= n_W W + n_T O + B\,(G (1 - s) X + (1 - s') O) \\
    \text{cache} &= B\,(2 (1 - s) M / R + O) \;(+\, B\,O \text{ thresholds}) \\
    \text{register} &= 3 B (1 - s) M, \quad \text{MAC} = B (1 - s) M, \quad \text{comparator} = B\,O \\
    \text{cycles} &= \max(\text{MAC} / P,\ \text{DRAM} / \text{words a cycle})

with :math:`n_W, n_T` how often weights and thresholds are fetched, and `R` how many products a fetched word serves.
Source: reconstructed; sizes and relative energies of arXiv 2204.05274 from memory, the latter as those of Chen et al.
(2016), *Eyeriss*, 200 : 6 : 2 : 1. It ranks ways to run a network; it predicts no chip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

from edgebook.measure.arguments import whole
from edgebook.measure.operations import LayerCost


class Traffic(NamedTuple):
    """Words moved at each level, operations, and cycles; expected values where shares of zeros are."""

    dram: float
    cache: float
    register: float
    mac: float
    comparator: float  #: comparisons with a threshold of its own; ReLU's with 0 is free
    cycles: float


@dataclass(frozen=True)
class SystolicArray:
    """An array of processing elements with a cache, and what an access costs.

    Parameters
    ----------
    pes : int, processing elements, of one product a cycle each
    cache_words : int, words that the cache holds, of 16 bits: 156 KB
    reuse : int, products that a word serves once it has been fetched from the cache
    words_a_cycle : float, words a cycle that come from DRAM or go there
    energies : tuple of five float, of an access to DRAM, cache or register, a product, and a comparison

    Raises
    ------
    ValueError
        A size that is no whole number above 0, no words a cycle, or other than five energies that are not negative.

    Examples
    --------
    >>> array = SystolicArray()
    >>> array.energy(Traffic(dram=1, cache=0, register=0, mac=100, comparator=0, cycles=1))
    {'dram': 200, 'cache': 0, 'register': 0, 'mac': 100, 'comparator': 0}
    """

    pes: int = 1024
    cache_words: int = 79_872
    reuse: int = 32
    words_a_cycle: float = 16
    energies: tuple[float, float, float, float, float] = (200, 6, 2, 1, 1)

    def __post_init__(self) -> None:
        for name in ("pes", "cache_words", "reuse"):
            whole(name, getattr(self, name))
        if not 0 < self.words_a_cycle < math.inf:
            raise ValueError(f"words_a_cycle must be a finite number above 0, got {self.words_a_cycle!r}.")
        if len(self.energies) != 5 or not all(0 <= energy < math.inf for energy in self.energies):
            raise ValueError(f"energies must be five finite numbers that are not negative, got {self.energies!r}.")

    def energy(self, traffic: Traffic) -> dict[str, float]:
        """Return what each level takes, in multiples of a multiply-accumulate where that costs 1."""
        levels = Traffic._fields[: len(self.energies)]
        return {level: each * getattr(traffic, level) for level, each in zip(levels, self.energies, strict=True)}


_USUAL = SystolicArray()


def inference_traffic(
    costs: Iterable[LayerCost],
    *,
    images: int,
    weight_loads: int | Sequence[int],
    threshold_loads: int | Sequence[int] = 0,
    zeros_in: float | Sequence[float] = 0.0,
    zeros_out: float | Sequence[float] = 0.0,
    array: SystolicArray = _USUAL,
) -> Traffic:
    """Count what a batch of images costs, layer after layer; the formulas are those of this module.

    Each of the four that follow `images` is one number for all layers, or one for each.

    Parameters
    ----------
    costs : iterable of LayerCost, counts for one image, such as the values of `layer_costs`
    images : int, in the batch
    weight_loads, threshold_loads : int, how often they are fetched for the batch: with each change of the task, if each
        has its own; a layer of which no thresholds are fetched has none
    zeros_in, zeros_out : float, share of inputs and outputs that are 0 and skipped; 0 where none is skipped
    array : SystolicArray

    Returns
    -------
    Traffic, the sum over layers

    Raises
    ------
    ValueError
        Shares outside [0, 1], counts that are no whole numbers or too small, no layer, or not one value for each.

    Examples
    --------
    >>> layers = [LayerCost(200, 200, 20, 10), LayerCost(20, 20, 10, 2)]
    >>> own = inference_traffic(layers, images=3, weight_loads=3)  # a network for each of three tasks
    >>> one = inference_traffic(layers, images=3, weight_loads=[1, 3], threshold_loads=[3, 0])  # a head for each
    >>> own.dram, one.dram
    (786.0, 416.0)
    """
    costs = list(costs)
    if not costs:
        raise ValueError("At least one layer is needed.")
    given: dict[str, Any] = {
        "weight_loads": weight_loads,
        "threshold_loads": threshold_loads,
        "zeros_in": zeros_in,
        "zeros_out": zeros_out,
    }
    for name, values in given.items():
        given[name] = list(values) if isinstance(values, Sequence) else [values] * len(costs)
        if len(given[name]) != len(costs):
            raise ValueError(f"{name} must be one value for each of {len(costs)} layers, got {len(given[name])}.")
    layers = [
        _layer(cost, images=images, array=array, **dict(zip(given, each, strict=True)))
        for cost, *each in zip(costs, *given.values(), strict=True)
    ]
    return Traffic(*map(sum, zip(*layers, strict=True)))


def _layer(
    cost: LayerCost,
    *,
    images: int,
    weight_loads: int,
    threshold_loads: int,
    zeros_in: float,
    zeros_out: float,
    array: SystolicArray,
) -> Traffic:
    images, loads = whole("images", images), whole("weight_loads", weight_loads, 0)
    own = whole("threshold_loads", threshold_loads, 0)
    for name, share in (("zeros_in", zeros_in), ("zeros_out", zeros_out)):
        if not (isinstance(share, Real) and 0 <= share <= 1):
            raise ValueError(f"{name} must be a share from 0 to 1, got {share!r}.")
    groups = math.ceil(cost.weights / array.cache_words)
    read, written = groups * (1 - zeros_in) * cost.inputs, (1 - zeros_out) * cost.outputs
    dram = loads * cost.weights + own * cost.outputs + images * (read + written)
    macs, compared = images * (1 - zeros_in) * cost.macs, images * cost.outputs * (own > 0)
    cache = 2 * macs / array.reuse + images * cost.outputs + compared
    return Traffic(dram, cache, 3 * macs, macs, compared, max(macs / array.pes, dram / array.words_a_cycle))
