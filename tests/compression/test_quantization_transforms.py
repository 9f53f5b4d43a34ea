"""Quantised networks under what PyTorch does to networks: what works gives what a plain run gives."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint

from edgebook.compression import quantize_network
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
    for net in (network().to("meta"), network().to("meta").eval()):
        assert net(images().to("meta")).shape == (6, 3)


def loss(net: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: net(x).square().sum()


@pytest.mark.support(feature="torch.func.grad")
@pytest.mark.support(feature="forward mode")
def test_derivatives_of_both_modes_are_those_of_autograd() -> None:
    net = network()
    net(images(1))
    net.eval()
    x, along = images().requires_grad_(), images(7)
    (wanted,) = torch.autograd.grad(loss(net)(x), x)
    torch.testing.assert_close(grad(loss(net))(images()), wanted)
    torch.testing.assert_close(jvp(loss(net), (images(),), (along,))[1], (wanted * along).sum())
