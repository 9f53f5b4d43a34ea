"""Quantisers against exact fractions, brute force and PyTorch's fused operator; networks against their plain twins."""

from __future__ import annotations

import copy
import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.compression import (
    DensityMeter,
    MinMaxWeight,
    QuantizedReLU,
    keep_channels,
    min_max_quantize,
    quantize_network,
    scale_to_cost,
    unquantize_network,
)
from edgebook.measure import layer_costs, layer_energy
from edgebook.networks import initialised, resnet_architecture, vgg_architecture

NUMBERS = st.floats(-100, 100, width=32)
RANGES = st.tuples(NUMBERS, NUMBERS).map(sorted).filter(lambda ends: ends[1] - ends[0] > 1e-3)
VALUES = st.lists(NUMBERS, min_size=1, max_size=20)
BITS = st.integers(1, 16)
FAMILY = vgg_architecture((4, "M", 6), in_channels=1, classes=3)
LAYERS = {"features.0.conv": 16, "features.0.relu": 16, "features.2.conv": 3, "features.2.relu": 4, "linear": 16}


def exactly(value: float, bits: int, low: float, high: float) -> Fraction:
    """Return the nearest level in fractions; of two at the same distance the one of even number."""
    first, step = Fraction(low), (Fraction(high) - Fraction(low)) / (2**bits - 1)
    return first + step * round((min(max(Fraction(value), first), Fraction(high)) - first) / step)


@pytest.mark.support(kernel="quantised networks", feature="double precision")
@settings(max_examples=40)
@given(VALUES, RANGES, BITS)
def test_levels_are_those_of_exact_fractions(values: list[float], ends: list[float], bits: int) -> None:
    """Beside a tie, which is decided by a last bit, the number differs from the fraction by rounding alone."""
    found = min_max_quantize(torch.tensor(values, dtype=torch.float64), bits, *ends).tolist()
    step = (ends[1] - ends[0]) / (2**bits - 1)
    for value, level in zip(values, found, strict=True):
        wanted = exactly(value, bits, *ends)
        inside = min(max(value, ends[0]), ends[1])
        tie = abs(abs(Fraction(inside) - wanted) / Fraction(step) - Fraction(1, 2)) < 1e-9
        assert abs(Fraction(level) - wanted) <= (step * (1 + 1e-9) if tie else 1e-13)


@settings(max_examples=40)
@given(VALUES, RANGES, st.integers(1, 5))
def test_no_level_is_nearer(values: list[float], ends: list[float], bits: int) -> None:
    levels = torch.linspace(*ends, 2**bits, dtype=torch.float64)
    distances = (torch.tensor(values, dtype=torch.float64).clamp(*ends)[:, None] - levels).abs()  # (values, levels)
    found = min_max_quantize(torch.tensor(values), bits, *ends).double()
    torch.testing.assert_close(
        (found - torch.tensor(values).clamp(*ends)).abs(), distances.min(1)[0], rtol=0, atol=2e-5
    )


@settings(max_examples=40)
@given(VALUES, RANGES, BITS)
def test_rounding_is_idempotent_monotone_and_has_few_values(values: list[float], ends: list[float], bits: int) -> None:
    once = min_max_quantize(torch.tensor(sorted(values)), bits, *ends)
    assert torch.equal(min_max_quantize(once, bits, *ends), once)
    assert bool((once.diff() >= 0).all())
    grid = min_max_quantize(torch.linspace(ends[0] - 1, ends[1] + 1, 4099), bits, *ends)
    assert len(grid.unique()) <= 2**bits and (bits > 8 or len(grid.unique()) == 2**bits)


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 16])
def test_values_and_gradients_are_those_of_pytorchs_operator(bits: int) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(bits), requires_grad=True)
    low, high, most = -1.5, 2.0, 2**bits - 1
    step = (high - low) / most
    inside = ((x > low) & (x < high)).float()
    theirs = torch.fake_quantize_per_tensor_affine(x - low, step, 0, 0, most) + low
    ours = min_max_quantize(x, bits, low, high)
    apart = ((x.detach() - low) / step % 1 - 0.5).abs() > 1e-2 / 2 ** (16 - bits)  # else the last bit decides
    assert apart.float().mean() > 0.9
    torch.testing.assert_close(ours[apart], theirs[apart], rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad((ours * ours).sum(), x)
    (wanted,) = torch.autograd.grad((theirs * theirs * inside).sum(), x)  # theirs passes half a step beyond as well
    torch.testing.assert_close(gradient[apart], wanted[apart], rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_a_clamp_by_differences() -> None:
    x = torch.linspace(-3, 3, 42, dtype=torch.float64, requires_grad=True)
    difference = ((x + 1e-6).clamp(-1, 2) - (x - 1e-6).clamp(-1, 2)) / 2e-6
    (gradient,) = torch.autograd.grad(min_max_quantize(x, 2, -1, 2).sum(), x)
    torch.testing.assert_close(gradient, difference.detach())


def test_what_cannot_be_rounded() -> None:
    nan, inf = torch.nan, torch.inf
    x = torch.tensor([nan, inf, -inf, 1e30, 0.4])
    assert torch.equal(min_max_quantize(x, 1, 0, 1)[1:], torch.tensor([1.0, 0.0, 1.0, 0.0]))
    assert min_max_quantize(x, 1, 0, 1)[0].isnan()
    for ends in ((0, nan), (nan, 1), (1, 0)):
        assert min_max_quantize(x, 4, *ends).isnan().all()
    assert torch.equal(min_max_quantize(x[1:], 4, 0.5, 0.5), torch.full((4,), 0.5))  # a range of one value
    rows = min_max_quantize(torch.tensor([[0.2, 0.9], [3.0, 9.0]]), 1, torch.zeros(2, 1), torch.tensor([[1.0], [8.0]]))
    assert rows.tolist() == [[0.0, 1.0], [0.0, 8.0]]


@pytest.mark.parametrize("bits", [0, 17, 2.0, True])
def test_other_bits_are_refused(bits: object) -> None:
    for make in (MinMaxWeight, QuantizedReLU, lambda k: min_max_quantize(torch.ones(1), k, 0, 1)):
        with pytest.raises(ValueError, match=re.escape(f"bits must be a whole number from 1 to 16, got {bits!r}.")):
            make(bits)


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_other_numbers_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"Only floating-point numbers can be rounded to levels, got {dtype}."):
        min_max_quantize(torch.ones(2, dtype=dtype), 4, 0, 1)


def test_weights_have_the_levels_of_their_own_range() -> None:
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    whole = MinMaxWeight(3)(weight)
    torch.testing.assert_close(whole, min_max_quantize(weight, 3, weight.min(), weight.max()))
    torch.testing.assert_close(torch.stack([whole.min(), whole.max()]), torch.stack([weight.min(), weight.max()]))
    rows = torch.stack([MinMaxWeight(3)(row) for row in weight])
    assert torch.equal(MinMaxWeight(3, per_channel=True)(weight), rows) and not torch.equal(whole, rows)


def test_activations_of_training_have_the_range_of_their_batch_and_of_evaluation_a_running_one() -> None:
    layer, batches = QuantizedReLU(3), [torch.randn(6, 4, generator=torch.Generator().manual_seed(s)) for s in range(3)]
    assert layer.eval()(batches[0]).isnan().all()
    layer.train()
    for batch in batches:
        torch.testing.assert_close(layer(batch), min_max_quantize(batch.relu(), 3, 0, batch.max()))
    first, second, third = (float(batch.max()) for batch in batches)
    assert float(layer.high) == pytest.approx(0.9 * (0.9 * first + 0.1 * second) + 0.1 * third)
    together = layer.eval()(torch.cat(batches))
    assert torch.equal(together, torch.cat([layer(batch[i : i + 1]) for batch in batches for i in range(6)]))
    assert len(together.unique()) <= 8


def test_a_dead_layer_stays_zero() -> None:
    layer = QuantizedReLU(4)
    assert not layer(-torch.ones(3, 2)).any() and not layer.eval()(torch.ones(3, 2)).any()


def network(seed: int = 0) -> nn.Module:
    return initialised(FAMILY.build, FAMILY.widths, seed)


def batch() -> Tensor:
    return torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(5))


def by_hand(net: nn.Module, x: Tensor) -> Tensor:
    """Compute a plain network's logits in training mode, with its weights and activations rounded."""

    def weight(layer: nn.Module, bits: int) -> Tensor:
        return min_max_quantize(layer.weight, bits, layer.weight.min(), layer.weight.max())

    for place, bits in ((0, (16, 16)), (2, (3, 4))):
        unit = net.features[place]
        x = unit.norm(F.conv2d(x, weight(unit.conv, bits[0]), padding=1)).relu()
        x = min_max_quantize(x, bits[1], 0, x.max())
        x = F.max_pool2d(x, 2) if place == 0 else x
    return F.linear(x.mean((2, 3)), weight(net.linear, 16), net.linear.bias)


def test_a_network_computes_what_is_written_by_hand_and_its_gradients_pass_straight_through() -> None:
    plain, ours = network(), quantize_network(network(), LAYERS)
    found, wanted = ours(batch()), by_hand(plain, batch())
    torch.testing.assert_close(found, wanted)
    pairs = ((found, ours), (wanted, plain))
    gradients = [torch.autograd.grad(y.square().sum(), list(net.parameters())) for y, net in pairs]
    named = dict(zip((name for name, _ in ours.named_parameters()), gradients[0], strict=True))
    for (name, _), gradient in zip(plain.named_parameters(), gradients[1], strict=True):
        found = named.get(name, named.get(f"{name.removesuffix('.weight')}.parametrizations.weight.original"))
        torch.testing.assert_close(found, gradient)


def test_bits_come_and_go_and_leave_everything_else() -> None:
    net, calls = network().eval(), []
    net.features[0].relu.register_forward_hook(lambda *_: calls.append(1))
    parameters, kinds, wanted = list(net.parameters()), [type(m) for m in net.modules()], net(batch())
    quantize_network(net, LAYERS)
    assert {id(p) for p in net.parameters()} == {id(p) for p in parameters} and not net.features[0].relu.training
    net.train()(batch())
    running = float(net.features[0].relu.high)
    twin = copy.deepcopy(net)
    quantize_network(net, dict.fromkeys(LAYERS, 2))
    assert len(net.features[0].conv.weight.unique()) == 4 and float(net.features[0].relu.high) == running
    assert len(twin.features[0].conv.weight.unique()) > 4  # bits of a copy are its own
    unquantize_network(net.eval())
    assert all(one is other for one, other in zip(net.parameters(), parameters, strict=True))
    assert [type(m) for m in net.modules()] == kinds
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    assert torch.equal(net(batch()), wanted) and len(calls) == 3
    assert twin(batch()).isfinite().all()  # whose class it shared until then


def test_layers_that_share_a_relu_or_a_weight_are_rounded_in_all_places() -> None:
    relu, linear = nn.ReLU(), nn.Linear(4, 4)
    net = nn.Sequential(linear, relu, nn.Linear(4, 4), relu)
    net[2].weight = linear.weight
    quantize_network(net, {"0": 2, "1": 2, "2": 2})
    assert net[1] is net[3] and net[1].relu is relu
    assert net[0].parametrizations.weight.original is net[2].parametrizations.weight.original
    unquantize_network(net)
    assert net[1] is net[3] is relu and net[0].weight is net[2].weight


def test_a_layer_without_bias_and_one_per_channel() -> None:
    net = quantize_network(nn.Sequential(nn.Linear(9, 4, bias=False)), {"0": 1}, per_channel=True)
    assert all(len(row.unique()) == 2 for row in net[0].weight) and len(net[0].weight.unique()) == 8
    quantize_network(net, {"0": 1})
    assert len(net[0].weight.unique()) == 2
    assert list(unquantize_network(net).state_dict()) == ["0.weight"]


def test_densities_are_counted_before_and_after_rounding() -> None:
    net = quantize_network(network(), dict.fromkeys(LAYERS, 2))
    seen: list[Tensor] = []
    net.features[0].relu.register_forward_hook(lambda *call: seen.append(call[2]))
    with DensityMeter(net, ["features.0.relu.relu", "features.0.relu"]) as meter:
        net(batch())
    before, after = meter.density().values()
    with torch.no_grad():
        unit = network().features[0]
        weight = unit.conv.weight
        x = unit.norm(F.conv2d(batch(), min_max_quantize(weight, 2, weight.min(), weight.max()), padding=1))
    assert before == pytest.approx(float((x > 0).float().mean())) and 0.3 < before < 0.7
    assert after == pytest.approx(float((x > x.max() / 6).float().mean())) and after < before  # half a step is a sixth


@pytest.mark.parametrize("family", [FAMILY, resnet_architecture((4, 6), in_channels=1, classes=3)])
def test_costs_are_those_of_the_plain_network_and_energies_can_be_matched(family: object) -> None:
    plain = initialised(family.build, family.widths, 0)
    costs = layer_costs(plain, (1, 8, 8))
    groups = list(zip(family.convolutions, family.activations, strict=True))

    def layers(bits: tuple[int, ...]) -> dict[str, int]:
        named = {name: k for k, group in zip(bits, groups, strict=True) for names in group for name in names}
        return named | {"linear": 16}

    def energy(bits: tuple[int, ...]) -> float:
        return sum(layer_energy(cost, layers(bits)[name]) for name, cost in costs.items())

    assert layer_costs(quantize_network(plain, layers(family.widths)), (1, 8, 8)) == costs
    target = energy(tuple(range(3, 3 + len(groups))))
    even = scale_to_cost([1.0] * len(groups), target, energy, minimum=2)
    assert abs(energy(even) / target - 1) < 0.1 and max(even) - min(even) <= 1


def test_channels_are_cut_between_two_precisions() -> None:
    net = quantize_network(network(), LAYERS)
    net(batch())
    small = keep_channels(unquantize_network(net), {"features.0.conv": [0, 2]}, batch()[:1])
    assert quantize_network(small, dict.fromkeys(LAYERS, 4))(batch()).shape == (12, 3)


@pytest.mark.parametrize(
    ("build", "bits", "words"),
    [
        (network, {"features.9": 4}, "The model has no module named 'features.9'."),
        (network, {"linear": 17}, "bits of linear must be a whole number from 1 to 16, got 17."),
        (network, {"linear": 4, "features.0.norm": 4},
         "'features.0.norm' (BatchNorm2d) is no ReLU, convolution or linear layer."),
        (nn.ReLU, {"": 4}, "'' (ReLU) is the whole model, and no part of it that could be replaced."),
        (lambda: nn.Linear(2, 2, dtype=torch.complex64), {"": 4},
         "'' (Linear) has a weight that is computed from others, has no values yet or is not real."),
    ],
)  # fmt: skip
def test_what_has_no_bits_is_refused_and_nothing_is_changed(build, bits: dict[str, int], words: str) -> None:
    model = build()
    before = [type(m) for m in model.modules()]
    with pytest.raises(ValueError, match=re.escape(words)):
        quantize_network(model, bits)
    assert [type(m) for m in model.modules()] == before
