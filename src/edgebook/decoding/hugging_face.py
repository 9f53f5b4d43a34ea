"""Any causal language model of Hugging Face's Transformers as a draft or a target."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgebook.data import import_torchvision
from edgebook.decoding.exits import Exits

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class HuggingFaceModel:
    """A causal language model that keeps the protocol of this package.

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
        More tokens than the model has.
    """

    def __init__(self, model: PreTrainedModel, *, vocabulary: int | None = None, exits: Exits | None = None) -> None:
        size = model.config.get_text_config().vocab_size
        if vocabulary is not None and not 1 <= vocabulary <= size:
            raise ValueError(f"vocabulary must lie between 1 and {size}, got {vocabulary}.")
        self.model, self.exits = model.eval(), exits
        self.vocabulary = vocabulary or size
        named = inspect.signature(model.forward).parameters  # the argument has a new name in newer versions
        self.cache_argument = "cache" if "cache" in named else "past_key_values"
        self.longest = model.config.get_text_config().max_position_embeddings

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
        return HuggingFaceSession(self) if self.exits is None else StagedHuggingFaceSession(self, self.exits)

    @torch.no_grad()
    def features(self, tokens: Tensor, after: Sequence[int] = ()) -> tuple[list[Tensor], Tensor]:
        """Return hidden states (B, T, width) after some blocks, counted from 1, and logits (B, T, V) of whole texts.

        They are for the adapters of `Exits` and their target, as those of `CharacterDecoder.features`; the last block
        cannot be asked for.
        """
        found = self.model(input_ids=tokens, output_hidden_states=True, use_cache=False)
        return [found.hidden_states[number] for number in after], found.logits[..., : self.vocabulary]


class HuggingFaceSession:
    """What a model has read of one text, as `protocol.Session` says."""

    def __init__(self, owner: HuggingFaceModel) -> None:
        from transformers import DynamicCache

        self.owner, self.length = owner, 0
        self._cache = DynamicCache(config=owner.model.config)

    def crop(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"A text of {self.length} tokens cannot be cropped to {length}.")
        if length < self.length:
            self._cache.crop(length - self.length)
        self.length = length

    @torch.no_grad()
    def extend(self, tokens: Sequence[int], rows: int) -> Tensor:
        return self._pass(tokens, rows).logits[0, :, : self.owner.vocabulary]

    def _pass(self, tokens: Sequence[int], rows: int, **options: Any) -> Any:
        ids = torch.tensor([list(tokens)], device=self.owner.model.device)
        options |= {self.owner.cache_argument: self._cache}
        found = self.owner.model(input_ids=ids, use_cache=True, logits_to_keep=rows, **options)
        self.length += len(tokens)
        return found


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
        for number, block in enumerate(self._module.after):
            hidden, cache = found.hidden_states[block][0], self._adapter_caches[number]
            yield self._module.step(number, hidden, cache, start, rows)[:, : self.owner.vocabulary]
        yield found.logits[0, :, : self.owner.vocabulary]
