"""What travels between edge and cloud: JSON, validated on both sides, nothing that could run.

In greedy decoding tokens go up. In sampling each goes with the distribution that it was drawn from, 4 bytes for each
token of the vocabulary: the residual needs all of it, and computed by the cloud it leaves the target's own
distributions there. Down go counts and single tokens.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from edgebook.decoding.cloud import Outcome
from edgebook.decoding.speculative import Sampling

SERVICE = "edgebook.Decoding"
MOST_DRAFTED = 64
MOST_EXITS = 1024
MOST_THRESHOLD = 2
LONGEST_PROMPT = 131_072

Token = Annotated[int, Field(ge=0, lt=2**31)]
SessionId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Message(BaseModel):
    """Strict: unknown fields, wrong types and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def encode(self) -> bytes:
        return self.model_dump_json().encode()


class OpenRequest(Message):
    """Begins a text, or goes on with one whose session was lost: the prompt is then all that is verified of it."""

    prompt: list[Token] = Field(min_length=1, max_length=LONGEST_PROMPT)
    seed: int = Field(ge=0, lt=2**63)
    temperature: float = Field(ge=0, le=1e6)
    top_k: int | None = Field(ge=1)
    top_p: float = Field(gt=0, le=1)

    @classmethod
    def of(cls, prompt: list[int], seed: int, sampling: Sampling) -> OpenRequest:
        """Ask for a text; a ValueError as of `decode` for a sampling that no message can carry."""
        temperature, top_p = float(sampling.temperature), float(sampling.top_p)
        top_k = None if sampling.top_k is None else int(sampling.top_k)
        try:
            return cls(prompt=prompt, seed=seed, temperature=temperature, top_k=top_k, top_p=top_p)
        except ValidationError as error:
            raise _invalid(cls, error) from None

    @property
    def sampling(self) -> Sampling:
        """The rule by which both sides draw."""
        return Sampling(self.temperature, self.top_k, self.top_p)


class OpenReply(Message):
    """The session's name, what the target can read, its own stop tokens, and the digests of it and of its symbols."""

    session: SessionId
    vocabulary: int = Field(ge=1)
    longest: int = Field(ge=1)
    stop: list[Token] = []
    target: Digest | None = None
    symbols: Digest | None = None


class VerifyRequest(Message):
    """A draft that begins after `position` tokens of the text; `distributions` in base64, none where greedy."""

    session: SessionId
    position: int = Field(ge=1)
    tokens: list[Token] = Field(max_length=MOST_DRAFTED)
    distributions: str | None
    exits: bool
    threshold: float = Field(ge=0, le=MOST_THRESHOLD)


class OutcomeMessage(Message):
    """What an exit or the target makes of the draft at `position` of a session's text."""

    session: SessionId | None = None
    position: int = Field(ge=1)
    exit: int = Field(ge=0, le=MOST_EXITS)
    final: bool
    accepted: int = Field(ge=0, le=MOST_DRAFTED)
    token: Token
    confidence: float = Field(ge=0, le=1.001)

    @classmethod
    def of(cls, session: str, position: int, outcome: Outcome) -> OutcomeMessage:
        return cls(session=session, position=position, **outcome._asdict())


class CloseRequest(Message):
    """Ends a session."""

    session: SessionId


Kind = TypeVar("Kind", bound=Message)


def decode(kind: type[Kind], data: bytes) -> Kind:
    """Read a message, or raise a ValueError that says what is wrong with it, in one sentence."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(kind, error) from None


def _invalid(kind: type[Message], error: ValidationError) -> ValueError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "message"
    return ValueError(f"{kind.__name__} is not valid: {place}: {first['msg']}.")


def pack(distributions: Tensor | None) -> str | None:
    """Write distributions (g, V) as base64 of little-endian single precision."""
    if distributions is None:
        return None
    return base64.b64encode(distributions.cpu().numpy().astype("<f4").tobytes()).decode()


def unpack(text: str | None, tokens: list[int], vocabulary: int) -> Tensor | None:
    """Read distributions (g, V), from which the tokens can have been drawn, or raise a ValueError as `decode` does."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("The distributions are no base64.") from None
    if len(raw) != 4 * len(tokens) * vocabulary:
        expected = 4 * len(tokens) * vocabulary
        raise ValueError(f"{len(tokens)} distributions over {vocabulary} tokens have {expected} bytes, got {len(raw)}.")
    rows = torch.from_numpy(np.frombuffer(raw, "<f4").astype(np.float32)).view(len(tokens), vocabulary)
    drawn = rows.gather(1, torch.tensor(tokens, dtype=torch.long)[:, None])
    sums = rows.double().sum(1)
    if not (bool((rows >= 0).all()) and bool((drawn > 0).all()) and bool(((sums - 1).abs() < 1e-3).all())):
        raise ValueError("The distributions must be probabilities, with more than 0 for each token of the draft.")
    return rows
