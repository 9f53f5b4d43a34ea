"""What else of PyTorch a neuron works under: each feature on each back end, beside a plain eager run.

A feature takes a layer and currents, and returns what it computes by way of a compiler, tracer, transform or copy, and
what a plain run does. The two are equal to the last bit, but in forward mode, where the order of sums is another.
"""

from __future__ import annotations

import copy
import io
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from edgebook.spiking import LIF, triangular
from edgebook.spiking.neuron.recurrence import kernels

# Compilers and tracers of PyTorch use parts of it that warn of their own end, and torch.jit is one of them.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

GPU = torch.cuda.is_available() and kernels("triton") is not None
BACKENDS = [
    "auto",
    pytest.param("numba", marks=pytest.mark.skipif(kernels() is None, reason="Numba is not installed")),
    pytest.param("triton", marks=pytest.mark.skipif(not GPU, reason="There is no GPU, or no Triton")),
    "torch",
    "steps",
]
SHAPE = STEPS, BATCH, WIDTH = 4, 3, 5

Call = Callable[..., Any]
Pair = tuple[Sequence[Tensor], Sequence[Tensor]]  # what was found, and what is wanted
Feature = Callable[[LIF, Tensor], Pair]
FEATURES: dict[str, Feature] = {}


def feature(name: str) -> Callable[[Feature], Feature]:
    return lambda function: FEATURES.setdefault(name, function)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 1.5 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def there_and_back(call: Call, currents: Tensor) -> list[Tensor]:
    """Return spikes, and membranes where there are any, and the gradient that both hand back to the currents."""
    leaf = currents.detach().clone().requires_grad_()
    outputs = call(leaf)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.autograd.backward(outputs, [draw(*y.shape, seed=1).to(y) for y in outputs])
    assert leaf.grad is not None and leaf.grad.count_nonzero()
    return [*(y.detach() for y in outputs), leaf.grad]


def beside(call: Call, plain: Call, currents: Tensor) -> Pair:
    return there_and_back(call, currents), there_and_back(plain, currents)


@feature("torch.compile")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(torch.compile(layer, fullgraph=True), layer, x)


@feature("torch.compile, backend eager")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(torch.compile(layer, fullgraph=True, backend="eager"), layer, x)


@feature("torch.compile, dynamic shapes")
def _(layer: LIF, x: Tensor) -> Pair:
    compiled, more = torch.compile(layer, backend="aot_eager", dynamic=True), draw(STEPS, 7, WIDTH, seed=2).to(x)
    found = [beside(compiled, layer, each) for each in (x, more)]
    return [y for pair in found for y in pair[0]], [y for pair in found for y in pair[1]]


@feature("torch.compile, membranes too")
def _(layer: LIF, x: Tensor) -> Pair:
    both = lambda currents: layer(currents, membranes=True)  # noqa: E731
    return beside(torch.compile(both, fullgraph=True, backend="aot_eager"), both, x)


@feature("torch.export")
def _(layer: LIF, x: Tensor) -> Pair:
    program = torch.export.export(layer, (x,), dynamic_shapes=({1: torch.export.Dim("batch")},))
    return beside(program.module(), layer, draw(STEPS, 7, WIDTH, seed=2).to(x))


@feature("torch.export, from a file")
def _(layer: LIF, x: Tensor) -> Pair:
    file = io.BytesIO()
    torch.export.save(torch.export.export(layer, (x,)).run_decompositions(), file)
    file.seek(0)
    return [torch.export.load(file).module()(x)], [layer(x)]


@feature("make_fx")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(make_fx(lambda currents: layer(currents))(torch.zeros_like(x)), layer, x)


@feature("make_fx, symbolic, of a gradient")
def _(layer: LIF, x: Tensor) -> Pair:
    weights = draw(*x.shape, seed=1).to(x)
    slope = torch.func.grad(lambda currents, weights: (weights * layer(currents)).sum())
    graph = make_fx(slope, tracing_mode="symbolic")(torch.zeros_like(x), weights)
    return [graph(x, weights)], there_and_back(layer, x)[1:]


@feature("fake tensors")
def _(layer: LIF, x: Tensor) -> Pair:
    """Fake are the outputs alone: type, device, shape and layout are those of true ones."""
    folded = draw(STEPS * BATCH, WIDTH, 2, 2).to(x).contiguous(memory_format=torch.channels_last)
    currents = folded.unflatten(0, (STEPS, BATCH))
    with FakeTensorMode() as mode:
        fakes = layer(mode.from_tensor(currents), membranes=True)
    true = layer(currents, membranes=True)
    assert [(y.dtype, y.device) for y in fakes] == [(y.dtype, y.device) for y in true]
    return [torch.tensor([*y.shape, *y.stride()]) for y in fakes], [torch.tensor([*y.shape, *y.stride()]) for y in true]


@feature("torch.fx.symbolic_trace")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(torch.fx.symbolic_trace(nn.Sequential(layer)), layer, x)


@feature("torch.fx.symbolic_trace, of the layer itself")
def _(layer: LIF, x: Tensor) -> Pair:
    """Whether membranes are asked for is then an input of the graph."""
    graph = torch.fx.symbolic_trace(layer)
    assert torch.equal(graph(x), layer(x))
    return beside(lambda currents: graph(currents, True), lambda currents: layer(currents, True), x)


@feature("torch.jit.trace")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(torch.jit.trace(layer, (torch.zeros_like(x),)), layer, x)


@feature("autocast, bfloat16")
def _(layer: LIF, x: Tensor, dtype: torch.dtype = torch.bfloat16) -> Pair:
    """What a layer before hands on in half precision is cast up, and its gradient is cast back."""
    with torch.autocast(x.device.type, dtype):
        found = there_and_back(layer, x.to(dtype))
    spikes, grad = there_and_back(layer, x.to(dtype).float())
    assert found[0].dtype == torch.float32 and found[1].dtype == dtype
    return found, [spikes, grad.to(dtype)]


@feature("autocast, float16")
def _(layer: LIF, x: Tensor) -> Pair:
    return FEATURES["autocast, bfloat16"](layer, x, torch.float16)  # type: ignore[call-arg]


@feature("checkpoint")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(lambda currents: checkpoint(layer, currents, use_reentrant=False), layer, x)


@feature("checkpoint, reentrant")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(lambda currents: checkpoint(layer, currents, use_reentrant=True), layer, x)


@feature("vmap")
def _(layer: LIF, x: Tensor) -> Pair:
    for axis in (1, 2):  # over samples and over neurons, each of which knows nothing of the others
        found, wanted = beside(torch.func.vmap(layer, in_dims=axis, out_dims=axis), layer, x)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    return found, wanted


@feature("torch.func.grad")
def _(layer: LIF, x: Tensor) -> Pair:
    weights = draw(*x.shape, seed=1).to(x)
    return [torch.func.grad(lambda currents: (weights * layer(currents)).sum())(x)], there_and_back(layer, x)[1:]


@feature("vmap, of a gradient")
def _(layer: LIF, x: Tensor) -> Pair:
    slope = torch.func.grad(lambda currents, weights: (weights * layer(currents)).sum())
    per_sample = torch.func.vmap(slope, in_dims=1, out_dims=1)
    return [per_sample(x, draw(*x.shape, seed=1).to(x))], there_and_back(layer, x)[1:]


@feature("functional_call, of stacked modules")
def _(layer: LIF, x: Tensor) -> Pair:
    with torch.random.fork_rng(devices=[]):
        models = [nn.Sequential(nn.Linear(WIDTH, WIDTH), copy.deepcopy(layer)).to(x.device) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)
    run = lambda p, b: torch.func.functional_call(models[0], (p, b), (x,))  # noqa: E731
    return list(torch.func.vmap(run)(parameters, buffers)), [model(x) for model in models]


@feature("forward mode")
def _(layer: LIF, x: Tensor) -> Pair:
    """A tangent is the Jacobian, row by row by plain backward passes, times what moves the currents."""
    x, moved = x.double()[:, 0], draw(STEPS, WIDTH, seed=1).to(x).double()
    rows = torch.autograd.functional.jacobian(layer, x)  # (T, N, T, N)
    return [torch.func.jvp(layer, (x,), (moved,))[1]], [torch.tensordot(rows, moved, dims=2)]


@feature("second derivatives, by torch.func.hessian")
def _(layer: LIF, x: Tensor) -> Pair:
    """Of one step alone the second derivative is that of the surrogate: here of a triangle, -a/w or a/w, or 0."""
    x, bump = x.double()[0], layer.convention.surrogate
    distance = x.flatten() - layer.convention.threshold
    inside = distance.abs() < 1 / bump.steepness
    wanted = torch.where(inside, -bump.height * bump.steepness * distance.sign(), 0)
    return [torch.func.hessian(lambda y: layer(y[None]).sum())(x.flatten())], [wanted.diag()]


@feature("operations in place, on the spikes")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(lambda y: layer(y).mul_(2).add_(y), lambda y: layer(y) * 2 + y, x)


@feature("operations in place, on the membranes")
def _(layer: LIF, x: Tensor) -> Pair:
    """Where a back end keeps the membranes for the gradient, PyTorch says so; none computes a wrong one."""
    try:
        return beside(lambda y: layer(y, membranes=True)[1].mul_(2), lambda y: layer(y, membranes=True)[1] * 2, x)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error) and layer.backend not in ("numba", "steps")
        return [], []


@feature("inference_mode")
def _(layer: LIF, x: Tensor) -> Pair:
    with torch.inference_mode():
        found = layer(x * 1, membranes=True)
    return found, layer(x, membranes=True)


@feature("deepcopy")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(copy.deepcopy(layer), layer, x)


@feature("pickle")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(pickle.loads(pickle.dumps(layer)), layer, x)


@feature("pickle, of a traced graph")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(pickle.loads(pickle.dumps(torch.fx.symbolic_trace(nn.Sequential(layer)))), layer, x)


@feature("state_dict")
def _(layer: LIF, x: Tensor) -> Pair:
    file, twin = io.BytesIO(), copy.deepcopy(layer)
    torch.save(layer.state_dict(), file)
    file.seek(0)
    assert not any(twin.load_state_dict(torch.load(file, weights_only=True)))  # nothing missing, nothing unexpected
    return beside(twin, layer, x)


@feature("DataParallel")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(nn.DataParallel(layer), layer, x)


@feature("AveragedModel")
def _(layer: LIF, x: Tensor) -> Pair:
    return beside(torch.optim.swa_utils.AveragedModel(layer), layer, x)


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.support(kernel="neuron")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.support(feature=name)) for name in FEATURES])
def test_a_neuron_works_under(name: str, backend: Any) -> None:
    layer = LIF(0.8, 0.7, "subtract", surrogate=triangular(), detach_reset=False, backend=backend)
    found, wanted = FEATURES[name](layer, draw(*SHAPE).to("cuda" if backend == "triton" else "cpu"))
    assert len(found) == len(wanted)
    tolerance = 1e-12 if name in ("forward mode", "second derivatives, by torch.func.hessian") else 0
    for have, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(have, want, rtol=tolerance, atol=tolerance)


def twice_backward(x: Tensor) -> None:
    x = x.requires_grad_()
    (first,) = torch.autograd.grad(LIF(0.8)(x).sum(), x, create_graph=True)
    first.sum().backward()


OTHER = "the state is of a neuron with beta=0.8, and this one has beta=0.5; dict(state) holds the tensors alone."
REFUSED: dict[str, tuple[Callable[[Tensor], object], type[Exception], str]] = {
    "half types, float16": (
        lambda x: LIF(0.8)(x.half()), ValueError, "currents must be float32 or float64, got float16.",
    ),
    "half types, bfloat16": (
        lambda x: LIF(0.8)(x.bfloat16()), ValueError, "currents must be float32 or float64, got bfloat16.",
    ),
    "state_dict, of another neuron": (
        lambda x: LIF(0.5).load_state_dict(LIF(0.8).state_dict()), RuntimeError, OTHER,
    ),
    "second derivatives, by two backward passes": (
        twice_backward, RuntimeError, "The fused neuron has no second derivative; use backend='steps' for that.",
    ),
}  # fmt: skip


@pytest.mark.support(kernel="neuron")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [pytest.param(*row, marks=pytest.mark.support(feature=name, refused=row[2])) for name, row in REFUSED.items()],
    ids=REFUSED,
)
def test_a_neuron_refuses(call: Callable[[Tensor], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call(draw(*SHAPE))


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # which the check looks at where there is none
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("membranes", [False, True])
def test_the_operator_is_registered_as_pytorch_asks(backend: str, membranes: bool) -> None:
    """Its own check: schema, fake tensors, autograd, and graphs with symbolic shapes, here channels last."""
    currents = draw(STEPS * BATCH, 2, 2, 2).contiguous(memory_format=torch.channels_last).unflatten(0, (STEPS, BATCH))
    currents = currents.to("cuda" if backend == "triton" else "cpu").requires_grad_()
    torch.library.opcheck(
        torch.ops.edgebook.lif.default, (currents, *LIF(0.5).convention.arguments, backend, membranes)
    )


FRESH = """
import torch
from edgebook.spiking import LIF
model = torch.nn.Sequential(torch.nn.Linear(5, 4, bias=False), LIF(0.5))
with torch.no_grad():
    model[0].weight.copy_((torch.arange(20.0).view(4, 5) % 7 - 3) / 4)  # quarters: no sum of products is rounded
x = (torch.arange(60.0).view(4, 3, 5) % 11 - 3) / 4
results = []
for run in (torch.compile(model, backend="{backend}"), model):
    model[0].weight.grad = None
    spikes = run(x)
    spikes.sum().backward()
    results.append((spikes.detach(), model[0].weight.grad))
assert 0 < results[1][0].mean() < 1
torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=0)
torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-6)
"""


@pytest.mark.alone
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_a_compiled_model_may_be_the_first_call_of_a_process(backend: str) -> None:
    done = subprocess.run([sys.executable, "-c", FRESH.format(backend=backend)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
