"""Training with masks against the loop that all notebooks share, and its loss against one step at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from edgebook.compression import dense_masks, prune_by_magnitude, step_cross_entropy, train_masked
from edgebook.networks import fit


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))


def examples(count: int = 50) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 6, generator=generator), torch.randint(0, 3, (count,), generator=generator)


OPTIONS = {"epochs": 4, "batch_size": 8, "seed": 3}


def test_loss_is_the_mean_of_the_losses_of_the_steps() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, 3, generator=generator)
    labels = torch.randint(0, 3, (7,), generator=generator)
    one_by_one = sum(F.cross_entropy(step, labels) for step in logits) / 5
    assert step_cross_entropy(logits, labels) == pytest.approx(one_by_one.item(), rel=1e-6)


@pytest.mark.parametrize("shape", [(7, 3), (5, 6, 3)])
def test_loss_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="steps, batch, classes"):
        step_cross_entropy(torch.zeros(shape), torch.zeros(7, dtype=torch.int64))


def test_without_pruning_it_is_the_shared_loop_with_sgd() -> None:
    ours, other = network(), network()
    x, y = examples()
    trained = train_masked(ours, x, y, dense_masks(ours), lr=0.1, loss=F.cross_entropy, **OPTIONS)
    fit(other, x, y, optimizer=torch.optim.SGD(other.parameters(), 0.1, 0.9, weight_decay=5e-4), **OPTIONS)
    assert trained == 4
    for one, two in zip(ours.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_pruned_weights_stay_zero_and_others_move() -> None:
    model = network()
    masks = prune_by_magnitude(model, dense_masks(model), 0.6)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_masked(model, *examples(), masks, lr=0.3, loss=F.cross_entropy, **OPTIONS)
    for name, parameter in model.named_parameters():
        alive = masks.get(name, torch.ones_like(parameter, dtype=torch.bool))
        assert not parameter[~alive].any()
        assert (parameter[alive] != before[name][alive]).any()


def test_released_schedule_is_zero_at_half_time_and_climbs_back() -> None:
    model, rates = network(), []
    watch = register_optimizer_step_post_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    with_steps_of_one_batch = {"epochs": 8, "batch_size": 20, "loss": F.cross_entropy}
    try:
        train_masked(model, *examples(20), {}, lr=0.2, speed=2, **with_steps_of_one_batch)
    finally:
        watch.remove()
    assert rates == pytest.approx([0.1 * (1 + math.cos(2 * math.pi * e / 8)) for e in range(8)])
    assert rates[4] == pytest.approx(0, abs=1e-12)


def test_a_callback_ends_training_and_may_evaluate() -> None:
    model, seen = network(), []

    def on_epoch(epoch: int) -> bool:
        model.eval()
        seen.append(epoch)
        return epoch == 2

    assert train_masked(model, *examples(), {}, lr=0.1, loss=F.cross_entropy, on_epoch=on_epoch, **OPTIONS) == 2
    assert seen == [1, 2]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="At least two images"):
        train_masked(network(), torch.zeros(1, 6), torch.zeros(1, dtype=torch.int64), {}, epochs=1, lr=0.1)
