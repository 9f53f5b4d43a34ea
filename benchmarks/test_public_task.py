"""The task by which Open Neuromorphic compares libraries: one linear and one LIF layer, 16 samples, 500 steps.

Time and memory of forward and backward for 512 and 4,096 neurons (and as many inputs), in single precision.
Source: Lenz et al., *Spiking Neural Network (SNN) Library Benchmarks*, Open Neuromorphic, 2023, there on a GPU.
Memory is how far the resident set of a process of its own rises above what it held before the step: data, weights and
libraries are loaded by then.

Needs spikingjelly and loguru, as the page "Speed" says. On an otherwise idle core, pinned where the system can:
`OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_public_task.py`
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebook.spiking import LIF

BATCH, STEPS, BETA = 16, 500, 0.9375  # a leak that every library represents exactly: tau = 16
ROUNDS = {512: 12, 4096: 3}
NAMES = ["edgebook", "snnTorch, step loop", "snnTorch, linear layer at once", "SpikingJelly, multi-step"]

Network = Callable[[Tensor, Tensor], Tensor]  # inputs (T, B, n) and weights (n, n) to spikes (T, B, n)


def network(name: str) -> Network:
    """Return a linear layer and its neurons, as one function of inputs and weights."""
    if name == "edgebook":
        neurons: nn.Module = LIF(BETA)
        return lambda x, w: neurons(F.linear(x, w))
    if name == "SpikingJelly, multi-step":
        return spikingjelly()
    return snntorch(at_once=name.endswith("at once"))


def snntorch(at_once: bool) -> Network:
    import snntorch as snn

    leaky = snn.Leaky(beta=BETA, spike_grad=snn.surrogate.atan(), reset_mechanism="zero")

    def run(x: Tensor, w: Tensor) -> Tensor:
        membrane, spikes = leaky.to(x.device).init_leaky(), []
        for step in F.linear(x, w) if at_once else x:
            spike, membrane = leaky(step if at_once else F.linear(step, w), membrane)
            spikes.append(spike.to(x.dtype))  # no work in single precision
        return torch.stack(spikes)

    return run


def spikingjelly() -> Network:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(1 / (1 - BETA), False, detach_reset=True, surrogate_function=surrogate.ATan(), step_mode="m")

    def run(x: Tensor, w: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(F.linear(x, w))

    return run


def data(neurons: int) -> tuple[Tensor, Tensor]:
    """Draw inputs (T, B, n) and weights (n, n) under which a share of the neurons fires."""
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(STEPS, BATCH, neurons, generator=chance)
    return x, (torch.randn(neurons, neurons, generator=chance) / neurons**0.5).requires_grad_()


def step(run: Network, x: Tensor, w: Tensor) -> None:
    w.grad = None
    run(x, w).sum().backward()


def peak(name: str, neurons: int) -> float:
    """Return by how many MB one step raises the memory of this process."""
    run = network(name)
    x, w = data(neurons)
    step(run, x[:2, :2, :8].contiguous(), torch.rand(8, 8, requires_grad=True))  # compiled and loaded from here on
    before = psutil.Process().memory_info().rss
    step(run, x, w)
    return (highest() - before) / 2**20


def highest() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    try:  # Linux: `getrusage` would count what the parent process held
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("neurons", ROUNDS)
def test_public_task(contest: Any, report: Any, neurons: int) -> None:
    pytest.importorskip("snntorch")
    pytest.importorskip("spikingjelly", exc_type=ImportError)
    runs, (x, w) = {name: network(name) for name in NAMES}, data(neurons)
    few, weights = x[:, :2, :512].double(), w.detach()[:512, :512].double().requires_grad_()
    spikes = {name: run(few, weights) for name, run in runs.items()}
    grads = {name: torch.autograd.grad(out.sum(), weights)[0] for name, out in spikes.items()}
    assert 0.01 < float(spikes["edgebook"].detach().mean()) < 0.99
    for name in NAMES[1:]:
        assert torch.equal(spikes[name], spikes["edgebook"])
        torch.testing.assert_close(grads[name], grads["edgebook"], rtol=1e-4, atol=1e-5)

    timed = {name: lambda run=run: step(run, x, w) for name, run in runs.items()}
    for one in timed.values():
        one()
    contest(f"public task, {neurons} neurons", timed, ROUNDS[neurons])
    found = {name: [alone(name, neurons) for _ in range(2)] for name in NAMES}
    report(f"memory of the public task, {neurons} neurons", "MB", found)


def alone(name: str, neurons: int) -> float:
    done = subprocess.run([sys.executable, __file__, name, str(neurons)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(peak(sys.argv[1], int(sys.argv[2])))
