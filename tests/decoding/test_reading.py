"""Passes that fail or are left: what is read afterwards is the text, and never what a broken cache says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from edgebook.data import import_torchvision
from edgebook.decoding import (
    CharacterDecoder,
    Draws,
    Exits,
    HuggingFaceModel,
    Outcome,
    Sampling,
    StagedDecoder,
    autoregressive,
)
from edgebook.decoding.cloud import Cloud
from edgebook.decoding.edge import Edge
from edgebook.decoding.reading import Reader

import_torchvision()


class Failing:
    """A model whose pass number `fails` reads some of its tokens, and raises."""

    def __init__(self, model: Any, fails: int) -> None:
        self.model, self.fails, self.passes, self.sessions = model, fails, 0, 0
        self.vocabulary, self.longest = model.vocabulary, model.longest

    def session(self) -> FailingSession:
        self.sessions += 1
        return FailingSession(self)


class FailingSession:
    def __init__(self, owner: Failing) -> None:
        self.owner, self.inner = owner, owner.model.session()

    @property
    def length(self) -> int:
        return self.inner.length

    def crop(self, length: int) -> None:
        self.inner.crop(length)

    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        self.owner.passes += 1
        if self.owner.passes == self.owner.fails:
            self.inner.extend([0, *tokens[:-1]], rows)  # what it has now is not what was asked for
            raise RuntimeError("out of memory")
        return self.inner.extend(tokens, rows)


def again(ask: Callable[[], Any]) -> Any:
    """The answer to a question that is asked again where it fails."""
    try:
        return ask()
    except RuntimeError:
        return ask()


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling()])
def test_a_text_is_the_same_whichever_pass_fails(table: Any, sampling: Sampling) -> None:
    """Both sides ask again, and the text is what the target writes alone by enumeration of its table."""
    target, draft = table(8, 1), table(8, 2, near=table(8, 1))
    texts = []
    for fails in range(16):  # 0 is none at all
        parts = Failing(target, fails), Failing(draft, fails)
        both = {"sampling": sampling, "draws": Draws(3)}
        cloud, edge = Cloud(parts[0], [1, 2], **both), Edge(parts[1], [1, 2], max_new_tokens=12, drafted=3, **both)
        while not edge.finished:
            draft_made = again(edge.drafting.finish)
            final = again(lambda made=draft_made, cloud=cloud: [*cloud.verify(made.tokens, made.distributions)][-1])
            again(lambda final=final, edge=edge: edge.confirm(final.accepted, final.token))
            assert cloud.text[: len(edge.text)] == edge.text
        texts.append(edge.new_tokens)
        assert parts[1].sessions == 1 + (0 < fails <= parts[1].passes)
    assert all(text == texts[0] for text in texts)
    if sampling.greedy:
        assert texts[0] == autoregressive(target, [1, 2], max_new_tokens=12, sampling=sampling)


def llama() -> Any:
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
            max_position_embeddings=64, initializer_range=0.4, eos_token_id=None,
        )  # fmt: skip
        return transformers.LlamaForCausalLM(config).eval()


def staged_models() -> Iterator[tuple[str, Any, Callable[[Tensor], tuple[list[Tensor], Tensor]]]]:
    """Targets with two exits, and what reads a whole text (1, T) at once with them."""
    own = CharacterDecoder(32, 64, width=16, depth=3, heads=2, seed=1).eval()
    theirs = llama()
    for name, model, head in (("own", own, own.head), ("llama", theirs, theirs.lm_head)):
        exits = Exits(head, (1, 2), heads=2, longest=64, seed=2).eval()
        staged = StagedDecoder(model, exits) if name == "own" else HuggingFaceModel(model, exits=exits)
        features = model.features if name == "own" else staged.features

        def whole(ids: Tensor, features: Any = features, exits: Exits = exits) -> tuple[list[Tensor], Tensor]:
            hidden, final = features(ids, (1, 2))
            return exits(hidden), final

        yield name, staged, whole


@torch.no_grad()
def outcomes_of(whole: Any, text: list[int], draft: list[int]) -> list[Outcome]:
    """What exits and target make of a draft in greedy decoding, from the whole text at once."""
    early, final = whole(torch.tensor([text + draft]))
    found = []
    for number, logits in enumerate([*early, final]):
        rows = logits[0, len(text) - 1 :]  # (g + 1, V)
        best, last = rows.argmax(-1).tolist(), number == len(early)
        accepted = next((i for i, token in enumerate(draft) if token != best[i]), len(draft))
        confidence = 1.0 if last else float(rows[accepted].softmax(-1).max())
        found.append(Outcome(number, last, accepted, best[accepted], pytest.approx(confidence, rel=1e-4)))
    return found


@pytest.mark.parametrize("left_after", [0, 1, 2])
def test_a_pass_that_is_left_changes_nothing(left_after: int) -> None:
    """Left before anything, after the first exit, after the second; twice, at the beginning and within the text."""
    for _, staged, whole in staged_models():
        cloud = Cloud(staged, [3, 4, 5, 6, 7, 8], sampling=Sampling(0.0), draws=Draws(0))
        for draft in ([1, 2], [3, 9, 4]):
            text = list(cloud.text)
            half = cloud.verify(draft, None)
            for _ in range(left_after):
                next(half)
            half.close()
            assert cloud.text == text
            assert list(cloud.verify(draft, None)) == outcomes_of(whole, text, draft)


def test_a_session_goes_on_after_stages_that_were_left() -> None:
    for _, staged, whole in staged_models():
        session = staged.session()
        session.extend([3, 4, 5], 1)
        half = session.stages([6, 7], 1)
        next(half)
        half.close()
        assert session.length == 3
        found = list(session.stages([8, 9, 10], 3))
        with torch.no_grad():
            early, final = whole(torch.tensor([[3, 4, 5, 8, 9, 10]]))
        for part, expected in zip(found, [*early, final], strict=True):
            torch.testing.assert_close(part, expected[0, -3:], atol=1e-4, rtol=0)


def test_an_adapter_that_fails_leaves_no_hole_in_its_cache() -> None:
    """The second adapter fails in the first pass, as for want of memory."""
    for _, staged, whole in staged_models():
        exits, failed = staged.exits, []

        def once(*_: Any, failed: list[int] = failed) -> None:
            if not failed:
                failed.append(1)
                raise RuntimeError("out of memory")

        handle = exits.norms[1].register_forward_hook(once)
        cloud = Cloud(staged, [3, 4, 5], sampling=Sampling(0.0), draws=Draws(0))
        with pytest.raises(RuntimeError, match="out of memory"):
            list(cloud.verify([1, 2], None))
        handle.remove()
        assert list(cloud.verify([1, 2], None)) == outcomes_of(whole, [3, 4, 5], [1, 2])


def test_two_verifications_at_once_do_not_mix(table: Any) -> None:
    target = table(6, 1, exits=2)
    both = {"sampling": Sampling(0.0), "draws": Draws(0)}
    cloud, alone = Cloud(target, [3, 1], **both), Cloud(target, [3, 1], **both)
    first, second = cloud.verify([1, 2], None), cloud.verify([4], None)
    next(first)
    assert list(second) == list(alone.verify([4], None))
    with pytest.raises(ValueError, match="gone on since"):
        list(first)
    assert cloud.text == alone.text
    assert list(cloud.verify([2, 3], None)) == list(alone.verify([2, 3], None))


def test_a_reader_reads_what_is_missing_and_no_more(table: Any) -> None:
    counted = Failing(table(6, 1), 0)
    reader, lengths = Reader(counted), []
    for text in ([1, 2, 3], [1, 2, 3, 4], [1, 2, 5, 4, 3], [1, 2, 5, 4, 3], [1]):
        before = reader.length
        found = reader.read(text, 1)
        assert torch.equal(found, counted.model.session().extend(text, 1))
        lengths.append(before)
    assert lengths == [0, 3, 4, 5, 5] and reader.length == 1
    assert counted.sessions == 1 and counted.passes == 5


def test_logits_of_another_shape_are_refused(table: Any) -> None:
    model = table(6, 1)
    model.vocabulary = 7
    with pytest.raises(ValueError, match=r"must give logits of shape \(1, 7\) here, got \(1, 6\)"):
        Reader(model).read([1], 1)
