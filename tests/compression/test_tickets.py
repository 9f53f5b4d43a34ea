"""Iterative pruning against a plain loop with torch.nn.utils.prune; exact rewinding; an ANN throughout."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from edgebook.compression import (
    copy_parameters,
    count_alive,
    dense_masks,
    hold_masks,
    iterative_pruning,
    prunable_weights,
    prune_by_magnitude,
    rewind,
    sparsity,
)
from edgebook.compression.masks import apply_masks
from edgebook.compression.selection import count_kept
from edgebook.networks import fit, initialised, vgg_architecture


def network(seed: int = 0) -> nn.Module:
    family = vgg_architecture((4, "M", 6), in_channels=1, classes=3)
    return initialised(family.build, family.widths, seed)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(24, 1, 6, 6, generator=torch.Generator().manual_seed(5)), torch.arange(24) % 3


def trainer(model: nn.Module, epochs: int, log: list[Any]):
    """Train with Adam, and note what each round started from."""

    def train(index, masks, on_epoch) -> str:
        log.append((index, masks, copy_parameters(model)))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=0.01)
        hold_masks(optimizer, model, masks)
        fit(model, *images(), epochs=epochs, batch_size=8, seed=index, optimizer=optimizer, on_epoch=on_epoch)
        return f"round {index}"

    return train


def test_a_copy_is_not_moved_by_training() -> None:
    model = network()
    kept, twin = copy_parameters(model), network()
    fit(model, *images(), epochs=1)
    assert set(kept) == {name for name, _ in twin.named_parameters()}
    assert all(torch.equal(kept[name], value) for name, value in twin.named_parameters())
    assert all(not value.requires_grad for value in kept.values())


def test_rewinding_restores_every_tensor_bit_by_bit() -> None:
    model = network()
    kept = copy_parameters(model)
    fit(model, *images(), epochs=2)
    assert any(not torch.equal(kept[name], value) for name, value in model.named_parameters())
    masks = prune_by_magnitude(model, dense_masks(model), 0.6)
    rewind(model, kept, masks)
    for name, value in model.named_parameters():
        mask = masks.get(name, torch.ones_like(value, dtype=torch.bool))
        assert torch.equal(value[mask], kept[name][mask])
        assert int(value[~mask].count_nonzero()) == 0
    norm = model.features[0].norm
    assert torch.equal(norm.weight, kept["features.0.norm.weight"])
    assert torch.equal(norm.bias, kept["features.0.norm.bias"])


def test_rewinding_leaves_running_statistics_alone() -> None:
    model = network()
    kept = copy_parameters(model)
    fit(model, *images(), epochs=1)
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    assert float(statistics["features.0.norm.running_mean"].abs().sum()) > 0
    rewind(model, kept, dense_masks(model))
    assert all(torch.equal(statistics[name], value) for name, value in model.named_buffers())


def test_rewinding_keeps_layout_and_identity_of_the_parameters() -> None:
    model = network()
    before = {name: (id(value), value.stride()) for name, value in model.named_parameters()}
    rewind(model, copy_parameters(model), {})
    assert before == {name: (id(value), value.stride()) for name, value in model.named_parameters()}


@pytest.mark.parametrize("rewind_epoch", [0, 1, 3])
def test_each_round_prunes_survivors_and_starts_from_the_rewound_weights(rewind_epoch: int) -> None:
    model, log = network(), []
    rounds = list(iterative_pruning(model, trainer(model, 3, log), rounds=5, fraction=0.3, rewind_epoch=rewind_epoch))
    alive = sum(weight.numel() for weight in prunable_weights(model).values())
    assert [r.result for r in rounds] == [f"round {i}" for i in range(5)]
    early = network()
    reference = copy_parameters(early)

    def keep(epoch: int) -> None:
        if epoch == rewind_epoch:
            reference.update(copy_parameters(early))

    optimizer = torch.optim.Adam(early.parameters(), lr=0.02, weight_decay=0.01)
    fit(early, *images(), epochs=3, batch_size=8, seed=0, optimizer=optimizer, on_epoch=keep)
    for index, masks, start in log:
        assert count_alive(masks) == alive
        alive = count_kept(alive, 0.3)
        assert rounds[index].masks is masks
        assert rounds[index].sparsity == sparsity(masks)
        for name, value in start.items():
            mask = masks.get(name, torch.ones_like(value, dtype=torch.bool))
            assert index == 0 or torch.equal(value, torch.where(mask, reference[name], 0))


def test_pruning_follows_the_weights_at_the_end_of_each_round() -> None:
    model, ends = network(), []
    for each in iterative_pruning(model, trainer(model, 2, []), rounds=4, fraction=0.4):
        if ends:
            assert all(torch.equal(each.masks[name], mask) for name, mask in ends[-1].items())
        ends.append(prune_by_magnitude(copy.deepcopy(model), each.masks, 0.4))


def test_the_whole_search_is_that_of_a_plain_loop_with_pytorchs_pruning() -> None:
    """SGD without momentum, rewound to the start: an independent loop gives the same masks and the same weights."""
    model, (x, y) = network(), images()

    def descend(net: nn.Module) -> None:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
        for part in range(3):
            optimizer.zero_grad()
            F.cross_entropy(net(x[part::3]), y[part::3]).backward()
            optimizer.step()
            apply_masks(net, current)

    def train(index, masks, on_epoch) -> None:
        current.clear()
        current.update(masks)
        descend(model)

    current: dict[str, torch.Tensor] = {}
    rounds = list(iterative_pruning(model, train, rounds=4, fraction=0.25))

    other, start = network().to(memory_format=torch.contiguous_format), network().state_dict()
    names = [name.removesuffix(".weight") for name in prunable_weights(other)]
    alive = sum(weight.numel() for weight in prunable_weights(other).values())
    current.clear()
    descend(other)
    layers = [(other.get_submodule(name), "weight") for name in names]
    for _ in range(3):
        kept = count_kept(alive, 0.25)
        other.eval()(x)  # PyTorch recomputes pruned weights only when the network is called
        other.train()
        prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=alive - kept)
        alive = kept
        with torch.no_grad():
            for name, value in other.named_parameters():
                value.copy_(start[name.replace("weight_orig", "weight")])
        descend(other)
    other.eval()(x)
    for name in names:
        assert torch.equal(other.get_submodule(name).weight_mask.bool(), rounds[-1].masks[f"{name}.weight"])
        torch.testing.assert_close(other.get_submodule(name).weight, model.get_submodule(name).weight)


def test_layer_wise_rounds_prune_every_layer_alike() -> None:
    model = network()
    *_, last = iterative_pruning(model, trainer(model, 1, []), rounds=3, fraction=0.5, scope="layer")
    for name, mask in last.masks.items():
        size = prunable_weights(model)[name].numel()
        assert int(mask.count_nonzero()) == count_kept(count_kept(size, 0.5), 0.5)


def test_a_search_can_be_left_early() -> None:
    model, log = network(), []
    for each in iterative_pruning(model, trainer(model, 1, log), rounds=9):
        if each.index == 2:
            break
    assert len(log) == 3


@pytest.mark.parametrize(("options", "words"), [
    ({"rounds": 0}, "rounds must be"),
    ({"rounds": 1, "rewind_epoch": -1}, "rewind_epoch"),
    ({"rounds": 2, "rewind_epoch": 9}, "must report epoch 9"),
    ({"rounds": 2, "fraction": 1.2}, "fraction"),
])  # fmt: skip
def test_searches_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    model = network()
    with pytest.raises(ValueError, match=words):
        list(iterative_pruning(model, trainer(model, 1, []), **options))


def test_a_copy_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="other parameters"):
        rewind(network(), copy_parameters(nn.Linear(2, 2)), {})


def test_a_copy_of_other_shapes_is_refused_and_changes_nothing() -> None:
    """PyTorch would repeat one row over all of a weight."""
    model = nn.Linear(3, 2)
    before = copy_parameters(model)
    for kept, masks in (
        (before | {"weight": torch.zeros(1, 3)}, {}),
        ({name: value + 1 for name, value in before.items()}, {"weight": torch.ones(2, 3)}),
    ):
        with pytest.raises(ValueError, match="weight"):
            rewind(model, kept, masks)
        assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


@pytest.mark.parametrize("options", [{"fraction": math.nan}, {"fraction": 1.2}, {"scope": "row"}])
def test_what_cannot_be_pruned_is_refused_before_the_first_training(options: dict[str, Any]) -> None:
    model, log = network(), []
    with pytest.raises(ValueError, match=r"fraction|scope"):
        next(iterative_pruning(model, trainer(model, 1, log), rounds=2, **options))
    assert log == []
