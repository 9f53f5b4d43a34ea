"""Draws from a seed against those after PyTorch's own seeding, and the global generators, which must not notice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgebook.decoding import Exits
from edgebook.measure.seeding import SeededDraws
from edgebook.networks import CharacterDecoder, initialised, resnet_architecture, vgg_architecture
from edgebook.spiking import spiking_resnet, spiking_vgg

HEAD = nn.Linear(8, 9)
COMMON: dict[str, Any] = {"in_channels": 2, "classes": 3, "steps": 2, "beta": 0.5}
BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "spiking_vgg": lambda seed: spiking_vgg((5, "M", 6), hidden=(7,), size=8, seed=seed, **COMMON),
    "spiking_vgg, Xavier": lambda seed: spiking_vgg((5,), seed=seed, xavier_gain=2.0, **COMMON),
    "spiking_resnet": lambda seed: spiking_resnet((5, (6, 1, 2)), seed=seed, **COMMON),
    "initialised VGG": lambda seed: initialised(vgg_architecture((5, "M", 6)).build, (5, 6), seed),
    "initialised ResNet": lambda seed: initialised(resnet_architecture((5,)).build, (5, 6), seed),
    "CharacterDecoder": lambda seed: CharacterDecoder(9, 8, width=8, depth=1, heads=2, seed=seed),
    "Exits": lambda seed: Exits(HEAD, [1], heads=2, longest=8, seed=seed),
}
DRAWS: dict[str, Callable[[], Tensor]] = {
    "uniform_": lambda: torch.empty(40).uniform_(-1, 1),
    "normal_": lambda: torch.empty(5, 8).normal_(),
    "kaiming": lambda: nn.init.kaiming_normal_(torch.empty(5, 8)),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(5, 8)),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(5, 8)),
    "sparse": lambda: nn.init.sparse_(torch.empty(5, 8), 0.5),
    "rand": lambda: torch.rand(5, 8),
    "rand_like": lambda: torch.rand_like(torch.zeros(5, 8)),
    "randn in double": lambda: torch.randn(5, 8, dtype=torch.float64),
    "randint": lambda: torch.randint(9, (20,)),
    "randint from low": lambda: torch.randint(3, 9, (20,)),
    "randperm": lambda: torch.randperm(20),
    "bernoulli": lambda: torch.bernoulli(torch.full((20,), 0.5)),
    "dropout": lambda: nn.functional.dropout(torch.ones(20)),
    "multinomial": lambda: torch.multinomial(torch.ones(20), 5),
    "normal of tensors": lambda: torch.normal(torch.zeros(20), torch.ones(20)),
    "recurrent layer": lambda: nn.LSTM(3, 4).weight_hh_l0.detach(),
    "attention": lambda: nn.MultiheadAttention(4, 2).in_proj_weight.detach(),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_are_those_after_pytorchs_seeding(draw: Callable[[], Tensor]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        wanted = [draw(), draw()]
    before = torch.get_rng_state()
    with SeededDraws(11):
        have = [draw(), draw()]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(have, wanted, strict=True))


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_building_seeds_no_generator_but_its_own(
    build: Callable[[int], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a global generator was seeded")

    before = torch.get_rng_state()
    with monkeypatch.context() as patch:
        for place, name in ((torch, "manual_seed"), (torch.cuda, "manual_seed_all"), (torch.random, "manual_seed")):
            patch.setattr(place, name, fail)
        first, again, other = build(1), build(1), build(2)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


def test_networks_built_side_by_side_do_not_disturb_each_other() -> None:
    """Threads switch between operations, so that one shared generator would be seeded and read in turns."""
    build = BUILDERS["spiking_vgg"]
    wanted = [list(build(seed).parameters()) for seed in range(4)]
    found: dict[tuple[int, int], list[Tensor]] = {}

    def work(seed: int) -> None:
        for turn in range(10):
            found[seed, turn] = list(build(seed).parameters())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    for (seed, _), parameters in found.items():
        assert all(torch.equal(a, b) for a, b in zip(parameters, wanted[seed], strict=True))


def test_a_draw_that_names_a_generator_keeps_it() -> None:
    own = torch.Generator().manual_seed(5)
    wanted = torch.rand(3, generator=torch.Generator().manual_seed(5))
    with SeededDraws(1):
        assert torch.equal(torch.rand(3, generator=own), wanted)


def test_without_memory_nothing_is_drawn() -> None:
    with torch.device("meta"):
        net = BUILDERS["spiking_vgg"](0)
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_what_cannot_be_seeded_is_one_sentence() -> None:
    with SeededDraws(1), pytest.raises(ValueError, match=r"native_dropout.* takes no generator"):
        torch.native_dropout(torch.ones(3), 0.5, True)
    for seed in (1.5, True, "1", None):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            spiking_vgg((4,), seed=seed, **COMMON)
