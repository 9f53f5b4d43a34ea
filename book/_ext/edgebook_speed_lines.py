"""What is compared on the page of speed: for each peer what is divided by what, the aim, and the ratios."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Tables = Mapping[str, Mapping[str, Any]]


class Line(NamedTuple):
    """What is divided by what: a peer's time (or memory) over this package's, at all sizes of a benchmark."""

    label: str
    titles: str  # pattern of the benchmarks' titles
    above: str
    below: str = "edgebook"
    aim: float | None = None  # to be reached; where less than nothing can be gained, what may be lost


_PER_STEP, _OVER_STEPS = "edgebook, norm per step", "edgebook, norm over steps"
_STEP, _KEPT = r"training step, (?!.*memory kept).*", r"training step, .*memory kept"
_LOOP, _MULTI = "snnTorch, step loop", "SpikingJelly, multi-step"
_BALANCE, _ONE_PASS = r"thresholds of five layers, \d+ steps x \d+ images", "edgebook, one pass"
_ZERO = "multiplied by zero"
_LOCAL, _RAY = "edgebook, engine local", "Flower's engine, Ray"

LINES: dict[str, tuple[Line, ...]] = {
    "The neuron alone": (
        Line("snnTorch", r"neuron alone, .*", "snnTorch", aim=3.5),
        Line("SpikingJelly", r"neuron alone, .*", "SpikingJelly", aim=2.5),
    ),
    "A training step": (
        Line("snnTorch", _STEP, _LOOP, _PER_STEP, 1.6),
        Line("SpikingJelly", _STEP, _MULTI, _OVER_STEPS, 1.35),
        Line("snnTorch, memory kept", _KEPT, _LOOP, _PER_STEP, 1.6),
        Line("SpikingJelly, memory kept", _KEPT, _MULTI, _OVER_STEPS, 1.35),
        Line("snnTorch, channels last", _STEP, f"{_LOOP}, channels last", _PER_STEP),
        Line("SpikingJelly, channels last", _STEP, f"{_MULTI}, channels last", _OVER_STEPS),
        Line("itself without neurons, norm per step", _STEP, "without neurons, norm per step", _PER_STEP, 1 / 1.1),
        Line("itself without neurons, over steps", _STEP, "without neurons, norm over steps", _OVER_STEPS, 1 / 1.1),
    ),
    "The public task": (
        Line("snnTorch, step loop", r"public task, .*", _LOOP),
        Line("snnTorch, linear layer at once", r"public task, .*", "snnTorch, linear layer at once"),
        Line("SpikingJelly", r"public task, .*", _MULTI),
    ),
    "The crossbar solver": (
        Line("badcrossbar, one tile of 16 and 32", r"crossbar, (16|32) x .*, one tile", "badcrossbar"),
        Line("badcrossbar, one tile of 64 and 128", r"crossbar, (64|128) x .*, one tile", "badcrossbar", aim=12),
        Line("badcrossbar, 16 tiles of 64 and 128", r"crossbar, (64|128) x .*, 16 tiles", "badcrossbar", aim=16),
        Line("sparse LU decomposition", r"crossbar, (64|128) x .*", "SciPy, sparse LU", aim=5),
        Line("the arithmetic alone, one tile", r"crossbar, (64|128) x .*, one tile", "the arithmetic alone", aim=1 / 3),
        Line("one core, on the GPU", r"crossbar, \d+ of .*", "one core of the same machine", "GPU"),
    ),
    "Speculative decoding": (
        Line("assisted generation", r"decoding, .*", "Transformers, assisted", aim=1.3),
        Line("the steps alone", r"decoding, .*", "steps alone", aim=1 / 1.1),
    ),
    "The federated engines": (
        Line("Ray, perceptron, 10 rounds", r"federation, perceptron, .*, 10 rounds", _RAY, _LOCAL, 12),
        Line("Ray, perceptron, 100 rounds", r"federation, perceptron, .*, 100 rounds", _RAY, _LOCAL, 5),
        Line("Ray, spiking network", r"federation, S-VGG5, .*", _RAY, _LOCAL),
        Line("Ray, 10 rounds of client drift", r"10 rounds of client drift, .*", _RAY, _LOCAL),
        Line("Ray, 10 rounds of divided search", r"10 rounds of divided search, .*", _RAY, _LOCAL),
        Line("Ray, a single round of these", r"a round of .*", _RAY, _LOCAL),
        Line("the clients alone", r"(federation|10 rounds of) .*", "clients alone", _LOCAL),
    ),
    "A step in few bits": (
        Line("brevitas", r"quantised training step, .*", "brevitas", aim=1.5),
        Line("PyTorch's own modules", r"quantised training step, .*", "torch.ao"),
        Line("itself in single precision", r"quantised training step, .*", "not quantised", aim=1 / 1.15),
    ),
    "Thresholds of neurons": (
        Line("composed operations", r"threshold layer, .*", "composed", aim=4),
        Line("a ReLU", r"threshold layer, .*", "ReLU", aim=1 / 2),
        Line("an epoch with batch norms of its own", r"child epoch, .*", "batch norm", "thresholds", 1),
    ),
    "Scoring and converting spiking networks": (
        Line("a score, SpikingJelly with hooks", r"scoring a candidate, .*", "SpikingJelly, hooks", aim=3),
        Line("a step of a neuron, snnTorch", r"neuron step by step, .*", "snnTorch", aim=1.5),
        Line("a step of a neuron, SpikingJelly", r"neuron step by step, .*", "SpikingJelly", aim=1.5),
        Line("thresholds, a run for each layer", _BALANCE, "a run for each layer, as released", _ONE_PASS, 3),
        Line("images one by one", r"40 images from .*", "one by one, as released", "edgebook, one batch", 20),
    ),
    "Parts of networks in federations": (
        Line("Flower's strategies", r"3 rounds of server .*", "Flower's strategy", "edgebook, FedStep", 3),
        Line("paths times zero", r"8 clients with .*, a step", _ZERO, "edgebook, cut", 1.7),
        Line("bytes of paths times zero", r"8 clients with .*, a message", _ZERO, "edgebook, cut", 1.9),
        Line("merging whole models", r"merging 8 clients' paths", "whole models", "edgebook, parts", 1 / 2),
        Line("heads times zero", r"an eighth of the heads .*", _ZERO, "edgebook, removed", 1.5),
        Line("merging head by head", r"merging 144 heads .*", "head by head", aim=10),
    ),
    "Rooms to drive in": (
        Line("Gymnasium's loop", r"a step of 256 worlds, 64 beams", "gymnasium, SyncVectorEnv", aim=10),
        Line("VMAS", r"a step of 256 worlds, .* all fired", "VMAS", aim=3),
        Line("planning by NumPy", r"a plan for .*", "edgebook, NumPy", "edgebook, Numba", 5),
    ),
    "Memory": (
        Line("public task, snnTorch, step loop", r"memory of the public task, .*", _LOOP),
        Line("public task, SpikingJelly", r"memory of the public task, .*", _MULTI),
        Line("crossbar, badcrossbar", r"memory of crossbar, .*", "badcrossbar"),
        Line("crossbar, sparse LU decomposition", r"memory of crossbar, .*", "SciPy, sparse LU"),
        Line("federation, Ray", r"memory of federation, .*", _RAY, _LOCAL),
    ),
}


class Dot(NamedTuple):
    """One size of one benchmark on one machine, by fastest rounds and by medians."""

    title: str
    gpu: bool
    fastest: float
    median: float


def times(ratio: float) -> str:
    """Write a ratio with as many digits as it carries.

    >>> times(1.284), times(22.31), times(1084.91)
    ('1.28', '22', '1,080')
    """
    if ratio < 10:
        return f"{ratio:.2f}"
    return f"{ratio:.0f}" if ratio < 100 else f"{float(f'{ratio:.3g}'):,.0f}"


def dots_of(line: Line, processor: Tables, gpu: Tables) -> list[Dot]:
    """Return the ratios of a line, from both records."""
    found = []
    for on_gpu, tables in ((False, processor), (True, gpu)):
        for title, table in tables.items():
            measured = table["smallest and median"]
            if re.fullmatch(line.titles, title) and line.above in measured and line.below in measured:
                (above, above_middle), (below, below_middle) = measured[line.above], measured[line.below]
                found.append(Dot(title, on_gpu, above / below, above_middle / below_middle))
    return found
