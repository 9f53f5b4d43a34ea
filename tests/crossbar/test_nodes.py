"""Conjugate gradients and the voltages at the nodes: Kirchhoff's and Ohm's laws, and the exact matrix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgebook.crossbar import device_currents, dissipation, effective_conductance, node_voltages
from edgebook.crossbar import output_currents as output
from edgebook.crossbar.solver import iterative

HEAVY = {"r_word": 5.0, "r_bit": 10.0, "r_source": 1005.0, "r_sense": 1010.0}
LIGHT = dict.fromkeys(HEAVY, 1.0)


def seeded(*shape: int, seed: int = 0) -> Tensor:
    uniform = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 10 ** (-uniform) / 20e3


def volts(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 9), st.sampled_from([HEAVY, LIGHT]))
def test_output_currents_are_those_of_the_exact_matrix(m: int, n: int, seed: int, ohm: dict[str, float]) -> None:
    g, v = seeded(m, n, seed=seed), volts(3, m)
    g[g < 1e-5] = 0
    wanted = v @ effective_conductance(g, **ohm)
    torch.testing.assert_close(output(v, g, **ohm), wanted, rtol=1e-9, atol=1e-12 * float(wanted.abs().max()))


def test_an_array_beyond_the_compiled_ones() -> None:
    g, v = seeded(150, 140), volts(2, 150)
    wanted = v @ effective_conductance(g, **HEAVY)
    torch.testing.assert_close(output(v, g, **HEAVY), wanted, rtol=1e-9, atol=1e-14)


def test_batches_broadcast() -> None:
    g, v = seeded(4, 1, 6, 5), volts(3, 2, 6)
    found = output(v, g, **HEAVY)
    assert found.shape == (4, 3, 2, 5)
    torch.testing.assert_close(found[2, 1], output(v[1], g[2, 0], **HEAVY), rtol=1e-9, atol=1e-16)


def test_no_voltage_no_current() -> None:
    assert torch.equal(output(torch.zeros(1, 3), seeded(3, 4), **HEAVY), torch.zeros(1, 4, dtype=torch.float64))


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9))
def test_kirchhoff_and_ohm_hold_at_every_node(m: int, n: int, seed: int) -> None:
    g, v = seeded(m, n, seed=seed), volts(2, m)
    word, bit, current = node_voltages(v, g, **HEAVY)
    largest = float(current.abs().max())
    torch.testing.assert_close(current, g * (word - bit), rtol=0, atol=1e-11 * largest)
    into = (v - word[..., 0]) / HEAVY["r_source"]  # (2, m), from the sources
    right = torch.diff(word, dim=-1) / -HEAVY["r_word"]  # (2, m, n - 1), currents to the next node
    arriving = torch.cat([into.unsqueeze(-1), right], dim=-1)
    leaving = torch.cat([right, torch.zeros_like(into).unsqueeze(-1)], dim=-1)
    torch.testing.assert_close(arriving - leaving, current, rtol=0, atol=1e-9 * largest)
    out = bit[..., -1, :] / HEAVY["r_sense"]
    down = torch.diff(bit, dim=-2) / -HEAVY["r_bit"]
    arriving = torch.cat([torch.zeros_like(out).unsqueeze(-2), down], dim=-2)
    leaving = torch.cat([down, out.unsqueeze(-2)], dim=-2)
    torch.testing.assert_close(leaving - arriving, current, rtol=0, atol=1e-9 * largest)
    # Property 6: what the sources deliver arrives at the senses, also by the exact matrix.
    torch.testing.assert_close(into.sum(-1), (v @ effective_conductance(g, **HEAVY)).sum(-1), rtol=1e-8, atol=1e-13)


def test_power_is_conserved() -> None:
    g, v = seeded(7, 5), volts(3, 7)
    nodes = node_voltages(v, g, **HEAVY)
    devices, wires = dissipation(nodes, v)
    source = (v - nodes.word[..., 0]).square().sum(-1) / HEAVY["r_source"]
    sense = nodes.bit[..., -1, :].square().sum(-1) / HEAVY["r_sense"]
    lines = torch.diff(nodes.word).square().sum((-2, -1)) / HEAVY["r_word"]
    lines += torch.diff(nodes.bit, dim=-2).square().sum((-2, -1)) / HEAVY["r_bit"]
    torch.testing.assert_close(wires, source + sense + lines, rtol=1e-9, atol=0)
    torch.testing.assert_close(devices, ((nodes.word - nodes.bit).square() * g).sum((-2, -1)), rtol=1e-9, atol=0)


def test_gradients() -> None:
    milli, v = (1e3 * seeded(2, 3, 4)).requires_grad_(), volts(2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, g: 1e3 * device_currents(v, g / 1e3, **HEAVY), (v, milli))
    g = seeded(6, 5).requires_grad_()
    w = seeded(2, 5, seed=3)
    loss = [(output(volts(2, 6), g, **HEAVY) * w).sum(), (volts(2, 6) @ effective_conductance(g, **HEAVY) * w).sum()]
    one, other = (torch.autograd.grad(value, g)[0] for value in loss)
    torch.testing.assert_close(one, other, rtol=1e-8, atol=0)


@pytest.mark.parametrize(
    ("voltages", "words"),
    [
        (torch.ones(2, 4), r"shape \(\.\.\., K, 3\), one per word line, got \(2, 4\)"),
        (torch.ones(3), r"got \(3,\)"),
        (torch.ones(5, 2, 3), "Leading dimensions"),
        (torch.tensor([[1.0, float("nan"), 1.0]]), r"finite, got nan at position \(0, 1\)"),
    ],
)
def test_voltages_that_make_no_sense(voltages: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        device_currents(voltages, seeded(2, 3, 4), **HEAVY)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, float("nan")])
def test_a_tolerance_that_makes_no_sense(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance must lie between 0 and 1"):
        output(volts(1, 3), seeded(3, 4), **HEAVY, tolerance=tolerance)


def test_it_says_when_it_has_not_converged(monkeypatch: Any) -> None:
    monkeypatch.setattr(iterative, "MOST_ITERATIONS", 2)
    with pytest.raises(RuntimeError, match="did not converge to 1e-13 within 2 iterations"):
        output(volts(1, 20), seeded(20, 20), **HEAVY)
