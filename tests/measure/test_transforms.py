"""Counts of networks that are compiled, cast, checkpointed and so on: those of the plain network, counted by hand."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgebook.compression import DensityMeter
from edgebook.measure import count_macs, layer_costs
from edgebook.spiking import SpikingNetwork, measure_activity, spiking_vgg

# What PyTorch says of its own end when it compiles, traces and pushes forward.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
]

Wrap = Callable[[nn.Module], Callable[[Tensor], Any]]
METER, COUNTS = "density meter", "counts of operations"


def quarters(*shape: int, seed: int) -> Tensor:
    """Draw numbers that half types hold exactly, and products of which they round without moving any across 0."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)) / 4


def plain(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Conv2d(3, 2, 3, bias=False), nn.ReLU())
    for place in (0, 2):
        net[place].weight.data = quarters(*net[place].weight.shape, seed=place)
    return net.to(dtype)


FIRST, SECOND = quarters(4, 1, 8, 8, seed=5), quarters(2, 1, 8, 8, seed=6).abs()


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    torch.compiler.reset()
    return torch.compile(model, backend="eager")


def checkpointed(reentrant: bool) -> Wrap:
    def wrap(model: nn.Module) -> Callable[[Tensor], Any]:
        return lambda x: checkpoint(model, x.clone().requires_grad_(), use_reentrant=reentrant).sum().backward()

    return wrap


def cast(dtype: torch.dtype) -> Wrap:
    return lambda model: lambda x: model.to(dtype)(x.to(dtype))


WHILE_ATTACHED: dict[str, Wrap] = {
    "torch.compile, while the meter is attached": compiled,
    "torch.fx.symbolic_trace": torch.fx.symbolic_trace,
    "autocast": lambda model: torch.autocast("cpu", torch.bfloat16)(model),
    "half types, float16": cast(torch.float16),
    "half types, bfloat16": cast(torch.bfloat16),
    "double precision": cast(torch.float64),
    "checkpoint": checkpointed(False),
    "checkpoint, reentrant": checkpointed(True),
    "DataParallel": nn.DataParallel,
    "functional_call": lambda model: lambda x: torch.func.functional_call(model, dict(model.named_parameters()), (x,)),
    "torch.func.grad": lambda model: torch.func.grad(lambda x: model(x).sum()),
    "forward mode": lambda model: lambda x: torch.func.jvp(model, (x,), (x,)),
    "inference_mode": lambda model: torch.inference_mode()(model),
}


def supported(table: Mapping[str, Any]) -> list[Any]:
    return [pytest.param(do, id=name, marks=pytest.mark.support(feature=name)) for name, do in table.items()]


@pytest.mark.support(kernel=METER)
@pytest.mark.parametrize("wrap", supported(WHILE_ATTACHED))
def test_densities_are_those_of_all_batches(wrap: Wrap) -> None:
    """A plain batch and one that is transformed, so that a pass that counted twice would weigh more than the other."""
    net = plain()
    with DensityMeter(net, ["1", "3"]) as meter:
        net(FIRST)
        wrap(net)(SECOND)
    both, outputs = plain(torch.float64), torch.cat([FIRST, SECOND]).double()
    for name, found in meter.density().items():
        outputs = both[int(name) - 1](outputs).relu()
        assert 0.1 < found < 0.9 and found == pytest.approx(float((outputs != 0).double().mean()), abs=1e-12)


def net_of_spikes() -> SpikingNetwork:
    return spiking_vgg((4, "M", 6), in_channels=1, classes=3, steps=3, beta=0.5, xavier_gain=3.0, norm="td")


def shorn(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what a wrapper puts before the names of layers."""
    return {name.removeprefix("_orig_mod.").removeprefix("module."): value for name, value in counts.items()}


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torch.compile": compiled,
    "double precision": lambda model: copy.deepcopy(model).double(),
    "DataParallel": nn.DataParallel,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.support(kernel=COUNTS)
@pytest.mark.parametrize("wrap", supported(WRAPPED))
def test_counts_are_those_of_the_plain_network(wrap: Callable[[nn.Module], nn.Module]) -> None:
    spiking, other = net_of_spikes(), wrap(net_of_spikes())
    wanted = measure_activity(spiking, FIRST)
    found = measure_activity(other, FIRST.to(next(other.parameters()).dtype))
    assert shorn(found.neurons) == wanted.neurons and found.operations() == wanted.operations()
    assert shorn(layer_costs(wrap(plain()), (1, 8, 8))) == layer_costs(plain(), (1, 8, 8))


@pytest.mark.support(kernel=COUNTS, feature="inference_mode")
def test_activity_in_inference_mode() -> None:
    wanted = measure_activity(net_of_spikes(), FIRST)
    with torch.inference_mode():
        assert measure_activity(net_of_spikes(), FIRST) == wanted


COSTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torch.fx.symbolic_trace, of costs": torch.fx.symbolic_trace,
    "fake tensors, on the meta device": lambda model: model.to("meta"),
    "half types, of costs": lambda model: model.half(),
}


@pytest.mark.support(kernel=COUNTS)
@pytest.mark.parametrize("wrap", supported(COSTS))
def test_costs_are_those_of_the_plain_network(wrap: Callable[[nn.Module], nn.Module]) -> None:
    """Positions times channels times the size of a kernel, by hand."""
    costs = layer_costs(wrap(plain()), (1, 8, 8))
    assert [cost.macs for cost in costs.values()] == [36 * 3 * 9, 16 * 2 * 27]


def meter_of_a_compiled_network() -> None:
    net = plain()
    call = compiled(net)
    call(FIRST)
    with DensityMeter(net, ["1"]) as meter:
        call(FIRST)
    meter.density()


def exported(model: nn.Module) -> nn.Module:
    return torch.export.export(model, (FIRST[:1],)).module()


REFUSED: dict[tuple[str, str], tuple[Callable[[], object], type[Exception], str]] = {
    (METER, "torch.compile, before the meter is attached"): (
        meter_of_a_compiled_network, ValueError,
        "Nothing has been measured of '1': run it while the meter is attached.",
    ),
    (COUNTS, "half types, of activity"): (
        lambda: measure_activity(net_of_spikes().half(), FIRST.half()), ValueError,
        "currents must be float32 or float64, got float16.",
    ),
    (COUNTS, "torch.export"): (
        lambda: count_macs(exported(plain()), (1, 8, 8)), NotImplementedError,
        "Calling eval() is not supported yet.",
    ),
    (COUNTS, "torch.jit.trace"): (
        lambda: layer_costs(torch.jit.trace(plain(), (FIRST,)), (1, 8, 8)), ValueError,
        "The model (TopLevelTracedModule) multiplies, and is no layer whose cost is known by itself.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        pytest.param(*row, id=feature, marks=pytest.mark.support(kernel=kernel, feature=feature, refused=row[2]))
        for (kernel, feature), row in REFUSED.items()
    ],
)
def test_what_cannot_be_counted_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()
