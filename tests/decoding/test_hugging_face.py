"""Random tiny Llamas, offline: greedy text identical to what Transformers generates."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgebook.data import import_torchvision
from edgebook.decoding import Draws, Exits, HuggingFaceModel, Sampling, distill, generate, trace

import_torchvision()
transformers = pytest.importorskip("transformers")


def llama(seed: int, *, layers: int, vocabulary: int = 32, spread: float = 0.4) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=vocabulary, hidden_size=16, intermediate_size=32, num_hidden_layers=layers,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64, initializer_range=spread,
            bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def pair() -> tuple[HuggingFaceModel, HuggingFaceModel]:
    target = llama(0, layers=2)
    draft = llama(1, layers=1)
    near = target.model.embed_tokens.weight.detach()
    draft.model.embed_tokens.weight.data.copy_(near)
    draft.lm_head.weight.data.copy_(target.lm_head.weight.detach())
    return HuggingFaceModel(target), HuggingFaceModel(draft)


def prompts(count: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, 32, (1 + i % 7,), generator=generator).tolist() for i in range(count)]


def test_greedy_text_is_that_of_transformers_on_two_hundred_prompts(
    pair: tuple[HuggingFaceModel, HuggingFaceModel],
) -> None:
    target, draft = pair
    for prompt in prompts(200):
        with torch.no_grad():
            ids = torch.tensor([prompt])
            expected = target.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8, use_cache=True
            )
        found = generate(target, draft, prompt, max_new_tokens=8, drafted=3, temperature=0)
        assert found.tolist() == expected[0, len(prompt) :].tolist()


def test_cache_against_whole_texts(pair: tuple[HuggingFaceModel, HuggingFaceModel]) -> None:
    target, _ = pair
    session, text = target.session(), prompts(3)[2] + [5, 9, 2]
    with torch.no_grad():
        whole = target.model(torch.tensor([text])).logits[0]
    session.extend(text[:3] + [1, 1, 1], 2)
    session.crop(3)
    assert torch.allclose(session.extend(text[3:], 2), whole[-2:], atol=1e-4)
    with pytest.raises(ValueError, match="cannot be cropped"):
        session.crop(60)


def test_exits_on_hidden_states_change_no_token(pair: tuple[HuggingFaceModel, HuggingFaceModel]) -> None:
    target, draft = pair
    exits = Exits(target.model.get_output_embeddings(), (1,), heads=2, longest=64, seed=0)
    text = torch.randint(1, 32, (200,), generator=torch.Generator().manual_seed(1))
    first = distill(exits, target.features, text, steps=1, batch_size=2, window=16)
    assert distill(exits, target.features, text, steps=20, batch_size=2, window=16, lr=1e-2) < first
    staged = HuggingFaceModel(target.model, exits=exits)
    options = {"max_new_tokens": 14, "drafted": 3, "sampling": Sampling(0.8), "draws": Draws(3)}
    plain, with_exits = (trace(model, draft, [4, 2], **options) for model in (target, staged))
    assert plain.tokens == with_exits.tokens
    assert all(len(step.exits) == 1 for step in with_exits.rounds)


def test_padded_vocabularies_are_cut_to_a_common_size() -> None:
    wide, narrow = llama(0, layers=1, vocabulary=40), llama(1, layers=1, vocabulary=32)
    with pytest.raises(ValueError, match="share one vocabulary, got 32 and 40"):
        generate(HuggingFaceModel(wide), HuggingFaceModel(narrow), [1], max_new_tokens=2)
    target = HuggingFaceModel(wide, vocabulary=32)
    found = generate(target, HuggingFaceModel(narrow), [1], max_new_tokens=20, drafted=2)
    assert len(found) == 20 and int(found.max()) < 32
    with pytest.raises(ValueError, match="between 1 and 32"):
        HuggingFaceModel(narrow, vocabulary=33)


def test_a_model_is_loaded_from_a_folder(tmp_path: Any) -> None:
    model = llama(0, layers=1)
    model.save_pretrained(tmp_path)
    found = HuggingFaceModel.load(str(tmp_path)).session().extend([1, 2], 1)
    with torch.no_grad():
        assert torch.allclose(found, model(torch.tensor([[1, 2]])).logits[0, -1:], atol=1e-5)
