"""The training loop against a hand-written one, and its promises about order, schedule and stopping."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
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


@pytest.mark.parametrize("bad", ["none", "labels", "logits", "model"])
def test_accuracy_leaves_every_mode_as_it_was_also_where_it_fails(bad: str) -> None:
    x, y = _data()
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4).eval(), nn.Dropout(), nn.Linear(4, 2))
    modes = [module.training for module in model.modules()]
    if bad == "logits":
        model.append(nn.Unflatten(1, (1, 2)))
    with nullcontext() if bad == "none" else pytest.raises((ValueError, RuntimeError)):
        accuracy(model, x[:, :, :1] if bad == "model" else x, y + 5 if bad == "labels" else y)
    assert [module.training for module in model.modules()][: len(modes)] == modes


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.int32])
def test_accuracy_counts_as_scikit_learn_does_for_labels_of_any_integer_type(kind: torch.dtype) -> None:
    x, y = _data()
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    expected = 100 * accuracy_score(y, model(x).argmax(1))
    assert accuracy(model, x, y.to(kind), batch_size=np.int64(7)) == pytest.approx(expected)
    assert accuracy(model, x, y, batch_size=len(x)) == pytest.approx(expected)


class _Given(nn.Module):
    """Returns what it was made with, for as many images as come in."""

    def __init__(self, logits: object) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: torch.Tensor) -> object:
        return self.logits[: len(x)] if isinstance(self.logits, torch.Tensor) else self.logits


TWO = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("logits", "labels", "sentence"),
    [
        (torch.eye(2), TWO[:, None], r"labels must be 2 integers, got torch.int64 of the shape \(2, 1\)"),
        (torch.eye(2), F.one_hot(TWO, 2), r"labels must be 2 integers, got torch.int64 of the shape \(2, 2\)"),
        (torch.eye(2), torch.eye(2), "labels must be 2 integers, got torch.float32"),
        (torch.eye(2), TWO.float(), "labels must be 2 integers, got torch.float32"),
        (torch.eye(2), TWO + 1, "labels must lie between 0 and 1, as the model has 2 classes"),
        (torch.eye(2), TWO - 100, "labels must lie between 0 and 1"),
        (torch.ones(2, 1), TWO, "labels must lie between 0 and 0, as the model has 1 classes"),
        (torch.eye(2), TWO[:0], "one label each"),
        (torch.ones(2, 2, 3), TWO, r"must return logits \(2, classes\) of 2 images, got \(2, 2, 3\)"),
        (torch.ones(2), TWO, r"must return logits \(2, classes\) of 2 images, got \(2,\)"),
        (torch.ones(1, 2), TWO, r"must return logits \(2, classes\) of 2 images, got \(1, 2\)"),
        ((torch.eye(2),), TWO, "must return logits .* got tuple"),
        (torch.tensor([[0.0, 1.0], [math.nan, 1.0]]), TWO, "hold a NaN"),
    ],
)
def test_what_is_no_share_of_right_labels_is_one_sentence(logits: object, labels: torch.Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        accuracy(_Given(logits), torch.ones(2, 1, 1, 1), labels)


@pytest.mark.parametrize("size", [0, -3, 2.5, True, None, "7"])
def test_a_number_of_images_at_a_time_is_a_whole_one(size: object) -> None:
    x, y = _data()
    for call in (accuracy, partial(fit, epochs=1)):
        with pytest.raises(ValueError, match="batch_size must be"):
            call(_model(), x, y, batch_size=size)


def test_unlabelled_or_missing_images_are_refused() -> None:
    x, y = _data()
    with pytest.raises(ValueError, match="one label each"):
        fit(_model(), x, y[:-1], epochs=1)
    with pytest.raises(ValueError, match="two images"):
        fit(_model(), x[:1], y[:1], epochs=1)
    with pytest.raises(ValueError, match="one label each"):
        accuracy(_model(), x[:0], y[:0])
    for call in (accuracy, partial(fit, epochs=1)):
        for labels in (y.tolist(), y.numpy(), torch.tensor(0)):
            with pytest.raises(TypeError, match="y must be a tensor with one entry for each image"):
                call(_model(), x, labels)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"schedule": "cosin"}, "schedule must be one of constant, cosine, got 'cosin'"),
        ({"schedule": None}, "schedule must be one of constant, cosine"),
        ({"epochs": -1}, "epochs must be at least 0, got -1"),
        ({"epochs": 1.5}, "epochs must be a whole number, got 1.5"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"batch_size": 1}, "30 images in batches of at most 1 leave one alone"),
    ],
)
def test_a_training_that_cannot_be_meant_is_refused_before_anything_moves(options: dict, sentence: str) -> None:
    x, y = _data()
    model = _model()
    with pytest.raises(ValueError, match=sentence):
        fit(model, x, y, **{"epochs": 1, **options})
    assert not model[1].weight.any()


def test_whole_numbers_may_be_numpys_and_a_constant_rate_stays() -> None:
    x, y = _data()
    weights = []
    for epochs, size, seed in ((2, 7, 3), (np.int64(2), np.int32(7), np.uint8(3))):
        model = _model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        done = fit(model, x, y, epochs=epochs, batch_size=size, seed=seed, schedule="constant", optimizer=optimizer)
        assert done == 2 and type(done) is int
        assert optimizer.param_groups[0]["lr"] == 0.1
        weights.append(model[1].weight.detach())
    assert torch.equal(*weights)
