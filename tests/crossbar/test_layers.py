"""Networks on crossbars: against the plain network, matrices times patches, and the variance of sums.

Samples are compared at five standard errors: were the seeds not fixed, one such comparison in 1.7 million would fail.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from edgebook.crossbar import (
    WIRES,
    CrossbarConfig,
    CrossbarConv2d,
    CrossbarLinear,
    Layout,
    crossbar_layers,
    fold,
    on_crossbar,
    power_law_drift,
    relative_deviation,
    restart_reads,
    weight_pairs,
)
from edgebook.crossbar.chip import Redraw
from edgebook.crossbar.tiles import weight_matrix

SMALL = Layout(rows=16, columns=8)
FINE = Layout(weight_bits=24, cell_bits=12)  # no rounding that single precision would see
NOISY = partial(relative_deviation, sigma=0.1)
DRIFT = partial(power_law_drift, mean=0.05, spread=0.02)


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    """Layers initialise themselves from the global state."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def net(seed: int = 0) -> nn.Sequential:
    """Convolutions with stride, padding, groups, dilation and bias, batch norms with statistics, and a classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, stride=2, groups=2),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 6, 2, padding="same", dilation=2, padding_mode="circular"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 4),
        )
        model(torch.randn(16, 3, 9, 9))  # statistics other than 0 and 1
    return model.eval()


def the_only(model: nn.Module) -> CrossbarConv2d | CrossbarLinear:
    (layer,) = crossbar_layers(model).values()
    return layer


@pytest.mark.parametrize("linear", [False, True])
def test_an_ideal_crossbar_is_the_plain_network(linear: bool) -> None:
    model, x = net(), seeded(5, 3, 9, 9)
    mapped = on_crossbar(model, CrossbarConfig(FINE, linear=linear))
    torch.testing.assert_close(mapped(x), model(x), rtol=1e-5, atol=1e-5)
    kinds = [type(layer) for layer in crossbar_layers(mapped).values()]
    assert kinds == [CrossbarConv2d] * 3 + [CrossbarLinear] * linear


def test_weights_on_the_grid_survive_eight_bits() -> None:
    model, x = net(), seeded(5, 3, 9, 9)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                step = layer.weight.abs().max() / 127
                layer.weight.copy_((layer.weight / step).round() * step)
    torch.testing.assert_close(on_crossbar(model, CrossbarConfig(SMALL))(x), model(x), rtol=1e-5, atol=1e-5)


def test_the_plain_network_is_left_alone() -> None:
    model = net().train()
    model[1].eval()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    mapped = on_crossbar(model, CrossbarConfig(SMALL, WIRES["heavy"], read=NOISY))
    mapped(seeded(2, 3, 9, 9)).sum().backward()
    assert [m.training for m in model.modules()] == modes == [m.training for m in mapped.modules()]
    after = model.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in model.parameters())
    assert not {t.data_ptr() for t in model.state_dict().values()} & {
        t.data_ptr() for t in mapped.state_dict().values()
    }
    assert set(before) <= set(mapped.state_dict())


@pytest.mark.parametrize(
    "arguments",
    [
        dict(kernel_size=3, bias=False),
        dict(kernel_size=(2, 3), stride=(2, 1), padding=(1, 2)),
        dict(kernel_size=3, dilation=2, groups=3),
    ],
)
def test_a_convolution_is_its_folded_matrices_times_patches(arguments: dict[str, Any]) -> None:
    layer, x = nn.Conv2d(6, 9, **arguments).double(), seeded(2, 6, 8, 7).double()
    config = CrossbarConfig(SMALL, WIRES["heavy"], DRIFT, time=1e6)
    folded = fold(weight_matrix(layer.weight, groups=layer.groups), config)  # a network of one layer has no name
    options = dict(dilation=layer.dilation, padding=layer.padding, stride=layer.stride)
    patches = F.unfold(x, layer.kernel_size, **options).unflatten(1, (layer.groups, -1))
    wanted = torch.einsum("bgkp,gkn->bgnp", patches, folded.weight).flatten(1, 2)
    if layer.bias is not None:
        wanted = wanted + layer.bias[:, None]
    found = on_crossbar(layer, config)(x)
    torch.testing.assert_close(found.flatten(2), wanted, rtol=1e-10, atol=1e-10)
    assert found.shape == layer(x).shape


def test_when_noise_is_drawn() -> None:
    image = seeded(1, 3, 9, 9).expand(3, -1, -1, -1)  # the same image three times

    mapped = on_crossbar(net(), CrossbarConfig(SMALL, read=NOISY))
    with torch.no_grad():
        first, second = mapped(image), mapped(image)
    assert (first - second).abs().max() > 1e-3
    torch.testing.assert_close(first[0], first[1])


def test_reads_can_be_repeated() -> None:
    x, state = seeded(2, 3, 9, 9), torch.get_rng_state()
    config = CrossbarConfig(SMALL, drift=DRIFT, read=NOISY, time=1e6)
    one, same = (on_crossbar(net(), config) for _ in range(2))
    torch.set_rng_state(state)  # what initialising the networks has used
    with torch.no_grad():
        sequence = [one(x) for _ in range(3)]
        assert all(torch.equal(y, same(x)) for y in sequence)
        assert torch.equal(copy.deepcopy(one)(x), one(x))
        weight = the_first(one).weight.clone()
        restart_reads(one, seed=config.seed)
        assert all(torch.equal(y, one(x)) for y in sequence)
        restart_reads(one, seed=7)
        assert not torch.equal(one(x), sequence[0]) and torch.equal(the_first(one).weight, weight)
        other = on_crossbar(net(), CrossbarConfig(SMALL, drift=DRIFT, read=NOISY, time=1e6, seed=1))
        assert not torch.equal(other(x), sequence[0])
    assert torch.equal(torch.get_rng_state(), state)


def the_first(model: nn.Module) -> CrossbarConv2d | CrossbarLinear:
    return next(iter(crossbar_layers(model).values()))


def test_layers_draw_for_themselves() -> None:
    """Two layers of the same shape and weight have different noise in the same pass."""
    layer = nn.Conv2d(4, 4, 3)
    mapped = on_crossbar(nn.Sequential(layer, copy.deepcopy(layer)), CrossbarConfig(SMALL, read=NOISY))
    first, second = crossbar_layers(mapped).values()
    assert torch.equal(first.weight, second.weight) and not torch.equal(first.read_weight(), second.read_weight())


def test_noise_of_outputs_has_the_variance_of_the_sum() -> None:
    r"""Each output deviates by :math:`\sum x^2 s^2`, within one pass alike for equal inputs."""
    layer, passes, images = nn.Linear(20, 5), 1500, 4
    x = seeded(1, 20, seed=1).expand(images, -1)
    mapped = the_only(on_crossbar(layer, CrossbarConfig(SMALL, read=NOISY, linear=True)))
    with torch.no_grad():
        sample = torch.stack([mapped(x) for _ in range(passes)])  # (passes, images, 5)
        mean = F.linear(x[0], mapped.weight, mapped.bias)
        wanted = F.linear(x[0].square(), mapped.deviation.square()).sqrt()
    assert ((sample.flatten(0, 1).mean(0) - mean).abs() < 5 * wanted / math.sqrt(passes)).all()
    assert ((sample.flatten(0, 1).std(0) / wanted - 1).abs() < 5 / math.sqrt(2 * passes)).all()
    between = torch.corrcoef(sample[:, :2].flatten(1).T)[:5, 5:].diagonal()  # the same output of two images
    assert (between > 0.999).all()


def test_noise_of_a_convolution_has_the_variance_of_the_sum() -> None:
    """Position by position, with padding and groups, against patches."""
    layer, passes = nn.Conv2d(4, 6, 3, padding=1, groups=2), 4000
    mapped = the_only(on_crossbar(layer, CrossbarConfig(SMALL, read=NOISY)))
    image = seeded(1, 4, 3, 3, seed=2)
    with torch.no_grad():
        sample = torch.cat([mapped(image) for _ in range(passes)]).flatten(2)
        patches = F.unfold(image, 3, padding=1).unflatten(1, (2, -1)).square()
        spread = weight_matrix(mapped.deviation, groups=2).square()
        wanted = torch.einsum("bgkp,gkn->bgnp", patches, spread).flatten(1, 2)[0].sqrt()
    assert ((sample.std(0) / wanted - 1).abs() < 5 / math.sqrt(2 * passes)).all()


def rows_of(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer multiplies by, row by row, and the mean and deviation of its weights, as (groups, K, N)."""
    if isinstance(layer, nn.Linear):
        rows = x.flatten(0, -2)[None]  # (1, rows, K)
    else:
        patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        rows = patches.unflatten(1, (layer.groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)  # (groups, N x positions, K)
    groups = getattr(layer, "groups", 1)
    return rows, torch.stack([weight_matrix(t.detach(), groups=groups) for t in (layer.weight, layer.deviation)])


EACH: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(6, 3, bias=False), (2, 2, 6)),
    "convolution": (nn.Conv2d(4, 4, 2, padding=1, stride=2, groups=2, bias=False), (2, 4, 3, 3)),
}


@pytest.mark.parametrize(("layer", "shape"), EACH.values(), ids=EACH)
def test_each_row_has_a_read_of_its_own(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """Means, deviations and correlations of outputs, against weights that are drawn for every row."""
    passes, strong = 6000, partial(relative_deviation, sigma=0.4)
    mapped = the_only(on_crossbar(layer, CrossbarConfig(SMALL, read=strong, linear=True, redraw="read")))
    x = seeded(*shape, seed=4).relu()
    rows, (mean, spread) = rows_of(mapped, x)  # (groups, R, K), (groups, K, N)
    drawn = mean[:, None] + spread[:, None] * seeded(passes, len(rows), rows.shape[1], *mean.shape[1:], seed=5)
    brute = torch.einsum("grk,pgrkn->pgrn", rows, drawn).flatten(1)
    with torch.no_grad():
        found = torch.stack([mapped(x) for _ in range(passes)])
    if found.ndim == 5:  # (passes, N, groups x outputs, H, W)
        found = found.unflatten(2, (len(rows), -1)).permute(0, 2, 1, 4, 5, 3)
    found = found.reshape(passes, -1)
    wanted = torch.einsum("grk,gkn->grn", rows.square(), spread.square()).sqrt().flatten()
    centre = torch.einsum("grk,gkn->grn", rows, mean).flatten()
    silent = wanted == 0  # a row of zeros
    for sample in (found, brute):
        assert torch.equal(sample[:, silent], torch.zeros(passes, int(silent.sum())))
        standard = (sample - centre)[:, ~silent] / wanted[~silent]
        assert (standard.mean(0).abs() < 5 / math.sqrt(passes)).all()
        assert ((standard.std(0) - 1).abs() < 5 / math.sqrt(2 * passes)).all()
        assert (standard.pow(4).mean(0) - 3).abs().max() < 5 * math.sqrt(96 / passes)  # as of a normal one
        others = torch.corrcoef(standard.T) - torch.eye(standard.shape[1])
        assert others.abs().max() < 5.5 / math.sqrt(passes)  # of several hundred pairs


def test_slopes_are_the_weights_expected_of_a_read_with_that_output() -> None:
    """Of weights drawn for one row, those that give nearly its output are averaged."""
    config = CrossbarConfig(SMALL, read=partial(relative_deviation, sigma=0.4), linear=True, redraw="read")
    mapped = the_only(on_crossbar(nn.Linear(3, 1, bias=False).double(), config))
    x = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    y = mapped(x)
    y.sum().backward()
    spread, row = mapped.deviation[0], x[0].detach()
    drawn = mapped.weight[0] + spread * seeded(2_000_000, 3, seed=6).double()
    sample = drawn[(drawn @ row - y.item()).abs() < 0.02 * (spread * row).norm()]
    off = 5 * sample.std(0) / math.sqrt(len(sample)) + 0.02 * spread
    assert len(sample) > 1000 and ((sample.mean(0) - x.grad[0]).abs() < off).all()


@pytest.mark.parametrize(("layer", "shape"), EACH.values(), ids=EACH)
def test_slopes_of_a_read_a_row_are_those_of_its_outputs(layer: nn.Module, shape: tuple[int, ...]) -> None:
    mapped = on_crossbar(layer, CrossbarConfig(SMALL, read=NOISY, linear=True, redraw="read")).double()

    def again(x: Tensor) -> Tensor:
        restart_reads(mapped, 3)
        return mapped(x)

    x = (seeded(*shape, seed=7).double() + 3).requires_grad_()  # no row of zeros but where there is padding alone
    assert torch.autograd.gradcheck(again, x) and torch.autograd.gradgradcheck(again, x)
    silent = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    again(silent).sum().backward()
    assert bool(torch.isfinite(silent.grad).all()) and bool((silent.grad != 0).any())


def test_a_read_a_row_and_one_of_all_rows_have_the_same_deviation() -> None:
    """For one row there is no difference but in the draws; the mean over many rows is steady with a read for each."""
    layer, x, passes = nn.Linear(20, 1, bias=False), seeded(1, 20, seed=1).expand(64, -1), 1500
    spreads = {}
    for redraw in ("forward", "read"):
        mapped = on_crossbar(layer, CrossbarConfig(SMALL, read=NOISY, linear=True, redraw=redraw))
        with torch.no_grad():
            sample = torch.stack([mapped(x)[:, 0] for _ in range(passes)])
        spreads[redraw] = sample[:, 0].std(), sample.mean(1).std()
    (one, mean), (other, steady) = spreads["forward"], spreads["read"]
    off = 5 / math.sqrt(passes)  # of a ratio of two deviations
    assert abs(one / other - 1) < off and abs(mean / one - 1) < 1e-3
    assert abs(8 * steady / mean - 1) < off  # a mean of 64


def test_gradients_go_through_the_weights_of_the_same_read() -> None:
    r"""A layer without bias is linear: :math:`x \cdot \nabla (v \cdot y) = v \cdot y`, if both saw one weight."""
    mapped = on_crossbar(nn.Conv2d(4, 6, 3, bias=False).double(), CrossbarConfig(SMALL, WIRES["heavy"], read=NOISY))
    x = seeded(2, 4, 6, 6).double().requires_grad_()
    y = mapped(x)
    value = (y * seeded(*y.shape, seed=3)).sum()
    value.backward()
    assert float((x * x.grad).sum().detach()) == pytest.approx(value.item(), rel=1e-12)
    assert mapped.weight.grad is None
    mapped.weight.requires_grad_()
    mapped(x).sum().backward()
    assert mapped.weight.grad is not None and bool((mapped.weight.grad != 0).any())


def test_a_layer_used_twice_is_one_layer() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1)
    mapped = on_crossbar(nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer)), CrossbarConfig(SMALL))
    assert mapped[0] is mapped[2][0] and isinstance(mapped[0], CrossbarConv2d)


@pytest.mark.parametrize("kind", [dict(memory_format=torch.channels_last), dict(dtype=torch.float64)])
def test_type_and_memory_layout_are_those_of_the_network(kind: dict[str, Any]) -> None:
    x, config = seeded(2, 3, 9, 9), CrossbarConfig(SMALL, WIRES["medium"], DRIFT, time=1e6)
    wanted = on_crossbar(net(), config)(x)
    model = net().to(**kind)
    mapped = on_crossbar(model, config)
    for name, layer in crossbar_layers(mapped).items():
        weight = model.get_submodule(name).weight
        assert layer.weight.dtype == weight.dtype and layer.weight.stride() == weight.stride()
    torch.testing.assert_close(mapped(x.to(**kind)).float(), wanted, rtol=1e-4, atol=1e-5)


class Double(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def by(change: Callable[[nn.Module], object], *places: int) -> Callable[[nn.Sequential], None]:
    def apply(model: nn.Sequential) -> None:
        for place in places:
            change(model[place])

    return apply


def pruned_long_ago(model: nn.Sequential) -> None:
    """The weight that the hook has left behind is not the one that it will compute."""
    prune.l1_unstructured(model[0], "weight", 0.5)
    with torch.no_grad():
        model[0].weight_orig.mul_(3)


def tied(model: nn.Sequential) -> None:
    model.extend([nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)])
    model[12].weight, model[12].bias = model[9].weight, model[9].bias
    prune.l1_unstructured(model[9], "weight", 0.5)  # of one of the two


COMPUTED: dict[str, Callable[[nn.Sequential], None]] = {
    "pruned": by(partial(prune.l1_unstructured, name="weight", amount=0.5), 0, 9),
    "bias pruned": by(partial(prune.l1_unstructured, name="bias", amount=0.5), 3),
    "pruned twice": by(partial(prune.l1_unstructured, name="weight", amount=0.5), 3, 3),
    "pruned long ago": pruned_long_ago,
    "tied": tied,
    "weight norm by a hook": by(weight_norm, 0, 9),
    "spectral norm by a hook": by(spectral_norm, 3, 9),
    "weight norm": by(parametrizations.weight_norm, 0, 9),
    "spectral norm": by(parametrizations.spectral_norm, 3, 9),
    "own parametrisation": by(lambda layer: parametrize.register_parametrization(layer, "weight", Double()), 0),
    "bias parametrised": by(lambda layer: parametrize.register_parametrization(layer, "bias", Double()), 9),
    "frozen": lambda model: model.requires_grad_(False),
}


@pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm:FutureWarning")
@pytest.mark.parametrize("linear", [True, False], ids=["linear", "convolutions"])
@pytest.mark.parametrize("change", COMPUTED.values(), ids=COMPUTED)
def test_computed_weights_are_read_as_they_are(change: Callable[[nn.Sequential], None], linear: bool) -> None:
    model, x = net(), seeded(5, 3, 9, 9)
    change(model)
    model.train()  # a spectral norm would iterate
    before = copy.deepcopy(model.state_dict())
    mapped = on_crossbar(model, CrossbarConfig(FINE, linear=linear)).eval()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    wanted = model.eval()(x)
    torch.testing.assert_close(mapped(x), wanted, rtol=1e-5, atol=1e-5)
    assert type(mapped[0]) is CrossbarConv2d and type(mapped[9]) is (CrossbarLinear if linear else type(model[9]))
    assert mapped[0].weight.is_leaf and not mapped[0].weight.requires_grad
    for ideal, actual in weight_pairs(model, mapped).values():
        torch.testing.assert_close(actual, ideal, rtol=1e-5, atol=1e-5)


class Clamped(nn.Module):
    """Calls its layer by keyword, keeps it in a list, and watches it with a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(4, 4, bias=False), 0
        self.layers = [self.layer]
        self.layer.register_forward_pre_hook(lambda _, args, named: (args, {"input": named["input"].clamp(-1, 1)}),
                                             with_kwargs=True)  # fmt: skip
        self.layer.register_forward_hook(self.see)

    def see(self, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self.seen += 1
        return 2 * output

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](input=x)


def test_a_layer_keeps_its_hooks_and_its_call() -> None:
    model = Clamped()
    mapped = on_crossbar(model, CrossbarConfig(FINE, linear=True))
    x = torch.linspace(-3, 3, 12).view(3, 4)
    wanted = 2 * F.linear(x.clamp(-1, 1), model.layer.weight)
    torch.testing.assert_close(mapped(x), wanted, rtol=1e-5, atol=1e-5)
    assert (mapped.seen, model.seen) == (1, 0)
    assert isinstance(mapped.layer, CrossbarLinear) and mapped.layers[0] is mapped.layer
    assert type(model.layer) is nn.Linear


def test_a_layer_keeps_its_backward_hooks() -> None:
    model, seen = nn.Sequential(nn.Linear(4, 3)), []
    model[0].register_full_backward_pre_hook(lambda _, grads: (3 * grads[0],))
    model[0].register_full_backward_hook(lambda layer, *_: seen.append(type(layer)))
    model[0].register_state_dict_post_hook(
        lambda layer, state, prefix, _: state.update({f"{prefix}note": torch.ones(1)})
    )
    mapped = on_crossbar(model, CrossbarConfig(FINE, linear=True))
    x = seeded(2, 4).requires_grad_()
    mapped(x).sum().backward()
    torch.testing.assert_close(x.grad, 3 * model[0].weight.sum(0).expand(2, -1), rtol=1e-5, atol=1e-5)
    assert seen == [CrossbarLinear] and "0.note" in mapped.state_dict()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-2])
@pytest.mark.parametrize("redraw", ["forward", "read"])
def test_noise_of_a_half_type_has_the_variance_of_the_sum(dtype: torch.dtype, scale: float, redraw: Redraw) -> None:
    layer, passes = nn.Linear(64, 8), 1500
    with torch.no_grad():
        layer.weight.mul_(scale), layer.bias.zero_()
    config = CrossbarConfig(SMALL, read=partial(relative_deviation, sigma=0.05), linear=True, redraw=redraw)
    x = seeded(1, 64, seed=1)
    wanted = F.linear(x.square(), the_only(on_crossbar(layer, config)).deviation.square()).sqrt()
    for mapped in (on_crossbar(layer, config).to(dtype), on_crossbar(copy.deepcopy(layer).to(dtype), config)):
        with torch.no_grad():
            sample = torch.cat([mapped(x.to(dtype)).float() for _ in range(passes)])
        # An output is rounded to 8 bits at the coarsest, in a type whose subnormal numbers are 6e-8 apart.
        off = 5 / math.sqrt(2 * passes) + 0.03
        assert ((sample.std(0) / wanted - 1).abs() < off).all()


def test_a_network_mapped_in_inference_mode_can_be_trained() -> None:
    with torch.inference_mode():
        mapped = on_crossbar(net(), CrossbarConfig(SMALL, read=NOISY))
        mapped(seeded(2, 3, 9, 9))
    mapped.requires_grad_()(seeded(2, 3, 9, 9)).sum().backward()
    assert int(the_first(mapped).reads[2]) == 2 and the_first(mapped).weight.grad is not None


def test_what_multiplies_by_matrices_is_digital_unless_asked() -> None:
    others = [nn.Linear(2, 2), nn.LSTM(2, 2), nn.MultiheadAttention(2, 1), nn.Bilinear(2, 2, 2), own(2, 2)]
    mapped = on_crossbar(nn.Sequential(nn.Conv2d(1, 1, 1), *others), CrossbarConfig())
    assert list(crossbar_layers(mapped)) == ["0"]
    harmless = [nn.Embedding(3, 2), nn.EmbeddingBag(3, 2), nn.LayerNorm((2, 2)), nn.PReLU(2), nn.BatchNorm1d(2)]
    mapped = on_crossbar(nn.Sequential(nn.Conv2d(1, 1, 1), *harmless), CrossbarConfig(linear=True))
    assert list(crossbar_layers(mapped)) == ["0"]


def own(*shape: int) -> nn.Module:
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.ones(shape))
    return layer


class WithOwnForward(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)


def changed(layer: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


def beside_a_convolution(layer: nn.Module, *, linear: bool = True) -> Callable[[], nn.Module]:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), layer)
    return lambda: on_crossbar(model, CrossbarConfig(SMALL, linear=linear))


def computes_its_weight() -> nn.Linear:
    layer = nn.Linear(2, 2)
    layer.raw = layer.weight
    del layer.weight
    layer.register_forward_pre_hook(lambda module, _: setattr(module, "weight", 2 * module.raw))
    return layer


def quantised() -> nn.Module:
    with warnings.catch_warnings():  # PyTorch means to give it up
        warnings.simplefilter("ignore")
        return torch.ao.nn.quantized.dynamic.Linear(2, 2)


def holding(weight: Tensor) -> nn.Module:
    return changed(nn.Linear(2, 2), weight=nn.Parameter(weight, requires_grad=weight.is_floating_point()))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (beside_a_convolution(nn.Conv1d(1, 1, 1), linear=False), "Layer '1' is a Conv1d; only Conv2d and Linear can"),
        (beside_a_convolution(nn.Conv3d(1, 1, 1), linear=False), "Layer '1' is a Conv3d; only"),
        (beside_a_convolution(nn.LazyConv2d(1, 1), linear=False), "Layer '1' is a LazyConv2d; only"),
        (beside_a_convolution(WithOwnForward(1, 1, 1), linear=False), "Layer '1' is a WithOwnForward; only"),
        (beside_a_convolution(own(1, 1, 1, 1), linear=False), "Layer '1' is a Module; only"),
        (beside_a_convolution(own(2, 2)), "Layer '1' is a Module; only"),
        (beside_a_convolution(nn.LSTM(2, 2)), "Layer '1' is a LSTM; only"),
        (beside_a_convolution(nn.GRUCell(2, 2)), "Layer '1' is a GRUCell; only"),
        (beside_a_convolution(nn.Bilinear(2, 2, 2)), "Layer '1' is a Bilinear; only"),
        (beside_a_convolution(nn.TransformerEncoderLayer(2, 1)), "Layer '1.self_attn' is a MultiheadAttention; only"),
        (beside_a_convolution(quantised()), r"is a torch\.ao\..*\.Linear; only"),
        (beside_a_convolution(changed(nn.Linear(2, 2), forward=abs)), "'1' cannot be mapped: its forward has been"),
        (beside_a_convolution(computes_its_weight()), "'1' cannot be mapped: Its weight is no parameter"),
        (beside_a_convolution(holding(torch.eye(2).to_sparse())), "'1' cannot be mapped: its weight is not dense"),
        (beside_a_convolution(holding(torch.eye(2) + 0j)), "'1' cannot be mapped: Weights .* got torch.complex64"),
        (beside_a_convolution(holding(torch.eye(2).int())), "'1' cannot be mapped: Weights .* got torch.int32"),
        (beside_a_convolution(holding(torch.full((2, 2), math.inf))), "'1' cannot be mapped: Weights must be finite"),
        (beside_a_convolution(nn.Linear(2, 2, device="meta")), "'1' cannot be mapped: Weights on the device meta"),
        (
            lambda: on_crossbar(
                holding(torch.full((2, 2), 65504.0).half()),
                CrossbarConfig(read=partial(relative_deviation, sigma=2.0), linear=True),
            ),
            "What the chip makes of its weights is too large for torch.float16",
        ),
        (
            lambda: on_crossbar(
                nn.Conv2d(1, 1, 1),
                CrossbarConfig(read=torch.tensor(0.1, requires_grad=True).mul),
            ),
            "An effect of the chip wants a gradient",
        ),
        (lambda: restart_reads(on_crossbar(net(), CrossbarConfig()), 0.5), "seed must be at least 0, got 0.5"),
        (lambda: restart_reads(on_crossbar(net(), CrossbarConfig()), 2**63), "seed must be below 2\\^63"),
    ],
)  # fmt: skip
def test_what_would_stay_ideal_is_refused_by_name(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")


def test_layers_are_put_on_crossbars_by_their_networks_alone() -> None:
    with pytest.raises(TypeError, match="Layers are put on a crossbar by on_crossbar"):
        CrossbarConv2d(3, 4, 3)


def spoiled(value: float) -> nn.Sequential:
    model = net()
    with torch.no_grad():
        model[3].weight[1, 2, 0, 0] = value
    return model


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: on_crossbar(nn.Linear(3, 4), CrossbarConfig()), "no convolution to put on a crossbar"),
        (lambda: on_crossbar(nn.ReLU(), CrossbarConfig(linear=True)), "no convolution or linear layer to put"),
        (lambda: on_crossbar(nn.Sequential(nn.Conv1d(3, 4, 3)), CrossbarConfig()), "Layer '0' is a Conv1d; only"),
        (lambda: on_crossbar(nn.ConvTranspose2d(3, 4, 3), CrossbarConfig()), "Layer '' is a ConvTranspose2d; only"),
        (
            lambda: on_crossbar(on_crossbar(net(), CrossbarConfig()), CrossbarConfig()),
            "Layer '0' is on a crossbar already",
        ),
        (lambda: on_crossbar(spoiled(math.nan), CrossbarConfig()), "Layer '3' cannot be mapped: Weights must be"),
        (lambda: restart_reads(net(), 0), "no layer on a crossbar"),
        (lambda: restart_reads(on_crossbar(net(), CrossbarConfig()), -1), "seed must be at least 0, got -1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
