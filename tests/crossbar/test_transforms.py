"""What PyTorch does to modules and functions, done to chips and to the solver: each is an eager run of the same.

A chip draws noise and counts its reads. Whatever transforms it, it must draw as it would have without, and go on with
the next read afterwards. What cannot be had is refused, in one sentence.
"""

from __future__ import annotations

import copy
import gc
import io
import pickle
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from edgebook.crossbar import (
    WIRES,
    CrossbarConfig,
    Layout,
    effective_conductance,
    on_crossbar,
    reads,
    relative_deviation,
    restart_reads,
)
from edgebook.crossbar.chip import Redraw

# What PyTorch says of itself when it exports and pushes forward, and of nested checkpoints.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad"),
]

OHM = dict(r_word=5.0, r_bit=10.0, r_source=1005.0, r_sense=1010.0)


class Solver(nn.Module):
    """The effective conductance as a module: millisiemens, so that gradients are of the order of 1."""

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = backend

    def forward(self, milli: Tensor) -> Tensor:
        return 1e3 * effective_conductance(1e-3 * milli.abs(), **OHM, backend=self.backend)


def plain() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5), nn.Tanh(), nn.Linear(5, 3)
        ).eval()


def chip(sigma: float = 0.2, seed: int = 0, *, layers: int = 6, redraw: Redraw = "forward") -> nn.Sequential:
    read = partial(relative_deviation, sigma=sigma) if sigma else None
    layout = Layout(rows=8, columns=8)
    config = CrossbarConfig(layout, WIRES["light"], read=read, linear=True, seed=seed, redraw=redraw)
    return on_crossbar(plain()[:layers], config)


# What is transformed: each makes the same module again, at its first read.
Make = Callable[[], nn.Module]
SUBJECTS: dict[str, Make] = {
    "layer": partial(chip, 0.0, layers=1),
    "noisy layer": partial(chip, layers=1),
    "chip": partial(chip, 0.0),
    "noisy chip": chip,
    "layer with a read a row": partial(chip, layers=1, redraw="read"),
    "chip with a read a row": partial(chip, redraw="read"),
    "solver numba": partial(Solver, "numba"),
    "solver torch": partial(Solver, "torch"),
}
ROWS = ["layer with a read a row", "chip with a read a row"]
WITHOUT_ROWS = ["layer", "noisy layer", "chip", "noisy chip"]
CHIPS = WITHOUT_ROWS + ROWS
SOLVERS = ["solver numba", "solver torch"]
X = torch.randn(5, 2, 4, 3, generator=torch.Generator().manual_seed(1))


def twice(model: Callable[[Tensor], Tensor], x: Tensor = X) -> Tensor:
    """Two passes, of which the second has the next read."""
    return torch.stack([model(x), model(x)])


def slope(model: Callable[[Tensor], Tensor], x: Tensor = X, passes: int = 2) -> Tensor:
    """The gradient of the input after some passes with losses of their own."""
    x = x.clone().requires_grad_()
    sum((k + 1) * model(x).square().sum() for k in range(passes)).backward()
    return x.grad


def assert_same(found: Tensor, wanted: Tensor, off: float = 1e-5) -> None:
    torch.testing.assert_close(found, wanted.to(found.dtype), rtol=off, atol=off)


def under_compile(make: Make) -> None:
    compiled = torch.compile(make(), backend="eager", fullgraph=True)
    assert_same(twice(compiled), twice(make()))
    assert_same(slope(torch.compile(make(), backend="aot_eager", fullgraph=True)), slope(make()))


def under_export(make: Make) -> None:
    program = torch.export.export(make(), (X,))
    assert_same(twice(program.module()), twice(make()))
    assert_same(twice(torch.export.export(make(), (X,), strict=True).run_decompositions().module()), twice(make()))


def under_symbolic_trace(make: Make) -> None:
    assert_same(twice(torch.fx.symbolic_trace(make())), twice(make()))


def under_make_fx(make: Make) -> None:
    model, other = make(), make()
    traced = make_fx(model)(X)  # a pass
    other(X)
    assert_same(twice(traced), twice(other))


def under_autocast(make: Make) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = twice(make())
    assert_same(found.float(), twice(make()), 0.02)


def in_half_types(make: Make) -> None:
    for dtype, off in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        found = twice(make().to(dtype), X.to(dtype))
        assert found.dtype == dtype
        assert_same(found.float(), twice(make()), off)


def in_double(make: Make) -> None:
    found = twice(make().double(), X.double())
    assert found.dtype == torch.float64
    assert_same(found.float(), twice(make()))


def under_checkpoint(make: Make, *, reentrant: bool) -> None:
    assert_same(slope(partial(checkpoint, make(), use_reentrant=reentrant)), slope(make()))


def after_state_dict(make: Make) -> None:
    read, fresh = make(), make()
    read(X)
    file = io.BytesIO()
    torch.save(read.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert_same(twice(fresh), twice(read))


def after_copies(make: Make) -> None:
    read = make()
    read(X)
    copies = [copy.deepcopy(read), pickle.loads(pickle.dumps(read)), copy.deepcopy(read).to("cpu")]
    wanted = twice(read)
    for one in copies:
        assert_same(twice(one), wanted)


def under_vmap(make: Make) -> None:
    model = make()
    assert_same(twice(torch.func.vmap(lambda x: model(x[None])[0])), twice(make()))


def under_grad(make: Make) -> None:
    model = make()
    assert_same(torch.func.grad(lambda x: model(x).square().sum())(X), slope(make(), passes=1))


def under_jvp(make: Make) -> None:
    """Forwards and backwards are transposes of each other."""
    along = torch.randn(X.shape, generator=torch.Generator().manual_seed(2))
    output, pushed = torch.func.jvp(make(), (X,), (along,))
    x = X.clone().requires_grad_()
    (pulled,) = torch.autograd.grad(make()(x), x, torch.ones_like(output))
    assert_same(pushed.sum(), (pulled * along).sum())


def in_double_backward(make: Make) -> None:
    x = X[:2].double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: make().double()(x).square(), x)  # against finite differences


def in_inference_mode(make: Make) -> None:
    """Made and read there, it can be trained and read outside."""
    with torch.inference_mode():
        model = make()
        first = model(X)
    assert_same(slope(model, passes=1), slope(used(make()), passes=1))
    assert_same(first, make()(X))


def used(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        model(X)
    return model


def without_memory(make: Make) -> None:
    assert make().to("meta")(X.to("meta")).shape == make()(X).shape


def in_replicas(make: Make) -> None:
    """As DataParallel makes them on its first device: other modules, the same buffers; each has a read of its own."""
    model, found = make(), []
    for _ in range(2):
        replica = model._replicate_for_data_parallel()
        for one, origin in zip(replica.modules(), model.modules(), strict=True):
            one._parameters, one._buffers = dict(origin._parameters), dict(origin._buffers)
        found.append(replica(X))
    assert_same(torch.stack(found), twice(make()))


def over_weights(make: Make) -> None:
    """Mapped over weights, one chip has one noise."""
    model, other = make(), make()
    weights = {name: torch.stack([p.detach(), 2 * p.detach()]) for name, p in model.named_parameters()}
    found = torch.func.vmap(lambda some: torch.func.functional_call(model, some, (X,)))(weights)
    assert_same(found[0], other(X))


def over_weights_row_by_row(make: Make) -> None:
    """Mapped over weights, each product is a read of its own, as over inputs."""
    model = make()
    weights = {name: torch.stack([p.detach(), p.detach()]) for name, p in model.named_parameters()}
    found = torch.func.vmap(lambda some: torch.func.functional_call(model, some, (X,)))(weights)
    assert bool((found[0] != found[1]).any(0).all()) and found.shape == (2, *make()(X).shape)


def over_chips(make: Make) -> None:
    """Mapped over chips, each has noise of its own."""
    chips = [make() for _ in range(3)]
    for seed, one in enumerate(chips):
        restart_reads(one, seed)
    base, (parameters, buffers) = copy.deepcopy(chips[0]), torch.func.stack_module_state(chips)

    def run(*state: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(base, state, (X,))

    mapped = torch.func.vmap(run)
    for _ in range(2):
        assert_same(mapped(parameters, buffers), torch.stack([one(X) for one in chips]))


TRANSFORMS: dict[str, tuple[Callable[[Make], None], list[str]]] = {
    "torch.compile": (under_compile, CHIPS + SOLVERS),
    "torch.export": (under_export, CHIPS + SOLVERS),
    "torch.fx.symbolic_trace": (under_symbolic_trace, CHIPS + SOLVERS),
    "make_fx": (under_make_fx, CHIPS + SOLVERS),
    "torch.autocast": (under_autocast, CHIPS + SOLVERS),
    "float16 and bfloat16": (in_half_types, CHIPS + SOLVERS),
    "float64": (in_double, ["layer", "chip", *SOLVERS]),  # noise has other draws there
    "checkpoint": (partial(under_checkpoint, reentrant=False), CHIPS + SOLVERS),
    "checkpoint, reentrant": (partial(under_checkpoint, reentrant=True), CHIPS + SOLVERS),
    "state_dict": (after_state_dict, CHIPS),
    "deepcopy and pickle": (after_copies, CHIPS),
    "replicas": (in_replicas, CHIPS),
    "vmap over inputs": (under_vmap, CHIPS + SOLVERS),
    "vmap over weights": (over_weights, WITHOUT_ROWS),
    "vmap over weights, row by row": (over_weights_row_by_row, ROWS),
    "vmap over chips": (over_chips, CHIPS),
    "torch.func.grad": (under_grad, CHIPS + SOLVERS),
    "torch.func.jvp": (under_jvp, CHIPS),
    "double backward": (in_double_backward, CHIPS),
    "inference_mode": (in_inference_mode, CHIPS),
    "meta": (without_memory, [*CHIPS, "solver torch"]),
}
TABLE = [
    pytest.param(run, SUBJECTS[name], id=f"{says}-{name}") for says, (run, on) in TRANSFORMS.items() for name in on
]


@pytest.mark.parametrize(("transform", "make"), TABLE)
def test_transformed_is_as_it_was(transform: Callable[[Make], None], make: Make) -> None:
    torch._dynamo.reset()
    transform(make)


# Ways to run a network whose passes are computed again in the backward pass; each returns a scalar, already backward.
Run = Callable[[nn.Module, Tensor], Tensor]


def loss(run: Run, model: nn.Module, x: Tensor) -> Tensor:
    return run(model, x).square().sum()


def one_pass(run: Run, model: nn.Module, x: Tensor) -> None:
    loss(run, model, x).backward()


def the_first_pass_first(run: Run, model: nn.Module, x: Tensor) -> None:
    losses = [(k + 1) * loss(run, model, x) for k in range(3)]  # three reads of the same input
    with torch.no_grad():
        model(x)  # a read that is never repeated
    for one in losses:
        one.backward()


def the_last_pass_first(run: Run, model: nn.Module, x: Tensor) -> None:
    sum((k + 1) * loss(run, model, x) for k in range(3)).backward()


def two_backward_passes(run: Run, model: nn.Module, x: Tensor) -> None:
    one = loss(run, model, x)
    one.backward(retain_graph=True)
    one.backward()


def two_reads_in_a_pass(run: Run, model: nn.Module, x: Tensor) -> None:
    loss(lambda model, x: run(lambda x: model(x) - 3 * model(x), x), model, x).backward()


def noise_restarted(run: Run, model: nn.Module, x: Tensor) -> None:
    one = loss(run, model, x)
    restart_reads(model, 9)
    one.backward()


def parts_of_parts(run: Run, model: nn.Module, x: Tensor) -> None:
    loss(lambda model, x: run(lambda x: run(model[2:], run(model[:2], x)), x), model, x).backward()


def segments(run: Run, model: nn.Module, x: Tensor) -> None:
    if run is plainly:
        return one_pass(run, model, x)
    return checkpoint_sequential(model, 3, x, **run.keywords).square().sum().backward()


def plainly(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return model(x)


SCHEDULES = [
    one_pass, the_first_pass_first, the_last_pass_first, two_backward_passes, two_reads_in_a_pass, noise_restarted,
    parts_of_parts, segments,
]  # fmt: skip


@pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.__name__)
@pytest.mark.parametrize("keeps_state", [True, False], ids=["", "without the state of random numbers"])
@pytest.mark.parametrize("redraw", ["forward", "read"])
def test_a_pass_that_is_computed_again_has_its_reads_again(
    schedule: Callable[..., None], reentrant: bool, keeps_state: bool, redraw: Redraw
) -> None:
    """Gradients of inputs and weights, and the reads that follow, are those without checkpoints."""
    found = []
    run = partial(checkpoint, use_reentrant=reentrant, preserve_rng_state=keeps_state)
    for way in (plainly, run):
        model, x = chip(redraw=redraw).requires_grad_(), X.clone().requires_grad_()
        schedule(way, model, x)
        assert x.grad is not None
        found.append([x.grad, *(p.grad for p in model.parameters()), model(X).detach()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_what_a_checkpoint_remembers_is_forgotten_with_it() -> None:
    gc.collect()
    before = len(reads._REGIONS)
    output = checkpoint(chip(), X.clone().requires_grad_(), use_reentrant=False)
    assert len(reads._REGIONS) == before + 1
    del output
    gc.collect()
    assert len(reads._REGIONS) == before


class Again(torch.autograd.Function):
    """A pass that is computed again in the backward pass, without the knowledge of PyTorch."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, model: nn.Module, x: Tensor) -> Tensor:
        ctx.model = model
        ctx.save_for_backward(x)
        return model(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[None, Tensor]:
        with torch.enable_grad():
            x = ctx.saved_tensors[0].detach().requires_grad_()
            return None, torch.autograd.grad(ctx.model(x), x, grad)[0]


def differs_when_repeated() -> None:
    model, calls = chip(), iter([1, 2])
    slope(partial(checkpoint, lambda x: sum(model(x) for _ in range(next(calls))), use_reentrant=True), passes=1)


def compiled_checkpoint() -> None:
    model = chip()
    slope(torch.compile(lambda x: checkpoint(model, x, use_reentrant=False), backend="aot_eager"), passes=1)


def second_derivative() -> None:
    x = X.clone().requires_grad_()
    (first,) = torch.autograd.grad(Solver("auto")(x).square().sum(), x, create_graph=True)
    first.sum().backward()


AGAIN = "A pass is computed again, and which reads of a chip it had cannot be told"
REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "a pass computed again by other means": (lambda: slope(partial(Again.apply, chip()), passes=1), ValueError, AGAIN),
    "a pass that differs when computed again": (differs_when_repeated, ValueError, AGAIN),
    "a checkpoint inside of torch.compile": (compiled_checkpoint, ValueError, AGAIN),
    "forward mode of the solver": (
        lambda: torch.func.jvp(Solver("auto"), (X,), (X,)), NotImplementedError, "implement the jvp function",
    ),
    "second derivatives of the solver": (second_derivative, RuntimeError, "once_differentiable"),
}  # fmt: skip
for _strict, (_kind, _sigma) in product((True, False), {"": 0.0, "noisy ": 0.2}.items()):
    REFUSED[f"state of a plain network in a {_kind}chip, strict={_strict}"] = (
        lambda sigma=_sigma, strict=_strict: chip(sigma).load_state_dict(plain().state_dict(), strict=strict),
        RuntimeError,
        "Layer '0' is on a chip with.* noise of reads and takes the state of such a layer alone",
    )
    REFUSED[f"state of a chip in a {_kind}chip of the other kind, strict={_strict}"] = (
        lambda sigma=_sigma, strict=_strict: chip(sigma).load_state_dict(chip(0.2 - sigma).state_dict(), strict=strict),
        RuntimeError,
        "takes the state of such a layer alone",
    )
REFUSED["state of a chip in a plain network"] = (
    lambda: plain().load_state_dict(chip().state_dict()), RuntimeError, 'Unexpected key.*"0.reads"',
)  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    torch._dynamo.reset()
    with pytest.raises(error, match=words):
        call()


def test_a_state_that_is_refused_leaves_the_chip_as_it_was() -> None:
    one, same = chip(), chip()
    with pytest.raises(RuntimeError, match="on_crossbar puts the weights of a plain network on a chip"):
        one.load_state_dict(plain().state_dict())
    assert_same(twice(one), twice(same), 0)
