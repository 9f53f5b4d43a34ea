"""Surgery must keep the function where the removed channels were silent; widths at a cost must match it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.compression import filter_norms, keep_channels, random_shape, scale_to_cost, top_channels
from edgebook.measure import count_macs, count_parameters
from edgebook.networks import Architecture, initialised, parse_plan, resnet_architecture, vgg_architecture
from edgebook.spiking import spiking_resnet, spiking_vgg

ARCHITECTURES = {
    "vgg": vgg_architecture(parse_plan("6 8 M 10"), classes=4),
    "plain": vgg_architecture(parse_plan("6 8 M 10"), classes=4, batch_norm=False),
    "residual": resnet_architecture([6, 8], blocks=2, classes=4),
}
EXAMPLE = torch.zeros(1, 3, 8, 8)


def _silence(model: nn.Module, convolutions: tuple[str, ...], dropped: list[int]) -> None:
    """Make channels output zero behind their normalisation, so that they can go without a trace."""
    modules = dict(model.named_modules())
    for name in convolutions:
        unit = modules[name.removesuffix(".conv")]
        for layer in (unit.conv, unit.norm):
            for parameter in layer.parameters():
                parameter.data[dropped] = 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_removing_silent_channels_changes_no_output(name: str) -> None:
    architecture = ARCHITECTURES[name]
    model = initialised(architecture.build, architecture.widths, 3).eval()
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    keep = {}
    for names, width in zip(architecture.convolutions, architecture.widths, strict=True):
        dropped = [1, width - 1]
        _silence(model, names, dropped)
        keep[names[0]] = [c for c in range(width) if c not in dropped]
    slim = keep_channels(model, keep, EXAMPLE)
    torch.testing.assert_close(slim(images), model(images))
    rebuilt = architecture.build([width - 2 for width in architecture.widths])
    assert [p.shape for p in slim.parameters()] == [p.shape for p in rebuilt.parameters()]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_slim_network_trains_and_leaves_the_original_alone(name: str) -> None:
    architecture = ARCHITECTURES[name]
    model = initialised(architecture.build, architecture.widths, 0)
    before = [p.clone() for p in model.parameters()]
    slim = keep_channels(model, {architecture.convolutions[0][0]: [0, 2]}, EXAMPLE)
    assert slim.training
    slim(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert count_parameters(slim) < count_parameters(model)


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [({"features.9.conv": [0]}, "no convolution named"), ({"features.0.conv": [6]}, "channels 0 to 5"),
     ({"features.0.conv": []}, "channels 0 to 5"), ({"features.0.norm": [0]}, "no convolution named")],
)  # fmt: skip
def test_impossible_cuts_are_refused(keep: dict[str, list[int]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        keep_channels(ARCHITECTURES["vgg"].build([6, 8, 10]), keep, EXAMPLE)


class Net(nn.Module):
    """Layers by name, and how they are put together."""

    def __init__(self, run: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self, *inputs)


def conv(inputs: int, outputs: int, kernel: int = 1, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, bias=False, **options)


def gated(net: Net, x: Tensor) -> Tensor:
    first, second = net.a(x).chunk(2, dim=1)
    return net.b(first * second)


# How it is put together, layers, which channels stay, and the convolutions that are silent elsewhere. Without biases
# and with activations that are 0 at 0, silent channels pass nothing on: the whole network has the right value.
CUTS: dict[str, tuple[Callable[..., Any], dict[str, nn.Module], dict[str, list[int]], list[str]]] = {
    "a chain": (lambda n, x, _: n.b(F.relu(n.a(x))), {"a": conv(3, 8), "b": conv(8, 4)}, {"a": [1, 5]}, ["a"]),
    "channels of the output": (lambda n, x, _: n.a(x), {"a": conv(3, 8)}, {"a": [6, 2]}, []),
    "a sum": (
        lambda n, x, y: n.c(n.a(x) + n.b(y)),
        {"a": conv(3, 8), "b": conv(2, 8), "c": conv(8, 4)},
        {"a": [0, 4]},
        ["a", "b"],
    ),
    "a concatenation of two inputs": (
        lambda n, x, y: n.c(torch.cat([n.a(x), n.b(y)], 1)),
        {"a": conv(3, 6), "b": conv(2, 6), "c": conv(12, 4)},
        {"a": [0, 4], "b": [1, 2, 5]},
        ["a", "b"],
    ),
    "a depthwise convolution": (
        lambda n, x, _: n.c(F.relu(n.b(n.a(x)))),
        {"a": conv(3, 6), "b": conv(6, 6, 3, groups=6), "c": conv(6, 4)},
        {"a": [0, 3, 4]},
        ["a"],
    ),
    "as many of each group": (
        lambda n, x, _: n.c(n.b(n.a(x))),
        {"a": conv(3, 8), "b": conv(8, 8, groups=2), "c": conv(8, 4)},
        {"b": [0, 3, 4, 5]},
        ["b"],
    ),
    "flattened": (
        lambda n, x, _: n.b(F.max_pool2d(n.a(x), 2).flatten(1)),
        {"a": conv(3, 5), "b": nn.Linear(45, 2)},
        {"a": [0, 3]},
        ["a"],
    ),
    "a slope for each channel": (
        lambda n, x, _: n.b(n.s(n.a(x))),
        {"a": conv(3, 5), "s": nn.PReLU(5), "b": conv(5, 2)},
        {"a": [4, 1]},
        ["a"],
    ),
    "a layer used twice": (
        lambda n, x, _: n.c(F.relu(n.b(F.relu(n.b(F.relu(n.a(x))))))),
        {"a": conv(3, 4), "b": conv(4, 4), "c": conv(4, 2)},
        {"a": [0, 2]},
        ["a", "b"],
    ),
    "outputs by name": (
        lambda n, x, _: {"a": n.b(F.relu(n.a(x))), "size": 3},
        {"a": conv(3, 4), "b": conv(4, 2)},
        {"a": [0, 2]},
        ["a"],
    ),
}


@pytest.mark.parametrize(("run", "layers", "keep", "silent"), CUTS.values(), ids=CUTS)
def test_what_is_left_is_what_silent_channels_leave(
    run: Callable[..., Any], layers: dict[str, nn.Module], keep: dict[str, list[int]], silent: list[str]
) -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = (torch.randn(4, 3, 6, 6, generator=generator), torch.randn(4, 2, 6, 6, generator=generator))
    net = Net(run, **layers)
    for name in silent:
        kept = keep.get(name, next(iter(keep.values())))
        weight = net.get_submodule(name).weight
        weight.data[[c for c in range(len(weight)) if c not in kept]] = 0
    slim = keep_channels(net, keep, inputs)
    whole, part = net(*inputs), slim(*inputs)
    if not silent:
        whole = whole[:, sorted(keep["a"])]
    torch.testing.assert_close(part, whole)
    assert count_parameters(slim) < count_parameters(net)


def spiking(build: Callable[..., nn.Module], norm: str, config: tuple, **options: Any) -> nn.Module:
    return build(config, in_channels=3, classes=4, steps=3, beta=0.5, norm=norm, **options)


@pytest.mark.parametrize("norm", ["none", "batch", "td", "bntt"])
@pytest.mark.parametrize("kind", ["vgg", "hidden", "flattened", "resnet"])
def test_spiking_networks_are_cut_rightly_or_not_at_all(norm: str, kind: str) -> None:
    """Weights drawn widely, so that neurons fire; channels are silenced where their spikes are read."""
    plan = (5, "M", 6)
    net = {
        "vgg": lambda: spiking(spiking_vgg, norm, plan),
        "hidden": lambda: spiking(spiking_vgg, norm, plan, hidden=(7,)),
        "flattened": lambda: spiking(spiking_vgg, norm, plan, size=8),
        "resnet": lambda: spiking(spiking_resnet, norm, (5, (5, 1, 1), (6, 1, 2))),
    }[kind]().eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        draw = torch.randn if parameter.ndim > 1 else torch.rand
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.data += draw(parameter.shape, generator=generator) * 2 / fan_in**0.5
    images = torch.rand(4, 3, 8, 8, generator=generator) * torch.tensor([0.1, 1, 3, 9]).view(4, 1, 1, 1)
    reads = ["features.1.weights"]
    if kind == "resnet":  # the first block and the stem share their channels
        reads = ["features.0.first.weights", "features.1.first.weights", "features.1.skip.weights"]
    try:
        slim = keep_channels(net, {"first.weights": [0, 2]}, images[:1])
    except ValueError as error:
        assert "cannot lose channels here" in str(error)
        real = norm == "none" or (norm != "bntt" and isinstance(net.first.norm, nn.modules.batchnorm._BatchNorm))
        assert kind == "flattened" or not real
        return
    for name in reads:
        net.get_submodule(name).weight.data[:, [1, 3, 4]] = 0
    assert slim.first.weights.out_channels == 2
    assert net(images).std(dim=1).max() > 0  # of different images
    torch.testing.assert_close(slim(images), net(images))


ALONE = "each passes alone through norms"
REFUSED: dict[str, tuple[Callable[[], nn.Module], dict[str, list[int]], str]] = {
    "other channels of the groups": (
        lambda: nn.Sequential(conv(3, 8), conv(8, 8, groups=2), conv(8, 4)),
        {"1": [0, 1, 2, 3]},
        "computes something else",
    ),
    "inputs of a grouped convolution": (
        lambda: nn.Sequential(conv(3, 8), conv(8, 8, groups=2), conv(8, 4)),
        {"0": [0, 1, 2, 3]},
        "computes something else",
    ),
    "weights of zero hide nothing": (
        lambda: nn.Sequential(conv(3, 8), conv(8, 8, groups=2), zeroed(conv(8, 4))),
        {"1": [0, 1, 2, 3]},
        "computes something else",
    ),
    "a group norm": (
        lambda: nn.Sequential(conv(3, 8), nn.GroupNorm(2, 8), conv(8, 4)),
        {"0": [0, 1, 4, 5]},
        "computes something else",
    ),
    "a softmax over channels": (
        lambda: nn.Sequential(conv(3, 8), nn.Softmax(1), conv(8, 4)),
        {"0": [0, 1]},
        "computes something else",
    ),
    "a mean over channels": (lambda: Net(lambda n, x: n.a(x).mean(1), a=conv(3, 8)), {"a": [0, 1]}, "something else"),
    "a product of halves": (lambda: Net(gated, a=conv(3, 8), b=conv(4, 2)), {"a": [0, 1, 2, 3]}, "does not run"),
    "a sum with the input": (
        lambda: Net(lambda n, x: n.b(x + n.a(x)), a=conv(3, 3), b=conv(3, 4)),
        {"a": [0]},
        "does not run|something else",
    ),
    "heads of attention": (
        lambda: Net(
            lambda n, x: n.b(n.h(*[n.a(x).flatten(2).transpose(1, 2)] * 3)[0].mean(1)),
            a=conv(3, 8), h=nn.MultiheadAttention(8, 2, batch_first=True), b=nn.Linear(8, 2),
        ),
        {"a": [0, 1, 2, 3]},
        "computes something else",
    ),
    "shuffled channels": (
        lambda: nn.Sequential(conv(3, 8), nn.ChannelShuffle(2), conv(8, 4)),
        {"0": [0, 1]},
        "computes something else",
    ),
    "a width in the code": (
        lambda: Net(lambda n, x: n.b(n.a(x).view(-1, 8 * 36)), a=conv(3, 8), b=nn.Linear(288, 2)),
        {"a": [0, 1]},
        "does not run",
    ),
    "shared weights": (
        lambda: (net := nn.Sequential(conv(3, 3), conv(3, 3)), setattr(net[1], "weight", net[0].weight))[0],
        {"0": [0, 1]},
        "does not run",
    ),
    "coupled convolutions that disagree": (
        lambda: Net(lambda n, x: n.c(n.a(x) + n.b(x)), a=conv(3, 8), b=conv(3, 8), c=conv(8, 4)),
        {"a": [0, 4], "b": [0, 1]},
        "only keep the same channels",
    ),
    "a layer that the example does not reach": (
        lambda: Net(lambda n, x: n.b(n.a(x)), a=conv(3, 8), b=conv(8, 4), c=conv(8, 4)),
        {"a": [0, 4]},
        r"c\.weight takes no part",
    ),
    "numbers of one precision alone": (
        lambda: Net(lambda n, x: n.b(n.a(x.float())), a=conv(3, 8), b=conv(8, 4)),
        {"a": [0, 4]},
        "tried in float64",
    ),
}  # fmt: skip


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    return layer


@pytest.mark.parametrize(("build", "keep", "words"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_another_network_is_refused(
    build: Callable[[], nn.Module], keep: dict[str, list[int]], words: str
) -> None:
    net = build()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=rf"cannot lose channels here: .*({words}).*{ALONE}"):
        keep_channels(net, keep, torch.randn(1, 3, 6, 6))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("around", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_a_frozen_network_is_cut_and_stays_frozen(around: Callable[[], Any]) -> None:
    net = nn.Sequential(conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 4))
    net[0].requires_grad_(False)
    net[1].eval()
    with around():
        slim = keep_channels(net, {"0": [1, 2]}, torch.randn(1, 3, 4, 4))
    assert [p.requires_grad for p in slim.parameters()] == [False, True, True, True]
    assert [m.training for m in slim] == [True, False, True, True]
    assert torch.equal(slim[0].weight, net[0].weight[[1, 2]])
    slim(torch.randn(2, 3, 4, 4)).sum().backward()


@pytest.mark.parametrize("example", [None, [EXAMPLE], EXAMPLE[:0], (EXAMPLE, 3)])
def test_an_example_is_at_least_one_image(example: object) -> None:
    with pytest.raises(ValueError, match="example must be a tensor, or a tuple of them"):
        keep_channels(ARCHITECTURES["plain"].build([6, 8, 10]), {"features.0.conv": [0]}, example)


def test_all_types_of_whole_numbers_name_channels() -> None:
    net = nn.Sequential(conv(3, 4), conv(4, 2))
    for kept in (np.array([0, 3]), torch.tensor([0, 3]), [np.int64(0), 3], (0, 3)):
        assert torch.equal(keep_channels(net, {"0": kept}, EXAMPLE)[0].weight, net[0].weight[[0, 3]])
    for kept in ([True, False, False, True], torch.tensor([True] * 4), [0.0, 3.0], np.array([True] * 4)):
        with pytest.raises(ValueError, match="A channel of 0 must be a whole number"):
            keep_channels(net, {"0": kept}, EXAMPLE)
    with pytest.raises(ValueError, match="each once"):
        keep_channels(net, {"0": [1, 1, 2]}, EXAMPLE)


def test_filter_norms_add_up_coupled_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(5, 3, 1))
    expected = [sum(float(abs(w)) for layer in model for w in layer.weight[c].detach().flatten()) for c in range(3)]
    torch.testing.assert_close(filter_norms(model, ["0", "1"]), torch.tensor(expected))
    for names, words in ([], "At least one"), (["0", "2"], "as many channels"), (["1.weight"], "no convolution named"):
        with pytest.raises(ValueError, match=words):
            filter_norms(nn.Sequential(*model, nn.Conv2d(5, 4, 1)), names)


def test_filter_norms_of_half_precision_do_not_overflow() -> None:
    layer = nn.Conv2d(64, 2, 3).half()
    nn.init.constant_(layer.weight, 600.0)
    assert filter_norms(nn.Sequential(layer), ["0"]).tolist() == [64 * 9 * 600.0] * 2


def test_top_channels_break_ties_as_told() -> None:
    score = torch.tensor([1.0, 3.0, 1.0, 1.0])
    assert top_channels(score, 2) == [0, 1]
    assert top_channels(score, 2, tie_break=torch.tensor([0.0, 0.0, 0.0, 5.0])) == [1, 3]
    assert top_channels(score, np.int64(1)) == [1]
    for count in (0, 5):
        with pytest.raises(ValueError, match="between 1 and 4"):
            top_channels(score, count)
    for count in (2.0, True):
        with pytest.raises(ValueError, match="count must be a whole number"):
            top_channels(score, count)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_scores_that_cannot_be_ranked_are_refused_by_name(wrong: float) -> None:
    fine, broken = torch.tensor([1.0, 3.0]), torch.tensor([wrong, 1.0])
    with pytest.raises(ValueError, match=r"^score must be .* finite"):
        top_channels(broken, 1)
    with pytest.raises(ValueError, match=r"^tie_break must be .* finite"):
        top_channels(fine, 1, tie_break=broken)
    for other in (torch.ones(3), torch.ones(2, 1)):
        with pytest.raises(ValueError, match="tie_break must have one value per channel"):
            top_channels(fine, 1, tie_break=other)


def _macs(architecture: Architecture):
    return lambda widths: count_macs(architecture.build(widths), (3, 8, 8))


def test_the_original_proportions_at_the_original_cost_are_the_original_widths() -> None:
    for architecture in ARCHITECTURES.values():
        cost = _macs(architecture)
        assert scale_to_cost(architecture.widths, cost(architecture.widths), cost) == architecture.widths


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 9), min_size=1, max_size=4), st.floats(0.02, 1.0))
def test_cost_is_met_as_nearly_as_flooring_or_ceiling_allows(shape: list[float], share: float) -> None:
    def cost(widths: tuple[int, ...]) -> float:  # a chain of layers: width times width before
        return sum(a * b for a, b in itertools.pairwise((3, *widths, 10)))

    target = cost(tuple(20 for _ in shape)) * share
    if target < cost(tuple(1 for _ in shape)):
        with pytest.raises(ValueError, match="more than the target"):
            scale_to_cost(shape, target, cost)
        return
    found = scale_to_cost(shape, target, cost)
    worst_step = max(cost(tuple(w + (i == j) for j, w in enumerate(found))) - cost(found) for i in range(len(found)))
    assert abs(cost(found) - target) <= worst_step
    # One scale exists whose floors or ceilings these widths are.
    lowest = max(((width - 1) / entry for width, entry in zip(found, shape, strict=True)), default=0.0)
    assert lowest <= min((width + 1) / entry for width, entry in zip(found, shape, strict=True)) + 1e-6


@pytest.mark.parametrize(
    ("shape", "target", "cost", "sentence"),
    [
        ([1, 2], math.nan, sum, "target must be a finite number"),
        ([1, 2], math.inf, sum, "target must be a finite number"),
        ([1, 2], -1, sum, "target must be a finite number"),
        ([1, 2], 2.5, sum, None),
        ([1, 2], 1, sum, "more than the target 1"),
        ([], 1, sum, "positive and finite"),
        ([1, math.nan], 9, sum, "positive and finite"),
        ([1, math.inf], 9, sum, "positive and finite"),
        ([1, 0], 9, sum, "positive and finite"),
        ([1, 2], 9, lambda widths: math.nan, "not a number"),
        ([1, 2], 9, lambda widths: 0, "does not grow"),
        ([1e-300, 2], 9, lambda widths: min(sum(widths), 8), "does not grow"),
    ],
)
def test_a_target_that_cannot_be_met_is_one_sentence(
    shape: list[float], target: float, cost: Callable[[tuple[int, ...]], float], sentence: str | None
) -> None:
    with pytest.raises(ValueError, match=sentence) if sentence else nullcontext():
        scale_to_cost(shape, target, cost)


def test_relative_widths_may_be_an_array() -> None:
    assert scale_to_cost(np.array([1.0, 2.0]), np.float64(9), sum) == (3, 6)


@pytest.mark.parametrize("keep", [{"0": [0, 1]}, {"0": [9]}])
def test_a_frozen_norm_stays_frozen(keep: dict[str, list[int]]) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4).eval(), nn.Dropout(), nn.Conv2d(4, 2, 3))
    with pytest.raises(ValueError, match="channels 0 to 3") if keep["0"] == [9] else nullcontext():
        slim = keep_channels(model, keep, torch.zeros(1, 1, 5, 5))
        assert [module.training for module in slim.modules()] == [module.training for module in model.modules()]
    assert [module.training for module in model] == [True, False, True, True]


def test_random_shapes_stay_within_their_spread_and_follow_the_generator() -> None:
    widths = [8, 16, 32] * 50
    shape = random_shape(widths, torch.Generator().manual_seed(0))
    ratios = [s / w for s, w in zip(shape, widths, strict=True)]
    assert min(ratios) >= 0.5
    assert max(ratios) <= 2.0
    assert max(ratios) / min(ratios) > 3
    assert shape == random_shape(widths, torch.Generator().manual_seed(0))
