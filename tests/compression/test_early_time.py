"""The KL rule against scipy and a closed form; what its arithmetic can and cannot choose."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy
from torch import nn

from edgebook.compression import divergence_curve, normalise_curve, pick_timestep, select_early_timestep

CURVES = st.lists(st.floats(0, 10), min_size=1, max_size=6).map(lambda values: [*values, 0.0])


def some_logits(steps: int = 5, batch: int = 7, classes: int = 4, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(steps, batch, classes, generator=torch.Generator().manual_seed(seed))


def test_the_curve_is_scipys_relative_entropy() -> None:
    logits = some_logits()
    means = logits.double().numpy().cumsum(0) / np.arange(1, 6)[:, None, None]
    p = softmax(means, axis=-1)
    expected = [np.mean(entropy(p[t], p[-1], axis=-1)) for t in range(1, 5)]
    np.testing.assert_allclose(divergence_curve(logits), expected, atol=1e-12)


def test_two_classes_have_a_closed_form() -> None:
    logits = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]], [[4.0, 0.0]]])  # running means 0, 1, 2
    p, q = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert divergence_curve(logits) == pytest.approx([expected, 0.0])


@given(st.integers(2, 6), st.integers(0, 999))
def test_curves_are_not_negative_and_end_at_zero(steps: int, seed: int) -> None:
    curve = divergence_curve(some_logits(steps, seed=seed))
    assert len(curve) == steps - 1
    assert min(curve) >= 0
    assert curve[-1] == 0


def test_a_constant_added_to_all_logits_of_an_image_changes_nothing() -> None:
    logits = some_logits()
    assert divergence_curve(logits + 3.0) == pytest.approx(divergence_curve(logits), abs=1e-6)


@given(CURVES, st.floats(0, 1))
def test_the_papers_rule_cannot_return_its_first_candidate(curve: list[float], threshold: float) -> None:
    if curve[0] > 0:
        assert pick_timestep(curve, threshold=threshold) > 2


def test_the_threshold_itself_is_not_below() -> None:
    assert pick_timestep([1.0, 0.6, 0.0], threshold=0.6) == 4
    assert pick_timestep([1.0, 1.0, 0.0], threshold=1.0) == 4


@given(CURVES, st.floats(1.001, 5))
def test_above_one_it_always_does(curve: list[float], threshold: float) -> None:
    assert pick_timestep(curve, threshold=threshold) == 2


@given(CURVES, st.floats(0, 2))
def test_the_choice_is_the_first_below_the_threshold(curve: list[float], threshold: float) -> None:
    if curve[0] > 0:
        below = [t for t, value in enumerate(curve, start=2) if value / curve[0] < threshold]
        assert pick_timestep(curve, threshold=threshold) == (below[0] if below else len(curve) + 1)


@given(CURVES, st.floats(0, 1.5), st.floats(0, 1.5))
def test_a_stricter_threshold_never_stops_earlier(curve: list[float], one: float, two: float) -> None:
    strict, loose = sorted((one, two))
    assert pick_timestep(curve, threshold=strict) >= pick_timestep(curve, threshold=loose)


def test_a_threshold_of_zero_falls_back_to_all_steps() -> None:
    assert pick_timestep([0.5, 0.1, 0.0], threshold=0.0) == 4


def test_where_nothing_differs_the_first_candidate_is_as_good() -> None:
    logits = torch.zeros(4, 2, 3)
    assert divergence_curve(logits) == [0, 0, 0]
    assert pick_timestep([0.0, 0.0, 0.0]) == 2
    assert normalise_curve([0.0, 0.0]) == [0.0, 0.0]


class Steps(nn.Module):
    """A batch norm and one gain per step."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.gains = nn.BatchNorm1d(4), torch.tensor([0.1, 0.5, 2.0, 1.0, 1.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gains[:, None, None] * self.norm(x)


@pytest.mark.parametrize("training", [True, False])
def test_the_selection_returns_the_whole_curve_and_leaves_the_network_alone(training: bool) -> None:
    model, images = Steps().train(training), torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = select_early_timestep(model, images)
    assert model.training is training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    logits = model.gains[:, None, None] * images / (1 + 1e-5) ** 0.5  # evaluation mode: fresh running statistics
    assert found.curve == pytest.approx(divergence_curve(logits), abs=1e-6)
    assert normalise_curve(found.curve) == pytest.approx([value / found.curve[0] for value in found.curve])
    assert found.steps == pick_timestep(found.curve)


def test_the_mode_is_restored_also_where_the_network_fails() -> None:
    model = nn.Sequential(Steps(), nn.Dropout()).train()
    model[0].norm.eval()
    modes = [module.training for module in model.modules()]
    for images in (torch.zeros(3, 9), torch.zeros(3, 4)):
        with pytest.raises(RuntimeError) if images.shape[1] == 9 else nullcontext():
            select_early_timestep(model, images)
        assert [module.training for module in model.modules()] == modes


def test_any_callable_will_do_and_batches_do_not_matter() -> None:
    logits = some_logits(batch=1100)
    sizes = []

    def model(indices: torch.Tensor) -> torch.Tensor:
        sizes.append(len(indices))
        return logits[:, indices]

    assert select_early_timestep(model, torch.arange(1100)).curve == pytest.approx(divergence_curve(logits))
    assert sum(sizes) == 1100 and len(sizes) > 1


def test_a_closed_form_selection() -> None:
    targets = [8.0, 2.0, 1.0, 0.5, 0.0]  # logit of class 0 by step, relative to the end: running means fall to it
    means = torch.tensor(targets)
    sums = means * torch.arange(1, 6)
    logits = torch.stack([sums, torch.zeros(5)], dim=-1).diff(dim=0, prepend=torch.zeros(1, 2))[:, None, :]
    p = [1 / (1 + math.exp(-m)) for m in targets]
    kl = [a * math.log(a / 0.5) + (1 - a) * math.log((1 - a) / 0.5) for a in p[1:]]
    found = select_early_timestep(lambda _: logits.double(), torch.zeros(1), threshold=kl[1] / kl[0] + 1e-6)
    assert found.curve == pytest.approx(kl, abs=1e-6)
    assert found.steps == 3
    assert select_early_timestep(lambda _: logits.double(), torch.zeros(1), threshold=kl[1] / kl[0] - 1e-6).steps == 4


def test_bad_requests_are_named() -> None:
    logits = some_logits()
    for words, act in [
        ("shape", lambda: divergence_curve(logits[0])),
        ("shape", lambda: divergence_curve(logits[:, :0])),
        ("finite", lambda: divergence_curve(logits / 0)),
        ("2 or more", lambda: divergence_curve(logits[:1])),
        ("threshold", lambda: pick_timestep([1.0], threshold=-1)),
        ("at least one value", lambda: pick_timestep([])),
    ]:
        with pytest.raises(ValueError, match=words):
            act()
