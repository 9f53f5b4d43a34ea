"""Masks and cut networks under what PyTorch does to networks and optimisers.

The tables below are the whole of it: what works, each against a plain run or PyTorch's own pruning, and what is
refused, each with its sentence.
"""

from __future__ import annotations

import copy
import io
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.spectral_norm import spectral_norm
from torch.utils.checkpoint import checkpoint

from edgebook.compression import (
    copy_parameters,
    dense_masks,
    filter_norms,
    hold_masks,
    keep_channels,
    prunable_weights,
    prune_by_magnitude,
    rewind,
    snip_scores,
)
from edgebook.compression.masks import Masks, apply_masks
from edgebook.networks import initialised, vgg_architecture

FAMILY = vgg_architecture((4, "M", 6), in_channels=1, classes=3)


def network(seed: int = 0) -> nn.Module:
    return initialised(FAMILY.build, FAMILY.widths, seed).to(memory_format=torch.contiguous_format)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=0.05)


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(5)), torch.arange(12) % 3


def train(call: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, steps: int) -> None:
    images, labels = batch()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(call(images).float(), labels).backward()
        optimizer.step()


class Training(NamedTuple):
    """A network, its optimiser and how the network is called."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    call: Callable[[Tensor], Tensor]


def of(pair: tuple[nn.Module, torch.optim.Optimizer]) -> Training:
    return Training(*pair, pair[0])


def through_file(thing: Any, **options: Any) -> Any:
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, **options)


def resumed(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks) -> Training:
    """Load a checkpoint into a new network and a new optimiser, for which the masks are held again."""
    saved = through_file([model.state_dict(), optimizer.state_dict(), masks], weights_only=True)
    other = network(9)
    stepper = sgd(other)
    hold_masks(stepper, other, saved[2])
    other.load_state_dict(saved[0])
    stepper.load_state_dict(saved[1])
    return of((other, stepper))


def loaded(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks) -> Training:
    """Load a state without masks, of the same training, into an optimiser that holds some."""
    dense = sgd(model)
    dense.load_state_dict(optimizer.state_dict())
    optimizer.load_state_dict(through_file(dense.state_dict(), weights_only=True))
    return of((model, optimizer))


def grown(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks) -> Training:
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    optimizer.step()
    through_file(optimizer.state_dict(), weights_only=True)
    return of((model, optimizer))


def compiled(module: nn.Module) -> Callable[[Tensor], Tensor]:
    torch.compiler.reset()
    return torch.compile(module, backend="eager", fullgraph=True)


def autocast(module: nn.Module) -> Callable[[Tensor], Tensor]:
    return torch.autocast("cpu", torch.bfloat16)(module)


def checkpointed(module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda images: checkpoint(module, images, use_reentrant=False)


def supported(table: Mapping[str, Any]) -> list[Any]:
    return [pytest.param(do, id=name, marks=pytest.mark.support(feature=name)) for name, do in table.items()]


HELD: dict[str, Callable[[nn.Module, torch.optim.Optimizer, Masks], Training]] = {
    "state_dict, into a new optimiser that holds the masks": resumed,
    "state_dict, without masks into one that holds them": loaded,
    "deepcopy, of network and optimiser": lambda m, o, _: of(copy.deepcopy((m, o))),
    "pickle, of network and optimiser": lambda m, o, _: of(pickle.loads(pickle.dumps((m, o)))),
    "pickle, by torch.save": lambda m, o, _: of(through_file((m, o), weights_only=False)),
    "deepcopy, of a pickled copy": lambda m, o, _: of(copy.deepcopy(pickle.loads(pickle.dumps((m, o))))),
    "groups of parameters, another one added": grown,
    "torch.compile": lambda m, o, _: Training(m, o, compiled(m)),
    "autocast": lambda m, o, _: Training(m, o, autocast(m)),
    "checkpoint": lambda m, o, _: Training(m, o, checkpointed(m)),
    "DataParallel": lambda m, o, _: Training(m, o, nn.DataParallel(m)),
}
# What these do to numbers and running statistics, they also do to the network it is compared with.
BOTH = {HELD["autocast"]: autocast, HELD["checkpoint"]: checkpointed}


@pytest.mark.support(kernel="held masks")
@pytest.mark.parametrize("transform", supported(HELD))
def test_masks_hold_and_the_training_is_that_of_pytorchs_pruning(
    transform: Callable[[nn.Module, torch.optim.Optimizer, Masks], Training],
) -> None:
    ours, theirs = network(), network()
    masks = prune_by_magnitude(ours, dense_masks(ours), 0.5)
    optimizer, other = sgd(ours), sgd(theirs)
    hold_masks(optimizer, ours, masks)
    for name, mask in masks.items():
        prune.custom_from_mask(theirs.get_submodule(name.removesuffix(".weight")), "weight", mask)
    train(ours, optimizer, 2)
    train(theirs, other, 2)
    model, stepper, call = transform(ours, optimizer, masks)
    if transform is grown:
        other.step()
    train(call, stepper, 3)
    train(BOTH.get(transform, nn.Sequential)(theirs), other, 3)
    theirs.eval()(batch()[0])  # PyTorch prunes when a network is called
    weights = prunable_weights(model)
    assert list(weights) == list(masks)
    for name, mask in masks.items():
        assert int(weights[name][~mask].count_nonzero()) == 0
        torch.testing.assert_close(weights[name], theirs.get_submodule(name.removesuffix(".weight")).weight)
    torch.testing.assert_close(model.eval()(batch()[0]), theirs(batch()[0]))


def test_masks_hold_in_a_process_that_has_only_the_file(tmp_path) -> None:
    model = nn.Linear(6, 6, bias=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    hold_masks(optimizer, model, prune_by_magnitude(model, dense_masks(model), 0.5))
    torch.save((model, optimizer), tmp_path / "training.pt")
    code = (
        "import sys, torch; model, optimizer = torch.load(sys.argv[1], weights_only=False); "
        "model(torch.ones(4, 6)).sum().backward(); optimizer.step(); print(int((model.weight == 0).sum()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "training.pt")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["18"]


def test_a_handle_lets_go_the_weights_of_its_own_optimiser() -> None:
    model = nn.Linear(4, 4, bias=False)
    optimizer = sgd(model)
    handle = hold_masks(optimizer, model, {"weight": torch.eye(4, dtype=torch.bool)})
    twin, stepper, second = copy.deepcopy((model, optimizer, handle))
    handle.remove()
    for net, step in ((model, optimizer), (twin, stepper)):
        net(torch.ones(1, 4)).sum().backward()
        step.step()
    assert int(model.weight.count_nonzero()) == 16
    assert int(twin.weight.count_nonzero()) == 4
    second.remove()
    stepper.step()
    assert int(twin.weight.count_nonzero()) == 16


def test_masks_held_twice_leave_what_both_leave() -> None:
    model = nn.Linear(4, 4, bias=False)
    optimizer = sgd(model)
    rows = torch.arange(4)[:, None] < 2
    hold_masks(optimizer, model, {"weight": rows.expand(4, 4)})
    first = hold_masks(optimizer, model, {"weight": rows.T.expand(4, 4)})
    for left in (4, 8):
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        assert int(model.weight.count_nonzero()) == left
        first.remove()


def exported(module: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
    return torch.export.export(module, (images,)).module()


def rebuilt(module: nn.Module, _: Tensor) -> Callable[[Tensor], Tensor]:
    other = FAMILY.build([2, 3])
    other.load_state_dict(through_file(module.state_dict(), weights_only=True))
    return other.eval()


CUT: dict[str, Callable[[nn.Module, Tensor], Callable[[Tensor], Tensor]]] = {
    "torch.export": exported,
    "state_dict, into a network built with these widths": rebuilt,
    "deepcopy": lambda net, _: copy.deepcopy(net),
    "pickle": lambda net, _: pickle.loads(pickle.dumps(net)),
    "torch.compile": lambda net, _: compiled(net),
    "autocast": lambda net, _: autocast(net),
    "DataParallel": lambda net, _: nn.DataParallel(net),
    "checkpoint": lambda net, _: checkpointed(net),
    "torch.jit.trace": lambda net, images: torch.jit.trace(net, images),
    "vmap": lambda net, _: lambda images: torch.vmap(lambda image: net(image[None])[0])(images),
    "channels cut, a second time": lambda net, images: keep_channels(net, {"features.0.conv": [0, 1]}, images[:1]),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.support(kernel="cut networks")
@pytest.mark.parametrize("transform", supported(CUT))
def test_a_cut_network_computes_what_the_one_with_silent_channels_does(
    transform: Callable[[nn.Module, Tensor], Callable[[Tensor], Tensor]],
) -> None:
    whole, images = network().eval(), batch()[0]
    keep = {"features.0.conv": [1, 2], "features.2.conv": [0, 3, 5]}
    for unit, kept in zip((whole.features[0], whole.features[2]), keep.values(), strict=True):
        dropped = [c for c in range(len(unit.norm.weight)) if c not in kept]
        for parameter in (*unit.conv.parameters(), *unit.norm.parameters()):
            parameter.data[dropped] = 0
    call = transform(keep_channels(whole, keep, images[:1]), images)
    expected = (autocast(whole) if transform is CUT["autocast"] else whole)(images)
    torch.testing.assert_close(call(images), expected, rtol=1e-2 if transform is CUT["autocast"] else 1e-5, atol=1e-5)


def changed(change: Callable[[nn.Module], Any]) -> nn.Module:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    change(net[0])
    return net


class Whole(nn.Linear):
    """A layer that holds whole numbers."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)


COMPUTED = (
    "0.weight must be a floating-point parameter. Where weight norm, spectral norm or PyTorch's pruning computes it "
    "from others, make it one with `torch.nn.utils.prune.remove` or "
    "`torch.nn.utils.parametrize.remove_parametrizations`."
)
NO_VALUES = "0.weight has no values yet: a lazy layer must have run, and none may be on the meta device."
REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "computed weights, by torch.nn.utils.prune": (
        lambda: changed(lambda m: prune.l1_unstructured(m, "weight", 0.5)),
        COMPUTED,
    ),
    "computed weights, by weight norm": (lambda: changed(parametrizations.weight_norm), COMPUTED),
    "computed weights, by spectral norm": (lambda: changed(parametrizations.spectral_norm), COMPUTED),
    "computed weights, by the hook of spectral norm": (lambda: changed(spectral_norm), COMPUTED),
    "computed weights, of whole numbers": (lambda: nn.Sequential(Whole()), COMPUTED),
    "lazy layers": (lambda: nn.Sequential(nn.LazyConv2d(4, 1), nn.Conv2d(4, 2, 1)), NO_VALUES),
    "fake tensors, on the meta device": (lambda: changed(lambda m: m.to("meta")), NO_VALUES),
}
IMAGE = torch.ones(1, 1, 2, 2)
ACTS: dict[str, tuple[Callable[[nn.Module], object], ...]] = {
    "held masks": (
        prunable_weights,
        dense_masks,
        lambda model: prune_by_magnitude(model, {}, 0.5),
        lambda model: snip_scores(model, [(IMAGE, torch.zeros(1))]),
    ),
    "cut networks": (lambda model: filter_norms(model, ["0"]), lambda model: keep_channels(model, {"0": [0]}, IMAGE)),
}


@pytest.mark.parametrize(
    "acts", [pytest.param(acts, id=k, marks=pytest.mark.support(kernel=k)) for k, acts in ACTS.items()]
)
@pytest.mark.parametrize(
    ("build", "words"),
    [pytest.param(*row, id=k, marks=pytest.mark.support(feature=k, refused=row[1])) for k, row in REFUSED.items()],
)
def test_weights_that_are_not_plain_are_refused_by_name(
    build: Callable[[], nn.Module], words: str, acts: tuple[Callable[[nn.Module], object], ...]
) -> None:
    model = build()
    for act in acts:
        with pytest.raises(ValueError, match=re.escape(words)):
            act(model)


@pytest.mark.parametrize("change", [parametrizations.weight_norm, lambda m: prune.l1_unstructured(m, "weight", 0.5)])
def test_what_the_refusal_says_makes_weights_plain(change: Callable[[nn.Module], Any]) -> None:
    model = changed(change)
    expected = model(torch.ones(1, 1, 2, 2))
    if hasattr(model[0], "weight_orig"):
        prune.remove(model[0], "weight")
    else:
        nn.utils.parametrize.remove_parametrizations(model[0], "weight")
    apply_masks(model, dense_masks(model))
    torch.testing.assert_close(model(torch.ones(1, 1, 2, 2)), expected)


def test_rewinding_of_parametrised_layers_is_exact() -> None:
    model = changed(parametrizations.weight_norm)
    kept, expected = copy_parameters(model), model[0].weight.clone()
    for parameter in model.parameters():
        parameter.data.add_(1)
    rewind(model, kept, {})
    assert torch.equal(model[0].weight, expected)
