"""Batch norms on a chip: statistics by hand, and a chip whose only fault is a gain."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from edgebook.crossbar import (
    WIRES,
    CrossbarConfig,
    Layout,
    norm_parameters,
    on_crossbar,
    power_law_drift,
    relative_deviation,
    tuning_cost,
    with_statistics,
)
from edgebook.spiking import spiking_vgg


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False),
        nn.BatchNorm2d(6, momentum=0.3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(6, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


def batches() -> list[Tensor]:
    return [seeded(8, 3, 8, 8, seed=seed) + seed for seed in range(4)]


def test_statistics_are_those_of_the_batches() -> None:
    """The first norm from the inputs it has, by hand; nothing of the statistics before is left."""
    model = net()
    model[1].running_mean.fill_(100.0)
    mapped = on_crossbar(model, CrossbarConfig(wires=WIRES["heavy"]))
    before = {name: value.clone() for name, value in mapped.state_dict().items()}
    adapted = with_statistics(mapped, iter(batches()))
    with torch.no_grad():
        inputs = torch.stack([mapped[0](x) for x in batches()]).transpose(1, 2).flatten(2)  # (4, 6, values)
    torch.testing.assert_close(adapted[1].running_mean, inputs.mean(2).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(adapted[1].running_var, inputs.var(2).mean(0), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in mapped.state_dict().items())
    assert adapted[1].momentum == 0.3 and not any(m.training for m in adapted.modules())


def test_the_second_norm_sees_what_the_first_gives_in_training() -> None:
    model, x = net(), batches()
    adapted = with_statistics(model, x)
    reference = copy.deepcopy(model)
    reference[1].train()  # batch statistics, dropout off
    with torch.no_grad():
        inputs = torch.stack([reference[:5](images) for images in x]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(adapted[5].running_var, inputs.var(2).mean(0), rtol=1e-4, atol=1e-5)


def test_a_faded_chip_is_restored() -> None:
    """Half of all conductances is lost, and with it a factor that normalisation ignores."""
    config = CrossbarConfig(Layout(weight_bits=24, cell_bits=12), drift=partial(power_law_drift, mean=0.05), time=1e6)
    model, x = net(), seeded(16, 3, 8, 8, seed=9)
    for norm in (model[1], model[5]):
        norm.eps = 1e-12
    wanted = with_statistics(model, batches())(x)
    mapped = on_crossbar(model, config)
    torch.testing.assert_close(with_statistics(mapped, batches())(x), wanted, rtol=1e-4, atol=1e-5)
    assert (mapped(x) - wanted).abs().max() > 0.1


def test_noise_is_drawn_meanwhile() -> None:
    """Noisy reads add their variance to that of the inputs of a norm."""
    read = partial(relative_deviation, sigma=0.5)
    many = [seeded(8, 3, 8, 8, seed=seed) + seed % 4 for seed in range(40)]  # noise is the same for a whole batch
    quiet, noisy = (with_statistics(on_crossbar(net(), CrossbarConfig(read=noise)), many) for noise in (None, read))
    assert (noisy[1].running_var > 1.02 * quiet[1].running_var).all()


def test_the_mode_is_kept() -> None:
    model = net().train()
    model[5].eval()
    modes = [m.training for m in model.modules()]
    adapted = with_statistics(model, batches())
    assert [m.training for m in adapted.modules()] == modes == [m.training for m in model.modules()]


def test_parameters_are_scales_and_shifts() -> None:
    norm = nn.BatchNorm2d(6)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.BatchNorm2d(6, affine=False), norm, nn.BatchNorm1d(4))
    found = norm_parameters(model)
    assert [id(p) for p in found] == [id(p) for p in (norm.weight, norm.bias, model[4].weight, model[4].bias)]


def test_norms_of_other_kinds_are_tuned_too() -> None:
    norms = [nn.GroupNorm(1, 2), nn.LayerNorm(3), nn.InstanceNorm2d(4, affine=True), nn.RMSNorm(5), nn.SyncBatchNorm(6)]
    assert [len(p) for p in norm_parameters(nn.Sequential(*norms))] == [2, 2, 3, 3, 4, 4, 5, 6, 6]


def test_a_network_with_computed_weights_can_be_adapted() -> None:
    """Pruned by the hook, or by hand."""
    model = net()
    other = copy.deepcopy(model)
    prune.l1_unstructured(model[4], "weight", 0.5)
    with torch.no_grad():
        other[4].weight.mul_(model[4].weight_mask)
    adapted, wanted = with_statistics(model, batches()), with_statistics(other, batches())
    torch.testing.assert_close(adapted[5].running_mean, wanted[5].running_mean)


def test_fine_tuning_moves_nothing_else() -> None:
    mapped = on_crossbar(net(), CrossbarConfig(wires=WIRES["medium"], read=partial(relative_deviation, sigma=0.1)))
    before = {name: value.clone() for name, value in mapped.named_parameters()}
    optimizer = torch.optim.SGD(norm_parameters(mapped.train()), lr=0.1)
    for x in batches():
        optimizer.zero_grad()
        mapped(x).square().sum().backward()
        optimizer.step()
    moved = {name for name, value in mapped.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"1.weight", "1.bias", "5.weight", "5.bias"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: with_statistics(nn.Conv2d(3, 4, 3), batches()), "no batch norm with running statistics"),
        (lambda: with_statistics(nn.BatchNorm2d(3, track_running_stats=False), batches()), "no batch norm with"),
        (lambda: with_statistics(net(), []), "At least one batch is needed"),
        (lambda: with_statistics(net(), [*batches(), seeded(0, 3, 8, 8)]), "needs at least one image"),
        (
            lambda: with_statistics(nn.Sequential(net(), nn.InstanceNorm2d(3, track_running_stats=True)), batches()),
            "Layer '1' is a InstanceNorm2d; only batch norms get new statistics",
        ),
        (lambda: norm_parameters(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False))), "no normalis"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("norm", ["batch", "td", "bntt"])
def test_norms_of_spiking_networks_are_norms(norm: str) -> None:
    """Statistics of the first norm by hand: the current of an image is normalised once, or at every step."""
    model = spiking_vgg((4, 4), in_channels=3, classes=2, steps=3, beta=0.5, norm=norm, xavier_gain=2.0).eval()
    model.first.norm.running_mean.fill_(100.0)
    per_norm = {"batch": 2 * 4, "td": 2 * 4, "bntt": 3 * 4}[norm]
    assert sum(p.numel() for p in norm_parameters(model)) == 2 * per_norm
    for tune, counted in (("norms", 2 * per_norm), ("statistics", 0)):
        cost = tuning_cost(model, (3, 8, 8), CrossbarConfig(), tune=tune)
        assert (cost.parameters, cost.statistics) == (counted, 48 if norm == "bntt" else 16)
    adapted = with_statistics(model, batches())
    with torch.no_grad():
        currents = torch.stack([model.first.weights(x) for x in batches()]).transpose(1, 2).flatten(2)  # (4, 4, values)
    mean, var = currents.mean(2).mean(0), currents.var(2).mean(0)
    torch.testing.assert_close(
        adapted.first.norm.running_mean, mean.expand_as(adapted.first.norm.running_mean), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        adapted.first.norm.running_var, var.expand_as(adapted.first.norm.running_var), rtol=1e-4, atol=1e-5
    )
    assert adapted.features[0].norm.running_mean.any() and not model.features[0].norm.running_mean.any()
