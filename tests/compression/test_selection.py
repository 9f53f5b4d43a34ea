"""Selections against brute force (ties included) and against torch.nn.utils.prune."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from edgebook.compression import (
    count_alive,
    dense_masks,
    keep_largest,
    layer_density,
    prunable_weights,
    prune_by_magnitude,
    random_masks,
)
from edgebook.compression.masks import Masks, apply_masks
from edgebook.compression.selection import count_kept
from edgebook.networks import initialised, resnet_architecture, vgg_architecture

LAYERS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=4)


def cnn(seed: int = 0) -> nn.Module:
    family = vgg_architecture((5, "M", 7), in_channels=2, classes=4)
    return initialised(family.build, family.widths, seed)


def residual(seed: int = 0) -> nn.Module:
    family = resnet_architecture((4, 6), in_channels=1, classes=3)
    return initialised(family.build, family.widths, seed)


def mlp(seed: int = 0) -> nn.Module:
    return initialised(lambda _: nn.Sequential(nn.Linear(9, 11), nn.ReLU(), nn.Linear(11, 5)), (), seed)


def plain(model: nn.Module) -> nn.Module:
    """PyTorch's pruning wants weights in the usual layout."""
    return model.to(memory_format=torch.contiguous_format)


def as_scores(layers: list[list[int]]) -> dict[str, torch.Tensor]:
    return {f"layer {i}": torch.tensor(layer, dtype=torch.float32) for i, layer in enumerate(layers)}


def entries(masks: Masks) -> list[bool]:
    return [bool(entry) for mask in masks.values() for entry in mask.reshape(-1)]


@given(LAYERS, st.floats(0, 1), st.integers(0, 2**16))
def test_the_largest_living_entries_stay_and_ties_go_by_position(
    layers: list[list[int]], share: float, bits: int
) -> None:
    scores = as_scores(layers)
    flat = [value for layer in layers for value in layer]
    alive = [bool(bits >> (i % 17) & 1) for i in range(len(flat))]
    parts = torch.tensor(alive).split([len(layer) for layer in layers])
    count = round(share * sum(alive))
    kept = keep_largest(scores, count, dict(zip(scores, parts, strict=True)))
    best = sorted((i for i in range(len(flat)) if alive[i]), key=lambda i: (-flat[i], i))[:count]
    assert entries(kept) == [i in best for i in range(len(flat))]


@given(LAYERS, st.floats(0, 1))
def test_each_layer_keeps_its_own_share_and_ties_go_by_position(layers: list[list[int]], fraction: float) -> None:
    model = nn.Sequential(*(nn.Linear(len(layer), 1) for layer in layers))
    for linear, layer in zip(model, layers, strict=True):
        linear.weight.data[0] = torch.tensor(layer, dtype=torch.float32)
    kept = prune_by_magnitude(model, dense_masks(model), fraction, scope="layer")
    for layer, mask in zip(layers, kept.values(), strict=True):
        best = sorted(range(len(layer)), key=lambda i: (-layer[i], i))[: count_kept(len(layer), fraction)]
        assert mask[0].nonzero().flatten().tolist() == sorted(best)


@pytest.mark.parametrize("build", [cnn, residual, mlp])
@pytest.mark.parametrize("fraction", [0.0, 0.13, 0.25, 0.5, 0.9, 1.0])
def test_global_pruning_is_pytorchs(build, fraction: float) -> None:
    model, reference = build(), plain(build())
    masks = prune_by_magnitude(model, dense_masks(model), fraction)
    layers = [(reference.get_submodule(name.removesuffix(".weight")), "weight") for name in masks]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=total(masks) - count_alive(masks))
    for (layer, _), mask in zip(layers, masks.values(), strict=True):
        assert torch.equal(getattr(layer, "weight_mask", torch.ones_like(mask)).bool(), mask)


def total(masks: Masks) -> int:
    return sum(mask.numel() for mask in masks.values())


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.77])
def test_layer_wise_pruning_is_pytorchs(fraction: float) -> None:
    model, reference = cnn(), plain(cnn())
    masks = prune_by_magnitude(model, dense_masks(model), fraction, scope="layer")
    for name, mask in masks.items():
        layer = reference.get_submodule(name.removesuffix(".weight"))
        prune.l1_unstructured(layer, "weight", amount=mask.numel() - int(mask.count_nonzero()))
        assert torch.equal(layer.weight_mask.bool(), mask)
        assert int(mask.count_nonzero()) == count_kept(mask.numel(), fraction)


def test_repeated_pruning_counts_survivors_and_follows_pytorchs() -> None:
    model, reference = residual(), plain(residual())
    masks = dense_masks(model)
    alive = total(masks)
    for _ in range(6):
        before, masks = masks, prune_by_magnitude(model, masks, 0.25)
        layers = [(reference.get_submodule(name.removesuffix(".weight")), "weight") for name in masks]
        prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=alive - count_kept(alive, 0.25))
        alive = count_kept(alive, 0.25)
        assert count_alive(masks) == alive
        assert all(not (masks[name] & ~before[name]).any() for name in masks)  # nothing comes back
    for (layer, _), mask in zip(layers, masks.values(), strict=True):
        assert torch.equal(layer.weight_mask.bool(), mask)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.bool])
def test_scores_of_any_real_type_are_ranked_alike(dtype: torch.dtype) -> None:
    scores = {"a": torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=dtype), "b": torch.tensor([1.0, 0.0])}
    masks = {"a": torch.tensor([[True, False], [True, True]]), "b": torch.tensor([True, False])}
    kept = keep_largest(scores, np.int64(3), masks)
    assert [mask.tolist() for mask in kept.values()] == [[[True, False], [True, False]], [True, False]]


def test_complex_weights_are_pruned_by_their_size() -> None:
    model = nn.Linear(3, 1, dtype=torch.complex64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0 + 0j, -4j, 3 + 3j]]))
    assert prune_by_magnitude(model, dense_masks(model), 1 / 3)["weight"].tolist() == [[False, True, True]]


def test_a_fraction_of_numpy_prunes_as_many() -> None:
    assert count_kept(10**7, np.float64(0.3)) == count_kept(10**7, 0.3) == 7 * 10**6
    assert count_kept(np.int64(10), 0.25) == 7


def test_zeros_that_are_alive_are_not_taken_for_pruned() -> None:
    model = nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0, 3.0, 1.0]]))
    masks = prune_by_magnitude(model, {"weight": torch.tensor([[True, True, False, True]])}, 1 / 3)
    assert masks["weight"].tolist() == [[True, False, False, True]]


def test_pruning_changes_no_weight() -> None:
    model, twin = cnn(), cnn()
    prune_by_magnitude(model, dense_masks(model), 0.5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_global_and_layer_wise_pruning_differ_where_scales_do() -> None:
    model = mlp()
    with torch.no_grad():
        model[2].weight.mul_(100)
    masks = dense_masks(model)
    assert layer_density(prune_by_magnitude(model, masks, 0.3))["2.weight"] == 1
    assert layer_density(prune_by_magnitude(model, masks, 0.3, scope="layer"))["2.weight"] == pytest.approx(
        0.7, abs=0.01
    )


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_number_kept_is_the_nearest_one(alive: int, fraction: float) -> None:
    kept = count_kept(alive, fraction)
    assert 0 <= kept <= alive
    assert abs((alive - kept) - fraction * alive) <= 0.5 + 1e-9


def test_halves_are_pruned_and_not_rounded_to_even() -> None:
    assert [count_kept(alive, 0.25) for alive in (2, 6, 10)] == [1, 4, 7]


@pytest.mark.parametrize("density", ["matched", "uniform"])
@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.9, 0.99, 1.0])
def test_random_masks_keep_as_many(density, fraction: float) -> None:
    model = cnn()
    like = prune_by_magnitude(model, dense_masks(model), fraction)
    drawn = random_masks(like, torch.Generator().manual_seed(1), density=density)
    assert count_alive(drawn) == count_alive(like)
    assert {name: mask.shape for name, mask in drawn.items()} == {name: mask.shape for name, mask in like.items()}
    share = count_alive(like) / total(like)
    for name, mask in drawn.items():
        wanted = int(like[name].count_nonzero()) if density == "matched" else share * mask.numel()
        assert abs(int(mask.count_nonzero()) - wanted) <= (0 if density == "matched" else 1)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.floats(0, 1))
def test_uniform_counts_stay_within_one_of_the_exact_share(sizes: list[int], share: float) -> None:
    kept = round(share * sum(sizes))
    flat = torch.arange(sum(sizes)) < kept
    like = {str(i): part for i, part in enumerate(flat.split(sizes))}
    drawn = random_masks(like, torch.Generator().manual_seed(0), density="uniform")
    assert count_alive(drawn) == kept
    for size, mask in zip(sizes, drawn.values(), strict=True):
        assert abs(int(mask.count_nonzero()) - kept * size / sum(sizes)) < 1


def test_every_entry_is_drawn_equally_often() -> None:
    like = {"w": torch.arange(6).reshape(2, 3) < 2}
    generator = torch.Generator().manual_seed(0)
    draws = 6000
    hits = sum(random_masks(like, generator)["w"].int() for _ in range(draws)).flatten()
    error = math.sqrt(draws * (1 / 3) * (2 / 3))
    assert ((hits - draws / 3).abs() < 4.5 * error).all()


def test_draws_belong_to_the_generator_alone() -> None:
    like = prune_by_magnitude(cnn(), dense_masks(cnn()), 0.5)
    first, again, other = (random_masks(like, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    state = torch.random.get_rng_state()
    random_masks(like, torch.Generator().manual_seed(3))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in like)
    assert any(not torch.equal(first[name], other[name]) for name in like)


def test_a_pruned_network_of_no_weights_still_runs() -> None:
    model = cnn().eval()
    apply_masks(model, prune_by_magnitude(model, dense_masks(model), 1.0))
    assert torch.isfinite(model(torch.randn(2, 2, 8, 8))).all()
    assert all(int(weight.count_nonzero()) == 0 for weight in prunable_weights(model).values())


def test_bad_requests_are_named() -> None:
    scores, model, broken = {"a": torch.tensor([1.0, 2.0])}, nn.Linear(2, 1), nn.Linear(2, 1)
    nn.init.constant_(broken.weight, math.inf)
    one = {"a": torch.tensor([True, False])}
    for words, act in [
        ("between 0 and the 1", lambda: keep_largest(scores, 2, one)),
        ("between 0 and the 2", lambda: keep_largest(scores, -1)),
        ("same names", lambda: keep_largest(scores, 1, {"b": one["a"]})),
        ("must be scores", lambda: keep_largest({}, 0)),
        ("The scores of a .* finite", lambda: keep_largest({"a": torch.tensor([1.0, math.nan])}, 1)),
        ("The scores of a .* real", lambda: keep_largest({"a": torch.tensor([1j])}, 1)),
        ("mask of a must be bool of the shape", lambda: keep_largest(scores, 1, {"a": one["a"][:, None]})),
        ("mask of a must be bool of the shape", lambda: keep_largest({"a": torch.ones(2, 1)}, 1, one)),
        ("count must be a whole number", lambda: keep_largest(scores, 1.0)),
        ("fraction", lambda: prune_by_magnitude(model, dense_masks(model), math.nan)),
        ("fraction", lambda: count_kept(3, math.nan)),
        ("The scores of weight .* finite", lambda: prune_by_magnitude(broken, dense_masks(broken), 0.5)),
        ("mask of weight must be bool of the shape", lambda: prune_by_magnitude(model, {"weight": one["a"]}, 0.5)),
        ("fraction", lambda: prune_by_magnitude(model, dense_masks(model), 1.5)),
        ("scope", lambda: prune_by_magnitude(model, dense_masks(model), 0.5, scope="row")),
        ("no prunable weight", lambda: prune_by_magnitude(model, one, 0.5)),
        ("density", lambda: random_masks(one, torch.Generator(), density="any")),
        ("fraction", lambda: count_kept(3, -0.1)),
    ]:
        with pytest.raises(ValueError, match=words):
            act()
