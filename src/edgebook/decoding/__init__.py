"""Lossless speculative decoding between an edge and a cloud: acceptance, early exits, drafting ahead, clocks."""

from edgebook.decoding.cloud import Cloud as Cloud
from edgebook.decoding.cloud import Outcome as Outcome
from edgebook.decoding.draws import Draws as Draws
from edgebook.decoding.draws import draws_from as draws_from
from edgebook.decoding.edge import Draft as Draft
from edgebook.decoding.edge import Drafting as Drafting
from edgebook.decoding.edge import Edge as Edge
from edgebook.decoding.generation import Round as Round
from edgebook.decoding.generation import Trace as Trace
from edgebook.decoding.generation import autoregressive as autoregressive
from edgebook.decoding.generation import generate as generate
from edgebook.decoding.generation import trace as trace
from edgebook.decoding.protocol import LanguageModel as LanguageModel
from edgebook.decoding.protocol import Session as Session
from edgebook.decoding.protocol import StagedSession as StagedSession
from edgebook.decoding.speculative import Sampling as Sampling
from edgebook.decoding.speculative import Verdict as Verdict
from edgebook.decoding.speculative import acceptance as acceptance
from edgebook.decoding.speculative import distribution as distribution
from edgebook.decoding.speculative import expected_tokens as expected_tokens
from edgebook.decoding.speculative import pick as pick
from edgebook.decoding.speculative import residual as residual
from edgebook.decoding.speculative import verify as verify
from edgebook.decoding.speculative import verify_greedy as verify_greedy
