"""Heads taken out of a T5 against one in which they say nothing; merging against a loop over single values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgebook.data import import_torchvision
from edgebook.federated import (
    attention_paths,
    head_confidence,
    head_weights,
    keep_heads,
    merge_heads,
    pack,
    put_heads,
    remove_heads,
    score_heads,
    take_heads,
    unpack,
)

import_torchvision()
transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")

HEADS, WIDTH, BLOCKS = 4, 3, 2
X = torch.tensor([[5, 6, 7, 8, 9, 1], [5, 9, 1, 0, 0, 0], [7, 7, 6, 1, 0, 0]])
Y = torch.tensor([[4, 3, 1], [3, 1, -100], [9, 8, 1]])


@pytest.fixture(scope="module")
def net() -> Any:
    """A T5 of six attentions with LoRA on all four projections, none of it zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.T5Config(
            vocab_size=12, d_model=10, d_kv=WIDTH, d_ff=8, num_layers=BLOCKS, num_heads=HEADS, dropout_rate=0.0,
            decoder_start_token_id=0, relative_attention_num_buckets=8, attn_implementation="eager",
        )  # fmt: skip
        model = transformers.T5ForConditionalGeneration(config)
        model = peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["q", "k", "v", "o"]), model)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.7)
    return model.eval()


def logits(model: nn.Module) -> torch.Tensor:
    return model(input_ids=X, attention_mask=(X != 0).long(), labels=Y, use_cache=False).logits


def some(seed: int) -> np.ndarray:
    """A mask with at least one head in each of six attentions."""
    rng = np.random.default_rng(seed)
    keep = rng.random((6, HEADS)) < 0.4
    keep[np.arange(6), rng.integers(HEADS, size=6)] = True
    return keep


def state_of(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in peft.get_peft_model_state_dict(model).items()}


def test_attentions_are_in_the_order_of_scores(net: Any) -> None:
    names = attention_paths(net)
    assert names[:3] == ["encoder.block.0.layer.0.SelfAttention", "encoder.block.1.layer.0.SelfAttention",
                         "decoder.block.0.layer.0.SelfAttention"]  # fmt: skip
    assert names[3:5] == ["decoder.block.0.layer.1.EncDecAttention", "decoder.block.1.layer.0.SelfAttention"]
    assert len(names) == 6


@pytest.mark.parametrize("seed", range(3))
def test_removed_heads_are_heads_that_say_nothing(net: Any, seed: int) -> None:
    keep = some(seed)

    def silence(kept: np.ndarray) -> Any:
        hold = torch.from_numpy(np.repeat(kept, WIDTH))
        return lambda layer, given: (given[0] * hold,)  # what heads hand to the outputs

    hooks = [net.get_submodule(path).o.register_forward_pre_hook(silence(kept))
             for path, kept in zip(attention_paths(net), keep, strict=True)]  # fmt: skip
    wanted = logits(net)
    for hook in hooks:
        hook.remove()
    assert not torch.allclose(wanted, logits(net), atol=1e-2)
    small = remove_heads(net, keep)
    torch.testing.assert_close(logits(small), wanted, atol=1e-5, rtol=1e-4)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in net.parameters())


def test_nothing_removed_changes_nothing_and_copies(net: Any) -> None:
    whole = remove_heads(net, np.ones((6, HEADS), bool))
    torch.testing.assert_close(logits(whole), logits(net), atol=1e-6, rtol=1e-6)
    next(whole.parameters()).data.add_(1)
    assert not torch.equal(next(whole.parameters()), next(net.parameters()))


def test_what_is_trained_stays_trained(net: Any) -> None:
    small = remove_heads(net, some(0))
    trained = [{name for name, p in model.named_parameters() if p.requires_grad} for model in (net, small)]
    assert trained[0] == trained[1] and len(trained[0]) == 6 * 4 * 2


def test_operations_are_those_of_the_formula(net: Any) -> None:
    """Projections and their LoRA, scores and mixtures, for a model with one head left in each attention."""
    keep = np.zeros((6, HEADS), bool)
    keep[:, 1] = True
    counted = []
    for model in (net, remove_heads(net, keep)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            logits(model)
        counted.append(counter.get_total_flops())
    n, m, d, r = X.shape[1], Y.shape[1], 10, 2
    queries_and_keys = [(n, n), (n, n), (m, m), (m, n), (m, m), (m, n)]

    def macs(inner: int) -> int:
        all_of = 0
        for q, k in queries_and_keys:
            tokens = q + k + k + q  # through q, k, v and o
            all_of += tokens * (d * inner + r * (d + inner)) + 2 * q * k * inner
        return len(X) * all_of

    assert counted[0] - counted[1] == 2 * (macs(HEADS * WIDTH) - macs(WIDTH))


def test_parts_travel_and_come_back(net: Any) -> None:
    state, keep, paths = state_of(net), some(1), attention_paths(net)
    part = take_heads(state, keep, paths)
    small = state_of(remove_heads(net, keep))
    assert part.keys() == small.keys()
    assert all(np.array_equal(part[name], small[name]) for name in part)
    vector = pack(part)
    whole = 6 * 2 * (3 * 10 + 10)  # A of q, k, v and B of o
    assert vector.nbytes == 4 * (whole + int(keep.sum()) * WIDTH * 2 * 4) and vector.dtype == np.float32
    back = put_heads(unpack(vector, part), keep, paths, state)
    for name, array in back.items():
        assert array.shape == state[name].shape
        seen = ~np.ma.getmaskarray(array)
        assert np.array_equal(np.asarray(array)[seen], state[name][seen])
    assert sum(int((~np.ma.getmaskarray(array)).sum()) for array in back.values()) == len(vector)
    with pytest.raises(ValueError, match="values"):
        unpack(vector[:-1], part)


@pytest.mark.parametrize("merging", ["weighted", "plain", "zero-filled"])
def test_merging_is_a_loop_over_single_values(net: Any, merging: Any) -> None:
    current, paths, rng = state_of(net), attention_paths(net), np.random.default_rng(4)
    masks = np.stack([some(seed) for seed in range(3)])
    masks[:, 0, 0] = False  # a head that nobody keeps
    masks[:, 0, 1] = True
    scores = rng.random(masks.shape)
    scores[:, 2] = np.nan
    samples = np.array([1, 2, 5])
    states = [{name: array + rng.normal(size=array.shape) for name, array in current.items()} for _ in range(3)]
    parts = [put_heads(take_heads(s, m, paths), m, paths, s) for s, m in zip(states, masks, strict=True)]
    merged = merge_heads(parts, head_weights(samples, scores, masks, merging=merging), samples / 8, current, paths)
    for name, array in current.items():
        block = next(number for number, path in enumerate(paths) if name.startswith(path + "."))
        kind, lora = name.removeprefix(paths[block] + ".").split(".")[:2]
        axis = {("q", "lora_B"): 0, ("k", "lora_B"): 0, ("v", "lora_B"): 0, ("o", "lora_A"): 1}.get((kind, lora))
        for place in np.ndindex(array.shape):
            top, bottom = 0.0, 0.0
            for k in range(3):
                share, held = float(samples[k]), True
                if axis is not None:
                    head = place[axis] // WIDTH
                    held = masks[k, block, head]
                    own = scores[k, block, head] / np.nanmean(scores[k])
                    share *= own if merging == "weighted" and block != 2 else 1
                top += share * states[k][name][place] * held
                bottom += samples[k] if merging == "zero-filled" else share * held
            lost = axis is not None and not masks[:, block, place[axis] // WIDTH].any()
            assert merged[name][place] == pytest.approx(array[place] if lost else top / bottom, rel=1e-5)
            assert merged[name].dtype == array.dtype


def test_weights_add_up_to_one_where_somebody_keeps_a_head() -> None:
    rng = np.random.default_rng(0)
    keep, scores = rng.random((5, 6, 8)) < 0.3, rng.random((5, 6, 8))
    scores[1], scores[2, 3] = 0, np.nan
    total = head_weights(rng.integers(1, 9, 5), scores, keep).sum(0)
    assert np.allclose(total[keep.any(0)], 1, atol=1e-12) and (total[~keep.any(0)] == 0).all()
    with pytest.raises(ValueError, match="at least 0"):
        head_weights([1], -np.ones((1, 1, 1)), np.ones((1, 1, 1)))
    with pytest.raises(ValueError, match="zero-filled"):
        head_weights([1], np.ones((1, 1, 1)), np.ones((1, 1, 1)), merging="mean")  # type: ignore[arg-type]


@pytest.mark.parametrize("causal", [False, True])
def test_confidence_is_a_loop_over_queries(causal: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    valid_q, valid_k = torch.ones(2, 5, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)
    valid_k[1, 3:], valid_q[1, 3:] = False, False
    raw = torch.rand(2, 3, 5, 5, generator=generator).exp() * valid_k[:, None, None]
    raw = (raw.tril() if causal else raw) + 0.0
    weights = raw / raw.sum(3, keepdim=True).clamp(min=1e-9)
    for corrected in (True, False):
        found = head_confidence(weights, valid_q, valid_k, causal=causal, corrected=corrected)
        for head in range(3):
            seen = []
            for s in range(2):
                for i in range(5):
                    keys = [j for j in range(5) if valid_k[s, j] and (j <= i or not causal)]
                    if valid_q[s, i] and (len(keys) > 1 or not corrected):
                        largest, even = max(float(weights[s, head, i, j]) for j in keys), 1 / len(keys)
                        seen.append((largest - even) / (1 - even) if corrected else largest)
            assert float(found[head]) == pytest.approx(sum(seen) / len(seen), rel=1e-5)


@pytest.mark.parametrize("keys", [2, 7])
def test_confidence_of_even_and_of_sharp_heads(keys: int) -> None:
    even, sharp = torch.full((4, keys), 1 / keys), torch.eye(keys)[:4]
    even = even[: len(sharp)]
    weights = torch.stack([even, sharp])[None]
    valid = torch.ones(1, len(sharp), dtype=torch.bool), torch.ones(1, keys, dtype=torch.bool)
    assert head_confidence(weights, *valid).tolist() == pytest.approx([0, 1], abs=1e-6)


def test_heads_that_see_one_key_have_no_confidence(net: Any) -> None:
    scores = score_heads(net, X, Y[:, :1])
    raw = score_heads(net, X, Y[:, :1], corrected=False)
    assert np.isnan(scores[[2, 4]]).all() and np.isfinite(np.delete(scores, [2, 4], 0)).all()
    assert (raw[[2, 4]] == 1).all()
    assert np.isfinite(score_heads(net, X, Y)).all()
    out = net(input_ids=X[:1], labels=Y[:1], output_attentions=True, use_cache=False)  # no padding to mind
    largest = out.cross_attentions[1].amax(3)[0].mean(1)
    assert score_heads(net, X[:1], Y[:1], corrected=False)[5] == pytest.approx(largest.detach().numpy(), rel=1e-5)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.875, 1.0])
def test_kept_heads_are_the_best_that_leave_one_each(sparsity: float) -> None:
    scores = np.random.default_rng(3).permutation(48).reshape(6, 8) / 48
    keep = keep_heads(scores, sparsity)
    assert keep.sum() == max(6, math.floor(48 * (1 - sparsity) + 0.5))
    assert all(keep[block, scores[block].argmax()] for block in range(6))
    free = [scores[place] for place in np.ndindex(6, 8) if keep[place] and place[1] != scores[place[0]].argmax()]
    assert not free or min(free) > max([*scores[~keep], -1])
    ranked = keep_heads(scores, sparsity, at_least=0)
    assert not ranked.any() or ranked.all() or scores[ranked].min() > scores[~ranked].max()


def test_bad_masks_and_scores_get_a_sentence(net: Any) -> None:
    with pytest.raises(ValueError, match="at least one"):
        remove_heads(net, np.zeros((6, HEADS), bool))
    with pytest.raises(ValueError, match="sparsity from 0 to 1"):
        keep_heads(np.ones((2, 2)), 1.5)
    with pytest.raises(ValueError, match="queries"):
        head_confidence(torch.ones(1, 2, 3, 4), torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool))
