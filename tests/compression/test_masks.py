"""Masks against torch.nn.utils.prune, and pruned weights against every optimiser that could bring them back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from edgebook.compression import (
    copy_parameters,
    count_alive,
    dense_masks,
    hold_masks,
    is_early_bird,
    keep_largest,
    layer_density,
    mask_distance,
    pack_masks,
    prunable_weights,
    prune_by_magnitude,
    random_masks,
    rewind,
    sparsity,
    unpack_masks,
)
from edgebook.compression.masks import Masks, apply_masks
from edgebook.networks import initialised, vgg_architecture

OPTIMISERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9, nesterov=True, weight_decay=0.05),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.05),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.5),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.05, momentum=0.9, weight_decay=0.05),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, weight_decay=0.05),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


def network(seed: int = 0) -> nn.Module:
    family = vgg_architecture((4, "M", 6), in_channels=1, classes=3)
    return initialised(family.build, family.widths, seed)


def half_masks(model: nn.Module, seed: int = 0) -> Masks:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(w.shape, generator=generator) < 0.5 for name, w in prunable_weights(model).items()}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(5)), torch.arange(12) % 3


def test_weights_of_convolutions_and_linear_layers_are_prunable() -> None:
    model = network()
    expected = [n for n, p in model.named_parameters() if n.endswith("weight") and p.ndim > 1]  # norms have one axis
    assert (
        list(prunable_weights(model))
        == expected
        == ["features.0.conv.weight", "features.2.conv.weight", "linear.weight"]
    )


def test_a_lone_layer_and_a_shared_weight() -> None:
    assert list(prunable_weights(nn.Linear(2, 2))) == ["weight"]
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert list(prunable_weights(tied)) == ["0.weight"]


class Tied(nn.Module):
    """Embedding and read-out share one weight, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.out(self.embedding(words))


def test_a_weight_that_is_shared_with_another_kind_of_layer_has_one_name_everywhere() -> None:
    model = Tied()
    masks = prune_by_magnitude(model, dense_masks(model), 0.5)
    assert list(masks) == [name for name, _ in model.named_parameters()] == ["embedding.weight"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    hold_masks(optimizer, model, masks)
    F.cross_entropy(model(torch.arange(10)), torch.arange(10)).backward()
    optimizer.step()
    smallest = masks["embedding.weight"].logical_not()
    assert int(smallest.sum()) == 20
    assert model.embedding.weight is model.out.weight
    assert not model.out.weight[smallest].any()
    with pytest.raises(ValueError, match=r"no parameter named out\.weight"):
        apply_masks(model, {"out.weight": smallest})


def test_one_dimensional_and_transposed_convolutions_count() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ConvTranspose2d(2, 1, 2), nn.LayerNorm(4), nn.Embedding(3, 2))
    assert list(prunable_weights(model)) == ["0.weight", "1.weight"]


def test_dense_masks_leave_a_network_as_it_is() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    masks = dense_masks(model)
    apply_masks(model, masks)
    assert sparsity(masks) == 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_masks_do_what_pytorchs_pruning_does() -> None:
    ours, theirs = network().eval(), network().eval()
    masks = half_masks(ours)
    apply_masks(ours, masks)
    for name, mask in masks.items():
        prune.custom_from_mask(theirs.get_submodule(name.removesuffix(".weight")), "weight", mask)
    images, _ = batch()
    torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=0)


def test_pruned_weights_become_plain_zeros_even_where_they_were_not_finite() -> None:
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[float("nan"), -1.0, 2.0]]))
    apply_masks(model, {"weight": torch.tensor([[False, False, True]])})
    assert model.weight.tolist() == [[0.0, 0.0, 2.0]]
    assert not torch.signbit(model.weight).any()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_pruned_weights_stay_zero_and_the_others_learn(name: str) -> None:
    model, (images, labels) = network().to(memory_format=torch.contiguous_format), batch()  # L-BFGS wants it so
    optimizer = OPTIMISERS[name](list(model.parameters()))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    for _ in range(3):  # dense steps fill momenta and moments first
        optimizer.step(closure)
    masks = half_masks(model)
    handle = hold_masks(optimizer, model, masks)
    before = {key: weight.detach().clone() for key, weight in prunable_weights(model).items()}
    for _ in range(5):
        optimizer.step(closure)
        for key, weight in prunable_weights(model).items():
            assert int(weight[~masks[key]].count_nonzero()) == 0
    assert all((before[key] != w)[masks[key]].any() for key, w in prunable_weights(model).items())
    handle.remove()
    optimizer.step(closure)
    revived = sum(int(w[~masks[key]].count_nonzero()) for key, w in prunable_weights(model).items())
    assert revived > 0  # so the hook is what held them


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_masking_gradients_would_not_be_enough(name: str) -> None:
    model, (images, labels) = network(), batch()
    masks, optimizer = half_masks(model), OPTIMISERS[name](list(model.parameters()))
    for step in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        if step == 2:
            apply_masks(model, masks)
        if step >= 2:
            for key, weight in prunable_weights(model).items():
                weight.grad[~masks[key]] = 0
        optimizer.step()
    assert any(w[~masks[key]].count_nonzero() > 0 for key, w in prunable_weights(model).items())


def test_a_held_network_follows_pytorchs_pruning_step_by_step() -> None:
    ours, theirs, (images, labels) = network(), network(), batch()
    masks = half_masks(ours)
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    hold_masks(optimizer, ours, masks)
    for name, mask in masks.items():
        prune.custom_from_mask(theirs.get_submodule(name.removesuffix(".weight")), "weight", mask)
    other = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for _ in range(4):
        for model, step in ((ours, optimizer), (theirs, other)):
            step.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            step.step()
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=4))
def test_sparsity_and_densities_count_entries(layers: list[list[bool]]) -> None:
    masks = {str(i): torch.tensor(layer) for i, layer in enumerate(layers)}
    flat = [entry for layer in layers for entry in layer]
    assert count_alive(masks) == sum(flat)
    assert sparsity(masks) == pytest.approx(flat.count(False) / len(flat), abs=1e-15)
    assert layer_density(masks) == {str(i): sum(layer) / len(layer) for i, layer in enumerate(layers)}


def test_no_entries_have_no_sparsity() -> None:
    with pytest.raises(ValueError, match="at least one entry"):
        sparsity({})


def test_masks_survive_torch_save_without_pickled_code() -> None:
    masks, file = half_masks(network()), io.BytesIO()
    torch.save(masks, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert list(loaded) == list(masks)
    assert all(torch.equal(loaded[name], masks[name]) and loaded[name].dtype == torch.bool for name in masks)


@given(st.lists(st.integers(1, 5), min_size=0, max_size=4), st.integers(0, 99))
def test_masks_survive_json(shape: list[int], seed: int) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    again = unpack_masks(json.loads(json.dumps(pack_masks({"a.weight": mask}))))
    assert again["a.weight"].shape == mask.shape
    assert torch.equal(again["a.weight"], mask)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"shape": [2, 5], "bits": "/8A="}, None),
        ({"shape": [2, 5], "bits": "/w=="}, "1 bytes"),
        ({"shape": [2, 5], "bits": "/8AA"}, "3 bytes"),
        ({"shape": [-2, -5], "bits": "/8A="}, "2 bytes for the shape"),
        ({"shape": [2, 5], "bits": "/8*A="}, "base64|Non-base64|Only base64|Incorrect padding"),
    ],
)
def test_packed_masks_of_another_length_are_refused(entry: dict, words: str | None) -> None:
    if words is None:
        assert unpack_masks({"w": entry})["w"].all()
    else:
        with pytest.raises(ValueError, match=words):
            unpack_masks({"w": entry})


def test_packed_masks_take_a_bit_a_weight() -> None:
    packed = pack_masks({"w": torch.ones(800, dtype=torch.bool)})
    assert len(packed["w"]["bits"]) == -(-100 // 3) * 4  # 100 bytes in base64


def test_channels_last_weights_are_masked_entry_by_entry() -> None:
    model = network()
    masks = random_masks(dense_masks(model), torch.Generator().manual_seed(0))
    masks = {name: mask & (torch.arange(mask.numel()).reshape(mask.shape) % 2 == 0) for name, mask in masks.items()}
    apply_masks(model, masks)
    for weight in prunable_weights(model).values():
        assert int(weight.flatten()[1::2].count_nonzero()) == 0
        assert int(weight.flatten()[0::2].count_nonzero()) == len(weight.flatten()[0::2])


@pytest.mark.parametrize(("masks", "words"), [
    ({"nothing": torch.ones(1, dtype=torch.bool)}, "no parameter named nothing"),
    ({"weight": torch.ones(1, 2)}, "must be bool of the shape"),
    ({"weight": torch.ones(2, 1, dtype=torch.bool)}, "must be bool of the shape"),
    ({"weight": np.ones((1, 2), dtype=bool)}, "must be bool of the shape .* got ndarray"),
])  # fmt: skip
def test_masks_that_do_not_fit_are_refused(masks: Masks, words: str) -> None:
    model = nn.Linear(2, 1)
    for act in (lambda: apply_masks(model, masks), lambda: hold_masks(torch.optim.SGD([model.weight]), model, masks)):
        with pytest.raises(ValueError, match=words):
            act()


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64])
def test_masks_of_zeros_and_ones_are_refused_in_one_sentence_everywhere(dtype: torch.dtype) -> None:
    model = nn.Linear(3, 2)
    good = dense_masks(model)
    masks = {name: mask.to(dtype) for name, mask in good.items()}
    for act in (
        lambda: apply_masks(model, masks),
        lambda: hold_masks(torch.optim.SGD(model.parameters()), model, masks),
        lambda: rewind(model, copy_parameters(model), masks),
        lambda: prune_by_magnitude(model, masks, 0.5),
        lambda: keep_largest({"weight": torch.ones(2, 3)}, 1, masks),
        lambda: random_masks(masks, torch.Generator()),
        lambda: count_alive(masks),
        lambda: sparsity(masks),
        lambda: layer_density(masks),
        lambda: pack_masks(masks),
        lambda: mask_distance(masks, good),
        lambda: mask_distance(good, masks),
        lambda: is_early_bird([good, masks], window=2),
    ):
        with pytest.raises(ValueError, match=rf"The mask of weight must be bool.*got {str(dtype)[6:]} of \(2, 3\)"):
            act()


def test_an_empty_layer_has_no_density() -> None:
    with pytest.raises(ValueError, match="Every mask must hold at least one entry"):
        layer_density({"full": torch.ones(1, dtype=torch.bool), "empty": torch.ones(0, dtype=torch.bool)})
