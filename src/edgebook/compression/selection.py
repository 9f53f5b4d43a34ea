"""Which weights stay: the largest of all, the largest of each layer, or as many at random.

Counts are exact to one weight. Equal scores are decided by position (earlier layers and entries stay); a threshold, as
in the released code of arXiv 2207.01382, keeps or drops all of a tie at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from edgebook.compression.arguments import check_finite, check_masks
from edgebook.compression.masks import Masks, count_alive, prunable_weights
from edgebook.measure.arguments import whole

Scope = Literal["global", "layer"]


def count_kept(alive: int, fraction: float) -> int:
    r"""How many of `n` weights stay when a fraction `p` of them is pruned: :math:`n - \lfloor p n + 1/2 \rfloor`."""
    if not 0 <= fraction <= 1 or alive < 0:
        raise ValueError(f"fraction must lie between 0 and 1 and the count must not be negative, got {fraction}.")
    return alive - math.floor(float(fraction) * alive + 0.5)


def keep_largest(scores: Mapping[str, Tensor], count: int, masks: Mapping[str, Tensor] | None = None) -> Masks:
    """Keep the entries with the largest scores, ranked over all layers together.

    Parameters
    ----------
    scores : mapping of str to Tensor, one score per weight, by name; larger is better
    count : int
    masks : mapping of str to Tensor, optional, only their living entries can stay; without them, all can

    Returns
    -------
    dict of str to Tensor, masks with exactly `count` living entries

    Raises
    ------
    ValueError
        More are to be kept than are alive, fewer than none, no score at all, one that is not finite, or masks of other
        names or shapes.
    """
    if not scores or (masks is not None and set(masks) != set(scores)):
        raise ValueError(f"There must be scores, and masks of the same names, got {sorted(scores)}.")
    for name, score in scores.items():
        check_finite(f"The scores of {name}", score)
    check_masks(masks or {}, scores)

    def flat(tensors: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([tensors[name].detach().reshape(-1).to(device) for name in scores])

    device = next(iter(scores.values())).device
    order = flat(scores).sort(descending=True, stable=True).indices
    if masks is not None:
        order = order[flat(masks)[order]]  # of those that are alive
    if not 0 <= whole("count", count, None) <= len(order):
        raise ValueError(f"count must lie between 0 and the {len(order)} weights that are alive, got {count}.")
    kept = torch.zeros(sum(score.numel() for score in scores.values()), dtype=torch.bool, device=device)
    kept[order[:count]] = True
    parts = kept.split([score.numel() for score in scores.values()])
    return {
        n: part.reshape(score.shape).to(score.device) for (n, score), part in zip(scores.items(), parts, strict=True)
    }


def prune_by_magnitude(
    model: nn.Module, masks: Mapping[str, Tensor], fraction: float, *, scope: Scope = "global"
) -> Masks:
    """Prune a fraction of the living weights: those of smallest absolute value.

    Parameters
    ----------
    model : torch.nn.Module, its weights are read and not changed
    masks : mapping of str to Tensor
    fraction : float, share of the living weights to prune, in [0, 1]
    scope : {"global", "layer"}, one ranking over all layers, or that fraction of every layer

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    ValueError
        A fraction outside [0, 1], an unknown scope, masks that do not belong to the model, or a weight that is not
        finite; and as in `prunable_weights`.
    """
    weights = prunable_weights(model)
    check_masks(masks, weights, of="prunable weight")
    scores = {name: weights[name].detach().abs() for name in masks}
    ranked_together = {"global": [list(masks)], "layer": [[name] for name in masks]}
    if scope not in ranked_together:
        raise ValueError(f"scope must be global or layer, got {scope!r}.")
    kept: Masks = {}
    for names in ranked_together[scope]:
        living = {name: masks[name] for name in names}
        count = count_kept(count_alive(living), fraction)
        kept |= keep_largest({name: scores[name] for name in names}, count, living)
    return kept


def random_masks(
    like: Mapping[str, Tensor], generator: torch.Generator, *, density: Literal["matched", "uniform"] = "matched"
) -> Masks:
    """Draw masks at random that keep as many weights as other masks do.

    A ticket differs in how much each layer keeps and in which weights; matched densities leave only the second.

    Parameters
    ----------
    like : mapping of str to Tensor
    generator : torch.Generator, source of the draws, on the CPU
    density : {"matched", "uniform"}, as many in every layer as there, or the same share in each, up to one weight

    Returns
    -------
    dict of str to Tensor, masks of the same shapes and devices

    Raises
    ------
    ValueError
        Another name of a density, or a mask that is no bool tensor.
    """
    check_masks(like)
    if density == "matched":
        counts = {name: int(mask.count_nonzero()) for name, mask in like.items()}
    elif density == "uniform":
        counts = _shared_out(count_alive(like), {name: mask.numel() for name, mask in like.items()})
    else:
        raise ValueError(f"density must be matched or uniform, got {density!r}.")
    masks = {}
    for name, mask in like.items():
        drawn = torch.zeros(mask.numel(), dtype=torch.bool)
        drawn[torch.randperm(mask.numel(), generator=generator)[: counts[name]]] = True
        masks[name] = drawn.reshape(mask.shape).to(mask.device)
    return masks


def _shared_out(total: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Share a count out in proportion to sizes: whole parts first, then to the largest remainders."""
    everything = max(sum(sizes.values()), 1)
    parts = {name: divmod(total * size, everything) for name, size in sizes.items()}
    counts = {name: whole for name, (whole, _) in parts.items()}
    for name in sorted(parts, key=lambda name: -parts[name][1])[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
