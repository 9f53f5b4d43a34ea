"""Counts against PyTorch's own counter, hand arithmetic and published sizes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from edgebook.measure import (
    ENERGY_45NM,
    LayerCost,
    Phase,
    arithmetic_energy,
    count_macs,
    count_parameters,
    layer_costs,
    layer_energy,
    network_energy,
    training_complexity,
)
from edgebook.networks import parse_plan, resnet_architecture, vgg_architecture


def vgg(plan: str) -> nn.Module:
    family = vgg_architecture(parse_plan(plan))
    return family.build(family.widths)


NETWORKS = {
    "vgg": (vgg("4 8 M 12"), (3, 8, 8)),
    "residual": (resnet_architecture([4, 8], blocks=2).build([4, 3, 5, 8, 6, 7]), (3, 8, 8)),
    "grouped and strided": (
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), nn.Flatten(), nn.Linear(128, 3)),
        (4, 8, 8),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_are_half_of_what_pytorch_counts_as_flops(name: str) -> None:
    model, shape = NETWORKS[name]
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, *shape))
    assert count_macs(model, shape) == counter.get_total_flops() // 2


def test_one_convolution_by_hand() -> None:
    costs = layer_costs(nn.Sequential(nn.Conv2d(3, 5, 3, padding=1)), (3, 6, 7))
    assert costs["0"] == LayerCost(macs=5 * 6 * 7 * 3 * 9, weights=5 * 3 * 9, inputs=3 * 6 * 7, outputs=5 * 6 * 7)


def test_a_layer_used_twice_counts_twice() -> None:
    layer = nn.Conv2d(2, 2, 1, bias=False)
    assert count_macs(nn.Sequential(layer, layer), (2, 4, 4)) == 2 * 2 * 2 * 16


class Applied(nn.Module):
    """A function of an input and of modules, as a network."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module, **weights: Tensor) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)
        for name, weight in weights.items():
            setattr(self, name, nn.Parameter(weight))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts, *self.parameters(recurse=False))


def attention(**options: Any) -> nn.Module:
    return Applied(lambda x, layer: layer(x, x, x, **options)[0], nn.MultiheadAttention(8, 2, batch_first=True))


def dot_product(x: Tensor) -> Tensor:
    q, k, v = x.reshape(1, 3, 2, 5, 4).unbind(1)  # (1, heads, length, width) each
    return F.scaled_dot_product_attention(q, k, v)


# Networks, the shape of one input, and the MACs by hand: positions times what each of them takes.
BY_HAND: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "Conv1d": (lambda: nn.Conv1d(4, 8, 3), (4, 9), 7 * 8 * 4 * 3),
    "Conv1d, in groups and dilated": (lambda: nn.Conv1d(4, 8, 3, 2, 1, 2, groups=2), (4, 9), 4 * 8 * 2 * 3),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 3), (2, 5, 6, 4), 3 * 4 * 2 * 3 * 2 * 27),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (4, 9), 9 * 4 * 6 * 3),
    "ConvTranspose2d, in groups": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 6), 30 * 4 * 3 * 9),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(1, 2, 2), (1, 3, 3, 3), 27 * 2 * 8),
    "padding by reflection": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 4, 4), 16 * 2 * 9),
    "Linear on a sequence": (lambda: nn.Linear(4, 3, bias=False), (5, 4), 5 * 4 * 3),
    "attention": (attention, (5, 8), 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8),
    "attention that tells no weights": (lambda: attention(need_weights=False), (5, 8), 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8),
    "a transformer's layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8), 4 * 5 * 64 + 2 * 200 + 2 * 5 * 8 * 16,
    ),
    "LSTM of two layers, both ways": (
        lambda: nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True), (7, 3), 7 * 2 * 20 * (3 + 5 + 10 + 5),
    ),
    "LSTM with a projection": (lambda: nn.LSTM(3, 5, proj_size=2), (7, 3), 7 * (20 * (3 + 2) + 5 * 2)),
    "GRU": (lambda: nn.GRU(3, 5), (7, 3), 7 * 15 * (3 + 5)),
    "RNN": (lambda: nn.RNN(3, 5, bidirectional=True), (7, 3), 7 * 2 * 5 * (3 + 5)),
    "a cell": (lambda: nn.LSTMCell(3, 5), (3,), 20 * (3 + 5)),
    "an embedding, and what reads it": (lambda: nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), (6,), 6 * 4 * 2),
    "a bag of embeddings": (lambda: nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2)), (6,), 4 * 2),
    "a function": (lambda: Applied(F.linear, w=torch.ones(3, 4)), (5, 4), 5 * 4 * 3),
    "a product of matrices": (lambda: Applied(torch.matmul, w=torch.ones(4, 3)), (5, 4), 5 * 4 * 3),
    "a product with a vector": (lambda: Applied(lambda x, w: x[0] @ w, w=torch.ones(4)), (5, 4), 5 * 4),
    "two vectors": (lambda: Applied(lambda x, w: x[0, 0] @ w, w=torch.ones(4)), (5, 4), 4),
    "a sum of Einstein's": (
        lambda: Applied(lambda x, w: torch.einsum("bij,jk->bik", x, w), w=torch.ones(4, 3)), (5, 4), 5 * 4 * 3,
    ),
    "scaled products": (lambda: Applied(dot_product), (3, 2, 5, 4), 2 * (2 * 5 * 5 * 4)),
    "a weight that is normed": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (4,), 4 * 3),
    "a weight of bounded norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), (4,), 4 * 3),
    "and by hooks": (lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 3))), (4,), 4 * 3),
    "a scripted network": (lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU())), (4,), 4 * 3),
    "norms, pools and activations": (
        lambda: nn.Sequential(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.PReLU(4), nn.MaxPool2d(2), nn.LayerNorm(2)),
        (4, 4, 4), 0,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:LSTM with projections", "ignore:.*torch.jit.script")
@pytest.mark.parametrize("name", BY_HAND)
def test_what_multiplies_is_counted_whatever_it_is(name: str) -> None:
    build, shape, macs = BY_HAND[name]
    model = build()
    assert count_macs(model, shape) == macs
    assert count_macs(model.train().to("meta"), shape) == macs  # where there is another path through a layer
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_pytorch_counts_is_counted() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Conv1d(4, 8, 3), Applied(lambda x, inner: inner(x.transpose(1, 2)), layer), nn.GRU(8, 5))
    with FlopCounterMode(display=False) as counter:
        model.train()(torch.zeros(1, 4, 9))
    assert count_macs(model, (4, 9)) == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("model", "shape", "sentence"),
    [
        (Applied(lambda x, layer: layer(x, x), nn.Bilinear(4, 4, 2)), (4,), r"'parts.0' \(Bilinear\) calls aten._tri"),
        (Applied(lambda x: torch.cdist(x, x)), (5, 4), r"The model \(Applied\) calls aten._cdist_forward"),
        (Applied(lambda x: torch._int_mm(x[0].to(torch.int8), x[0].T.to(torch.int8))), (32, 32), "calls aten._int_mm"),
        (Applied(lambda x: x[0].addmm_(x[0], x[0])), (4, 4), "aten.addmm_"),
        (Applied(lambda x: torch.cond(x.sum() > 0, lambda y: y @ y, lambda y: y + 1, (x[0],))), (4, 4), "calls cond"),
    ],
)
def test_what_nobody_can_count_is_refused_by_name(model: nn.Module, shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence + r".*not known"):
        count_macs(model, shape)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_recurrence_on_a_gpu_is_counted_from_its_one_operator() -> None:
    """Called on "meta", where PyTorch knows its shapes: an LSTM of two layers, both ways."""

    def cudnn(x: Tensor, layer: nn.LSTM) -> Tensor:
        state = x.new_zeros(4, 1, 5)  # (layers times ways, batch, width)
        weights, mode = layer._flat_weights, 2
        operator = torch.ops.aten._cudnn_rnn
        return operator(x, weights, 4, None, state, state, mode, 5, 0, 2, True, 0.0, False, True, [], None)[0]

    model = Applied(cudnn, nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True))
    assert count_macs(model.to("meta"), (7, 3)) == 7 * 2 * 20 * (3 + 5 + 10 + 5)


@pytest.mark.filterwarnings("ignore:torch.*deprecated")
def test_quantised_layers_are_counted_or_refused() -> None:
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3)), {nn.Linear}, torch.qint8)
    with pytest.raises(ValueError, match=r"'0' .* calls quantized.linear_dynamic"):
        count_macs(quantised, (4,))


def test_costs_of_layers_are_those_of_convolutions_and_linear_layers_alone() -> None:
    net = nn.Sequential(nn.Conv1d(4, 6, 3), nn.ConvTranspose1d(6, 2, 2), nn.Linear(8, 5))
    assert layer_costs(net, (4, 9)) == {
        "0": LayerCost(7 * 6 * 4 * 3, 6 * 4 * 3, 4 * 9, 6 * 7),
        "1": LayerCost(7 * 6 * 2 * 2, 6 * 2 * 2, 6 * 7, 2 * 8),
        "2": LayerCost(2 * 8 * 5, 8 * 5, 2 * 8, 2 * 5),
    }
    with pytest.raises(ValueError, match=r"Layer 'parts.0' \(MultiheadAttention\) multiplies"):
        layer_costs(attention(), (5, 8))
    with pytest.raises(ValueError, match=r"The model \(Applied\) multiplies"):
        layer_costs(Applied(lambda x, layer: F.linear(x, layer.weight), nn.Linear(4, 3)), (4,))


def test_a_layer_at_two_sizes_reads_and_writes_both() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1)
    costs = layer_costs(nn.Sequential(layer, nn.AvgPool2d(2), layer), (1, 8, 8))
    assert costs == {"0": LayerCost(macs=9 * (64 + 16), weights=9, inputs=64 + 16, outputs=64 + 16)}


def test_a_layer_may_be_called_by_keyword_and_one_that_does_not_run_costs_nothing() -> None:
    model = Applied(lambda x, one, _: one(input=x), nn.Linear(4, 3), nn.Linear(4, 9))
    assert layer_costs(model, (4,)) == {"parts.0": LayerCost(12, 12, 4, 3)}


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_counting_takes_the_type_of_the_model(kind: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).to(kind)
    assert count_macs(model, (1, 4, 4)) == 2 * 4 * 9 + 8 * 3


def test_complex_numbers_are_refused() -> None:
    layer = Applied(torch.matmul, w=torch.ones(4, 3, dtype=torch.complex64))
    with pytest.raises(ValueError, match="parameter 'w' is complex"):
        count_macs(layer, (5, 4))


def test_the_papers_networks_have_their_published_size() -> None:
    wide = vgg("64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512")
    assert count_macs(wide, (3, 32, 32)) / 1e6 == pytest.approx(398, rel=0.01)
    assert count_parameters(wide) / 1e6 == pytest.approx(20.0, rel=0.01)
    deep = resnet_architecture([64, 128, 256, 512], blocks=2)
    model = deep.build(deep.widths)
    assert count_macs(model, (3, 32, 32)) / 1e6 == pytest.approx(555, rel=0.01)
    assert count_parameters(model) / 1e6 == pytest.approx(11.2, rel=0.01)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 8)])
def test_counting_leaves_the_model_as_it_was_also_where_it_fails(shape: tuple[int, ...]) -> None:
    model = vgg("4").train()
    frozen = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with nullcontext() if shape[0] == 3 else pytest.raises(RuntimeError):
        count_macs(model, shape)
    assert [module.training for module in model.modules()] == modes and not frozen.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 100)), min_size=1, max_size=5), st.floats(0.1, 1e3))
def test_complexity_has_no_unit_and_adds_up(phases: list[tuple[float, float]], scale: float) -> None:
    given_phases, baseline = [Phase(*p) for p in phases], Phase(1e6, 100)
    whole = training_complexity(given_phases, baseline)
    assert whole == pytest.approx(sum(training_complexity([p], baseline) for p in given_phases))
    scaled = [Phase(p.macs * scale, p.epochs) for p in given_phases]
    assert training_complexity(scaled, Phase(1e6 * scale, 100)) == pytest.approx(whole)


def test_complexity_of_the_pilot_by_hand() -> None:
    phases = [Phase(1.0, 10), Phase(1 / 4.3, 10), Phase(1 / 18.5, 10)]
    assert training_complexity(phases, Phase(1.0, 30)) == pytest.approx(10 / 30 * (1 + 1 / 4.3 + 1 / 18.5))
    for wrong in (Phase(-1, 1), Phase(1, -1)):
        with pytest.raises(ValueError, match="must not be negative"):
            training_complexity([wrong], Phase(1, 1))
    with pytest.raises(ValueError, match="must not be negative"):
        training_complexity([], Phase(0, 1))


def test_energy_constants_are_the_published_picojoules() -> None:
    assert arithmetic_energy(1, precision="float32") == pytest.approx(4.6e-12)
    assert arithmetic_energy(0, 10, precision="int32") == pytest.approx(1e-12)
    assert arithmetic_energy(2, 3, precision="int8") == pytest.approx((0.46 + 0.09) * 1e-12)
    assert all(cost.mac > cost.add > 0 for cost in ENERGY_45NM.values())
    with pytest.raises(ValueError, match="precision must be one of"):
        arithmetic_energy(1, precision="int4")
    with pytest.raises(ValueError, match="must not be negative"):
        arithmetic_energy(-1)


@pytest.mark.parametrize(("bits", "picojoule"), [(2, 0.294), (3, 0.391), (4, 0.488), (8, 0.875), (16, 1.65)])
def test_energy_of_a_mac_at_k_bits(bits: int, picojoule: float) -> None:
    assert layer_energy(LayerCost(1, 0, 0, 0), bits) == pytest.approx(picojoule * 1e-12, rel=0.002)


def test_memory_is_charged_for_inputs_and_weights() -> None:
    costs = [LayerCost(macs=0, weights=3, inputs=5, outputs=99), LayerCost(0, 1, 1, 0)]
    assert network_energy(costs, bits=8) == pytest.approx(10 * 2.5 * 8 * 1e-12)
    with pytest.raises(ValueError, match="bits must be at least 1"):
        layer_energy(costs[0], 0)
