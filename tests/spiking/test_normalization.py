"""The batch norms against PyTorch's, called as each is defined, and BNTT against snnTorch's list of layers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from edgebook.spiking.normalization import StepBatchNorm, TemporalBatchNorm, ThresholdBatchNorm

STEPS, BATCH, CHANNELS = 4, 6, 3


def sequence(seed: int = 0, space: tuple[int, ...] = (5, 5)) -> Tensor:
    """A sequence whose mean and spread change from step to step and from channel to channel."""
    x = torch.randn(STEPS, BATCH, CHANNELS, *space, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    level = torch.arange(STEPS * CHANNELS, dtype=torch.float64).reshape(STEPS, 1, CHANNELS, *[1] * len(space))
    return x * (1 + level) + level


def shaken(layer: nn.Module) -> nn.Module:
    """Give every parameter another value, so that none can be forgotten."""
    chance = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += torch.rand(parameter.shape, generator=chance)
    return layer.double()


def gradients(y: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=y.dtype)
    return torch.autograd.grad(y, leaves, weights)


def close(have: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    for a, b in zip(have, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_the_shared_norm_is_pytorchs_called_at_every_step() -> None:
    have, wanted = shaken(StepBatchNorm(CHANNELS)), shaken(nn.BatchNorm2d(CHANNELS))
    for seed in range(2):
        x = sequence(seed).requires_grad_()
        ours, theirs = have(x), torch.stack([wanted(step) for step in x])
        close((ours,), (theirs,))
        close(gradients(ours, x, *have.parameters()), gradients(theirs, x, *wanted.parameters()))
        close((have.running_mean, have.running_var), (wanted.running_mean, wanted.running_var))
    have.eval(), wanted.eval()
    close((have(sequence(3)),), (torch.stack([wanted(step) for step in sequence(3)]),))


@pytest.mark.parametrize("alpha", [1.0, 0.5**0.5])
def test_the_threshold_norm_is_the_formula_over_all_steps(alpha: float) -> None:
    layer, x, theta = shaken(ThresholdBatchNorm(CHANNELS, 0.8, alpha)), sequence().requires_grad_(), 0.8
    gamma, delta = (p.reshape(1, 1, CHANNELS, 1, 1) for p in (layer.weight, layer.bias))
    mean, var = (f(dim=(0, 1, 3, 4), keepdim=True) for f in (x.mean, lambda **kw: x.var(correction=0, **kw)))
    wanted = gamma * alpha * theta * (x - mean) / (var + 1e-5).sqrt() + delta
    have = layer(x)
    close((have,), (wanted,))
    close(gradients(have, x, *layer.parameters()), gradients(wanted, x, *layer.parameters()))
    close((layer.running_mean,), (0.1 * mean.flatten(),))
    unbiased = x.var(dim=(0, 1, 3, 4))
    close((layer.running_var,), (0.9 + 0.1 * unbiased,))
    layer.eval()
    spread = (layer.running_var.reshape(gamma.shape) + 1e-5).sqrt()
    close((layer(x),), (gamma * alpha * theta * (x - layer.running_mean.reshape(gamma.shape)) / spread + delta,))


def test_the_norm_through_time_is_a_norm_per_step() -> None:
    have = shaken(TemporalBatchNorm(CHANNELS, STEPS))
    wanted = [nn.BatchNorm2d(CHANNELS, eps=1e-4).double() for _ in range(STEPS)]
    for layer, weight in zip(wanted, have.weight, strict=True):
        layer.weight.data.copy_(weight.data)
    for seed in range(2):
        x = sequence(seed).requires_grad_()
        ours, theirs = have(x), torch.stack([layer(step) for layer, step in zip(wanted, x, strict=True)])
        close((ours,), (theirs,))
        grads = gradients(theirs, x, *[layer.weight for layer in wanted])
        close(gradients(ours, x, have.weight), (grads[0], torch.stack(grads[1:])))
        close((have.running_mean,), (torch.stack([layer.running_mean for layer in wanted]),))
        close((have.running_var,), (torch.stack([layer.running_var for layer in wanted]),))
    have.eval()
    theirs = torch.stack([layer.eval()(step) for layer, step in zip(wanted, sequence(3), strict=True)])
    close((have(sequence(3)),), (theirs,))
    assert [name for name, _ in have.named_parameters()] == ["weight"]  # no shift


def test_the_norm_through_time_is_snntorchs() -> None:
    snn = pytest.importorskip("snntorch")
    theirs = snn.BatchNormTT2d(CHANNELS, STEPS, eps=1e-4)
    ours = TemporalBatchNorm(CHANNELS, STEPS)
    x = sequence().float()
    torch.testing.assert_close(ours(x), torch.stack([theirs[t](step) for t, step in enumerate(x)]))


def test_a_shorter_sequence_uses_the_first_steps_and_a_longer_one_is_refused() -> None:
    layer = shaken(TemporalBatchNorm(CHANNELS, STEPS))
    layer(sequence())
    layer.eval()
    assert torch.equal(layer(sequence(1)[:2]), layer(sequence(1))[:2])
    with pytest.raises(ValueError, match="knows 4 steps, got a sequence of 5"):
        layer(torch.cat([sequence(), sequence()])[:5])


@pytest.mark.parametrize("space", [(), (7,), (2, 3, 4)], ids=str)
def test_any_number_of_axes_in_space(space: tuple[int, ...]) -> None:
    x = sequence(space=space)
    axes = [1, *range(3, x.ndim)]
    through_time = TemporalBatchNorm(CHANNELS, STEPS)
    through_time.eps = 1e-5
    for layer in (StepBatchNorm(CHANNELS), through_time):
        y = layer.double()(x)
        close((y.mean(dim=axes),), (torch.zeros(STEPS, CHANNELS, dtype=torch.float64),))
        torch.testing.assert_close(y.var(dim=axes, correction=0), torch.ones_like(y.mean(axes)), rtol=0, atol=1e-4)
    pooled = ThresholdBatchNorm(CHANNELS).double()(x)
    close((pooled.mean(dim=[0, *axes]),), (torch.zeros(CHANNELS, dtype=torch.float64),))


def test_the_three_differ() -> None:
    x = sequence()
    layers = (StepBatchNorm(CHANNELS), ThresholdBatchNorm(CHANNELS), TemporalBatchNorm(CHANNELS, STEPS))
    step, pooled, through_time = (layer.double()(x) for layer in layers)
    assert not torch.allclose(step, pooled, atol=0.1)
    torch.testing.assert_close(step, through_time, rtol=0, atol=1e-3)  # before training, up to eps
    step, pooled, through_time = (layer.eval()(x) for layer in layers)
    assert not torch.allclose(step, through_time, atol=0.1)


@pytest.mark.parametrize("layer", [StepBatchNorm(3), ThresholdBatchNorm(3), TemporalBatchNorm(3, 4)], ids=str)
@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 5, 1, 1)], ids=str)
def test_inputs_of_another_shape_are_refused(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Inputs must be \(steps, batch, 3, ...\)"):
        layer(torch.ones(shape))


def test_what_cannot_be_made() -> None:
    for make in (lambda: StepBatchNorm(0), lambda: TemporalBatchNorm(3, 0)):
        with pytest.raises(ValueError, match="at least one channel and one step"):
            make()
    with pytest.raises(ValueError, match="must be above 0"):
        ThresholdBatchNorm(3, 0.0)


MAKERS: dict[str, Any] = {
    "step": lambda **options: StepBatchNorm(CHANNELS, **options),
    "threshold": lambda **options: ThresholdBatchNorm(CHANNELS, 0.8, **options),
    "temporal": lambda **options: TemporalBatchNorm(CHANNELS, STEPS, **options),
}
three = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def by_pytorch(layer: nn.Module, **options: Any) -> list[nn.BatchNorm2d]:
    """Return PyTorch's norms that see the batches of a layer, one that sees all of them or one for each step."""
    count = STEPS if isinstance(layer, TemporalBatchNorm) else 1
    return [nn.BatchNorm2d(CHANNELS, eps=layer.eps, **options).double() for _ in range(count)]


def show(norms: list[nn.BatchNorm2d], layer: nn.Module, x: Tensor) -> None:
    if isinstance(layer, ThresholdBatchNorm):
        norms[0](x.flatten(0, 1))
    else:
        for t, step in enumerate(x):
            norms[t % len(norms)](step)


def statistics(norms: list[nn.BatchNorm2d]) -> tuple[Tensor, ...]:
    return tuple(torch.stack([getattr(n, name) for n in norms]).squeeze(0) for name in ("running_mean", "running_var"))


@three
@pytest.mark.parametrize("momentum", [None, 0.1, 0.7, 1.0])
def test_momentum_is_that_of_pytorch(make: Any, momentum: float | None) -> None:
    """Without one, the statistics are means over all batches so far, however short a sequence was."""
    layer = make(momentum=momentum).double()
    norms = by_pytorch(layer, momentum=momentum)
    for seed, steps in ((0, STEPS), (1, 2), (2, 3)):
        show(norms, layer, sequence(seed)[:steps])
        layer(sequence(seed)[:steps])
        close((layer.running_mean, layer.running_var), statistics(norms))
    assert str(momentum) in repr(layer)


@three
@pytest.mark.parametrize("way", ["state", "copy", "pickle"])
def test_a_mean_over_batches_goes_on_where_it_stopped(make: Any, way: str) -> None:
    layer = make(momentum=None).double()
    norms = by_pytorch(layer, momentum=None)
    layer(sequence(0)), show(norms, layer, sequence(0))
    if way == "state":
        resumed = make(momentum=None).double()
        resumed.load_state_dict(layer.state_dict(), strict=True)
    else:
        resumed = copy.deepcopy(layer) if way == "copy" else pickle.loads(pickle.dumps(layer))
    resumed(sequence(1)), show(norms, layer, sequence(1))
    close((resumed.running_mean, resumed.running_var), statistics(norms))


@three
def test_a_state_holds_the_count_only_where_it_decides_something(make: Any) -> None:
    state = make().state_dict()
    assert set(state) == {"weight", "bias", "running_mean", "running_var"} - (
        {"bias"} if make().bias is None else set()
    )
    make().load_state_dict(state, strict=True)
    assert "num_batches_tracked" in make(momentum=None).state_dict()
    make().load_state_dict(make(momentum=None).state_dict(), strict=True)
    with pytest.raises(RuntimeError, match=r"Missing key.*num_batches_tracked"):
        make(momentum=None).load_state_dict(state, strict=True)
    with torch.device("meta"):
        empty = make()
    empty.load_state_dict(state, strict=True, assign=True)
    assert {buffer.device.type for buffer in empty.buffers()} == {"cpu"}


@three
def test_update_bn_of_pytorch_gives_the_mean_over_batches(make: Any) -> None:
    layer = make().double()
    layer(100 + sequence(9))  # what must be forgotten
    norms = by_pytorch(layer, momentum=None)
    for seed in range(3):
        show(norms, layer, sequence(seed))
    update_bn([sequence(seed) for seed in range(3)], layer.eval())
    close((layer.running_mean, layer.running_var), statistics(norms))
    assert layer.momentum == 0.1 and not layer.training


@three
def test_nothing_of_before_is_left_after_a_reset(make: Any) -> None:
    layer = shaken(make(momentum=None))
    layer(sequence()), layer.reset_parameters()
    fresh = make(momentum=None).double()
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in layer.state_dict().items())


@three
@pytest.mark.parametrize("way", ["torch.func", "track_running_stats"])
def test_without_running_statistics_a_batch_is_normalised_by_its_own(make: Any, way: str) -> None:
    layer, x = shaken(make()), sequence()
    kept = layer.running_mean
    wanted = copy.deepcopy(layer)(x)
    if way == "torch.func":
        torch.func.replace_all_batch_norm_modules_(layer)
        assert layer.running_mean is None
        close((layer.eval()(x),), (wanted,))
    else:
        layer.track_running_stats = False
    close((layer.train()(x),), (wanted,))
    assert not kept.any()


@three
def test_a_norm_of_samples_cannot_take_its_place(make: Any) -> None:
    """Channels would be taken for samples: with as many of one as of the other, nothing would fail."""
    with pytest.raises(ValueError, match=r"no norm of samples .*such as SyncBatchNorm, can take its place"):
        nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(make()))
    assert not hasattr(make(), "num_features")


def test_the_shared_norm_can_be_folded_into_a_convolution() -> None:
    norm, x = shaken(StepBatchNorm(CHANNELS)), sequence()
    norm(sequence(1))
    convolution = nn.Conv2d(CHANNELS, CHANNELS, 3).double()
    fused = nn.utils.fusion.fuse_conv_bn_eval(convolution.eval(), norm.eval())
    close((fused(x.flatten(0, 1)),), (norm(convolution(x.flatten(0, 1)).unflatten(0, x.shape[:2])).flatten(0, 1),))


def test_a_sequence_without_steps_is_refused() -> None:
    for make in MAKERS.values():
        with pytest.raises(ValueError, match="of at least one step"):
            make()(torch.ones(0, 2, CHANNELS))


def test_sizes_are_whole_numbers() -> None:
    assert StepBatchNorm(torch.tensor(3)).weight.shape == (3,)
    for wrong in (3.0, True, "3"):
        with pytest.raises(ValueError, match="must be a whole number"):
            TemporalBatchNorm(3, wrong)
