"""SNIP scores against finite differences of the loss in the mask, and against a closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgebook.compression import keep_largest, layer_density, prunable_weights, snip_scores
from edgebook.networks import initialised, vgg_architecture


def images(count: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return x, torch.arange(count) % 3


def smooth_network(batch_norm: bool) -> nn.Module:
    """A convolutional network without kinks, so that differences converge."""
    family = vgg_architecture((3, 4), in_channels=1, classes=3, batch_norm=batch_norm)
    model = initialised(family.build, family.widths, 0).double().to(memory_format=torch.contiguous_format)
    for unit in model.features:
        unit.relu = nn.Softplus()
    return model


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_scores_are_differences_of_the_loss_in_the_mask(batch_norm: bool, training: bool) -> None:
    model, (x, y) = smooth_network(batch_norm).train(training), images()
    scores, step = snip_scores(model, [(x, y)]), 1e-5
    for name, weight in prunable_weights(model).items():
        flat = scores[name].flatten()
        for position in range(0, weight.numel(), 5):
            losses = []
            for shift in (step, -step):
                mask = torch.ones_like(weight)
                mask.view(-1)[position] += shift
                pruned = {name: mask * weight}
                losses.append(F.cross_entropy(torch.func.functional_call(model, pruned, (x,)), y).item())
            expected = abs(losses[0] - losses[1]) / (2 * step)
            assert float(flat[position]) == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_a_linear_layer_has_a_closed_form() -> None:
    model, x = nn.Linear(3, 1, bias=False).double(), torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0]]).double()
    scores = snip_scores(model, [(x, torch.zeros(2))], loss=lambda out, _: out.mean())
    torch.testing.assert_close(scores["weight"], (model.weight * x.mean(0)).abs().detach())


def test_gradients_are_averaged_before_their_size_is_taken() -> None:
    model, (x, y) = smooth_network(False), images(10)
    whole = snip_scores(model, [(x, y)])
    parts = snip_scores(model, [(x[:3], y[:3]), (x[3:], y[3:])])
    assert all(torch.allclose(whole[name], parts[name], atol=1e-12) for name in whole)


def test_the_network_is_left_as_it_was() -> None:
    model, (x, y) = smooth_network(True), images()
    F.cross_entropy(model(x), y).backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    snip_scores(model, [(x, y)])
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(g, p.grad) for g, p in zip(gradients, model.parameters(), strict=True))


def test_frozen_weights_have_scores_too_also_without_gradients() -> None:
    model, (x, y) = smooth_network(True).eval(), images()
    expected = snip_scores(model, [(x, y)])
    for parameter in list(model.parameters())[::2]:
        parameter.requires_grad_(False)
    with torch.no_grad():
        scores = snip_scores(model, [(x, y)])
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


def test_a_shared_weight_is_scored_once_by_all_its_uses() -> None:
    first, second = nn.Linear(2, 2, bias=False).double(), nn.Linear(2, 2, bias=False).double()
    second.weight = first.weight
    x, weight = torch.tensor([[1.0, 2.0]]).double(), first.weight.detach().clone().requires_grad_()
    (F.linear(F.linear(x, weight), weight)).sum().backward()
    scores = snip_scores(nn.Sequential(first, second), [(x, x)], loss=lambda out, _: out.sum())
    assert list(scores) == ["0.weight"]
    torch.testing.assert_close(scores["0.weight"], (weight * weight.grad).abs().detach())


def test_scores_of_half_precision_do_not_vanish() -> None:
    """A weight of 1e-4 and a gradient of 1e-5: their product is 0 in float16."""
    model, x = nn.Linear(1, 1, bias=False).half(), torch.full((2, 1), 1e-5).half()
    nn.init.constant_(model.weight, 1e-4)
    scores = snip_scores(model, [(x, x)], loss=lambda out, _: out.mean())
    assert scores["weight"].item() == pytest.approx(1e-9, rel=0.02)


def test_scores_that_are_not_finite_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"The scores of 0\.weight must be .* finite"):
        snip_scores(model, [(torch.full((2, 1), float("inf")), torch.zeros(2))], loss=lambda out, _: out.mean())


def test_a_pass_that_fails_leaves_the_network_as_it_was() -> None:
    model, (x, y) = smooth_network(True).train(), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="channels"):
        snip_scores(model, [(x, y), (x.expand(-1, 2, -1, -1), y)])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_layer_that_the_loss_does_not_see_scores_zero() -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    scores = snip_scores(Blind(), [(torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))])
    assert float(scores["unused.weight"].sum()) == 0
    assert layer_density(keep_largest(scores, 2))["unused.weight"] == 0  # collapsed


def test_scores_rank_what_the_loss_needs() -> None:
    """Of two inputs only the first carries the label; its weights must survive."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    x = torch.stack([2.0 * labels - 1, torch.randn(200, generator=generator)], dim=1)
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.fill_(0.1)
    kept = keep_largest(snip_scores(model, [(x, labels)]), 2)
    assert kept["weight"].tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize("batches", [[], [(torch.zeros(0, 1, 6, 6), torch.zeros(0, dtype=torch.long))]])
def test_a_gradient_needs_images(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    with pytest.raises(ValueError, match="At least one image"):
        snip_scores(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), batches)
