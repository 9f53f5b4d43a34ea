"""Lossless speculative decoding between an edge and a cloud: acceptance, early exits, drafting ahead, clocks."""

from edgebook.decoding.cloud import Outcome
from edgebook.decoding.costs import ApiTokens, alone_seconds, api_tokens, forced, round_seconds
from edgebook.decoding.draws import Draws
from edgebook.decoding.exits import Exits, StagedDecoder, distill
from edgebook.decoding.fitting import cross_entropy, fit_decoder
from edgebook.decoding.generation import DraftRound, autoregressive, generate, trace
from edgebook.decoding.hugging_face import HuggingFaceModel
from edgebook.decoding.self_speculation import ExitDraft
from edgebook.decoding.speculative import Sampling, acceptance, distribution, expected_tokens, pick, verify
from edgebook.decoding.timeline import Timeline, Times, replay
from edgebook.networks.decoder import CharacterDecoder
