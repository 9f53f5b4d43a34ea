"""The digest by which a target is known: the same for the same numbers, another for whatever changes a text."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgebook.data import import_torchvision
from edgebook.decoding import CharacterDecoder, ExitDraft, Exits, HuggingFaceModel, StagedDecoder
from edgebook.decoding.service import load_models, save_models
from edgebook.decoding.service.identity import digest_of_symbols, digest_of_target


def decoder(**change: Any) -> CharacterDecoder:
    return CharacterDecoder(**{"vocabulary": 10, "longest": 20, "width": 8, "depth": 2, "heads": 2, "seed": 1} | change)


class Wrapped:
    """Somebody's model around another one, with a count of its own."""

    def __init__(self, model: Any) -> None:
        self.model, self.vocabulary, self.longest, self.calls = model, model.vocabulary, model.longest, 0

    def session(self) -> Any:
        self.calls += 1
        return self.model.session()


def test_the_same_numbers_have_the_same_digest(tmp_path: Path) -> None:
    model = decoder()
    first = digest_of_target(model)
    save_models(tmp_path / "model.pt", model, "abcdefghij")
    model.session().extend([1, 2, 3], 1)
    wrapped = Wrapped(model)
    wrapped.session()
    for same in (decoder(), copy.deepcopy(model), load_models(tmp_path / "model.pt").model, model.eval(), wrapped):
        assert digest_of_target(same) == first
    assert len(first) == 64


@pytest.mark.parametrize("heads", [0, 2])
def test_exits_are_stored_with_adapters_of_either_kind(tmp_path: Path, heads: int) -> None:
    model = decoder()
    exits = Exits(model.head, (1,), heads=heads, longest=20, seed=3)
    save_models(tmp_path / "model.pt", model, "", exits)
    stored = load_models(tmp_path / "model.pt")
    digests = {digest_of_target(StagedDecoder(*pair)) for pair in [(model, exits), (stored.model, stored.exits)]}
    assert len(digests) == 1


def test_what_changes_a_text_changes_the_digest(table: Any) -> None:
    turned = decoder()
    with torch.no_grad():
        turned.norm.bias[0] = -turned.norm.bias[0]  # from 0 to -0, one bit
    exits = Exits(turned.head, (1,), heads=2, longest=20, seed=3)
    other = Exits(turned.head, (1,), heads=2, longest=20, seed=4)
    models = [
        decoder(), decoder(seed=2), decoder(heads=4), decoder(depth=3), decoder().to(torch.bfloat16),
        decoder().double(), turned, StagedDecoder(turned, exits), StagedDecoder(turned, other), table(8, 1),
        table(8, 2), ExitDraft(table(8, 1, exits=2), 0), ExitDraft(table(8, 1, exits=2), 1), Wrapped(table(8, 3)),
    ]  # fmt: skip
    models[11].target = models[12].target = StagedDecoder(turned, exits)
    arrays = [Wrapped(table(8, 1)) for _ in range(2)]
    for number, model in enumerate(arrays):
        model.model = None
        model.weights = {"a": np.full(3, number, np.float32)}
    assert len({digest_of_target(model) for model in models + arrays}) == len(models) + 2


def test_settings_of_transformers_count_where_no_tensor_says_them() -> None:
    import_torchvision()
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 2, "max_position_embeddings": 32}  # fmt: skip

    def llama(**change: Any) -> str:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return digest_of_target(
                HuggingFaceModel(transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **change)))
            )

    assert llama() == llama() != llama(rms_norm_eps=1e-3)


def test_symbols_have_one_as_well() -> None:
    assert digest_of_symbols("ab") == digest_of_symbols("ab") != digest_of_symbols("ba")
    assert digest_of_symbols("a\ud800") != digest_of_symbols("a")
    assert digest_of_symbols(None) is digest_of_symbols("") is None
