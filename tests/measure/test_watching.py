"""Networks that are watched are left as they were, and every call of a layer is seen."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgebook.measure.watching import evaluated, probed, watched


class Counting(nn.Module):
    """Counts its calls in a buffer, and keeps its last input in another, which it replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("last", None)
        self.last = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x
        return x


class Merging(nn.Linear):
    """Adds its second weight to the first for evaluation, and takes it out again for training."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.second = nn.Parameter(torch.full((2, 2), 4.0))

    def train(self, mode: bool = True) -> nn.Module:
        if mode != self.training:
            self.weight.data += -self.second.data if mode else self.second.data
        return super().train(mode)


def mixed() -> nn.Sequential:
    """Make a network of which some modules train and some do not."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), nn.Dropout()), nn.ReLU())
    net[1][0].eval()
    net[2].eval()
    return net


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("context", [evaluated, probed])
def test_every_module_gets_its_own_mode_back(context: Any, fails: bool) -> None:
    net = mixed()
    before = [module.training for module in net.modules()]
    assert len(set(before)) == 2
    try:
        with context(net):
            assert not any(module.training for module in net.modules())
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert [module.training for module in net.modules()] == before


def test_a_module_that_does_more_when_its_mode_changes_does_so_both_ways() -> None:
    net = nn.Sequential(Merging(), nn.Dropout().eval())
    before = net[0].weight.detach().clone()
    with evaluated(net):
        torch.testing.assert_close(net[0].weight.detach(), before + 4)
    torch.testing.assert_close(net[0].weight.detach(), before)
    assert net[0].training and not net[1].training


@pytest.mark.parametrize("fails", [False, True])
def test_buffers_are_as_before_whether_changed_replaced_or_tied(fails: bool) -> None:
    net = nn.Sequential(Counting(), Counting())
    net[1].calls = net[0].calls  # one buffer in two modules
    held = list(net.buffers())
    try:
        with probed(net):
            net(torch.ones(3))
            assert net[0].calls is net[1].calls and int(net[0].calls) == 2
            assert not torch.is_grad_enabled()
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert all(new is old for new, old in zip(net.buffers(), held, strict=True))
    assert int(net[0].calls) == 0 and net[0].last.shape == (1,)


def test_a_graph_that_is_open_survives_a_probe() -> None:
    norm = nn.BatchNorm1d(2).eval()
    loss = norm(torch.randn(3, 2, requires_grad=True)).sum()  # keeps the running statistics for its gradient
    with probed(norm):
        norm.running_mean += 1
    loss.backward()


def test_every_call_is_seen_with_its_arguments_in_order_until_the_end() -> None:
    class Two(nn.Module):
        def forward(self, first: Tensor, second: Tensor, *, scale: float = 1.0) -> Tensor:
            return scale * (first - second)

    layer, seen = Two(), []
    a, b = torch.tensor(5.0), torch.tensor(2.0)

    def see(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((name, [float(x) for x in inputs], float(output)))

    with watched({"two": layer}, see):
        layer(a, b)
        layer(second=b, first=a)
        layer(a, second=b, scale=2.0)
        copy.deepcopy(layer)(b, a)
    layer(a, b)
    assert seen == [("two", [5.0, 2.0], 3.0), ("two", [5.0, 2.0], 3.0), ("two", [5.0, 2.0], 6.0)]
    with pytest.raises(ZeroDivisionError), watched({"two": layer}, see):
        raise ZeroDivisionError
    assert not layer._forward_hooks
