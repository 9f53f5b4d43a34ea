"""The small decoder and its exits: cache against whole texts, exits against the frozen target, losslessness."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgebook.decoding import (
    CharacterDecoder,
    Draws,
    Exits,
    Sampling,
    StagedDecoder,
    autoregressive,
    cross_entropy,
    distill,
    fit_decoder,
    generate,
    trace,
)

SIZES = {"width": 16, "depth": 3, "heads": 2}


@pytest.fixture(scope="module")
def model() -> CharacterDecoder:
    return CharacterDecoder(11, 24, **SIZES, seed=1).eval()


@pytest.fixture(scope="module")
def staged(model: CharacterDecoder) -> StagedDecoder:
    return StagedDecoder(model, Exits(model.head, (1, 2), heads=2, longest=24, seed=2))


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=6), st.integers(0, 1000))
@settings(max_examples=30)
def test_reading_and_taking_back_is_reading_the_whole(
    model: CharacterDecoder, staged: StagedDecoder, moves: list[tuple[int, int]], seed: int
) -> None:
    """Logits of a cache that was extended and cropped at will are those of the whole text at once."""
    generator = torch.Generator().manual_seed(seed)
    sessions, text = (model.session(), staged.session()), []
    for read, back in moves:
        tokens = torch.randint(11, (min(read, 24 - len(text)),), generator=generator).tolist()
        if not tokens:
            break
        text += tokens
        with torch.no_grad():
            hidden, whole = model.features(torch.tensor([text]), (1, 2))
            early = staged.exits(hidden)
        assert torch.allclose(sessions[0].extend(tokens, len(tokens)), whole[0, -len(tokens) :], atol=1e-5)
        *exits, final = sessions[1].stages(tokens, 1)
        assert torch.allclose(final, whole[0, -1:], atol=1e-5)
        for found, expected in zip(exits, early, strict=True):
            assert torch.allclose(found, expected[0, -1:], atol=1e-5)
        text = text[: max(0, len(text) - back)]
        for session in sessions:
            session.crop(len(text))


def test_the_block_agrees_with_pytorchs_own_layer(model: CharacterDecoder) -> None:
    ours = model.blocks[0]
    layer = torch.nn.TransformerEncoderLayer(
        16, 2, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    pairs = {
        "self_attn.in_proj_weight": ours.qkv.weight, "self_attn.in_proj_bias": ours.qkv.bias,
        "self_attn.out_proj.weight": ours.out.weight, "self_attn.out_proj.bias": ours.out.bias,
        "linear1.weight": ours.up.weight, "linear1.bias": ours.up.bias,
        "linear2.weight": ours.down.weight, "linear2.bias": ours.down.bias,
    }  # fmt: skip
    norms = {"norm1": ours.norm_attention, "norm2": ours.norm_mlp}
    pairs |= {f"{name}.{part}": getattr(norm, part) for name, norm in norms.items() for part in ("weight", "bias")}
    layer.load_state_dict({name: value.detach() for name, value in pairs.items()})
    x = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = layer(x, src_mask=torch.nn.Transformer.generate_square_subsequent_mask(7), is_causal=True)
        assert torch.allclose(ours(x), expected, atol=1e-5)


def test_an_abandoned_pass_is_as_if_it_had_not_begun(staged: StagedDecoder) -> None:
    session = staged.session()
    session.extend([1, 2, 3], 1)
    half = session.stages([4, 5], 1)
    next(half)
    half.close()
    assert session.length == 3
    fresh = staged.session()
    assert torch.allclose(session.extend([6, 7], 2), fresh.extend([1, 2, 3, 6, 7], 2), atol=1e-6)


def test_training_learns_and_exits_learn_what_the_target_says(staged: StagedDecoder) -> None:
    text = torch.arange(11).repeat(60)
    model = CharacterDecoder(11, 24, **SIZES, seed=1)
    before = cross_entropy(model, text, window=24, count=4)
    shown = fit_decoder(model, text, steps=40, batch_size=4, window=24, lr=1e-2)
    after = cross_entropy(model, text, window=24, count=4)
    assert after < 0.2 * before and shown == pytest.approx(after, abs=0.3)
    again = CharacterDecoder(11, 24, **SIZES, seed=1)
    assert fit_decoder(again, text, steps=40, batch_size=4, window=24, lr=1e-2) == shown
    frozen = {name: value.clone() for name, value in model.state_dict().items()}
    exits = Exits(model.head, (1, 2), heads=2, longest=24, seed=2)
    with torch.no_grad():
        hidden, final = model.features(text[None, :20], (1, 2))
        far = [F.kl_div(x.log_softmax(-1), final.softmax(-1), reduction="sum") / 20 for x in exits(hidden)]
    left = distill(exits, model.features, text, steps=30, batch_size=4, window=24, lr=1e-2)
    assert left < 0.2 * float(sum(far)) / 2
    assert all(torch.equal(value, frozen[name]) for name, value in model.state_dict().items())
    assert model.head.weight.grad is None or float(model.head.weight.grad.abs().max()) >= 0
    assert not any(parameter is model.head.weight for parameter in exits.parameters())


def test_adapters_without_attention_are_one_linear_map_that_begins_as_nothing(model: CharacterDecoder) -> None:
    exits = Exits(model.head, (1, 2), heads=0, longest=24)
    staged, text = StagedDecoder(model, exits), [1, 3, 5, 2]
    with torch.no_grad():
        hidden, _ = model.features(torch.tensor([text]), (1, 2))
        bare = [F.linear(F.layer_norm(x[0], (16,)), model.head.weight) for x in hidden]
        for found, expected in zip(staged.session().stages(text, 4), bare, strict=False):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        for adapter in exits.adapters:
            adapter.map.weight.normal_(generator=torch.Generator().manual_seed(4))
        mapped = [x[0] + x[0] @ a.map.weight.T for a, x in zip(exits.adapters, hidden, strict=True)]
        session = staged.session()
        session.extend(text[:3], 1)
        for found, x in zip(session.stages(text[3:], 1), mapped, strict=False):  # the place before does not matter
            expected = F.linear(F.layer_norm(x[-1:], (16,)), model.head.weight)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert sum(parameter.numel() for parameter in exits.adapters[0].parameters()) == 16 * 16 + 16


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_exits_are_of_the_targets_own_precision(dtype: torch.dtype) -> None:
    model = CharacterDecoder(11, 24, **SIZES, seed=1).to(dtype).eval()
    staged = StagedDecoder(model, Exits(model.head, (1, 2), heads=2, longest=24, seed=2))
    options = {"max_new_tokens": 18, "sampling": Sampling(0.0)}
    assert trace(staged, model, [1, 3], **options).tokens == autoregressive(model, [1, 3], **options)
    with torch.no_grad():
        hidden, _ = model.features(torch.tensor([[1, 3, 5, 2]]), (1, 2))
        expected = [logits[0] for logits in staged.exits(hidden)]
    found = list(staged.session().stages([1, 3, 5, 2], 4))[:2]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6 if dtype == torch.float64 else 0.05, rtol=0)


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(), Sampling(0.7, 5)])
def test_text_is_the_same_by_every_way(model: CharacterDecoder, staged: StagedDecoder, sampling: Sampling) -> None:
    draft = CharacterDecoder(11, 24, width=8, depth=1, heads=1, seed=5).eval()
    for seed in range(4):
        options = {"max_new_tokens": 18, "drafted": 3, "sampling": sampling, "draws": Draws(seed)}
        texts = [trace(*pair, [seed, 3], **options).tokens for pair in [(model, draft), (staged, draft)]]
        assert texts[0] == texts[1]
        if sampling.greedy:
            assert texts[0] == autoregressive(model, [seed, 3], max_new_tokens=18, sampling=sampling)


def test_seeds_decide_the_weights_and_leave_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    one, two, three = (CharacterDecoder(11, 24, **SIZES, seed=s).head.weight for s in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, three)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m: CharacterDecoder(11, 24, width=10, depth=1, heads=4), "heads divide width"),
        (lambda m: Exits(m.head, (2, 1), heads=2, longest=24), "ascending blocks"),
        (lambda m: StagedDecoder(m, Exits(m.head, (3,), heads=2, longest=24)), "the last has no exit"),
        (lambda m: m.session().extend(list(range(11)) * 3, 1), "may have 24 tokens, got 33"),
        (lambda m: m.session().crop(1), "cannot be cropped to 1"),
        (lambda m: m.session().extend([3, -1], 1), "from 0 to 10, got -1 to 3"),
        (lambda m: m.session().extend([3, 11], 1), "from 0 to 10"),
        (lambda m: m.session().extend([], 1), "0 and 1 asked for"),
        (lambda m: m.session().extend([3, 4], 0), "2 and 0 asked for"),
        (lambda m: m.session().extend([3, 4], 3), "2 and 3 asked for"),
        (lambda m: m(torch.zeros(1, 25, dtype=torch.long)), "may have 24 tokens, got 25"),
        (lambda m: fit_decoder(m, torch.arange(11), steps=1, window=30), "window may be at most 24"),
        (lambda m: fit_decoder(m, torch.arange(11), steps=1, window=20), "at least a window long"),
        (lambda m: cross_entropy(m, torch.arange(11), window=20), "at least 20 tokens"),
        (lambda m: generate(m, m, [1] * 20, max_new_tokens=8), "24 together"),
    ],
)
def test_bad_sizes_are_refused(model: CharacterDecoder, make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(model)
