"""The crossbar as one matrix: against nodal analysis, SPICE, closed forms and the properties of the circuit."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgebook.crossbar import effective_conductance
from edgebook.crossbar.solver import circuit

Nodal = Callable[..., np.ndarray]
NAMES = ("r_word", "r_bit", "r_source", "r_sense")
HEAVY = {"r_word": 5.0, "r_bit": 10.0, "r_source": 1005.0, "r_sense": 1010.0}
BACKENDS = ["numba", "torch"]

resistance = st.one_of(st.just(0.0), st.floats(-2, 4).map(lambda exponent: 10.0**exponent))
wires = st.tuples(resistance, resistance, resistance, resistance).map(lambda four: dict(zip(NAMES, four, strict=True)))
sides = st.integers(1, 24)


@st.composite
def arrays(draw: st.DrawFn, rows: st.SearchStrategy[int] = sides, columns: st.SearchStrategy[int] = sides) -> Tensor:
    """Draw conductances over six decades, a share of them zero."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(rows), draw(columns)
    values = 10 ** chance.uniform(-9, -3, shape)
    return torch.from_numpy(np.where(chance.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9])), 0.0, values))


def seeded(*shape: int, seed: int = 0) -> Tensor:
    """Devices between 20 and 200 kilo-ohms."""
    uniform = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 10 ** (-uniform) / 20e3


@settings(max_examples=60)
@given(arrays(), wires, st.sampled_from(BACKENDS))
def test_every_entry_agrees_with_nodal_analysis(nodal: Nodal, g: Tensor, ohm: dict[str, float], backend: Any) -> None:
    wanted = nodal(g.numpy(), *ohm.values())
    found = effective_conductance(g, **ohm, backend=backend).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_larger_arrays_agree_too(nodal: Nodal, backend: Any) -> None:
    for shape in ((64, 64), (40, 100)):
        g = seeded(*shape)
        found = effective_conductance(g, **HEAVY, backend=backend).numpy()
        np.testing.assert_allclose(found, nodal(g.numpy(), *HEAVY.values()), rtol=1e-11, atol=0)


# 1. Without resistance the matrix is the conductances, and the error is proportional to the resistance.
@settings(max_examples=20)
@given(arrays(), st.sampled_from(BACKENDS))
def test_without_resistance_nothing_changes(g: Tensor, backend: Any) -> None:
    none = dict.fromkeys(NAMES, 0.0)
    torch.testing.assert_close(effective_conductance(g, **none, backend=backend), g, rtol=1e-14, atol=0)
    if g.max() > 0:
        losses = [(g - effective_conductance(g, **dict.fromkeys(NAMES, r), backend=backend)).norm()
                  for r in (1e-6, 2e-6)]  # fmt: skip
        assert float(losses[1] / losses[0]) == pytest.approx(2, rel=1e-2)


# 2. One device, one bit line, one word line.
@settings(max_examples=30)
@given(arrays(rows=st.just(1), columns=st.just(1)), wires)
def test_one_device_is_three_resistors_in_series(g: Tensor, ohm: dict[str, float]) -> None:
    expected = 1 / (ohm["r_source"] + 1 / g + ohm["r_sense"])
    torch.testing.assert_close(effective_conductance(g, **ohm), expected, rtol=1e-14, atol=0)


@settings(max_examples=30)
@given(arrays(rows=st.just(1)), wires, st.sampled_from(BACKENDS), st.booleans())
def test_one_line_is_a_ladder(g: Tensor, ohm: dict[str, float], backend: Any, turned: bool) -> None:
    """A word line whose devices end in grounds of their own: voltages by going back from the open end."""
    word, _, source, sense = ohm.values()
    device = 1 / (1 / g[0] + sense)  # each in series with the sense of its own bit line
    load, ratio = device[-1], [1.0]  # admittance seen at node j, and voltage there per volt at the node before
    for j in range(g.shape[1] - 2, -1, -1):
        ratio.append(float(1 / (1 + word * load)))
        load = device[j] + load * ratio[-1]
    ratio.append(float(1 / (1 + source * load)))
    voltage = torch.cumprod(torch.tensor(ratio[:0:-1], dtype=torch.float64), 0)
    if turned:  # read from the other side: one bit line whose devices have sources of their own
        names = {"r_word": "r_bit", "r_bit": "r_word", "r_source": "r_sense", "r_sense": "r_source"}
        found = effective_conductance(g.mT.flip(0), **{names[name]: r for name, r in ohm.items()}, backend=backend)
        found = found.flip(0).mT
    else:
        found = effective_conductance(g, **ohm, backend=backend)
    torch.testing.assert_close(found[0], device * voltage, rtol=1e-13, atol=0)


# 3. All resistances times c: the matrix over c.
@settings(max_examples=20)
@given(arrays(), wires, st.floats(0.01, 100), st.sampled_from(BACKENDS))
def test_scaling(g: Tensor, ohm: dict[str, float], c: float, backend: Any) -> None:
    scaled = effective_conductance(g / c, **{name: c * r for name, r in ohm.items()}, backend=backend)
    torch.testing.assert_close(scaled * c, effective_conductance(g, **ohm, backend=backend), rtol=1e-12, atol=0)


# 4. Reciprocity: sources and senses exchanged.
@settings(max_examples=20)
@given(arrays(), wires)
def test_reciprocity(g: Tensor, ohm: dict[str, float]) -> None:
    word, bit, source, sense = ohm.values()
    other = effective_conductance(
        g.mT.flip(0, 1), r_word=bit, r_bit=word, r_source=sense, r_sense=source, backend="torch"
    )
    torch.testing.assert_close(
        other.flip(0, 1).mT, effective_conductance(g, **ohm, backend="torch"), rtol=1e-12, atol=0
    )


# 5. Entries are not negative, sums are never larger than without wires.
@settings(max_examples=20)
@given(arrays(), wires, st.sampled_from(BACKENDS))
def test_sums_never_exceed_the_ideal(g: Tensor, ohm: dict[str, float], backend: Any) -> None:
    found = effective_conductance(g, **ohm, backend=backend)
    assert (found >= 0).all()
    for lines in (0, 1):
        assert (found.sum(lines) <= g.sum(lines) * (1 + 1e-12)).all()


def test_current_sneaks_past_a_device_that_is_off() -> None:
    g = seeded(4, 4)
    g[2, 1] = 0
    assert effective_conductance(g, **HEAVY)[2, 1] > 0


# 7. Two ways to compute it (6, the charge, needs the node voltages and is tested with them).
@pytest.mark.parametrize("shape", [(1, 1), (5, 4), (4, 9), (33, 2), (63, 65), (128, 128)])
def test_the_backends_agree(shape: tuple[int, int]) -> None:
    one, other = (effective_conductance(seeded(*shape), **HEAVY, backend=backend) for backend in BACKENDS)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU")
@pytest.mark.parametrize("shape", [(1, 1), (3, 17, 33), (2, 2, 64, 50)])
def test_a_gpu_agrees_forward_and_backward(shape: tuple[int, ...]) -> None:
    found = []
    for device in ("cpu", "cuda"):
        g = seeded(*shape).to(device).requires_grad_()
        effective = effective_conductance(g, **HEAVY)
        assert effective.device.type == device
        found.append([effective.cpu(), torch.autograd.grad((1e6 * effective).square().sum(), g)[0].cpu()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_are_solved_tile_by_tile(backend: Any) -> None:
    g = seeded(3, 2, 9, 6)
    found = effective_conductance(g, **HEAVY, backend=backend)
    for k in range(3):
        for tile, alone in zip(found[k], g[k], strict=True):
            torch.testing.assert_close(tile, effective_conductance(alone, **HEAVY, backend=backend), rtol=1e-14, atol=0)
    assert effective_conductance(g[:0], **HEAVY, backend=backend).shape == (0, 2, 9, 6)


def test_a_batch_larger_than_what_is_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    g = seeded(5, 8, 8).requires_grad_()
    whole = effective_conductance(g, **HEAVY, backend="torch")
    (gradient,) = torch.autograd.grad(whole.square().sum(), g)
    monkeypatch.setattr(circuit, "AT_ONCE", 130)
    parts = effective_conductance(g, **HEAVY, backend="torch")
    torch.testing.assert_close(parts, whole, rtol=1e-14, atol=0)
    torch.testing.assert_close(torch.autograd.grad(parts.square().sum(), g)[0], gradient, rtol=1e-12, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_single_precision_is_solved_in_double(backend: Any) -> None:
    g = seeded(20, 20).float().requires_grad_()
    found = effective_conductance(g, **HEAVY, backend=backend)
    assert found.dtype == torch.float32
    exact = effective_conductance(g.detach().double(), **HEAVY, backend=backend)
    torch.testing.assert_close(found.detach(), exact.float(), rtol=0, atol=0)
    found.sum().backward()
    assert g.grad is not None and g.grad.dtype == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("shape", "ohm"),
    [
        ((1, 1), HEAVY),
        ((2, 3, 5), HEAVY),
        ((9, 4), HEAVY),
        ((4, 11), dict.fromkeys(NAMES, 0.0)),
        ((2, 6, 5), {**HEAVY, "r_word": 0.0}),
        ((5, 6), {**HEAVY, "r_bit": 0.0, "r_sense": 0.0}),
    ],
)
def test_gradient(shape: tuple[int, ...], ohm: dict[str, float], backend: Any) -> None:
    milli = (1e3 * seeded(*shape)).requires_grad_()  # so that finite differences have a step to take

    def solve(values: Tensor) -> Tensor:
        return 1e3 * effective_conductance(values / 1e3, **ohm, backend=backend)

    assert torch.autograd.gradcheck(solve, milli)


def test_gradient_of_a_larger_array_by_nodal_analysis(nodal: Nodal) -> None:
    """Finite differences of another solver, at a few devices far apart."""
    g, weights = seeded(10, 13).requires_grad_(), seeded(10, 13, seed=1)
    (found,) = torch.autograd.grad((effective_conductance(g, **HEAVY) * weights).sum(), g)
    step = 1e-10
    for i, j in ((0, 0), (9, 12), (4, 7), (9, 0)):
        sides = []
        for sign in (1, -1):
            moved = g.detach().clone()
            moved[i, j] += sign * step
            sides.append(float((torch.from_numpy(nodal(moved.numpy(), *HEAVY.values())) * weights).sum()))
        assert float(found[i, j]) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5)


def test_a_device_that_is_off_has_a_gradient() -> None:
    g = seeded(3, 3)
    g[1, 1] = 0
    g.requires_grad_()
    effective_conductance(g, **HEAVY)[1, 1].backward()
    assert g.grad is not None and torch.isfinite(g.grad).all() and g.grad[1, 1] > 0.5


def test_it_can_be_differentiated_once_only() -> None:
    g = seeded(3, 3).requires_grad_()
    (first,) = torch.autograd.grad(effective_conductance(g, **HEAVY).square().sum(), g, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        (torch.tensor([[1.0, -1.0]]), r"at least 0, got -1.0 at position \(0, 1\)"),
        (torch.tensor([[[1.0], [float("nan")]]]), r"got nan at position \(0, 1, 0\)"),
        (torch.tensor([[float("inf"), 1.0]]), r"got inf at position \(0, 0\)"),
        (torch.ones(3), r"shape \(\.\.\., M, N\).*got \(3,\)"),
        (torch.ones(2, 0), r"at least 1, got \(2, 0\)"),
        (torch.ones(2, 2, dtype=torch.int64), "floating-point tensor, got torch.int64"),
        (torch.ones(2, 2) * 1j, "floating-point tensor, got torch.complex64"),
        (torch.ones(2, 2).to(torch.float8_e4m3fn), "floating-point tensor, got torch.float8_e4m3fn"),
        (torch.ones(2, 2).to_sparse(), "floating-point tensor, got torch.float32, torch.sparse_coo"),
        ([[1.0]], "floating-point tensor, got list"),
    ],
)
def test_conductances_that_make_no_sense(given_: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        effective_conductance(given_, **HEAVY)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_resistances_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        effective_conductance(seeded(2, 2), **{**HEAVY, name: value})


@pytest.mark.parametrize("wants", [True, False])
def test_resistances_are_numbers(wants: bool) -> None:
    """A tensor would wait for a gradient that does not come."""
    with pytest.raises(ValueError, match="r_bit must be a number, got a tensor, to which no gradient would go"):
        effective_conductance(seeded(2, 2), **{**HEAVY, "r_bit": torch.tensor(5.0, requires_grad=wants)})
    numbers = [np.float32(5), np.float64(10), np.int64(1005), 1010]
    found = effective_conductance(seeded(2, 2), **dict(zip(NAMES, numbers, strict=True)))
    assert torch.equal(found, effective_conductance(seeded(2, 2), **HEAVY))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(2, 5, 5), (5, 4), (4, 5)])
def test_the_result_owns_its_memory(backend: Any, shape: tuple[int, ...]) -> None:
    g = seeded(*shape)
    found = effective_conductance(g.mT, **HEAVY, backend=backend)
    assert found.is_contiguous() and not found._is_view()
    torch.testing.assert_close(found, effective_conductance(g.mT.contiguous(), **HEAVY, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_jacobians(backend: Any) -> None:
    """Mapped over outputs or inputs, by `torch.func`, as by one backward pass for each output."""

    def solve(values: Tensor) -> Tensor:
        return 1e3 * effective_conductance(values / 1e3, **HEAVY, backend=backend)

    g = 1e3 * seeded(3, 4)
    wanted = torch.stack([torch.autograd.grad(solve(x)[i, j], x)[0] for i in range(3) for j in range(4)
                          for x in [g.clone().requires_grad_()]])  # fmt: skip
    torch.testing.assert_close(torch.func.jacrev(solve)(g).flatten(0, 1), wanted)
    over = torch.func.vmap(solve, in_dims=2, out_dims=2)(torch.stack([g, 2 * g], dim=2))
    torch.testing.assert_close(over[..., 1], solve(2 * g))


def test_backends_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="backend must be one of auto, numba, torch, got 'cuda'"):
        effective_conductance(seeded(2, 2), **HEAVY, backend="cuda")  # type: ignore[arg-type]
    with_numba = effective_conductance(seeded(9, 9), **HEAVY)
    monkeypatch.setattr(circuit, "_compiled", lambda: None)
    with pytest.raises(ValueError, match="needs the package numba"):
        effective_conductance(seeded(2, 2), **HEAVY, backend="numba")
    torch.testing.assert_close(effective_conductance(seeded(9, 9), **HEAVY), with_numba, rtol=1e-12, atol=0)


# Output currents by ngspice 39.3, in amperes, of the circuits that `spice` describes.
SPICE: dict[tuple[int, int, float, float, float, float], list[float]] = {
    (1, 1, 5.0, 10.0, 1000.0, 500.0): [
        9.985022441128548e-08,
    ],
    (3, 5, 5.0, 10.0, 1005.0, 1010.0): [
        7.82301329033339e-06,
        1.627325947947691e-05,
        2.056111182909366e-05,
        1.397795508514619e-05,
        2.916703728183129e-05,
    ],
    (5, 3, 250.0, 40.0, 0.0, 80.0): [
        8.775563071230964e-05,
        5.149109859610884e-05,
        4.167997027116753e-05,
    ],
    (8, 8, 2.5, 2.5, 100.0, 100.0): [
        0.0001205821469562035,
        8.375951432346936e-05,
        0.0001828736310947743,
        0.0001044818176328045,
        0.000112417078172259,
        0.0001675047981436045,
        9.575381787358803e-05,
        0.0001103159723404578,
    ],
    (6, 9, 0.0, 35.0, 20.0, 0.0): [
        8.930082094223828e-05,
        8.027325077073731e-05,
        9.053013308371695e-05,
        9.515872274238974e-05,
        3.979213671777049e-05,
        9.022804617634853e-05,
        7.922059082173191e-05,
        7.349835810356569e-05,
        7.57951197706816e-05,
    ],
}


def spice_devices(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return conductances between 1 and 101 microsiemens, every thirteenth missing, and voltages."""
    k = torch.arange(rows * columns).reshape(rows, columns)
    g = (1 + 10 * (7 * k % 11)) * 1e-6 * (k % 13 != 5)
    return g.double(), 0.1 + 0.07 * torch.arange(rows, dtype=torch.float64)


def spice(rows: int, columns: int, word: float, bit: float, source: float, sense: float) -> str:
    """Write the netlist: a voltmeter of 0 V in every bit line, and in place of wires without resistance."""
    g, voltages = spice_devices(rows, columns)
    lines = ["crossbar"]

    def resistor(name: str, one: str, other: str, ohm: float) -> None:
        lines.append(f"R{name} {one} {other} {ohm!r}" if ohm else f"V{name} {one} {other} 0")

    for i in range(rows):
        lines.append(f"Vin{i} s{i} 0 {float(voltages[i])!r}")
        resistor(f"s{i}", f"s{i}", f"w{i}_0", source)
        for j in range(columns):
            if g[i, j]:
                resistor(f"d{i}_{j}", f"w{i}_{j}", f"b{i}_{j}", 1 / float(g[i, j]))
            if j:
                resistor(f"w{i}_{j}", f"w{i}_{j - 1}", f"w{i}_{j}", word)
            if i:
                resistor(f"b{i}_{j}", f"b{i - 1}_{j}", f"b{i}_{j}", bit)
    for j in range(columns):
        resistor(f"t{j}", f"b{rows - 1}_{j}", f"t{j}", sense)
        lines.append(f"Vout{j} t{j} 0 0")
    shown = " ".join(f"i(vout{j})" for j in range(columns))
    return "\n".join([*lines, ".control", "set numdgt=15", "op", f"print {shown}", "quit", ".endc", ".end", ""])


@pytest.mark.parametrize("circuit_", SPICE, ids=str)
def test_currents_of_spice(circuit_: tuple[int, int, float, float, float, float]) -> None:
    g, voltages = spice_devices(*circuit_[:2])
    wanted = torch.tensor(SPICE[circuit_], dtype=torch.float64)
    for backend in BACKENDS:
        effective = effective_conductance(g, **dict(zip(NAMES, circuit_[2:], strict=True)), backend=backend)
        torch.testing.assert_close(voltages @ effective, wanted, rtol=1e-9, atol=0)


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed; its currents are stored above")
@pytest.mark.parametrize("circuit_", SPICE, ids=str)
def test_spice_still_says_so(circuit_: tuple[int, int, float, float, float, float], tmp_path: Path) -> None:
    file = tmp_path / "crossbar.cir"
    file.write_text(spice(*circuit_), encoding="utf-8")
    said = subprocess.run(["ngspice", "-b", str(file)], capture_output=True, text=True, check=True).stdout
    found = [float(line.split("=")[1]) for line in said.splitlines() if line.startswith("i(vout")]
    np.testing.assert_allclose(found, SPICE[circuit_], rtol=1e-9)
