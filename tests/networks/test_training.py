"""The training loop against a hand-written one, and its promises about order, schedule and stopping."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgebook.networks import accuracy, fit


def _data(n: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 1, 2, 2, generator=generator)
    return x, (x.sum(dim=(1, 2, 3)) > 0).long()


def _model() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    return model


def test_one_full_batch_of_gradient_descent_by_hand() -> None:
    x, y = _data()
    model = _model()
    fit(model, x, y, epochs=1, batch_size=len(x), optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    flat = x.flatten(1)
    errors = torch.full((len(x), 2), 0.5) - F.one_hot(y, 2)  # softmax of zero logits minus the labels
    torch.testing.assert_close(model[1].weight.detach(), -0.5 * errors.T @ flat / len(x))
    torch.testing.assert_close(model[1].bias.detach(), -0.5 * errors.mean(0))


def test_another_loss_takes_the_place_of_cross_entropy() -> None:
    x, y = _data()
    model = _model()

    def squares(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (logits[:, 0] - labels).square().sum() / 2

    fit(model, x, y, epochs=1, batch_size=len(x), optimizer=torch.optim.SGD(model.parameters(), lr=0.5), loss=squares)
    torch.testing.assert_close(model[1].weight[0].detach(), 0.5 * y.float() @ x.flatten(1))  # from zero weights
    assert not model[1].weight[1].any()


def test_cosine_schedule_falls_from_the_peak_towards_zero() -> None:
    x, y = _data(20)
    model = _model()
    seen: list[float] = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda opt, *_: seen.append(opt.param_groups[0]["lr"]))
    fit(model, x, y, epochs=4, batch_size=10, optimizer=optimizer)
    assert seen == pytest.approx([0.1 * (0.5 + 0.5 * math.cos(math.pi * step / 8)) for step in range(8)])


def test_every_image_is_seen_once_an_epoch_and_no_batch_holds_one_alone() -> None:
    x, y = _data(21)
    sizes: list[int] = []
    model = _model()
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    fit(model, x, y, epochs=3, batch_size=20)
    assert sum(sizes) == 3 * 21
    assert min(sizes) > 1


def test_same_seed_same_weights_other_seed_other_order() -> None:
    x, y = _data()
    weights = []
    for seed in (1, 1, 2):
        model = _model()
        fit(model, x, y, epochs=2, batch_size=7, seed=seed)
        weights.append(model[1].weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_callback_ends_the_training() -> None:
    x, y = _data()
    assert fit(_model(), x, y, epochs=9, on_epoch=lambda epoch: epoch == 3) == 3
    assert fit(_model(), x, y, epochs=0) == 0


def test_accuracy_counts_and_keeps_the_mode() -> None:
    x, y = _data()
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4, 2)).train()
    nn.init.constant_(model[2].weight[0], -1)
    nn.init.constant_(model[2].weight[1], 1)
    nn.init.zeros_(model[2].bias)
    assert accuracy(model, x, y, batch_size=7) == 100.0
    assert accuracy(model, x, 1 - y) == 0.0
    assert model.training


def test_unlabelled_or_missing_images_are_refused() -> None:
    x, y = _data()
    with pytest.raises(ValueError, match="one label each"):
        fit(_model(), x, y[:-1], epochs=1)
    with pytest.raises(ValueError, match="two images"):
        fit(_model(), x[:1], y[:1], epochs=1)
    with pytest.raises(ValueError, match="one label each"):
        accuracy(_model(), x[:0], y[:0])
