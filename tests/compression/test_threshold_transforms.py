"""What else of PyTorch thresholds work under: each feature beside a plain eager run."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from edgebook.compression import Thresholds, threshold, threshold_operator, with_thresholds

# Compilers and tracers of PyTorch use parts of it that warn of their own end, and torch.jit is one of them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SHAPE = SAMPLES, CHANNELS, SIDE, _ = 3, 2, 4, 4
Call = Callable[..., Any]
Pair = tuple[Sequence[Tensor], Sequence[Tensor]]  # what was found, and what is wanted
FEATURES: dict[str, Callable[[nn.Module, Tensor], Pair]] = {}


def feature(name: str) -> Callable[[Callable[[nn.Module, Tensor], Pair]], object]:
    return lambda function: FEATURES.setdefault(name, function)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer_of(per: str) -> Thresholds:
    layer = Thresholds((CHANNELS, SIDE, SIDE) if per == "neuron" else (CHANNELS, 1, 1))
    with torch.no_grad():
        layer.t.copy_(draw(*layer.t.shape, seed=3) / 3)
    return layer


def there_and_back(call: Call, y: Tensor, owner: nn.Module | None = None) -> list[Tensor]:
    """Return what a call makes, and the gradients of the pre-activations and of the owner's thresholds."""
    leaf, parameters = y.detach().clone().requires_grad_(), list((owner or call).parameters())
    out = call(leaf)
    found = torch.autograd.grad(out, [leaf, *parameters], draw(*out.shape, seed=1).to(out))
    assert all(grad.count_nonzero() for grad in found)
    return [out.detach(), *found]


def beside(call: Call, layer: nn.Module, y: Tensor, owner: nn.Module | None = None) -> Pair:
    return there_and_back(call, y, owner or layer), there_and_back(layer, y)


@feature("torch.compile, backend aot_eager, dynamic shapes")
def _(layer: nn.Module, y: Tensor) -> Pair:
    call = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    pairs = [beside(call, layer, each) for each in (y, draw(5, *SHAPE[1:], seed=2))]
    return [x for found, _ in pairs for x in found], [x for _, wanted in pairs for x in wanted]


@feature("torch.export")
def _(layer: nn.Module, y: Tensor) -> Pair:
    program = torch.export.export(layer, (y,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    more = draw(5, *SHAPE[1:], seed=2)
    return beside(program, layer, more, program)


@feature("make_fx")
def _(layer: nn.Module, y: Tensor) -> Pair:
    return beside(make_fx(lambda given: layer(given))(torch.zeros_like(y)), layer, y)


@feature("make_fx, symbolic, of a gradient")
def _(layer: nn.Module, y: Tensor) -> Pair:
    t, grad = layer.t.detach(), draw(*SHAPE, seed=1)
    slope = torch.func.grad(lambda given, t, grad: (grad * threshold(given, t)).sum(), (0, 1))
    graph = make_fx(slope, tracing_mode="symbolic")(torch.zeros_like(y), torch.ones_like(t), torch.ones_like(y))
    return graph(y, t, grad), there_and_back(layer, y)[1:]


@feature("fake tensors")
def _(layer: nn.Module, y: Tensor) -> Pair:
    y = y.contiguous(memory_format=torch.channels_last)
    with FakeTensorMode() as mode:
        fake = threshold(mode.from_tensor(y), mode.from_tensor(layer.t))
    true = layer(y)
    assert fake.dtype == true.dtype and fake.device == true.device
    return [torch.tensor([*fake.shape, *fake.stride()])], [torch.tensor([*true.shape, *true.stride()])]


@feature("torch.fx.symbolic_trace")
def _(layer: nn.Module, y: Tensor) -> Pair:
    graph = torch.fx.symbolic_trace(nn.Sequential(layer))
    return beside(graph, layer, y, graph)


@feature("torch.jit.trace")
def _(layer: nn.Module, y: Tensor) -> Pair:
    return beside(torch.jit.trace(layer, (torch.zeros_like(y),)), layer, y)


@feature("autocast")
def _(layer: nn.Module, y: Tensor) -> Pair:
    """What a layer before hands on in half precision is cast up, and its gradient is cast back."""
    half = y.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = there_and_back(layer, half)
    wanted = there_and_back(layer, half.float())
    assert found[0].dtype == torch.float32 and found[1].dtype == torch.bfloat16
    return found, [wanted[0], wanted[1].bfloat16(), wanted[2]]


@feature("half types")
def _(layer: nn.Module, y: Tensor) -> Pair:
    """The thresholds' gradient is summed in single precision and rounded once."""
    found, wanted = [], []
    for half in (torch.bfloat16, torch.float16):
        low, grad = copy.deepcopy(layer).to(half), draw(*SHAPE, seed=1).to(half)
        found += there_and_back(low, y.to(half))
        wide, leaf = copy.deepcopy(low).float(), y.to(half).float().requires_grad_()
        out = wide(leaf)
        wanted += [x.to(half) for x in (out, *torch.autograd.grad(out, [leaf, wide.t], grad.float()))]
    return found, wanted


@feature("double precision")
def _(layer: nn.Module, y: Tensor) -> Pair:
    """In its own precision a rounding smaller than in single."""
    double = there_and_back(copy.deepcopy(layer).double(), y.double())
    assert all(x.dtype == torch.float64 for x in double)
    single = there_and_back(layer, y)
    assert all(torch.allclose(x, z.float(), atol=1e-5) for x, z in zip(single, double, strict=True))
    return double, there_and_back(
        copy.deepcopy(layer).double(), y.double().contiguous(memory_format=torch.channels_last)
    )


@feature("checkpoint")
def _(layer: nn.Module, y: Tensor) -> Pair:
    return beside(lambda given: checkpoint(layer, given, use_reentrant=False), layer, y)


@feature("vmap")
def _(layer: nn.Module, y: Tensor) -> Pair:
    """Over networks that see one another's samples not at all."""
    stacked = torch.stack([y, 2 * y, -y], 2)  # (N, C, 3, H, W)
    out = torch.func.vmap(layer, in_dims=2, out_dims=2)(stacked)
    return list(out.unbind(2)), [layer(each) for each in stacked.unbind(2)]


@feature("vmap, of gradients for each sample")
def _(layer: nn.Module, y: Tensor) -> Pair:
    def loss(t: Tensor, sample: Tensor, grad: Tensor) -> Tensor:
        return (grad * threshold(sample[None], t)[0]).sum()

    grad = draw(*SHAPE, seed=1)
    t_grad, y_grad = torch.func.vmap(torch.func.grad(loss, (0, 1)), in_dims=(None, 0, 0))(layer.t.detach(), y, grad)
    _, y_wanted, t_wanted = there_and_back(layer, y)
    assert t_grad.shape == (SAMPLES, *layer.t.shape)
    return [y_grad, t_grad.sum(0)], [y_wanted, t_wanted]


@feature("functional_call, of stacked modules")
def _(layer: nn.Module, y: Tensor) -> Pair:
    layers = [layer_of("neuron") for _ in range(3)]
    for number, each in enumerate(layers):
        each.t.data += number / 5
    parameters, buffers = torch.func.stack_module_state(layers)
    run = lambda p, b: torch.func.functional_call(layers[0], (p, b), (y,))  # noqa: E731
    grad = draw(*SHAPE, seed=1)
    weigh = lambda p, b: (grad * run(p, b)).sum()  # noqa: E731
    slopes = torch.func.vmap(torch.func.grad(weigh))(parameters, buffers)
    found = [*torch.func.vmap(run)(parameters, buffers), *slopes["t"]]
    return found, [*(each(y) for each in layers), *(there_and_back(each, y)[2] for each in layers)]


@feature("torch.func.grad")
def _(layer: nn.Module, y: Tensor) -> Pair:
    weights = draw(*SHAPE, seed=1)
    loss = lambda given, t: (weights * threshold(given, t)).sum()  # noqa: E731
    return torch.func.grad(loss, (0, 1))(y, layer.t.detach()), there_and_back(layer, y)[1:]


@feature("forward mode")
def _(layer: nn.Module, y: Tensor) -> Pair:
    """A tangent is the Jacobian, row by row by plain backward passes, times what moves the inputs."""
    y, t = y.double()[:, :1, :2, 0], layer.t.detach().double()[:1, :2, 0]
    moved = [draw(*x.shape, seed=5 + i).double() for i, x in enumerate((y, t))]
    rows = torch.autograd.functional.jacobian(threshold, (y, t))
    parts = [torch.tensordot(row, by, dims=by.ndim) for row, by in zip(rows, moved, strict=True)]
    found = [torch.func.jvp(threshold, (y, t), tuple(moved))[1]]
    found += [torch.func.jvp(lambda x: threshold(x, t), (y,), (moved[0],))[1]]
    found += [torch.func.jvp(lambda x: threshold(y, x), (t,), (moved[1],))[1]]
    return found, [parts[0] + parts[1], *parts]


@feature("operations in place")
def _(layer: nn.Module, y: Tensor) -> Pair:
    wanted = there_and_back(lambda x: layer(x) * 2 + x, y, layer)
    return there_and_back(lambda x: layer(x).mul_(2).add_(x), y, layer), wanted


@feature("inference_mode")
def _(layer: nn.Module, y: Tensor) -> Pair:
    with torch.inference_mode():
        found = layer(y * 1)
    return [found], [layer(y)]


@feature("deepcopy")
def _(layer: nn.Module, y: Tensor) -> Pair:
    other = copy.deepcopy(layer)
    return beside(other, layer, y, other)


@feature("pickle")
def _(layer: nn.Module, y: Tensor) -> Pair:
    other = pickle.loads(pickle.dumps(layer))
    return beside(other, layer, y, other)


@feature("state_dict")
def _(layer: nn.Module, y: Tensor) -> Pair:
    file, other = io.BytesIO(), Thresholds(layer.t.shape)
    torch.save(layer.state_dict(), file)
    file.seek(0)
    assert not any(other.load_state_dict(torch.load(file, weights_only=True)))
    return beside(other, layer, y, other)


@feature("DataParallel")
def _(layer: nn.Module, y: Tensor) -> Pair:
    return beside(nn.DataParallel(layer), layer, y)


@feature("AveragedModel")
def _(layer: nn.Module, y: Tensor) -> Pair:
    other = torch.optim.swa_utils.AveragedModel(layer)
    return beside(other, layer, y, other)


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.support(kernel="thresholds")
@pytest.mark.parametrize(
    ("name", "per"),
    [
        pytest.param(name, per, marks=pytest.mark.support(feature=name))
        for name in FEATURES
        for per in ("neuron", "channel")
        if per == "channel" or name.startswith(("vmap", "torch.func", "double"))  # the harder one for all of them
    ],
)
def test_thresholds_work_under(name: str, per: str) -> None:
    found, wanted = FEATURES[name](layer_of(per), draw(*SHAPE))
    sums = {"vmap, of gradients for each sample", "forward mode", "double precision"}  # in another order
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if name in sums else {"rtol": 0, "atol": 0}
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(have, want, **tolerance)


def twice_backward() -> None:
    y = draw(*SHAPE).requires_grad_()
    (first,) = torch.autograd.grad(layer_of("neuron")(y).sum(), y, create_graph=True)
    first.sum().backward()


def of_lazy() -> None:
    with_thresholds(nn.Sequential(nn.LazyConv2d(4, 1), nn.ReLU()), ["1"], torch.zeros(1, 1, 4, 4))


LAZY = "0.weight, 0.bias has no values yet: a lazy layer must have run."
NO_SECOND = "A threshold has a first derivative alone, for its window stands in for that of a step."
LOADED = "size mismatch for t: copying a param with shape torch.Size([2, 1, 1]) from checkpoint"
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "lazy layers": (of_lazy, LAZY),
    "second derivatives": (twice_backward, NO_SECOND),
    "state_dict, of thresholds per channel into those per neuron": (
        lambda: layer_of("neuron").load_state_dict(layer_of("channel").state_dict()),
        LOADED,
    ),
}


@pytest.mark.support(kernel="thresholds")
@pytest.mark.parametrize(
    ("call", "words"),
    [pytest.param(*row, marks=pytest.mark.support(feature=name, refused=row[1])) for name, row in REFUSED.items()],
    ids=REFUSED,
)
def test_thresholds_refuse(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError if words is LAZY else RuntimeError, match=re.escape(words)):
        call()


@pytest.mark.parametrize(
    ("own", "kernels"),
    [((2, 3, 3), threshold_operator._kernels), ((2, 1, 1), lambda: None)],
    ids=["numba, per neuron", "PyTorch, per channel"],
)
def test_the_operator_is_registered_as_pytorch_asks(
    own: tuple[int, ...], kernels: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own check: schema, fake tensors, autograd, and graphs with symbolic shapes, here channels last."""
    monkeypatch.setattr(threshold_operator, "_kernels", kernels)
    y = draw(4, 2, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    t = draw(*own, seed=1).requires_grad_()
    torch.library.opcheck(torch.ops.edgebook.where_reached.default, (y, t, 1.0, True))
    for wanted in (True, False):
        rest = (y.detach(), y.detach(), t.detach(), 1.0, True, wanted)
        torch.library.opcheck(torch.ops.edgebook.where_reached_backward.default, rest)


def test_a_child_made_in_inference_mode_can_be_trained() -> None:
    with torch.inference_mode():
        net, x = child()
        x = x * 1
    with torch.inference_mode(False):
        net(x.clone()).sum().backward()
    assert net[2].t.grad is not None


def child() -> tuple[nn.Module, Tensor]:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    return with_thresholds(net, ["2"], torch.zeros(1, 1, 4, 4)), draw(5, 1, 4, 4)


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda net: pickle.loads(pickle.dumps(net)),
        lambda net: torch.compile(net, backend="eager", fullgraph=True),
        torch.fx.symbolic_trace,
    ],
    ids=["deepcopy", "pickle", "compile", "symbolic trace"],
)
def test_a_copied_child_is_as_frozen(copied: Callable[[nn.Module], nn.Module]) -> None:
    net, x = child()
    wanted = there_and_back_of_child(net.eval(), x)
    other = copied(net).train()
    found = there_and_back_of_child(other, x)
    for have, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(have, want, rtol=0, atol=0)
    before, after = net.state_dict(), other.state_dict()
    assert all(torch.equal(tensor, after.get(name, after.get(f"_orig_mod.{name}"))) for name, tensor in before.items())


def there_and_back_of_child(net: nn.Module, x: Tensor) -> list[Tensor]:
    out = net(x)
    return [out.detach(), *torch.autograd.grad(out.sum(), [p for p in net.parameters() if p.requires_grad])]
