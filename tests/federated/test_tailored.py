"""Tailored networks against their backbone, an enumeration of all sets of paths, and counted operations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from edgebook.federated import Path, Tailored, expected_complexity, path_costs, prune, teacher_loss, train_locally
from edgebook.federated.tailoring import _connected
from edgebook.measure import count_macs, count_parameters
from edgebook.networks import initialised, resnet_architecture

SHAPE, OFF = (2, 8, 8), 200.0  # a score so far below the others that its share is 0 in single precision


def backbone() -> nn.Module:
    """Three blocks, the last at half of the resolution, with statistics that are not those of a new network."""
    family = resnet_architecture((4, 6), in_channels=2, classes=3)
    net = initialised(family.build, family.widths, seed=1)
    block = initialised(family.build, family.widths, seed=2).features[1]
    net.features.insert(2, block)
    with torch.no_grad():
        net.train()(images(32))
    return net.eval()


def images(count: int = 5) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(3))


def tailored(**options: object) -> Tailored:
    """A tailored network of it, whose blocks end before their ReLU."""
    stem, *blocks = copy.deepcopy(backbone()).features
    for block in blocks:
        block.relu = nn.Identity()
    return Tailored(stem, blocks, **{"shape": SHAPE, "classes": 3, "seed": 4} | options)


def scored(net: Tailored, **scores: list[float]) -> Tailored:
    for name, values in scores.items():
        net.scores[name.removeprefix("layer")].data = torch.tensor(values)
    return net


def drawn(net: Tailored, spread: float = 1.5) -> Tailored:
    generator = torch.Generator().manual_seed(5)
    for score in net.scores.values():
        score.data = spread * torch.randn(score.shape, generator=generator)
    return net


def test_with_blocks_alone_it_is_the_backbone() -> None:
    net = scored(tailored(), layer1=[OFF, -OFF], layer2=[OFF, -OFF, -OFF], layer3=[OFF, -OFF, -OFF])
    expected = backbone().features(images())
    assert torch.equal(net.activations(images())[-2], expected)
    assert torch.equal(tailored(skips=0).activations(images())[-2], expected)
    logits = net.linear(expected.mean(dim=(2, 3)))
    assert torch.equal(net(images()), logits)


def test_layers_pool_blocks_and_proxies_by_their_shares() -> None:
    """A loop over the formula; the nearest source first, as many as there are."""
    net = drawn(tailored())
    outputs = [net.stem(images())]
    for layer, sources in (("1", [0]), ("2", [1, 0]), ("3", [2, 1])):
        shares = np.exp(net.scores[layer].detach().numpy())
        shares /= shares.sum()
        ways = [net.blocks[layer](outputs[-1]), *(net.proxies[f"{layer}_{p}"](outputs[p]) for p in sources)]
        outputs.append(torch.relu(sum(float(a) * way for a, way in zip(shares, ways, strict=True))))
    for found, expected in zip(net.activations(images()), outputs[1:], strict=False):
        torch.testing.assert_close(found, expected)
    assert net.paths["3"] == [Path(2, True), Path(2, False), Path(1, False)]


def test_only_what_is_tailored_is_trained() -> None:
    net, before = tailored(), tailored().state_dict()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    again = tailored()
    assert torch.equal(torch.rand(1), expected)  # its draws are its own
    assert all(torch.equal(value, before[name]) for name, value in again.state_dict().items())
    train_locally(net, images(8), torch.arange(8) % 3, epochs=1, batch_size=4, lr=0.5)
    moved = {name.partition(".")[0] for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"proxies", "scores", "linear"}
    assert {name.partition(".")[0] for name, p in net.named_parameters() if p.requires_grad} == moved
    assert not any(module.training for module in net.blocks.modules())
    teacher = tailored(skips=0, frozen=False)
    train_locally(teacher, images(8), torch.arange(8) % 3, epochs=1, batch_size=4, lr=0.5)
    changed = {name for name, value in teacher.state_dict().items() if not torch.equal(value, before[name])}
    assert {"stem.norm.running_mean", "blocks.1.first.conv.weight", "linear.weight"} <= changed


@pytest.mark.parametrize("blocks", [0, 1])
def test_what_never_changes_is_run_once(blocks: int) -> None:
    net = scored(tailored(), layer1=[-1.0, 1.0])
    net = prune(net, below=0.0, blocks=blocks)
    assert ("1" in net.blocks) is not blocks
    kept = net.started(images())
    assert kept.shape == (5, 4 * 64 * (2 - blocks))
    found = []
    for given in (images(), kept):
        net.zero_grad()
        net(given).square().sum().backward()
        found.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(net(kept[1:3]), net(images()[1:3]))
    with pytest.raises(ValueError, match="has to be run anew"):
        tailored(skips=0, frozen=False).started(images())


def test_operations_of_paths_are_those_counted_and_those_of_the_formula() -> None:
    net = tailored()
    macs = {("1", True): 2 * 64 * 4 * 4 * 9, ("2", True): 2 * 64 * 4 * 4 * 9,
            ("3", True): 16 * (4 * 6 * 9 + 6 * 6 * 9 + 4 * 6)}  # fmt: skip
    proxies = {("1", 0): 64 * 16, ("2", 1): 64 * 16, ("2", 0): 64 * 16, ("3", 2): 16 * 24, ("3", 1): 16 * 24}
    for (layer, path), share in path_costs(net).items():
        count = macs[layer, True] if path.universal else proxies[layer, path.source]
        assert share == pytest.approx(count / sum(macs.values()), rel=1e-12)
    rest = count_macs(net.stem, SHAPE) + net.linear.weight.numel()
    assert count_macs(net, SHAPE) == rest + sum(macs.values()) + sum(proxies.values())


def test_expected_complexity_is_that_of_all_sets_of_paths() -> None:
    net = drawn(tailored())
    costs = path_costs(net)
    keys = [(layer, path) for layer, paths in net.paths.items() for path in paths]
    shares = torch.cat(list(net.attention().values())).tolist()
    expected = exact = 0.0
    for kept in product([True, False], repeat=len(keys)):
        chance = float(np.prod([a if k else 1 - a for a, k in zip(shares, kept, strict=True)]))
        left = {key for key, k in zip(keys, kept, strict=True) if k}
        for key in keys:
            layer, path = key
            self_gone = key not in left
            no_input = path.source > 0 and not any(into == str(path.source) for into, _ in left)
            no_output = layer != "3" and not any(one.source == int(layer) for _, one in left)
            expected += chance * costs[key] * (1 - self_gone - no_input - no_output)
            exact += chance * costs[key] * (not (self_gone or no_input or no_output))
    found = expected_complexity(net, costs)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert found.item() < exact  # the three cases are not disjoint
    found.backward()
    assert all(score.grad.abs().sum() > 0 for score in net.scores.values())
    assert expected_complexity(tailored(skips=0), costs).item() == pytest.approx(1)


def test_pruning_leaves_the_paths_that_lead_somewhere() -> None:
    keys = [(layer, path) for layer, paths in tailored().paths.items() for path in paths]

    def walks(left: list[tuple[str, Path]], at: int) -> list[tuple[tuple[str, Path], ...]]:
        """All ways from the stem to a layer."""
        into = [key for key in left if key[0] == str(at)]
        return [(*way, key) for key in into for way in walks(left, key[1].source)] if at else [()]

    for kept in product([True, False], repeat=len(keys)):
        left = [key for key, k in zip(keys, kept, strict=True) if k]
        assert _connected(set(left), last=3) == {key for way in walks(left, 3) for key in way}


def test_pruning_what_has_no_share_changes_nothing() -> None:
    net = scored(tailored(), layer1=[1.0, 0.5], layer2=[-OFF, 0.0, -OFF], layer3=[0.5, 0.0, -OFF])
    small = prune(net, below=0.01, blocks=1)
    assert torch.equal(small(images()), net(images()))
    assert set(small.blocks) == {"1", "3"}
    assert set(small.proxies) == {"1_0", "2_1", "3_2"}
    assert count_parameters(small) < count_parameters(net)
    assert count_macs(small, SHAPE) < count_macs(net, SHAPE)
    assert torch.equal(small.scores["3"], torch.tensor([0.5, 0.0]))
    assert torch.equal(copy.deepcopy(small)(images()), small(images()))
    small.load_state_dict(small.state_dict())


def test_pruning_can_take_a_layer_out() -> None:
    net = scored(tailored(), layer3=[-3.0, -9.0, 3.0])
    small = prune(net, below=0.01, blocks=1)  # nobody reads the second layer any more
    assert list(small.paths) == ["1", "3"]
    assert len(small.activations(images())) == 3
    assert teacher_loss(small, tailored(skips=0), images()).item() > 0


def test_a_teacher_for_each_layer_trains_it_alone() -> None:
    net, teacher = drawn(tailored()), drawn(tailored())
    teacher.linear.weight.data += 1
    for detached in (True, False):
        net.zero_grad()
        teacher_loss(net, teacher, images(), detached=detached).backward()
        assert net.linear.weight.grad.abs().sum() > 0
        moved = [score.grad.abs().sum() > 0 for score in net.scores.values()]
        assert moved == [not detached] * 3  # where only the logits differ, the layers hear of it through them alone
    other, outputs = tailored(), tailored().activations(images())
    loss = teacher_loss(other, net, images())
    shown = [output.detach() for output in net.activations(images())]
    expected = sum(((a - b) ** 2).mean() for a, b in zip(outputs, shown, strict=True)) / 4
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(("act", "words"), [
    (lambda: tailored(skips=-1), "skips must be at least 0, got -1"),
    (lambda: Tailored(nn.Identity(), [], shape=(1, 4, 4), classes=2), "The number of blocks must be at least 1"),
    (lambda: Tailored(nn.Identity(), [nn.Conv2d(1, 2, 2)], shape=(1, 4, 4), classes=2),
     r"A proxy from \(1, 4, 4\) to \(2, 3, 3\) would give \(2, 4, 4\)"),
    (lambda: prune(tailored(), below=1.5), "below must lie between 0 and 1, got 1.5"),
    (lambda: prune(tailored(), blocks=4), "blocks must be a whole number from 0 to 3, got 4"),
    (lambda: prune(tailored(), below=0.5, blocks=1), "Nothing would be left between the image and the classifier"),
])  # fmt: skip
def test_what_cannot_be_tailored_is_refused(act: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        act()
