"""A target's own exit as its draft: the exit's logits, and the target's text."""

from __future__ import annotations

import pytest
import torch

from edgebook.decoding import (
    CharacterDecoder,
    Draws,
    ExitDraft,
    Exits,
    Sampling,
    StagedDecoder,
    Times,
    autoregressive,
    replay,
    trace,
)


@pytest.fixture(scope="module")
def staged() -> StagedDecoder:
    model = CharacterDecoder(11, 40, width=16, depth=4, heads=2, seed=1).eval()
    with torch.no_grad():
        model.head.weight *= 4  # distributions that are far from flat
    return StagedDecoder(model, Exits(model.head, (1, 2), heads=2, longest=40, seed=2))


@pytest.mark.parametrize("number", [0, 1])
def test_its_logits_are_those_of_the_exit_over_the_whole_text(staged: StagedDecoder, number: int) -> None:
    session, text = ExitDraft(staged, number).session(), [3, 1, 4, 1, 5, 9, 2]
    session.extend([3, 1, 4, 8, 8], 2)
    session.crop(3)
    found = session.extend(text[3:], 4)
    with torch.no_grad():
        hidden, _ = staged.model.features(torch.tensor([text]), (1, 2))
        expected = staged.exits(hidden)[number][0, -4:]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert session.length == len(text)


@pytest.mark.parametrize("drafted", [1, 4])
def test_the_text_is_the_targets_own(staged: StagedDecoder, drafted: int) -> None:
    for number in range(2):
        options = {"max_new_tokens": 24, "sampling": Sampling(0.0)}
        found = trace(staged, ExitDraft(staged, number), [1, 2], drafted=drafted, ahead="none", **options)
        assert found.tokens == autoregressive(staged.model, [1, 2], **options)


def test_an_exit_that_says_what_the_target_says_is_always_accepted(staged: StagedDecoder) -> None:
    """Later blocks that add nothing, and an adapter that is the target's last norm: every draft is right."""
    model = CharacterDecoder(11, 40, width=16, depth=4, heads=2, seed=1).eval()
    exits = Exits(model.head, (1,), heads=2, longest=40)
    for block in [*model.blocks[1:], *exits.adapters]:
        for layer in (block.out, block.down):
            for parameter in layer.parameters():
                torch.nn.init.zeros_(parameter)
    exits.norms[0].load_state_dict(model.norm.state_dict())
    same = StagedDecoder(model, exits)
    rounds = trace(same, ExitDraft(same, 0), [1, 2], max_new_tokens=25, drafted=4, draws=Draws(3), ahead="none").rounds
    assert [step.outcome.accepted for step in rounds] == [4] * 5
    line = replay(rounds, Times(0.25, 1.0), ahead="none")
    assert line.seconds == pytest.approx(5 * 2.0)  # four tokens at a quarter of the pass, and the pass


def test_an_exit_that_there_is_not_is_refused(staged: StagedDecoder) -> None:
    for target, number, words in [(staged, 2, "has 2 exits"), (staged.model, 0, "has 0 exits"), (staged, -1, "got -1")]:
        with pytest.raises(ValueError, match=words):
            ExitDraft(target, number)
