"""Quantised networks under what PyTorch does to networks: what works gives what a plain run gives."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint

from edgebook.compression import MinMaxWeight, keep_channels, quantize_network
from edgebook.networks import initialised, vgg_architecture

pytestmark = [
    pytest.mark.support(kernel="quantised networks"),
    # What PyTorch says of its own end when it compiles and traces
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
FAMILY = vgg_architecture((4, "M", 6), in_channels=1, classes=3, batch_norm=False)
BITS = {"features.0.conv": 5, "features.0.relu": 4, "features.2.conv": 3, "features.2.relu": 3, "linear": 16}
Call = Callable[[Tensor], Tensor]


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Double precision, where another order of sums moves no value across a tie."""
    net = initialised(FAMILY.build, FAMILY.widths, 0).to(dtype, memory_format=torch.contiguous_format)
    return quantize_network(net, BITS)


def images(seed: int = 5) -> Tensor:
    return torch.randn(6, 1, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(wrap: Callable[[nn.Module], Call]) -> list[Tensor]:
    """Take a plain step and one that is transformed; return logits, gradients, running ranges, and what comes of it."""
    net = network()
    net(images(1))
    assert {tensor.dtype for tensor in (*net.parameters(), *net.buffers())} == {torch.float64}
    call = wrap(net)
    x = images().requires_grad_()  # which a reentrant checkpoint needs
    logits = call(x)
    gradients = torch.autograd.grad(logits.square().sum(), list(net.parameters()), allow_unused=True)
    ranges = [buffer for name, buffer in net.named_buffers() if name.endswith("high")]
    return [logits.detach(), *gradients, *ranges, net.eval()(images(2)).detach()]


def checkpointed(reentrant: bool) -> Callable[[nn.Module], Call]:
    return lambda net: lambda x: checkpoint(net, x, use_reentrant=reentrant)


def compiled(net: nn.Module) -> Call:
    torch.compiler.reset()
    return torch.compile(net, backend="eager", fullgraph=True)


TRAINING: dict[str, Callable[[nn.Module], Call]] = {
    "torch.compile": compiled,
    "checkpoint": checkpointed(False),
    "DataParallel": nn.DataParallel,
    "functional_call": lambda net: lambda x: functional_call(net, dict(net.named_parameters()), (x,)),
}


def supported(table: Mapping[str, Any]) -> list[Any]:
    return [pytest.param(do, id=name, marks=pytest.mark.support(feature=name)) for name, do in table.items()]


@pytest.mark.parametrize("wrap", supported(TRAINING))
def test_training_is_that_of_a_plain_run(wrap: Callable[[nn.Module], Call]) -> None:
    for found, wanted in zip(trained(wrap), trained(lambda net: net), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.support(feature="checkpoint, reentrant")
def test_a_reentrant_checkpoint_moves_ranges_once() -> None:
    nets = network(), network()
    for call in (checkpointed(True)(nets[0]), nets[1]):
        call(images().requires_grad_()).square().sum().backward()
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for one, other in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
        assert torch.equal(one, other)


def through_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(net: nn.Module) -> nn.Module:
    """Load a state into a network of other bits: it brings its own along."""
    other = quantize_network(network(), dict.fromkeys(BITS, 9), per_channel=True)
    other.load_state_dict(through_file(net.state_dict()))
    return other.eval()


def averaged(net: nn.Module) -> nn.Module:
    mean = AveragedModel(net)
    mean.update_parameters(net)
    return mean.eval()


def traced(net: nn.Module) -> Call:
    return torch.jit.trace(net, images())


EVALUATION: dict[str, Callable[[nn.Module], Call]] = {
    "torch.export": lambda net: torch.export.export(net, (images(),)).module(),
    "torch.jit.trace": traced,
    "make_fx": lambda net: make_fx(net)(images()),
    "state_dict, into a network of other bits": resumed,
    "deepcopy": copy.deepcopy,
    "AveragedModel": averaged,
    "vmap": lambda net: lambda x: vmap(lambda image: net(image[None])[0])(x),
    "inference_mode": lambda net: torch.inference_mode()(net),
}


@pytest.mark.parametrize("wrap", supported(EVALUATION))
def test_an_evaluation_is_that_of_a_plain_run(wrap: Callable[[nn.Module], Call]) -> None:
    net = network()
    net(images(1))
    torch.testing.assert_close(wrap(net.eval())(images()), net(images()))


@pytest.mark.support(feature="fake tensors, on the meta device")
def test_shapes_are_known_without_values() -> None:
    plain = FAMILY.build(FAMILY.widths).double().to("meta")
    for net in (network().to("meta"), network().to("meta").eval(), quantize_network(plain, BITS)):
        assert net(images().to("meta")).shape == (6, 3)


def loss(net: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: net(x).square().sum()


DERIVATIVES: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "torch.func.grad": lambda net, x, along: (grad(loss(net))(x) * along).sum(),
    "forward mode": lambda net, x, along: jvp(loss(net), (x,), (along,))[1],
}


@pytest.mark.parametrize("derivative", supported(DERIVATIVES))
def test_derivatives_are_those_of_autograd(derivative: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
    net = network()
    net(images(1))
    net.eval()
    x, along = images().requires_grad_(), images(7)
    (wanted,) = torch.autograd.grad(loss(net)(x), x)
    torch.testing.assert_close(derivative(net, images(), along), (wanted * along).sum())


@pytest.mark.support(feature="second derivatives")
def test_second_derivatives_are_those_of_the_backward_pass() -> None:
    net = network()
    net(images(1))
    assert torch.autograd.gradgradcheck(net.eval(), (images()[:1].requires_grad_(),))


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(dtype, marks=pytest.mark.support(feature=f"half types, {name}"))
        for name, dtype in {"float16": torch.float16, "bfloat16": torch.bfloat16}.items()
    ],
)
def test_half_types_are_rounded_in_single_precision(dtype: torch.dtype) -> None:
    weight = images().to(dtype)
    low, high = weight.float().aminmax()
    wanted = torch.fake_quantize_per_tensor_affine(weight.float() - low, float(high - low) / 31, 0, 0, 31) + low
    assert torch.equal(MinMaxWeight(5)(weight), wanted.to(dtype))
    half, single = network(torch.float32).to(dtype), network(torch.float32)
    torch.testing.assert_close(half(weight).float(), single(images().float()), rtol=0, atol=0.05)


@pytest.mark.support(feature="autocast, bfloat16")
def test_autocast_leaves_the_levels_of_weights_alone() -> None:
    net, x = network(torch.float32), images().float()
    plain, wanted = net(x), net.linear.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.linear.weight, wanted)
        logits = net(x)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), plain, rtol=0, atol=0.05)


COMPUTED = "has a weight that is computed from others, has no values yet or is not real."
REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "pickle": (
        lambda: pickle.dumps(network()), RuntimeError,
        "Serialization of parametrized modules is only supported through state_dict().",
    ),
    "torch.fx.symbolic_trace": (
        lambda: torch.fx.symbolic_trace(network()), torch.fx.proxy.TraceError,
        "symbolically traced variables cannot be used as inputs to control flow",
    ),
    "vmap, in training": (
        lambda: vmap(network())(images()[:, None]), RuntimeError,
        "vmap: inplace arithmetic(self, *extra_args) is not possible",
    ),
    "channels cut, before the bits are taken away": (
        lambda: keep_channels(network(), {"features.0.conv": [0]}, images()[:1]), ValueError,
        "features.0.conv.weight must be a floating-point parameter.",
    ),
    "computed weights, by weight norm": (
        lambda: quantize_network(nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2))), {"0": 4}), ValueError,
        f"'0' (ParametrizedLinear) {COMPUTED}",
    ),
    "computed weights, by torch.nn.utils.prune": (
        lambda: quantize_network(nn.Sequential(prune.identity(nn.Linear(2, 2), "weight")), {"0": 4}), ValueError,
        f"'0' (Linear) {COMPUTED}",
    ),
    "lazy layers": (
        lambda: quantize_network(nn.Sequential(nn.LazyLinear(2)), {"0": 4}), ValueError,
        f"'0' (LazyLinear) {COMPUTED}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [pytest.param(*row, id=k, marks=pytest.mark.support(feature=k, refused=row[2])) for k, row in REFUSED.items()],
)
def test_what_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()
