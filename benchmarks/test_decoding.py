"""Speculative decoding in one process beside assisted generation of Transformers: same models, same prompts, greedy.

Two random Llamas, the draft near the target; both contenders draft the same number of tokens in every round, run in
PyTorch's inference mode, and their texts are compared first. The row "steps alone" is what the passes of the two models
take by themselves for the rounds that there were: a bound that no loop around the same models undercuts.

On an otherwise idle core, pinned where the system can:
`OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/test_decoding.py`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edgebook.data import import_torchvision
from edgebook.decoding import HuggingFaceModel, Sampling, generate, trace

import_torchvision()
transformers = pytest.importorskip("transformers")

DRAFTED, NEW, PROMPTS, ROUNDS = 4, 64, 4, 6
SIZES = {"small, width 192": (192, 6, 2), "wide, width 512": (512, 8, 2)}


def llama(width: int, layers: int, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=256, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256, initializer_range=0.02,
            bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        return transformers.LlamaForCausalLM(config).eval()


def pair(width: int, layers: int, draft_layers: int) -> tuple[Any, Any]:
    """A target and its first blocks as the draft; the later blocks add little, so that drafts are often accepted."""
    target, draft = llama(width, layers, 0), llama(width, draft_layers, 1)
    for number, block in enumerate(target.model.layers):
        if number >= draft_layers:
            for weight in (block.self_attn.o_proj.weight, block.mlp.down_proj.weight):
                weight.data *= 0.15
    own = draft.state_dict()
    draft.load_state_dict({name: value for name, value in target.state_dict().items() if name in own})
    return target, draft


def assisted(target: Any, draft: Any, prompts: list[list[int]]) -> Callable[[], list[list[int]]]:
    draft.generation_config.num_assistant_tokens = DRAFTED
    draft.generation_config.num_assistant_tokens_schedule = "constant"
    draft.generation_config.assistant_confidence_threshold = 0.0
    options = {"attention_mask": torch.ones(1, len(prompts[0]), device=target.device)}
    options |= {"do_sample": False, "max_new_tokens": NEW}

    def one(prompt: list[int]) -> list[int]:
        found = target.generate(torch.tensor([prompt], device=target.device), assistant_model=draft, **options)
        return found[0, len(prompt) :].tolist()

    def run() -> list[list[int]]:
        with torch.inference_mode():
            return [one(prompt) for prompt in prompts]

    return run


def counted(model: Any, call: Callable[[], Any]) -> tuple[Any, list[int]]:
    """What a call gives, and the number of tokens in each pass of a model that it makes."""
    lengths: list[int] = []

    def note(_: Any, arguments: Any, named: dict[str, Any]) -> None:
        lengths.append((named["input_ids"] if "input_ids" in named else arguments[0]).shape[1])

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        return call(), lengths
    finally:
        handle.remove()


def steps_alone(model: HuggingFaceModel, lengths: list[int]) -> Callable[[], None]:
    """The same passes without a loop around them; positions do not matter to their time."""

    def run() -> None:
        session, most = model.session(), model.longest
        with torch.inference_mode():
            for length in lengths:
                if session.length + length > most:
                    session.crop(most // 2)
                session.extend([1] * length, length)

    return run


@pytest.mark.parametrize("name", SIZES)
def test_decoding(name: str, contest: Any, report: Any) -> None:
    compare(name, *pair(*SIZES[name]), contest, report)


def compare(name: str, target: Any, draft: Any, contest: Any, report: Any, timed: Callable[..., Any] = dict) -> None:
    """Check that both contenders give the same texts, and time them; the models may be anywhere."""
    ours = HuggingFaceModel(target), HuggingFaceModel(draft)
    prompts = torch.randint(1, 256, (PROMPTS, 16), generator=torch.Generator().manual_seed(0)).tolist()
    options = {"max_new_tokens": NEW, "drafted": DRAFTED}

    def edgebook() -> list[list[int]]:
        with torch.inference_mode():
            return [generate(*ours, prompt, temperature=0, **options).tolist() for prompt in prompts]

    peer = assisted(target, draft, prompts)
    texts, passes = counted(target, edgebook)
    _, drafts = counted(draft, edgebook)
    others, peer_passes = counted(target, peer)
    assert texts == others
    traces = [trace(*ours, prompt, sampling=Sampling(0.0), ahead="none", **options) for prompt in prompts]
    accepted = sum(step.outcome.accepted for text in traces for step in text.rounds)
    assert 0 < accepted < PROMPTS * NEW  # otherwise the draft is of no use here, or the target itself
    size = f"{PROMPTS} x {NEW} tokens, {name}"
    # A pass of the target gives one token of its own, and the others of its round were accepted.
    counts = {"edgebook": [accepted], "Transformers, assisted": [PROMPTS * NEW - len(peer_passes)]}
    report(f"accepted in decoding, {size}", "tokens", counts)
    alone = steps_alone(ours[0], passes), steps_alone(ours[1], drafts)
    contest(
        f"decoding, {size}",
        timed({"edgebook": lambda: edgebook(), "Transformers, assisted": lambda: peer(),
               "steps alone": lambda: [run() for run in alone]}),
        ROUNDS,
    )  # fmt: skip
