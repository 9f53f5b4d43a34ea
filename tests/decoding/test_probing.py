"""Which models of Transformers are taken, and that those which are say what they say when they read a text at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgebook.data import import_torchvision
from edgebook.decoding import (
    CharacterDecoder,
    Draws,
    Exits,
    HuggingFaceModel,
    Sampling,
    autoregressive,
    generate,
    trace,
)

import_torchvision()
transformers = pytest.importorskip("transformers")

SMALL = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "max_position_embeddings": 64, "eos_token_id": None}  # fmt: skip


def made(kind: str, name: str, spread: float = 4.0, **options: Any) -> Any:
    """A tiny model with random weights that are large enough for its context to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, name)(getattr(transformers, f"{kind}Config")(**SMALL | options)).eval()
    for parameter in model.parameters():
        parameter.data.mul_(spread if parameter.dim() > 1 else 1)
    return model


@torch.no_grad()
def greedy(model: Any, prompt: list[int], count: int, **options: Any) -> list[int]:
    """What a model writes when it reads the whole text for each token, without a cache."""
    text = list(prompt)
    for _ in range(count):
        text.append(int(model(input_ids=torch.tensor([text]), use_cache=False, **options).logits[0, -1].argmax()))
    return text[len(prompt) :]


UNTIED = {"tie_word_embeddings": False}  # otherwise their random weights repeat a token for ever
WINDOWS = {
    "Mistral": ("MistralForCausalLM", {"num_key_value_heads": 2, "sliding_window": 8}),
    "Gemma2": ("Gemma2ForCausalLM", {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, **UNTIED}),
    "Gemma3Text": ("Gemma3ForCausalLM", {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, **UNTIED}),
    "Cohere2": ("Cohere2ForCausalLM", {"num_key_value_heads": 2, "sliding_window": 8}),
    "Llama": ("LlamaForCausalLM", {"num_key_value_heads": 2}),
    "GPT2": ("GPT2LMHeadModel", {}),
}


@pytest.mark.parametrize("kind", WINDOWS)
def test_the_text_is_greedy_decodings_to_the_last_place(kind: str) -> None:
    """Windows of eight tokens in texts of 64; drafts that are never right, sometimes right and always right."""
    name, options = WINDOWS[kind]
    model = made(kind, name, **options)
    target, expected = HuggingFaceModel(model), greedy(model, [3, 4, 5], 61)
    assert target.longest == 64 and len(set(expected)) > 2
    for draft in (CharacterDecoder(60, 64, width=16, depth=1, heads=2).eval(), ExceptEveryFifth(target), target):
        both = {"max_new_tokens": 61, "drafted": 5, "sampling": Sampling(0.0)}
        assert trace(target, draft, [3, 4, 5], ahead="full acceptance", **both).tokens == expected


class ExceptEveryFifth:
    """A model that says the first token after every fifth, so that caches are cropped at many places."""

    def __init__(self, model: HuggingFaceModel) -> None:
        self.model, self.vocabulary, self.longest = model, model.vocabulary, model.longest

    def session(self) -> ExceptEveryFifthSession:
        return ExceptEveryFifthSession(self.model.session())


class ExceptEveryFifthSession:
    def __init__(self, inner: Any) -> None:
        self.inner, self.crop = inner, inner.crop

    def extend(self, tokens: list[int], rows: int) -> torch.Tensor:
        logits = self.inner.extend(tokens, rows).clone()
        if self.inner.length % 5 == 0:
            logits[-1, 0] = 1e4
        return logits


def test_positions_that_begin_after_the_padding() -> None:
    """A table of 66 places of which two are never used, and a text in which the padding is a token like others."""
    model = made("Roberta", "RobertaForCausalLM", is_decoder=True, pad_token_id=1, max_position_embeddings=66)
    target = HuggingFaceModel(model)
    assert target.longest == 64
    text = [3, 1, 5, 1, 1, 7]
    with torch.no_grad():
        whole = model(input_ids=torch.tensor([text]), position_ids=torch.arange(2, 8)[None], use_cache=False).logits[0]
    session = target.session()
    found = torch.cat([session.extend(text[:2], 2), session.extend(text[2:3], 1), session.extend(text[3:], 3)])
    torch.testing.assert_close(found, whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(target.features(torch.tensor([text, text]))[1][1], whole, atol=1e-4, rtol=1e-4)
    assert len(generate(target, CharacterDecoder(60, 66, width=8, depth=1, heads=1), [2], max_new_tokens=63)) == 63


def test_a_cache_is_not_kept_beyond_the_place_where_positions_change() -> None:
    factors = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [8.0] * 4, "rope_theta": 10000.0}
    options = {"num_key_value_heads": 2, "pad_token_id": 0, "original_max_position_embeddings": 24}
    model = made("Phi3", "Phi3ForCausalLM", rope_parameters=factors, **options)
    target = HuggingFaceModel(model)
    assert target.longest == 24
    found = trace(target, ExceptEveryFifth(target), [3, 4], max_new_tokens=22, sampling=Sampling(0.0), ahead="none")
    assert found.tokens == greedy(model, [3, 4], 22)


def recurrent() -> Any:
    return transformers.RwkvForCausalLM(
        transformers.RwkvConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32)
    )


def mamba() -> Any:
    model = transformers.MambaForCausalLM(
        transformers.MambaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=1, state_size=4)
    )
    model.config.max_position_embeddings = 64
    return model


def convolutions() -> Any:
    return made("Lfm2", "Lfm2ForCausalLM", num_key_value_heads=2, layer_types=["conv", "full_attention"])


def shifted() -> Any:
    """A model that puts tokens one place too late once it has read others."""
    model = made("GPT2", "GPT2LMHeadModel")
    inner = model.transformer.wpe
    inner.register_forward_pre_hook(lambda _, places: (places[0] + (places[0].min() > 0),))
    return model


def forgetful() -> Any:
    """A model that ignores its cache, in half precision, so that numbers alone would prove little."""
    model = made("Llama", "LlamaForCausalLM", spread=1.0).bfloat16()
    forward = model.forward

    def without(input_ids: Any, **options: Any) -> Any:
        return forward(input_ids, **{name: value for name, value in options.items() if name == "logits_to_keep"})

    model.forward = without
    return model


REFUSED = {
    "not causal": (lambda: made("Bert", "BertLMHeadModel"), "is not causal"),
    "masked": (lambda: made("Bert", "BertForMaskedLM"), "cannot be read|is not causal"),
    "encoder-decoder": (
        lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(vocab_size=60, d_model=32, d_ff=48, num_layers=1, num_heads=4, d_kv=8)
        ),
        "has an encoder",
    ),
    "no head": (lambda: made("Llama", "LlamaModel"), "no logits for each token"),
    "classes": (lambda: made("Llama", "LlamaForSequenceClassification", num_labels=3, pad_token_id=0), "no logits for"),
    "classes of tokens": (lambda: made("Llama", "LlamaForTokenClassification", num_labels=3), "logits of 3 tokens"),
    "recurrent": (recurrent, "cannot be read|cannot be taken back|does not say the same"),
    "state space": (mamba, "cannot be read|cannot be taken back|does not say the same"),
    "convolutions": (convolutions, "cannot be read|cannot be taken back"),
    "no longest text": (
        lambda: transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=60, hidden_size=32)),
        "max_position_embed",
    ),
    "shifted": (shifted, "does not say the same when it reads a text in parts"),
    "forgetful": (forgetful, "cannot be taken back"),
    "NaN": (lambda: made("Llama", "LlamaForCausalLM", spread=float("nan")), "must be finite"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_cannot_work_is_refused_when_the_adapter_is_made(which: str) -> None:
    make, words = REFUSED[which]
    with pytest.raises(ValueError, match=words):
        HuggingFaceModel(make())


@pytest.mark.parametrize(
    "thing", ["gpt2", None, torch.nn.Linear(2, 2), CharacterDecoder(9, 9, width=4, depth=1, heads=1)]
)
def test_other_things_are_no_models_of_transformers(thing: Any) -> None:
    with pytest.raises(TypeError, match="A causal language model of Transformers is needed, got"):
        HuggingFaceModel(thing)


def test_a_vocabulary_is_that_of_the_logits() -> None:
    """A head for more tokens than there are is padding only where somebody says so."""
    model = made("Llama", "LlamaForCausalLM")
    model.lm_head = torch.nn.Linear(32, 64, bias=False)
    with pytest.raises(ValueError, match="logits of 64 tokens, and its configuration says 60"):
        HuggingFaceModel(model)
    assert HuggingFaceModel(model, vocabulary=60).session().extend([1], 1).shape == (1, 60)
    model.lm_head = torch.nn.Linear(32, 50, bias=False)
    with pytest.raises(ValueError, match="logits of 50 tokens, and its configuration says 60"):
        HuggingFaceModel(model)


def quantised() -> Any:
    return torch.ao.quantization.quantize_dynamic(made("Llama", "LlamaForCausalLM"), {torch.nn.Linear})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64", "weights as they are drawn", "quantised"])
def test_rounding_alone_refuses_nobody(kind: str) -> None:
    if kind == "quantised":
        model = quantised()
    else:
        model = made("Llama", "LlamaForCausalLM", spread=1.0 if kind.startswith("weights") else 4.0)
        model = model.to(getattr(torch, kind)) if hasattr(torch, kind) else model
    target = HuggingFaceModel(model)
    options = {"max_new_tokens": 20, "drafted": 3, "temperature": 0}
    assert len(generate(target, target, [1, 2], **options)) == 20


def test_dropout_is_no_part_of_a_text() -> None:
    model = made("GPT2", "GPT2LMHeadModel")
    target = HuggingFaceModel(model)
    expected = autoregressive(target, [1, 2], max_new_tokens=20, sampling=Sampling(0.0))
    model.train()
    assert autoregressive(target, [1, 2], max_new_tokens=20, sampling=Sampling(0.0)) == expected
    assert greedy(model.eval(), [1, 2], 20) == expected


@pytest.mark.parametrize("several", [False, True])
def test_a_text_ends_where_that_of_transformers_does(several: bool) -> None:
    model = made("Llama", "LlamaForCausalLM")
    alone = greedy(model, [3, 4], 20)
    ends = [50256, alone[9], alone[7]] if several else alone[7]  # the first one is none of this vocabulary
    model.generation_config.eos_token_id = ends
    model.generation_config.pad_token_id = 0
    ids = torch.tensor([[3, 4]])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20)[
        0, 2:
    ].tolist()
    target, draft = HuggingFaceModel(model), CharacterDecoder(60, 64, width=8, depth=1, heads=1)
    options = {"max_new_tokens": 20, "temperature": 0}
    assert generate(target, draft, [3, 4], **options).tolist() == expected == alone[: len(expected)]
    assert autoregressive(target, [3, 4], max_new_tokens=20, sampling=Sampling(0.0)) == expected
    assert generate(target, draft, [3, 4], stop=(), **options).tolist() == alone


@pytest.mark.parametrize(
    "wish",
    [{"repetition_penalty": 1.2}, {"suppress_tokens": [3]}, {"no_repeat_ngram_size": 2}, {"bad_words_ids": [[3]]},
     {"forced_bos_token_id": 0}, {"num_beams": 3}, {"stop_strings": ["a"]}],
)  # fmt: skip
def test_wishes_that_are_not_heeded_are_refused_by_name(wish: dict[str, Any]) -> None:
    model = made("Llama", "LlamaForCausalLM")
    model.generation_config.update(repetition_penalty=1.0, no_repeat_ngram_size=0, temperature=0.7, top_k=20)
    assert HuggingFaceModel(model).stop == ()
    model.generation_config.update(**wish)
    with pytest.raises(ValueError, match=f"asks for {next(iter(wish))}="):
        HuggingFaceModel(model)


def test_exits_have_a_place_and_a_length() -> None:
    model = made("Llama", "LlamaForCausalLM")
    with pytest.raises(ValueError, match="Of 2 blocks the last has no exit"):
        HuggingFaceModel(model, exits=Exits(model.lm_head, (2,), heads=2, longest=64))
    assert HuggingFaceModel(model, exits=Exits(model.lm_head, (1,), heads=2, longest=20)).longest == 20
    with pytest.raises(ValueError, match="cannot be read"):
        HuggingFaceModel(model, exits=Exits(torch.nn.Linear(24, 60), (1,), heads=2, longest=64))


def test_a_pass_that_fails_once_while_the_adapter_is_made_is_tried_again() -> None:
    model, count = made("Llama", "LlamaForCausalLM"), []

    def once(*_: Any) -> None:
        count.append(1)
        if len(count) == 5:
            raise RuntimeError("out of memory")

    handle = model.model.layers[1].register_forward_hook(once)
    target = HuggingFaceModel(model)
    handle.remove()
    assert autoregressive(target, [3], max_new_tokens=9, sampling=Sampling(0.0)) == greedy(model, [3], 9)


def test_a_session_whose_pass_failed_says_so_and_a_text_goes_on() -> None:
    model = made("Llama", "LlamaForCausalLM")
    target = HuggingFaceModel(model)
    session = target.session()
    session.extend([1, 2, 3], 1)

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    handle = model.model.layers[1].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        session.extend([4], 1)
    handle.remove()
    for use in (lambda: session.extend([4], 1), lambda: session.crop(1)):
        with pytest.raises(ValueError, match="A pass of this session has failed"):
            use()
    for tokens, rows, words in (([60], 1, "from 0 to 59"), ([1] * 65, 1, "may have 64"), ([1], 2, "1 to all")):
        with pytest.raises(ValueError, match=words):
            target.session().extend(tokens, rows)


def test_sampled_texts_are_the_same_by_every_way() -> None:
    """A target with a window, sampled: drafts made ahead and none, and no draft at all, give one text."""
    model = made("Mistral", "MistralForCausalLM", num_key_value_heads=2, sliding_window=8)
    target = HuggingFaceModel(model)
    options = {"max_new_tokens": 50, "sampling": Sampling(0.9, 20), "draws": Draws(4), "drafted": 3}
    draft = ExceptEveryFifth(target)
    texts = [trace(target, draft, [3, 4], ahead=ahead, **options).tokens for ahead in ("none", "full acceptance")]
    assert texts[0] == texts[1]
