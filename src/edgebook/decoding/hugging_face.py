"""Any causal language model of Hugging Face's Transformers as a draft or a target."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgebook.data import import_torchvision
from edgebook.decoding.exits import Exits
from edgebook.decoding.probing import probe, settings_of
from edgebook.networks.decoder import checked_pass

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache


class HuggingFaceModel:
    """A causal language model that keeps the protocol of this package.

    When it is made, it reads a short text in parts and takes some of it back: a model for which this is not the same as
    reading the text at once is refused. Sliding windows are kept whole for it. The end-of-text tokens of the model's
    generation configuration are in `stop` and end its texts; its temperature, top-k and top-p are not asked.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With a cache that can be cropped; put into evaluation mode.
    vocabulary : int, optional
        Tokens that count, where the model pads its vocabulary beyond them; all where None. Target and draft need the
        same number.
    exits : Exits, optional
        Adapters for its hidden states. Their outcomes come at the end of a pass: good for traces, not for time.

    Raises
    ------
    ValueError
        More tokens than the model has, exits that it has no place for, a model that is not causal or whose reading
        cannot be taken back, or one whose generation configuration asks for penalties and the like.
    TypeError
        No model of Transformers.
    """

    def __init__(self, model: PreTrainedModel, *, vocabulary: int | None = None, exits: Exits | None = None) -> None:
        found = settings_of(model)
        if vocabulary is not None and vocabulary not in range(1, found.vocabulary + 1):
            raise ValueError(
                f"vocabulary must be a whole number and lie between 1 and {found.vocabulary}, got {vocabulary}."
            )
        if exits is not None and exits.after[-1] >= found.blocks:
            raise ValueError(f"Of {found.blocks} blocks the last has no exit, got exits after {exits.after}.")
        self.model, self.exits = model.eval(), exits
        self.vocabulary = vocabulary or found.vocabulary
        self.longest = found.longest if exits is None else min(found.longest, exits.longest)
        self._first_place = found.first_place
        self.stop = tuple(token for token in found.stop if 0 <= token < self.vocabulary)
        named = inspect.signature(model.forward).parameters  # the argument has a new name in newer versions
        self.cache_argument = "cache" if "cache" in named else "past_key_values"
        probe(self, padded=vocabulary is not None)

    @classmethod
    def load(cls, name: str, **options: Any) -> HuggingFaceModel:
        """Load a pretrained model, without exits, from a folder or the hub, for which the network is needed once.

        The options are those of `AutoModelForCausalLM.from_pretrained`.
        """
        import_torchvision()  # heals what would make the next import fail
        from transformers import AutoModelForCausalLM

        return cls(AutoModelForCausalLM.from_pretrained(name, **options))

    def session(self) -> HuggingFaceSession:
        """Return a new text with nothing read."""
        if self.model.training:  # dropout is no part of a text
            self.model.eval()
        return HuggingFaceSession(self) if self.exits is None else StagedHuggingFaceSession(self, self.exits)

    def places(self, start: int, count: int) -> dict[str, Tensor]:
        """Return the argument that says the places of tokens from `start` on, where they do not count from 0.

        Such a model would leave the padding out of its count, which is a token like others here.
        """
        if not self._first_place:
            return {}
        first = self._first_place + start
        return {"position_ids": torch.arange(first, first + count, device=self.model.device)[None]}

    @torch.no_grad()
    def features(self, tokens: Tensor, after: Sequence[int] = ()) -> tuple[list[Tensor], Tensor]:
        """Return hidden states (B, T, width) after some blocks, counted from 1, and logits (B, T, V) of whole texts.

        They are for the adapters of `Exits` and their target, as those of `CharacterDecoder.features`; the last block
        cannot be asked for.
        """
        options = {"output_hidden_states": True, "use_cache": False} | self.places(0, tokens.shape[1])
        found = self.model(input_ids=tokens, **options)
        return [found.hidden_states[number] for number in after], found.logits[..., : self.vocabulary]


def croppable_cache(model: PreTrainedModel) -> Cache:
    """Return the cache of a model, told to keep what a window has left behind: a crop may need it again."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    cache = DynamicCache(config=model.config)
    cache.layers = [DynamicLayer() if type(layer) is DynamicSlidingWindowLayer else layer for layer in cache.layers]
    return cache


class HuggingFaceSession:
    """What a model has read of one text, as `protocol.Session` says; of no use any more where a pass has failed."""

    def __init__(self, owner: HuggingFaceModel) -> None:
        self.owner, self.length = owner, 0
        self.cache: Cache | None = croppable_cache(owner.model)

    def crop(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"A text of {self.length} tokens cannot be cropped to {length}.")
        cache = self._take()
        if length < self.length:
            cache.crop(length - self.length)
        self.cache, self.length = cache, length

    @torch.no_grad()
    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        return self._logits(self._pass(tokens, rows), rows)

    def _take(self) -> Cache:
        """Return the cache, which the session has again when what is done with it has succeeded."""
        cache, self.cache = self.cache, None
        if cache is None:
            raise ValueError("A pass of this session has failed, and what it has read is not known; begin a new one.")
        return cache

    def _pass(self, tokens: Sequence[int], rows: int, **options: Any) -> Any:
        owner = self.owner
        tokens = checked_pass(tokens, rows, read=self.length, vocabulary=owner.vocabulary, longest=owner.longest)
        ids = torch.tensor([tokens], device=owner.model.device)
        cache = self._take()
        options |= {owner.cache_argument: cache} | owner.places(self.length, len(tokens))
        found = owner.model(input_ids=ids, use_cache=True, logits_to_keep=rows, **options)
        self.cache, self.length = cache, self.length + len(tokens)
        return found

    def _logits(self, found: Any, rows: int) -> Tensor:
        return found.logits[0, -rows:, : self.owner.vocabulary]


class StagedHuggingFaceSession(HuggingFaceSession):
    """The same with exits, whose outcomes come at the end of a pass, as `protocol.StagedSession` says."""

    def __init__(self, owner: HuggingFaceModel, exits: Exits) -> None:
        super().__init__(owner)
        self._module, self.exits, self._adapter_caches = exits, len(exits.after), exits.new_caches()

    @torch.no_grad()
    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        return list(self.stages(tokens, rows))[-1]

    @torch.no_grad()
    def stages(self, tokens: Sequence[int], rows: int) -> Iterator[Tensor]:
        start = self.length
        found = self._pass(tokens, rows, output_hidden_states=True)
        try:
            for number, block in enumerate(self._module.after):
                hidden, cache = found.hidden_states[block][0], self._adapter_caches[number]
                yield self._module.step(number, hidden, cache, start, rows)[:, : self.owner.vocabulary]
        except BaseException:  # left or failed: not every adapter has read the tokens
            self.crop(start)
            raise
        yield self._logits(found, rows)
