"""Thresholds beside ReLU, plain loops, and central differences; what they are set into stays frozen."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.nn.utils.spectral_norm import spectral_norm

from edgebook.compression import Thresholds, threshold, threshold_operator, threshold_penalty, with_thresholds
from edgebook.data import import_torchvision
from edgebook.measure import layer_costs
from edgebook.networks import fit, initialised, resnet_architecture, vgg_architecture

FORMATS = [torch.contiguous_format, torch.channels_last]
FAMILY = vgg_architecture((4, "M", 6), in_channels=1, classes=3)
RELUS = [name for names in FAMILY.activations for name in names]


@pytest.fixture(params=["numba", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run what the kernels do, and what PyTorch does where there are none."""
    if request.param == "torch":
        monkeypatch.setattr(threshold_operator, "_kernels", lambda: None)
    elif threshold_operator._kernels() is None:
        pytest.skip("Numba is not installed")
    return request.param


def draw(*shape: int, seed: int = 0, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.int32 if x.dtype == torch.float32 else torch.int64)


def window_of(z: float) -> float:
    """Written out once more, as the papers have it."""
    if abs(z) <= 0.4:
        return 2 - 4 * abs(z)
    return 0.4 if abs(z) <= 1 else 0.0


def integral(z: Tensor) -> Tensor:
    """Integrate the window from 0, in closed form."""
    near, far = 2 * z - 2 * z * z.abs(), z.sign() * (0.48 + 0.4 * (z.abs() - 0.4))
    return torch.where(z.abs() <= 0.4, near, torch.where(z.abs() <= 1, far, 0.72 * z.sign()))


def gradients(y: Tensor, t: Tensor, grad: Tensor, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    y, t = y.detach().requires_grad_(), t.detach().requires_grad_()
    out = threshold(y, t, **options)
    return out.detach(), *torch.autograd.grad(out, (y, t), grad)


NUMBERS = {"allow_nan": False, "allow_infinity": False}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=25)
@given(data=st.data())
def test_thresholds_of_zero_are_relu_to_the_last_bit(data: st.DataObject, dtype: type, form: Any) -> None:
    values = st.floats(width=np.dtype(dtype).itemsize * 8, **NUMBERS) | st.sampled_from([0.0, -0.0])
    given_ = torch.from_numpy(data.draw(arrays(dtype, (2, 3, 2, 2), elements=values)))
    y = given_.contiguous(memory_format=form)
    zero = torch.zeros(3, 2, 2, dtype=y.dtype)
    for kernels in (threshold_operator._kernels, lambda: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threshold_operator, "_kernels", kernels)
            out, back, _ = gradients(y, zero, torch.ones_like(y), full=False)
        assert out.stride() == y.stride()
        wanted = torch.where(y == 0, y, F.relu(y))  # processors differ in what their maximum of 0 and -0 is
        assert torch.equal(bits(out), bits(wanted))
        assert torch.equal(back, (y >= 0).to(y.dtype))


def test_minus_zero_passes_as_it_does_in_relu() -> None:
    y = torch.full((2, 9), -0.0)
    assert torch.signbit(threshold(y, torch.zeros(9))).all()


SHAPES = [
    ((3,), (3,)),
    ((3,), (1,)),
    ((3,), ()),
    ((2, 2, 3), (2, 2, 3)),
    ((2, 2, 3), (2, 1, 1)),
    ((2, 2, 3), (2, 1, 3)),
]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(("sample", "own"), SHAPES)
def test_both_ways_are_those_of_a_loop(backend: str, sample: Any, own: Any, full: bool) -> None:
    for seed, width in enumerate((1.0, 0.5, 3.0)):
        y, t, grad = (
            draw(*s, seed=10 * seed + i, dtype=torch.float64) for i, s in enumerate([(5, *sample), own, (5, *sample)])
        )
        found = gradients(y, t, grad, window=width, full=full)
        wanted = [torch.zeros_like(x) for x in (y, y, t)]
        for place in itertools.product(*map(range, y.shape)):
            at = tuple(0 if n == 1 else i for i, n in zip(place[1 + len(sample) - len(own) :], own, strict=True))
            value, limit, g = float(y[place]), float(t[at]), float(grad[place])
            h = window_of((value - limit) / width)
            wanted[0][place] = value if value >= limit else 0
            wanted[1][place] = g * ((value >= limit) + (value * h if full else 0))
            wanted[2][at] -= g * value * h
        for have, want in zip(found, wanted, strict=True):
            torch.testing.assert_close(have, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [1.0, 2.5])
def test_the_gradient_is_that_of_the_integral_of_the_window(backend: str, width: float) -> None:
    """Central differences, in t and, with the factor y held, in y."""
    y, t, grad = (draw(*s, seed=i, dtype=torch.float64) for i, s in enumerate([(40, 3, 2), (3, 2), (40, 3, 2)]))
    y_grad, t_grad = gradients(y, t, grad, window=width)[1:]
    eps = 1e-6

    def smooth(moved: Tensor | float, by: Tensor | float) -> Tensor:
        return grad * y * width * integral((y + moved - t - by) / width)

    wanted = (smooth(0, eps) - smooth(0, -eps)).sum(0) / (2 * eps)
    torch.testing.assert_close(t_grad, wanted, rtol=1e-6, atol=1e-6)
    wanted = (smooth(eps, 0) - smooth(-eps, 0)) / (2 * eps) + grad * (y >= t)
    torch.testing.assert_close(y_grad, wanted, rtol=1e-6, atol=1e-6)


def test_the_gradient_of_thresholds_is_the_sum_over_samples(backend: str) -> None:
    y, t, grad = draw(7, 3, 4, 4), draw(3, 1, 1, seed=1, scale=0.3), draw(7, 3, 4, 4, seed=2)
    each = sum(gradients(y[n : n + 1], t, grad[n : n + 1])[2] for n in range(7))
    torch.testing.assert_close(gradients(y, t, grad)[2], each)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels last": lambda y: y.contiguous(memory_format=torch.channels_last),
    "a slice": lambda y: torch.cat([y, y], 2)[:, :, :4],
    "every second sample": lambda y: y.repeat_interleave(2, 0)[::2],
    "transposed": lambda y: y.transpose(1, 3).contiguous().transpose(1, 3),
    "samples innermost": lambda y: y.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
}


@pytest.mark.parametrize("lay", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_changes_no_number(backend: str, lay: Callable[[Tensor], Tensor]) -> None:
    y = lay(draw(6, 3, 4, 2))
    t, grad = draw(3, 4, 2, seed=1, scale=0.3), draw(6, 3, 4, 2, seed=2)
    for given_ in (grad, grad[:1].expand(6, 3, 4, 2), torch.ones(()).expand(6, 3, 4, 2)):
        wanted = gradients(y.contiguous(), t, given_.contiguous())
        for have, want in zip(gradients(y, t, given_), wanted, strict=True):
            torch.testing.assert_close(have, want)
    one = y[:1].expand(6, 3, 4, 2)
    assert torch.equal(threshold(one, t), threshold(one.contiguous(), t))


def test_more_neurons_than_a_block_holds(backend: str) -> None:
    y, t, grad = draw(3, 9001), draw(9001, seed=1, scale=0.3), draw(3, 9001, seed=2)
    found = gradients(y, t, grad)
    z = (y - t).abs()
    bump = torch.where(z > 1, 0, grad * y * torch.where(z > 0.4, 0.4, 2 - 4 * z))
    torch.testing.assert_close(found, (y * (y >= t), grad * (y >= t) + bump, -bump.sum(0)))


def test_what_is_not_finite_is_neither_lost_nor_spread(backend: str) -> None:
    inf, nan = torch.inf, torch.nan
    y = torch.tensor([[nan, 1.0, inf, -inf, inf, 1.0, -1.0]])
    t = torch.tensor([0.0, nan, 0.0, 0.0, inf, inf, -inf])
    out, y_grad, t_grad = gradients(y, t, torch.ones_like(y))
    torch.testing.assert_close(out, torch.tensor([[nan, nan, inf, 0, inf, 0, -1]]), rtol=0, atol=0, equal_nan=True)
    assert y_grad[0].isnan().tolist() == t_grad.isnan().tolist() == [True, True, False, False, True, False, False]
    assert y_grad[0, [2, 3, 5, 6]].tolist() == [1, 0, 0, 1] and not t_grad[[2, 3, 5, 6]].any()


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 2, 4, 4)])
def test_nothing_gives_nothing(backend: str, shape: tuple[int, ...]) -> None:
    y, t = torch.zeros(shape), torch.zeros(shape[1:])
    out, y_grad, t_grad = gradients(y, t, y)
    assert out.shape == y_grad.shape == y.shape and torch.equal(t_grad, t)


def test_a_threshold_of_one_number_in_each_sample(backend: str) -> None:
    assert threshold(torch.tensor([1.0, 2.0, 3.0]), torch.tensor(2.0)).tolist() == [0, 2, 3]


FIT = "t must broadcast to one sample of y (N, ...), got "
REAL = "y and t must be real numbers of one type on one device, got "
WINDOW = "window must be a finite number above 0, got "
REFUSED: list[tuple[Callable[[Tensor, Tensor], object], str]] = [
    (lambda y, t: threshold(y, torch.zeros(2, 3)), FIT + "(2, 3) for pre-activations (2, 3)."),
    (lambda y, t: threshold(y, torch.zeros(2)), FIT + "(2,) for pre-activations (2, 3)."),
    (lambda y, t: threshold(y.sum(), torch.zeros(())), FIT + "() for pre-activations ()."),
    (lambda y, t: threshold(y.double(), t), REAL + "float64 on cpu and float32 on cpu."),
    (lambda y, t: threshold(y, t.to("meta")), REAL + "float32 on cpu and float32 on meta."),
    (lambda y, t: threshold(y.long(), t.long()), REAL + "int64 on cpu and int64 on cpu."),
    (lambda y, t: threshold(y, t, window=0), WINDOW + "0."),
    (lambda y, t: threshold(y, t, window=torch.nan), WINDOW + "nan."),
    (lambda y, t: Thresholds((3,), window=True), WINDOW + "True."),
    (lambda y, t: with_thresholds(nn.ReLU(), [], y, per="layer"), "per must be one of neuron, channel, got 'layer'."),
    (lambda y, t: Thresholds((3.5,)), "A length of a sample must be a whole number, got 3.5."),
    (lambda y, t: threshold_penalty(nn.ReLU()), "The model has no layer of thresholds."),
    (lambda y, t: threshold_penalty(Thresholds((3,)), sign=0), "sign must be 1 or -1, got 0."),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_what_does_not_fit_is_refused(call: Callable[[Tensor, Tensor], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call(torch.zeros(2, 3), torch.zeros(3))
    with pytest.raises(TypeError, match="t must be a tensor, got a float"):
        threshold(torch.zeros(2, 3), 0.5)


def test_the_penalty_is_a_mean_and_its_sign_turns_it() -> None:
    net = nn.Sequential(Thresholds((3,)), Thresholds((2, 1, 1)))
    with torch.no_grad():
        net[0].t.copy_(torch.tensor([1.0, 2.0, 3.0]))
    values = np.array([1.0, 2, 3, 0, 0])
    for sign in (1, -1):
        net.zero_grad()
        penalty = threshold_penalty(net, sign=sign)
        penalty.backward()
        assert penalty.item() == pytest.approx(np.exp(-sign * values).mean())
        torch.testing.assert_close(net[0].t.grad, -sign * torch.exp(-sign * net[0].t.detach()) / 5)


def parent(seed: int = 0) -> nn.Module:
    """A network whose batch norms have seen something."""
    net = initialised(FAMILY.build, FAMILY.widths, seed)
    x, y = batch()
    fit(net, x, y, epochs=2, lr=0.01)
    return net


def batch(seed: int = 5) -> tuple[Tensor, Tensor]:
    x = draw(24, 1, 6, 6, seed=seed).contiguous(memory_format=torch.channels_last)
    return x, torch.arange(24) % 3


def hashed(model: nn.Module) -> dict[str, str]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: hashlib.sha256(x.detach().contiguous().numpy().tobytes()).hexdigest() for name, x in tensors.items()}


@pytest.mark.parametrize("per", ["neuron", "channel"])
def test_a_child_begins_as_its_parent_and_training_it_leaves_all_else_as_it_was(per: Any) -> None:
    net = parent()
    before = hashed(net)
    child = with_thresholds(net, RELUS, batch()[0][:1], per=per)
    x, y = batch(6)
    assert torch.equal(child.eval()(x), net.eval()(x))
    shapes = [tuple(child.get_submodule(name).t.shape) for name in RELUS]
    assert shapes == ([(4, 6, 6), (6, 3, 3)] if per == "neuron" else [(4, 1, 1), (6, 1, 1)])
    child.linear = nn.Linear(6, 3)
    trained = [p for p in child.parameters() if p.requires_grad]
    assert len(trained) == 4
    kept = hashed(child)
    child.train()
    losses = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        losses.append(F.cross_entropy(logits, labels))
        return losses[-1] + 0.1 * threshold_penalty(child)

    fit(child, x, y, epochs=8, optimizer=torch.optim.Adam(trained, lr=0.1), loss=loss)
    assert losses[-1] < losses[0]
    after = hashed(child)
    changed = {name for name in after if after[name] != kept[name]}
    assert changed == {*(f"{name}.t" for name in RELUS), "linear.weight", "linear.bias"}
    assert {n: h for n, h in after.items() if n not in changed} == {n: h for n, h in before.items() if n not in changed}
    assert all(p.grad is None for p in child.parameters() if not p.requires_grad)
    assert hashed(net) == before and all(p.requires_grad for p in net.parameters())


FROZEN: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2)),
    "instance norm": lambda: nn.InstanceNorm1d(2, track_running_stats=True),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Conv1d(2, 2, 1)),
    "the hook of spectral norm": lambda: spectral_norm(nn.Conv1d(2, 2, 1)),
}


@pytest.mark.parametrize("build", FROZEN.values(), ids=FROZEN)
def test_what_training_would_move_stays_and_computes_as_in_evaluation(build: Callable[[], nn.Module]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(build(), nn.ReLU(), nn.Dropout())
    x = draw(4, 2, 5)
    with torch.no_grad():
        net.train()(2 * x)
    child = with_thresholds(net, ["1"], x)
    before, wanted = hashed(child), net.eval()[:2](x)
    assert torch.equal(child.train()[:2](x), wanted)
    assert child.training and child[2].training and hashed(child) == before


class Counts(nn.Module):
    """Changes a buffer in whatever mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.relu, self.idle = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.b(self.relu(self.a(x))))


def test_what_cannot_have_thresholds_is_refused_by_name() -> None:
    x = torch.zeros(2, 4)
    for name in ("relus", "a"):
        with pytest.raises(ValueError, match=f"The model has no ReLU named '{name}'"):
            with_thresholds(Twice(), [name], x)
    for name, times in {"relu": 2, "idle": 0}.items():
        with pytest.raises(
            ValueError, match=f"{name} runs {times} times in a pass, and thresholds belong to one place"
        ):
            with_thresholds(Twice(), [name], x)
    with pytest.raises(ValueError, match=r"0\.calls changes in training mode, and thresholds want a frozen network"):
        with_thresholds(nn.Sequential(Counts(), nn.ReLU()), ["1"], x)


def test_making_a_child_leaves_no_trace() -> None:
    net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(4), nn.ReLU(inplace=True)).train()
    before, state = hashed(net), torch.get_rng_state()
    child = with_thresholds(net, ["2"], draw(8, 4))
    assert hashed(net) == before and torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in net.modules()] == [True] * 4
    assert [m.training for m in child.modules()] == [True] * 4


def test_a_residual_network_may_have_them_too() -> None:
    family = resnet_architecture((4, 6), in_channels=1)
    net = initialised(family.build, family.widths, 0).eval()
    child = with_thresholds(net, [name for names in family.activations for name in names], torch.zeros(1, 1, 8, 8))
    x = draw(3, 1, 8, 8)
    assert torch.equal(child(x), net(x))


def test_thresholds_add_no_products_to_the_counts() -> None:
    net = parent()
    child = with_thresholds(net, RELUS, batch()[0][:1])
    assert layer_costs(child, (1, 6, 6)) == layer_costs(net, (1, 6, 6))


@pytest.mark.parametrize(("side", "count"), [(32, 276_480), (64, 1_105_920)])
def test_the_thresholds_of_vgg16_are_counted(side: int, count: int) -> None:
    """On the meta device, beside sums over its plan written out: 14.7 million weights of convolutions."""
    import_torchvision()
    from torchvision.models import vgg16

    with torch.device("meta"):
        features = vgg16(weights=None).features
        child = with_thresholds(
            features, [str(i) for i, m in enumerate(features) if isinstance(m, nn.ReLU)], torch.zeros(1, 3, side, side)
        )
    widths = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    assert sum(width * n * (side >> level) ** 2 for level, (width, n) in enumerate(widths)) == count
    assert sum(p.numel() for p in child.parameters() if p.requires_grad) == count
    assert sum(cost.weights for cost in layer_costs(child, (3, side, side)).values()) == 14_710_464
