"""A whole training step, forward and backward: this package, snnTorch's step loop, SpikingJelly's multi-step mode.

The network has five 3x3 convolutions with batch norm and neurons, two average pools, a mean over positions and a linear
read-out; a sequence (T, 32, 3, side, side) goes in, logits of every step come out, and a fixed gradient goes back.
Two batch norms are common: in a step loop each step is normalised by itself, in multi-step mode all steps together.
This package has both, so each library is compared with the very same computation, which is checked first, in double
precision: logits and all gradients.
"Without neurons" is the same network with the identity in their place: what convolutions, norms and pools take alone.

Needs spikingjelly and loguru, as the page "Speed" says. On an otherwise idle core, pinned where the system can:
`OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_training_step.py`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgebook.spiking import spiking_vgg

BATCH, CLASSES, BETA = 32, 10, 0.5
PLAN: tuple[int | str, ...] = (32, 32, "M", 64, 64, "M", 128)
PARTS = {"conv": "convolutions", "batch_norm": "batch norm"}
PARTS |= dict.fromkeys(("edgebook::lif", "_Recurrence", "_Gradient"), "neurons")
ROUNDS = {(5, 16): 40, (10, 16): 25, (5, 32): 15, (10, 32): 10}
EACH, ALL = "edgebook, norm per step", "edgebook, norm over steps"
TWINS = {"snnTorch, step loop": EACH, "SpikingJelly, multi-step": ALL}  # each library and its equal here


class StepLoop(nn.Module):
    """A network as users of snnTorch write it: the loop over time around everything."""

    def __init__(self) -> None:
        super().__init__()
        import snntorch as snn

        layers: list[nn.Module] = []
        width = 3
        for entry in PLAN:
            if isinstance(entry, int):
                layers += [nn.Conv2d(width, entry, 3, padding=1, bias=False), nn.BatchNorm2d(entry)]
                layers.append(snn.Leaky(beta=BETA, spike_grad=snn.surrogate.atan(), reset_mechanism="zero"))
                width = entry
            else:
                layers.append(nn.AvgPool2d(2))
        self.layers, self.linear, self.neuron = nn.ModuleList(layers), nn.Linear(width, CLASSES), snn.Leaky

    def forward(self, x: Tensor) -> Tensor:  # (T, B, 3, H, W) -> (T, B, CLASSES)
        held = {layer: layer.init_leaky() for layer in self.layers if isinstance(layer, self.neuron)}
        logits = []
        for step in x:
            for layer in self.layers:
                if layer in held:
                    step, held[layer] = layer(step, held[layer])
                    step = step.to(x.dtype)  # its spikes are single precision; no work where all is
                else:
                    step = layer(step)
            logits.append(self.linear(step.mean(dim=(2, 3))))
        return torch.stack(logits)


class MultiStep(nn.Module):
    """The same network in SpikingJelly's multi-step mode."""

    def __init__(self) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        layers: list[nn.Module] = []
        width = 3
        for entry in PLAN:
            if isinstance(entry, int):
                layers += [layer.Conv2d(width, entry, 3, padding=1, bias=False), layer.BatchNorm2d(entry)]
                layers.append(neuron.LIFNode(2.0, False, detach_reset=True, surrogate_function=surrogate.ATan()))
                width = entry
            else:
                layers.append(layer.AvgPool2d(2))
        self.layers, self.linear = nn.Sequential(*layers), layer.Linear(width, CLASSES)
        self.forget = functional.reset_net
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:  # (T, B, 3, H, W) -> (T, B, CLASSES)
        self.forget(self.layers)
        return self.linear(self.layers(x).mean(dim=(3, 4)))


def ours(steps: int, norm: Any, *, neurons: bool = True) -> nn.Module:
    net = spiking_vgg(PLAN, in_channels=3, classes=CLASSES, steps=steps, beta=BETA, norm=norm)
    for module in net.modules():
        if not neurons and hasattr(module, "neuron"):
            module.neuron = nn.Identity()
    return net


def with_weights_of(net: nn.Module, source: nn.Module) -> nn.Module:
    """All of these networks list their parameters in one order."""
    with torch.no_grad():
        for own, given in zip(net.parameters(), source.parameters(), strict=True):
            own.copy_(given)
    return net


def contenders(steps: int) -> dict[str, nn.Module]:
    nets: dict[str, nn.Module] = {EACH: ours(steps, "batch"), ALL: ours(steps, "td")}
    for name, make in zip(TWINS, (StepLoop, MultiStep), strict=True):
        nets[name], nets[f"{name}, channels last"] = make(), make().to(memory_format=torch.channels_last)
    nets["without neurons, norm per step"] = ours(steps, "batch", neurons=False)
    nets["without neurons, norm over steps"] = ours(steps, "td", neurons=False)
    for net in nets.values():
        with_weights_of(net, nets[EACH])
    return nets


def logits_and_gradients(net: nn.Module, x: Tensor, grads: Tensor) -> list[Tensor]:
    logits = net(x)
    return [logits.detach(), *torch.autograd.grad(logits, list(net.parameters()), grads)]


def step_of(net: nn.Module, x: Tensor, grads: Tensor) -> Callable[[], None]:
    def step() -> None:
        net.zero_grad()
        net(x).backward(grads)

    return step


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("steps", "side"), ROUNDS)
def test_training_step(contest: Any, steps: int, side: int) -> None:
    pytest.importorskip("snntorch")
    pytest.importorskip("spikingjelly", exc_type=ImportError)
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(steps, BATCH, 3, side, side, generator=chance)
    grads = torch.randn(steps, BATCH, CLASSES, generator=chance)
    for name, twin in TWINS.items():
        for suffix in ("", ", channels last"):
            pair = [contenders(steps)[key].double() for key in (name + suffix, twin)]
            found = [logits_and_gradients(net, x[:, :4].double(), grads[:, :4].double()) for net in pair]
            assert float(found[0][0].std()) > 1e-3
            for have, wanted in zip(*found, strict=True):
                torch.testing.assert_close(have, wanted, rtol=1e-5, atol=1e-6)

    timed = {name: step_of(net, x, grads) for name, net in contenders(steps).items()}
    for step in timed.values():
        step()
        step()
    contest(f"training step, T = {steps}, {side} x {side}", timed, ROUNDS[steps, side])


@pytest.mark.parametrize("norm", [EACH, ALL])
def test_where_the_time_goes(report: Any, norm: str) -> None:
    """Profile a step and add up the operations of each kind; the figures are per step, over repeated profiles."""
    net, chance = contenders(5)[norm], torch.Generator().manual_seed(0)
    step = step_of(
        net, torch.rand(5, BATCH, 3, 16, 16, generator=chance), torch.randn(5, BATCH, CLASSES, generator=chance)
    )
    step()
    found: dict[str, list[float]] = {}
    for _ in range(10):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            step()
        spent = dict.fromkeys([*PARTS.values(), "pools", "copies, and all the rest"], 0.0)
        for event in profile.key_averages():
            part = next((part for word, part in PARTS.items() if word in event.key), "copies, and all the rest")
            spent["pools" if "pool" in event.key else part] += event.self_cpu_time_total / 1e3
        for part, milliseconds in spent.items():
            found.setdefault(part, []).append(milliseconds)
    report(f"profile, T = 5, 16 x 16, {norm}", "ms", found)
