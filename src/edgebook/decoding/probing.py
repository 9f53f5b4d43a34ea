"""Whether a model of Transformers can be read in parts and taken back: what it says of itself, and a short text."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from edgebook.decoding.speculative import finite

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgebook.decoding.hugging_face import HuggingFaceModel, HuggingFaceSession

PROBED = 16  # tokens
# What a generation configuration may ask for beside a distribution and its filters, and what asks for nothing.
UNHEEDED = {
    "repetition_penalty": 1, "encoder_repetition_penalty": 1, "no_repeat_ngram_size": 0, "min_length": 0,
    "encoder_no_repeat_ngram_size": 0, "min_new_tokens": 0, "guidance_scale": 1, "num_beams": 1, "penalty_alpha": 0,
    "bad_words_ids": None, "suppress_tokens": None, "begin_suppress_tokens": None, "sequence_bias": None,
    "forced_bos_token_id": None, "forced_eos_token_id": None, "exponential_decay_length_penalty": None,
    "stop_strings": None, "watermarking_config": None, "constraints": None, "force_words_ids": None,
    "dola_layers": None,
}  # fmt: skip


class Settings(NamedTuple):
    """What a model's configurations say."""

    vocabulary: int
    longest: int
    blocks: int
    first_place: int  #: where positions begin: 0, or after the padding of the table of positions
    stop: tuple[int, ...]


def settings_of(model: PreTrainedModel) -> Settings:
    """Read a model's configurations; a `TypeError` for another thing, a `ValueError` for what cannot be heeded."""
    name, config = type(model).__name__, getattr(model, "config", None)
    if not hasattr(config, "get_text_config"):
        raise TypeError(f"A causal language model of Transformers is needed, got {name}.")
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(f"{name} has an encoder; a causal language model is needed.")
    text = config.get_text_config()
    numbers = [getattr(text, key, None) for key in ("vocab_size", "max_position_embeddings", "num_hidden_layers")]
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise ValueError(
            f"{name} must say its vocab_size, max_position_embeddings (the longest text) and num_hidden_layers in its "
            f"configuration, got {', '.join(map(str, numbers))}."
        )
    rope = getattr(text, "rope_parameters", None) or {}
    ropes = [part for part in (rope, *rope.values()) if isinstance(part, dict) and part.get("rope_type") == "longrope"]
    # Beyond this place such a model turns all keys in another way, those too that a cache holds.
    longest = min([numbers[1], *(part.get("original_max_position_embeddings", numbers[1]) for part in ropes)])
    tables = [part for key, part in model.named_modules() if "position" in key and isinstance(part, nn.Embedding)]
    padded = [part.padding_idx for part in tables if part.num_embeddings == numbers[1] and part.padding_idx is not None]
    first = max(padded, default=-1) + 1
    wishes = getattr(model, "generation_config", None)
    asked = {key: getattr(wishes, key, None) for key in UNHEEDED}
    asked = {key: value for key, value in asked.items() if value not in (None, UNHEEDED[key], [])}
    if asked:
        said = ", ".join(f"{key}={value}" for key, value in asked.items())
        raise ValueError(f"{name} asks for {said} in its generation_config, which is not heeded here; set it to None.")
    ends = getattr(wishes, "eos_token_id", None)
    ends = ends.tolist() if isinstance(ends, Tensor) else ends
    stop = tuple(int(end) for end in (ends if isinstance(ends, list | tuple) else [ends]) if end is not None)
    return Settings(numbers[0], longest - first, numbers[2], first, stop)


def probe(owner: HuggingFaceModel, *, padded: bool) -> None:
    """Raise a `ValueError` that says why a model cannot be read in parts, if it cannot.

    `padded` says that the logits may be those of more tokens than there are.
    """
    name = type(owner.model).__name__
    for again in (True, False):  # a pass may fail for want of memory; one that fails twice is the model's own
        try:
            reason = _reason(owner, padded)
            break
        except Exception as error:
            if not again:
                said = f"{type(error).__name__}: {error}".split("\n")[0]
                raise ValueError(
                    f"{name} cannot be read, whole or in parts with a cache that is cropped ({said})."
                ) from error
    if reason:
        raise ValueError(f"{name} {reason}")


def _texts(owner: HuggingFaceModel) -> tuple[list[int], list[int]]:
    """A text with the padding in its middle and the last token at its end, tokens as others; and one changed early."""
    size, draw = owner.vocabulary, torch.Generator().manual_seed(0)
    padding = getattr(owner.model.config.get_text_config(), "pad_token_id", None)
    text = torch.randint(size, (min(PROBED, owner.longest),), generator=draw).tolist()
    text = [(token + (token == padding)) % size for token in text]
    text[len(text) // 2] = padding if isinstance(padding, int) and 0 <= padding < size else 0
    text[-1] = size - 1
    return text, [text[0], (text[1] + 1) % size, *text[2:]]


@torch.no_grad()
def _reason(owner: HuggingFaceModel, padded: bool) -> str | None:
    """Say what is wrong with a model, None if nothing is."""
    text, other = _texts(owner)
    half, size = len(text) // 2, owner.vocabulary
    found = [_afresh(owner, tokens, owner.places(0, len(tokens))) for tokens in (text, other)]
    found.append(_afresh(owner, text[:half], {}))  # at places that the model itself gives
    if any(
        logits is None or logits.shape[:-1] != (1, n)
        for logits, n in zip(found, (len(text), len(text), half), strict=True)
    ):
        return "gives no logits for each token of a text; a causal language model is needed."
    wide = found[0].shape[-1]
    if wide < size or (wide > size and not padded):
        return f"has logits of {wide} tokens, and its configuration says {size}."
    whole, changed, early = (_comparable(logits[0, :, :size]) for logits in found)
    session = owner.session()
    first, second = session.extend(text[:half], half), []
    session.extend(other[half:], 1)  # to be taken back, twice and beyond this pass
    session.crop(half - 1)
    session.crop(half - 2)
    for start, end in pairwise((half - 2, half - 1, half + 2, len(text))):
        second += [session.extend(text[start:end], end - start)] if end > start else []
    if not _keeps(session, len(text)):
        return "keeps what it has read as a state that cannot be taken back."
    parts = [_comparable(first) - whole[:half], _comparable(torch.cat(second)) - whole[half - 2 :]]
    error = max(float(part.abs().max()) for part in parts)
    # How much the same reading may differ: by rounding, as it does without a cache, but not by half of what one other
    # token before it would change.
    scale, effect = float(whole.abs().max()), float((changed - whole)[2:].abs().max())
    noise, most = float((early - whole[:half]).abs().max()), effect / 2 + 1e-6 * scale
    if noise > most:
        return "is not causal: what comes later in a text changes what it says before."
    if error > min(most, max(16 * noise, 64 * torch.finfo(owner.model.dtype).eps * scale)):
        return (
            "does not say the same when it reads a text in parts with a cache that is cropped: its logits differ by "
            f"{error:.2g}, and by {effect:.2g} for another token."
        )
    return None


def _keeps(session: HuggingFaceSession, length: int) -> bool:
    """Whether the cache holds each of so many tokens, and no layer that forgets some of them once it is full."""
    layers = session.cache.layers
    whole = all(getattr(layer, "is_croppable", True) and not getattr(layer, "is_sliding", False) for layer in layers)
    return whole and session.cache.get_seq_length() == length


def _afresh(owner: HuggingFaceModel, tokens: list[int], places: dict[str, Tensor]) -> Tensor | None:
    ids = torch.tensor([tokens], device=owner.model.device)
    return getattr(owner.model(input_ids=ids, use_cache=False, **places), "logits", None)


def _comparable(logits: Tensor) -> Tensor:
    return finite(logits).double().nan_to_num(neginf=0.0)  # excluded tokens are excluded both times
