"""The surrogates against closed forms: value at the threshold, area, symmetry, and the step they stand in for."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from edgebook.spiking import Surrogate, atan, fast_sigmoid, triangular

ALL = [atan(), atan(5.0), fast_sigmoid(), fast_sigmoid(2.0), triangular(), triangular(0.7, 0.4)]


def at(surrogate: Surrogate, x: float) -> float:
    return surrogate.slope(torch.tensor(x, dtype=torch.float64)).item()


@pytest.mark.parametrize(("surrogate", "top", "area"), [
    (atan(), 1.0, 1.0), (atan(5.0), 2.5, 1.0),  # any alpha: the derivative of an arctan from 0 to 1
    (fast_sigmoid(), 1.0, 2 / 25), (fast_sigmoid(2.0), 1.0, 1.0),
    (triangular(), 0.3, 0.3), (triangular(0.7, 0.4), 0.7, 0.28),
], ids=str)  # fmt: skip
def test_value_at_the_threshold_and_area(surrogate: Surrogate, top: float, area: float) -> None:
    assert at(surrogate, 0.0) == pytest.approx(top, rel=1e-14)
    half, _ = quad(lambda x: at(surrogate, x), 0, math.inf, limit=200, epsabs=1e-9)
    if surrogate.kind == "triangular":  # a bump of finite width is easily missed on an infinite line
        half, _ = quad(lambda x: at(surrogate, x), 0, 1 / surrogate.steepness)
    assert 2 * half == pytest.approx(area, rel=1e-6)


@given(st.sampled_from(ALL), st.floats(-1e6, 1e6))
def test_a_bump_is_even_and_highest_at_the_threshold(surrogate: Surrogate, x: float) -> None:
    assert at(surrogate, x) == at(surrogate, -x)
    assert 0 <= at(surrogate, x) <= at(surrogate, x / 2) <= at(surrogate, 0.0)


def test_the_triangle_ends_at_its_width() -> None:
    assert at(triangular(0.7, 0.4), 0.4) == pytest.approx(0, abs=1e-15)
    assert at(triangular(0.7, 0.4), 0.5) == 0
    assert at(triangular(0.7, 0.4), -0.1) == pytest.approx(0.7 * 0.75)


@pytest.mark.parametrize("surrogate", ALL, ids=str)
def test_a_call_spikes_and_hands_the_slope_back(surrogate: Surrogate) -> None:
    x = torch.linspace(-1.1, 1.1, 45, dtype=torch.float64).requires_grad_()
    assert torch.equal(surrogate(x), (x > 0).double())
    weights = torch.arange(45.0, dtype=torch.float64)
    grad = torch.autograd.grad(surrogate(x), x, weights)[0]
    assert torch.equal(grad, weights * surrogate.slope(x.detach()))


@pytest.mark.parametrize("surrogate", ALL, ids=str)
def test_the_slope_can_itself_be_differentiated(surrogate: Surrogate) -> None:
    x = torch.tensor([-0.31, -0.12, 0.05, 0.27], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(surrogate.slope, x)
    once = torch.autograd.grad(surrogate(x).sum(), x, create_graph=True)[0]
    twice = torch.autograd.grad(once.sum(), x)[0]
    torch.testing.assert_close(twice, torch.autograd.grad(surrogate.slope(x).sum(), x)[0])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # by PyTorch's own rules of forward mode
@pytest.mark.parametrize("surrogate", ALL, ids=str)
def test_forward_mode_and_maps_see_the_slope(surrogate: Surrogate) -> None:
    x, moved = torch.linspace(-1.1, 1.1, 45, dtype=torch.float64), torch.arange(45.0, dtype=torch.float64)
    spikes, tangent = torch.func.jvp(surrogate, (x,), (moved,))
    assert torch.equal(spikes, (x > 0).double()) and torch.equal(tangent, moved * surrogate.slope(x))
    mapped = torch.func.vmap(torch.func.grad(lambda y: surrogate(y)))(x)
    assert torch.equal(mapped, surrogate.slope(x))
    slope = torch.func.grad(lambda y: surrogate.slope(y).sum())
    torch.testing.assert_close(torch.func.hessian(lambda y: surrogate(y).sum())(x), slope(x).diag())


def test_a_distance_that_is_no_number_is_no_spike() -> None:
    x = torch.tensor([math.nan, -math.inf, math.inf, 1.0])
    for strict in (False, True):
        spikes = atan().spike(x, strict=strict)
        torch.testing.assert_close(spikes, torch.tensor([math.nan, 0.0, 1.0, 1.0]), equal_nan=True)


def test_what_is_no_surrogate() -> None:
    for make in (atan, fast_sigmoid, triangular):
        for wrong in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match="must be a finite number above 0"):
                make(wrong)
    with pytest.raises(ValueError, match="height must be a finite number above 0, got Parameter"):
        Surrogate("atan", torch.nn.Parameter(torch.ones(())), 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width must be"):
        triangular(0.3, 0.0)
    with pytest.raises(ValueError, match="kind must be one of atan, fast_sigmoid, triangular, got 'sigmoid'"):
        Surrogate("sigmoid", 1.0, 1.0)  # type: ignore[arg-type]
