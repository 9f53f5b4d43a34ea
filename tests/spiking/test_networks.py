"""Spiking networks against the same computation spelled out one step at a time, and against snnTorch's neurons."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.networks import parse_plan
from edgebook.spiking import (
    LIF,
    VGG9,
    LeakyLoop,
    SpikingNetwork,
    direct_coding,
    spiking_resnet,
    spiking_vgg,
    to_leaky,
    triangular,
)
from edgebook.spiking.normalization import StepBatchNorm, TemporalBatchNorm, ThresholdBatchNorm

STEPS, BATCH = 4, 3
COMMON: dict[str, Any] = {"in_channels": 2, "classes": 5, "steps": STEPS, "beta": 0.5, "threshold": 0.5}
NORMS = ["batch", "td", "bntt", "none"]


def vgg(**options: Any) -> SpikingNetwork:
    return spiking_vgg((6, "M", 8, 8, "M"), **{**COMMON, "hidden": (7,), "size": 8, "xavier_gain": 2.0, **options})


def resnet(**options: Any) -> SpikingNetwork:
    return spiking_resnet((6, (6, 1, 1), (8, 2, 2)), **{**COMMON, "xavier_gain": 2.0, **options})


def mlp(**options: Any) -> SpikingNetwork:
    return spiking_vgg((), **{**COMMON, "hidden": (12, 9), "size": 8, "xavier_gain": 3.0, **options})


BUILDERS = [vgg, resnet, mlp]


def on_snntorch(net: SpikingNetwork) -> SpikingNetwork:
    """Put a loop over `snntorch.Leaky` in the place of every layer of neurons; the weights stay."""
    for name, neuron in list(net.named_modules()):
        if isinstance(neuron, LIF):
            leaky = to_leaky(neuron)
            for constant, value in list(leaky.named_buffers(recurse=False)):
                leaky.register_buffer(constant, value, persistent=False)
            net.set_submodule(name, LeakyLoop(leaky, neuron.convention.gain))
    return net


def sequence(seed: int = 0) -> Tensor:
    return torch.randn(STEPS, BATCH, 2, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def settled(net: SpikingNetwork) -> SpikingNetwork:
    """Move every running statistic and parameter off its start, in double precision."""
    net.double().train()
    with torch.no_grad():
        for seed in range(7, 17):
            net(sequence(seed))
        for name, parameter in net.named_parameters():
            if "norm" in name or "bias" in name:
                parameter += 0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3))
    return net


class Loop:
    """The networks one step at a time: each layer keeps its membrane, and nothing is folded."""

    def __init__(self, net: SpikingNetwork, pool: str = "avg") -> None:
        self.net, self.pool = net, pool
        self.carry: dict[nn.Module, Tensor] = {}
        self.stats = {m: (m.running_mean.clone(), m.running_var.clone()) for m in net.modules() if self.is_norm(m)}

    @staticmethod
    def is_norm(module: nn.Module) -> bool:
        return isinstance(module, StepBatchNorm | ThresholdBatchNorm | TemporalBatchNorm)

    def norm(self, m: nn.Module, x: Tensor, t: int) -> Tensor:
        if isinstance(m, nn.Identity):
            return x
        mean, var = self.stats[m]
        if isinstance(m, TemporalBatchNorm):
            return F.batch_norm(x, mean[t], var[t], m.weight[t], None, m.training, m.momentum, m.eps)
        weight = m.weight * m.scale if isinstance(m, ThresholdBatchNorm) else m.weight
        return F.batch_norm(x, mean, var, weight, m.bias, m.training, m.momentum, m.eps)

    def neuron(self, m: nn.Module, current: Tensor) -> Tensor:
        if isinstance(m, nn.Identity):
            return current
        h = self.carry.get(m, torch.zeros_like(current)) + current
        spike = (h > COMMON["threshold"]).to(h.dtype)
        self.carry[m] = COMMON["beta"] * h * (1 - spike)
        return spike

    def layer(self, m: Any, x: Tensor, t: int, stride: int | None = None) -> Tensor:
        w = m.weights
        if isinstance(w, nn.Linear):
            current = F.linear(x.flatten(1), w.weight, w.bias)
        else:
            current = F.conv2d(x, w.weight, w.bias, stride or w.stride, w.padding)
        return self.neuron(m.neuron, self.norm(m.norm, current, t))

    def unit(self, m: Any, x: Tensor, t: int) -> Tensor:
        if hasattr(m, "skip"):
            short = x if isinstance(m.skip, nn.Identity) else self.layer(m.skip, x, t, m.stride)
            return self.neuron(m.neuron, self.layer(m.second, self.layer(m.first, x, t), t) + short)
        if hasattr(m, "weights"):
            return self.layer(m, x, t)
        return F.avg_pool2d(x, 2) if self.pool == "avg" else F.max_pool2d(x, 2)

    def __call__(self, x: Tensor) -> Tensor:
        logits = []
        for t, step in enumerate(x):
            step = self.layer(self.net.first, step, t)
            for unit in self.net.features:
                step = self.unit(unit, step, t)
            if step.ndim == 4:
                step = step.mean(dim=(2, 3)) if self.net.size is None else step.flatten(1)
            for unit in self.net.hidden:
                step = self.layer(unit, step, t)
            logits.append(F.linear(step, self.net.linear.weight, self.net.linear.bias))
        return torch.stack(logits)


def rates(net: SpikingNetwork, x: Tensor) -> list[float]:
    found: list[float] = []
    handles = [
        module.register_forward_hook(lambda _, __, out: found.append(float(out.detach().mean())))
        for name, module in net.named_modules()
        if name.endswith("neuron") and not isinstance(module, nn.Identity)
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("norm", NORMS)
def test_folding_steps_into_the_batch_changes_nothing(build: Any, norm: str) -> None:
    net, x = settled(build(norm=norm)), sequence()
    assert all(0.01 < rate < 0.9 for rate in rates(net.eval(), x)), "a dead or saturated network compares nothing"
    torch.testing.assert_close(net(x), Loop(net)(x), rtol=1e-10, atol=1e-10)
    if norm != "td":  # whose training statistics are those of all steps at once
        net.train()
        loop = Loop(net)
        wanted = loop(x)
        torch.testing.assert_close(net(x), wanted, rtol=1e-10, atol=1e-10)
        for module, (mean, var) in loop.stats.items():
            torch.testing.assert_close(module.running_mean, mean, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(module.running_var, var, rtol=1e-10, atol=1e-10)


def test_max_pools_and_biases_are_folded_alike() -> None:
    net = settled(vgg(pool="max", bias=True)).eval()
    assert net.first.weights.bias is not None
    torch.testing.assert_close(net(sequence()), Loop(net, "max")(sequence()), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("training", [False, True])
def test_direct_coding_is_the_repeated_image(build: Any, norm: str, training: bool) -> None:
    net, image = settled(build(norm=norm)).train(training), sequence()[0]
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    have = net(image)
    net.load_state_dict(kept)
    torch.testing.assert_close(have, net(direct_coding(image, STEPS).contiguous()), rtol=1e-10, atol=1e-10)


def test_the_first_layer_computes_its_current_once_per_image() -> None:
    seen: list[int] = []
    net = vgg().eval()
    net.first.weights.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    net(sequence()[0].float())
    net(sequence().float())
    assert seen == [BATCH, STEPS * BATCH]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "bntt", "reset": "subtract", "delay": True},
        {"norm": "td", "scale_input": True, "threshold": 1.0, "surrogate": triangular(), "relative": True},
    ],
    ids=str,
)
def test_fused_and_snntorch_networks_are_one_network(build: Any, dtype: torch.dtype, options: dict[str, Any]) -> None:
    pytest.importorskip("snntorch")
    fused, plain = build(**options).to(dtype), on_snntorch(build(**options)).to(dtype)
    x, spikes = sequence().to(dtype), {"fused": [], "snntorch": []}
    for name, net in (("fused", fused), ("snntorch", plain)):
        for module in net.modules():
            if type(module).__name__ in ("LIF", "LeakyLoop"):
                module.register_forward_hook(lambda _, __, out, name=name: spikes[name].append(out.detach()))
    ours, theirs = fused(x), plain(x)
    assert len(spikes["fused"]) == len(spikes["snntorch"]) > 1
    assert all(torch.equal(a, b) for a, b in zip(spikes["fused"], spikes["snntorch"], strict=True))
    assert torch.equal(ours, theirs)
    assert any(0 < float(s.mean()) < 1 for s in spikes["fused"])
    for net, logits in ((fused, ours), (plain, theirs)):
        F.cross_entropy(logits.mean(dim=0), torch.arange(BATCH)).backward()
        assert all(p.grad is not None for p in net.parameters())
    for a, b in zip(fused.parameters(), plain.parameters(), strict=True):  # snnTorch's pass through single precision
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7)


def test_the_weights_of_one_kind_load_into_the_other() -> None:
    pytest.importorskip("snntorch")
    fused, plain = vgg(seed=1), on_snntorch(vgg(seed=2))
    plain.load_state_dict(fused.state_dict())
    assert torch.equal(fused(sequence().float()), plain(sequence().float()))
    fused.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_reach_every_parameter(build: Any, norm: str) -> None:
    net = build(norm=norm, bias=True)
    loss = F.cross_entropy(net(sequence()[0].float(), output="mean"), torch.arange(BATCH))
    loss.backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert dead == []


@pytest.mark.parametrize("build", BUILDERS)
def test_gradients_per_sample_can_be_mapped(build: Any) -> None:
    net = settled(build()).eval()
    weights, x = dict(net.named_parameters()), sequence()[0]

    def first_logit(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (image[None],))[:, 0, 0].sum()

    mapped = torch.func.vmap(torch.func.grad(first_logit), in_dims=(None, 0))(weights, x)
    for i in range(BATCH):
        alone = torch.autograd.grad(net(x[i : i + 1])[:, 0, 0].sum(), list(net.parameters()), materialize_grads=True)
        for name, wanted in zip(weights, alone, strict=True):
            torch.testing.assert_close(mapped[name][i], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("build", BUILDERS)
def test_what_is_returned_is_what_was_asked_for(build: Any) -> None:
    net, x = build().eval(), sequence().float()
    steps = net(x)
    assert steps.shape == (STEPS, BATCH, 5) and net(x[0]).shape == (STEPS, BATCH, 5)
    assert net(x[0], steps=2).shape == (2, BATCH, 5) and net(x[:3]).shape == (3, BATCH, 5)
    torch.testing.assert_close(net(x, output="mean"), steps.mean(dim=0))
    assert torch.equal(net(x, output="last"), steps[-1])
    assert torch.equal(build(output="last").eval()(x), steps[-1])
    assert net(x[:, :0]).shape == (STEPS, 0, 5)
    net.steps, net.output = 2, "mean"
    torch.testing.assert_close(net(x[0]), steps_of(net, x[0])[:2].mean(dim=0))


def steps_of(net: SpikingNetwork, image: Tensor) -> Tensor:
    return net(image, steps=STEPS, output="steps")


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("gain", [None, 2.0])
def test_a_seed_decides_the_weights_and_leaves_global_randomness_alone(build: Any, gain: float | None) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (build(seed=seed, xavier_gain=gain) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    weights = [
        (a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True) if a.ndim > 1 and a.min() < 1
    ]
    assert weights and not any(torch.equal(a, b) for a, b in weights)


def test_xavier_weights_have_their_bound() -> None:
    weights = vgg(xavier_gain=3.0).first.weights.weight
    bound = 3 * (6 / (9 * 2 + 9 * 6)) ** 0.5
    assert 0.9 * bound < float(weights.detach().abs().max()) <= 1.0001 * bound


def test_two_branches_share_the_threshold() -> None:
    net = resnet(norm="td")
    scales = {name: m.scale for name, m in net.named_modules() if isinstance(m, ThresholdBatchNorm)}
    added = {name for name in scales if "second" in name or "skip" in name}
    assert len(added) == 3 + 1 and len(scales) == 1 + 2 * 3 + 1
    assert all(scale == (0.5**1.5 if name in added else 0.5) for name, scale in scales.items())


def test_paper_sizes() -> None:
    """Weights and scales of the VGG9 of FedSNN as its paper's code gives them, and the depths of the others."""
    net = spiking_vgg(
        VGG9, in_channels=3, classes=10, steps=20, beta=0.95, norm="bntt", hidden=(1024,), size=32, linear_bias=False
    )
    scales = sum(p.numel() for name, p in net.named_parameters() if "norm" in name)
    assert scales == 43_520
    assert sum(p.numel() for p in net.parameters()) - scales == 5_938_880
    vgg16 = parse_plan("64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M")
    resnet19 = (128, (256, 3, 2), (512, 3, 2), (512, 2, 2))
    with torch.device("meta"):
        deep = spiking_vgg(vgg16, in_channels=3, classes=10, steps=5, beta=0.25, pool="max", bias=True)
        wide = spiking_resnet(resnet19, in_channels=3, classes=10, steps=10, beta=0.5)
    assert sum(isinstance(m, nn.Conv2d) for m in deep.modules()) == 13
    convolutions = [m for m in wide.modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) == 17
    assert sum(m.kernel_size == (1, 1) for m in convolutions) == 3  # every stage halves the resolution


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm": "bnt"}, "norm must be one of .* Did you mean 'bntt'"),
        ({"pool": "max2"}, "pool must be one of avg, max"),
        ({"output": "sum"}, "output must be one of steps, mean, last"),
        ({"reset": "zeros"}, "reset must be one of"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"hidden": (0,)}, "positive integers"),
        ({"classes": 0}, "positive integers"),
        ({"size": 3}, "size must be an integer of at least 4 for 2 pools, got 3"),
        ({"xavier_gain": 0.0}, "xavier_gain must be above 0"),
        ({"strickt": True}, "An option of the neuron must be one of .* Did you mean 'strict'"),
    ],
    ids=str,
)
def test_a_wrong_choice_is_one_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        vgg(**change)


@pytest.mark.parametrize("config", [("M", 8), (8, "x"), (0, 8), "8 M 8", (8.5,), (True, 8)], ids=str)
def test_a_wrong_vgg_configuration_is_one_sentence(config: Any) -> None:
    with pytest.raises(ValueError, match="A configuration is positive widths and M"):
        spiking_vgg(config, **COMMON)


@pytest.mark.parametrize("config", [(), (8,), (8, 8), (8, (8, 1)), ((8, 1, 1),), (8, (8, 0, 1))], ids=str)
def test_a_wrong_residual_configuration_is_one_sentence(config: Any) -> None:
    with pytest.raises(ValueError, match="A configuration is the width of the stem"):
        spiking_resnet(config, **COMMON)


def test_layers_without_convolutions_need_a_size() -> None:
    with pytest.raises(ValueError, match="needs hidden widths, and the size"):
        spiking_vgg((), hidden=(4,), **COMMON)


def test_a_wrong_input_is_one_sentence() -> None:
    net, x = vgg(), sequence().float()
    for wrong in (x[0, 0], x[:, :, :1], x[..., :4, :4]):
        with pytest.raises(ValueError, match=r"Inputs must be images \(batch, 2, 8, 8\)"):
            net(wrong)
    with pytest.raises(ValueError, match="floating-point, got uint8"):
        net(x.to(torch.uint8))
    with pytest.raises(ValueError, match="A sequence of 4 steps came in, and its steps must be the 3 asked for"):
        net(x, steps=3)
    with pytest.raises(ValueError, match="A sequence of 0 steps"):
        net(x[:0])
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        net(x[0], steps=0)
    with pytest.raises(ValueError, match="output must be one of"):
        net(x, output="first")
    with pytest.raises(ValueError, match="knows 4 steps"):
        vgg(norm="bntt")(x[0], steps=5)


def spoilt(x: Tensor, where: tuple[int, ...], value: float) -> Tensor:
    x = x.clone()
    x[where] = value
    return x


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_pixel_that_is_not_finite_spoils_its_sample_and_no_other(build: Any, norm: str, value: float) -> None:
    net, x = settled(build(norm=norm)).eval(), sequence()
    clean = net(x[0])
    have = net(spoilt(x[0], (1, 0, 3, 4), value))
    assert have[:, 1].isnan().all()
    assert torch.equal(have[:, [0, 2]], clean[:, [0, 2]])
    for output in ("mean", "last"):
        assert net(spoilt(x[0], (1, 0, 3, 4), value), output=output).isnan().any(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize("build", BUILDERS)
def test_a_spoilt_step_spoils_later_steps_and_no_earlier(build: Any) -> None:
    net, x = settled(build()).eval(), sequence()
    have, clean = net(spoilt(x, (2, 1, 0, 0, 0), float("nan"))), net(x)
    assert have.isnan().any(dim=2).tolist() == [[False] * 3] * 2 + [[False, True, False]] * 2
    assert torch.equal(have[:2], clean[:2]) and torch.equal(have[:, [0, 2]], clean[:, [0, 2]])


@pytest.mark.parametrize(("norm", "samples", "steps"), [
    ("none", [1], [2, 3]), ("batch", [0, 1, 2], [2, 3]), ("bntt", [0, 1, 2], [2, 3]), ("td", [0, 1, 2], [0, 1, 2, 3]),
])  # fmt: skip
def test_norms_in_training_hand_on_what_is_spoilt(norm: str, samples: list[int], steps: list[int]) -> None:
    """As far as each mixes samples and steps, and not where it is frozen; the gradient is NaN too."""
    net, x = settled(vgg(norm=norm)).train(), spoilt(sequence(), (2, 1, 0, 0, 0), float("nan"))
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    logits = net(x)
    wanted = [[t in steps and b in samples for b in range(BATCH)] for t in range(STEPS)]
    assert logits.isnan().any(dim=2).tolist() == wanted
    logits.square().sum().backward()
    assert net.linear.weight.grad is not None and net.linear.weight.grad.isnan().any()
    net.load_state_dict(kept)
    for module in net.modules():
        if Loop.is_norm(module):
            module.eval()
    assert net(x).isnan().any(dim=2).tolist() == [[t >= 2 and b == 1 for b in range(BATCH)] for t in range(STEPS)]


def test_logits_of_finite_images_are_those_without_the_rule() -> None:
    net, x = settled(vgg()).eval(), 1e4 * sequence().float()
    net = net.float()
    features = net.features(net.first(x))
    wanted = net.linear(net.hidden(features.flatten(2)))
    assert torch.equal(net(x), wanted)
    huge = torch.full((1, 2, 8, 8), 1e38)  # their sum is infinite, and no current is
    assert net(huge)[:, 0].isfinite().all()


@pytest.mark.parametrize("kind", [np.int64, torch.tensor], ids=["NumPy", "PyTorch"])
def test_whole_numbers_of_other_libraries_make_the_same_network(kind: Any) -> None:
    def same(ours: SpikingNetwork, theirs: SpikingNetwork) -> bool:
        return repr(ours) == repr(theirs) and torch.equal(ours(x), theirs(x))

    x, five = sequence().float()[0], {"in_channels": kind(2), "classes": kind(5), "steps": kind(STEPS), "seed": kind(1)}
    sizes = {"hidden": (kind(7),), "size": kind(8)}
    assert same(
        vgg(seed=1),
        spiking_vgg((kind(6), "M", kind(8), kind(8), "M"), **{**COMMON, "xavier_gain": 2.0, **sizes, **five}),
    )
    stages = (kind(6), (kind(6), kind(1), kind(1)), (kind(8), kind(2), kind(2)))
    assert same(resnet(seed=1), spiking_resnet(stages, **{**COMMON, "xavier_gain": 2.0, **five}))
    net = vgg()
    assert torch.equal(net(x, steps=kind(3)), vgg()(x, steps=3))


@pytest.mark.parametrize("wrong", [2.0, True, "2"], ids=repr)
def test_what_is_no_whole_number_is_one_sentence(wrong: Any) -> None:
    for make in (lambda: vgg(steps=wrong), lambda: vgg()(sequence().float()[0], steps=wrong)):
        with pytest.raises(ValueError, match="steps must be a whole number"):
            make()
    with pytest.raises(ValueError, match="seed must be a whole number"):
        vgg(seed=wrong)


def test_a_network_of_linear_layers_can_be_quantised() -> None:
    """Dynamic quantisation against the quantised layers one by one, and near the network that it was."""
    net, x = mlp(norm="none").eval(), sequence().float()[0]
    with warnings.catch_warnings():  # PyTorch moves quantisation to another package, and says so
        warnings.simplefilter("ignore")
        small = torch.ao.quantization.quantize_dynamic(net, {nn.Linear})
    assert not any(isinstance(module, nn.Linear) for module in small.modules())
    currents = small.first.weights(x.flatten(1))
    torch.testing.assert_close(currents, net.first.weights(x.flatten(1)), rtol=0, atol=0.2)
    spikes = small.first.neuron(currents.expand(STEPS, -1, -1))
    spikes = small.hidden[0].neuron(small.hidden[0].weights(spikes.flatten(0, 1)).unflatten(0, spikes.shape[:2]))
    assert torch.equal(small(x), small.linear(spikes)) and 0 < float(spikes.mean()) < 1
