"""Parts that are cut out against parts that are there and multiplied by zero: paths of a supernet, heads of a T5.

A mask in code for federations mostly multiplies: the client holds, trains and sends all of it. Here the part is cut out
first, and logits are compared before anything is timed. Merging is compared with the average of whole models, and heads
with a loop over clients and heads.

`OMP_NUM_THREADS=1 python -m pytest benchmarks/test_federated_parts.py`
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgebook.data import import_torchvision
from edgebook.federated import (
    Supernet,
    attention_paths,
    average,
    head_weights,
    merge_heads,
    merge_parts,
    path_masks,
    put_heads,
    remove_heads,
    take_heads,
)
from edgebook.measure.seeding import SeededDraws

import_torchvision()
WIDTHS, CLIENTS = (16, 32), 8
SMALL = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "vocab_size": 32128}  # T5-small
KEPT = 1  # of eight heads in each attention


def arrays_of(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in net.state_dict().items()}


def size_of(arrays: dict[str, np.ndarray]) -> float:
    return sum(array.nbytes for array in arrays.values()) / 1e3


def step_of(net: nn.Module, forward: Callable[[nn.Module], torch.Tensor]) -> Callable[[], None]:
    def step() -> None:
        net.zero_grad()
        forward(net).sum().backward()

    return step


def test_a_step_of_clients_with_half_of_the_paths(contest: Any, report: Any) -> None:
    x = torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    whole = [Supernet(WIDTHS, mixture=True) for _ in range(CLIENTS)]
    masks = path_masks(CLIENTS, whole[0].alpha.numel(), 8, seed=0)
    cut = [Supernet(WIDTHS, mask=mask) for mask in masks]
    for small, large, mask in zip(cut, whole, masks, strict=True):
        small.load_state_dict(large.state_dict(), strict=False)
        large.alpha.data = torch.where(torch.from_numpy(mask), 0.0, -torch.inf).view_as(large.alpha)  # alike, or 0
        if mask.reshape(len(large.alpha), -1).any(axis=1).all():  # a cell without a path hands on what it gets
            torch.testing.assert_close(small(x), large(x))
    kinds = {"edgebook, cut": cut, "multiplied by zero": whole}
    steps = {name: [step_of(net, lambda net: net(x)) for net in nets] for name, nets in kinds.items()}
    title = f"{CLIENTS} clients with half of {masks.shape[1]} paths"
    contest(f"{title}, a step", {n: lambda own=own: [step() for step in own] for n, own in steps.items()}, 10)
    messages = {name: [np.mean([size_of(arrays_of(net)) for net in nets])] for name, nets in kinds.items()}
    report(f"{title}, a message", "kB", messages)


def test_merging_paths(contest: Any) -> None:
    whole = arrays_of(Supernet(WIDTHS))
    masks = path_masks(CLIENTS, 16, 8, seed=0)
    parts = [arrays_of(Supernet(WIDTHS, mask=mask, seed=k)) for k, mask in enumerate(masks)]
    full, shares = [arrays_of(Supernet(WIDTHS, seed=k)) for k in range(CLIENTS)], [1 / CLIENTS] * CLIENTS
    for name, array in merge_parts(full, shares, whole).items():
        assert np.array_equal(array, average(full, shares, whole)[name])
    timed = {
        "edgebook, parts": lambda: merge_parts(parts, shares, whole),
        "whole models": lambda: average(full, shares, whole),
    }
    contest(f"merging {CLIENTS} clients' paths", timed, 40)


@pytest.fixture(scope="module")
def t5() -> Any:
    """A T5 of the size of T5-small, drawn at random, with LoRA on all projections."""
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    with SeededDraws(0):
        config = transformers.T5Config(**SMALL, dropout_rate=0.0, decoder_start_token_id=0, attn_implementation="eager")
        model = transformers.T5ForConditionalGeneration(config)
        lora = peft.LoraConfig(r=8, target_modules=["q", "k", "v", "o"], init_lora_weights=False)
        return peft.inject_adapter_in_model(lora, model)


def masked(model: nn.Module, keep: np.ndarray) -> nn.Module:
    """Return a copy in which what the other heads say is multiplied by zero, by a hook."""
    model = copy.deepcopy(model)
    for path, kept in zip(attention_paths(model), keep, strict=True):
        attention = model.get_submodule(path)
        mask = torch.from_numpy(np.repeat(kept, attention.key_value_proj_dim)).float()
        attention.o.register_forward_pre_hook(lambda _, args, mask=mask: (args[0] * mask,))
    return model


def test_a_step_with_an_eighth_of_the_heads(contest: Any, t5: Any) -> None:
    keep = np.arange(8) < KEPT * np.ones((len(attention_paths(t5)), 1))
    tokens = torch.randint(1, 32000, (2, 64), generator=torch.Generator().manual_seed(0))
    nets = {"edgebook, removed": remove_heads(t5, keep), "multiplied by zero": masked(t5, keep), "all heads": t5}

    def logits(net: nn.Module) -> torch.Tensor:
        return net(input_ids=tokens, labels=tokens[:, :16].contiguous(), use_cache=False).logits

    with torch.no_grad():
        few, zero, _ = (logits(net) for net in nets.values())
    torch.testing.assert_close(few, zero, rtol=1e-3, atol=1e-3)
    contest("an eighth of the heads of T5-small, a step", {n: step_of(net, logits) for n, net in nets.items()}, 5)


def one_by_one(parts: list, weights: np.ndarray, shares: list, current: dict, paths: list[str]) -> dict:
    """Average client after client and head after head."""
    merged = {}
    for name, array in current.items():
        number = next(k for k, path in enumerate(paths) if name.startswith(path))
        axis = 0 if ".o." not in name and "lora_B" in name else 1 if ".o." in name and "lora_A" in name else None
        if axis is None:
            merged[name] = sum(s * part[name] for s, part in zip(shares, parts, strict=True))
            continue
        merged[name], heads = np.zeros_like(array), np.split(np.arange(array.shape[axis]), weights.shape[2])
        for head, values in enumerate(heads):
            at = (values,) if axis == 0 else (slice(None), values)
            for client, part in enumerate(parts):
                merged[name][at] += weights[client, number, head] * np.ma.filled(part[name], 0)[at]
    return merged


def test_merging_heads(contest: Any, t5: Any) -> None:
    rng, clients, paths = np.random.default_rng(0), 20, attention_paths(t5)
    current = {name: array for name, array in arrays_of(t5).items() if "lora" in name}
    current = {name.replace(".default", ""): array for name, array in current.items()}
    keeps = rng.random((clients, len(paths), 8)) < 0.5
    keeps[:, :, 0] = True
    drawn = [{n: rng.normal(size=a.shape).astype(np.float32) for n, a in current.items()} for _ in range(clients)]
    parts = [put_heads(take_heads(d, k, paths), k, paths, current) for d, k in zip(drawn, keeps, strict=True)]
    weights, shares = head_weights(np.ones(clients), rng.random(keeps.shape), keeps), [1 / clients] * clients
    ours, theirs = (merge(parts, weights, shares, current, paths) for merge in (merge_heads, one_by_one))
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=1e-4, atol=1e-5)
    timed = {
        "edgebook": lambda: merge_heads(parts, weights, shares, current, paths),
        "head by head": lambda: one_by_one(parts, weights, shares, current, paths),
    }
    contest(f"merging {len(paths) * 8} heads of {clients} clients", timed, 5)
