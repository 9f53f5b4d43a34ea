"""The edge's end: it drafts, drafts ahead on provisional outcomes, and shows nothing that is not verified."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import grpc

from edgebook.decoding.draws import Draws
from edgebook.decoding.edge import Edge
from edgebook.decoding.generation import checked_prompt
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.service import wire
from edgebook.decoding.service.pacing import Delay, Inbox, PacedDevice
from edgebook.decoding.speculative import Sampling

DEADLINE = 60.0  # seconds that one request may take
# After these the text can go on in a new session: the server has lost the old one, or is ahead of this client.
LOST = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
# After these it is worth asking again: nothing was decided, or the answer will be the same.
PASSING = (
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED,
)  # fmt: skip


class ServiceError(RuntimeError):
    """Why a text cannot go on, in one sentence; what was shown of it stays right."""


class Report(NamedTuple):
    """New tokens of a text, and how they came about."""

    tokens: list[int]  #: all verified
    seconds: float  #: from the first draft step until the last outcome; opening the session is left out
    rounds: int  #: verifications
    hits: int  #: those after which the next draft had been begun ahead of time
    draft_steps: int  #: drafted tokens, those of dropped drafts included
    resumed: int  #: how often a request was sent again or a session opened anew


class EdgeClient:
    """A connection to a `DecodingServer`; texts can be made over it one after another or at the same time.

    The address is host and port, the token the server's secret, and the certificate that of the authority (PEM) which
    vouches for the server, for TLS. A server that does not answer is asked again for the seconds of `patience`.

    Examples
    --------
    >>> from edgebook.decoding.service import ServiceError
    >>> from edgebook.networks import CharacterDecoder
    >>> draft = CharacterDecoder(8, 32, width=8, depth=1, heads=1)
    >>> try:  # nobody answers there
    ...     EdgeClient("127.0.0.1:9", patience=0.0).generate(draft, [1], max_new_tokens=3)
    ... except ServiceError as error:
    ...     print(str(error)[:53])
    The server at 127.0.0.1:9 has given no answer for 0 s
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        certificate: bytes | None = None,
        patience: float = 20.0,
        delay: Delay | None = None,
    ) -> None:
        self.address, self.patience, self.delay = address, patience, delay or Delay()
        self._metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        # Channels to one address share a connection and its back-off unless they are told not to.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 1000),
                   ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)]  # fmt: skip
        if certificate is None:
            self._channel = grpc.insecure_channel(address, options=options)
        else:
            self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate), options=options)
        self._open = self._channel.unary_unary(f"/{wire.SERVICE}/Open")
        self._verify = self._channel.unary_stream(f"/{wire.SERVICE}/Verify")
        self._close = self._channel.unary_unary(f"/{wire.SERVICE}/Close")

    def __enter__(self) -> EdgeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def generate(
        self,
        draft: LanguageModel,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        drafted: int = 4,
        sampling: Sampling | None = None,
        seed: int = 0,
        ahead: Literal["none", "exits"] = "exits",
        threshold: float = 0.0,
        stop: int | None = None,
        show: Callable[[list[int]], None] | None = None,
    ) -> Report:
        """Make a text; the same as `edgebook.decoding.trace` makes in one process, whose arguments these are.

        At most 64 tokens are drafted; `seed` is of the random numbers of both sides. With `ahead` at "exits", the
        outcomes of exits are drafted on, those that are sent from a confidence of `threshold` on. `show` is given the
        tokens of each round once they are final.

        A `ServiceError` where the server refuses, or has not answered for the time of patience; a `ValueError` as
        for `edgebook.decoding.generate`, or for an unknown `ahead`.
        """
        if ahead not in ("none", "exits") or drafted > wire.MOST_DRAFTED:
            most = wire.MOST_DRAFTED
            raise ValueError(f"ahead must be none or exits and drafted at most {most}, got {ahead}, {drafted}.")
        sampling = sampling or Sampling()
        text = checked_prompt(prompt, (draft,), max_new_tokens, drafted)
        options = {"sampling": sampling, "draws": Draws(seed), "stop": stop}
        edge = Edge(draft, text, max_new_tokens=max_new_tokens, drafted=drafted, **options)
        return _Conversation(self, edge, draft, sampling, seed, ahead == "exits", threshold).run(show)


class _Conversation:
    def __init__(
        self, client: EdgeClient, edge: Edge, draft: LanguageModel, sampling: Sampling, seed: int, exits: bool,
        threshold: float,
    ) -> None:  # fmt: skip
        self.client, self.edge, self.sampling, self.seed = client, edge, sampling, seed
        self.vocabulary, self.exits, self.threshold = draft.vocabulary, exits, threshold
        self.session: str | None = None
        self.device = PacedDevice(client.delay.draft_step)
        self.resumed = self.rounds = self.hits = 0

    def run(self, show: Callable[[list[int]], None] | None) -> Report:
        self._try(self._ensure)
        began = time.monotonic()
        while not self.edge.finished:
            shown = len(self.edge.text)
            self._draft()
            final = self._try(self._round)
            hit = self.edge.confirm(final.accepted, final.token)
            self.rounds += 1
            self.hits += hit and not self.edge.finished
            if show is not None:
                show(self.edge.text[shown:])
        seconds = time.monotonic() - began
        self._leave()
        return Report(self.edge.new_tokens, seconds, self.rounds, self.hits, self.device.steps, self.resumed)

    def _draft(self) -> None:
        """Complete the draft of the round, whether it was begun ahead of time or not."""
        self.device.switch(self.edge.drafting)
        while self.device.busy:
            time.sleep(self.device.remaining())
            self.device.complete()

    def _try(self, ask: Callable[[], wire.OutcomeMessage | None]) -> wire.OutcomeMessage | None:
        """Ask until there is an answer, in a new session if need be."""
        until, pause = time.monotonic() + self.client.patience, 0.05
        while True:
            try:
                return ask()
            except grpc.RpcError as error:
                code, said = error.code(), str(error.details()).rstrip(".")
                if code in LOST:
                    self.session = None
                elif code not in PASSING:
                    raise ServiceError(f"The server at {self.client.address} refuses: {said}.") from None
                if time.monotonic() + pause > until:
                    made, wanted = len(self.edge.new_tokens), self.edge.max_new_tokens
                    raise ServiceError(
                        f"The server at {self.client.address} has given no answer for {self.client.patience:g} s "
                        f"({said}); {made} of {wanted} tokens are verified."
                    ) from None
                self.resumed += 1
                time.sleep(pause)
                pause = min(1.0, 2 * pause)

    def _options(self) -> dict[str, object]:
        return {"metadata": self.client._metadata, "timeout": DEADLINE}

    def _ensure(self) -> None:
        """Open a session for the text as far as it is verified, if there is none."""
        if self.session is not None:
            return
        request = wire.OpenRequest(
            prompt=self.edge.text, seed=self.seed, temperature=float(self.sampling.temperature),
            top_k=self.sampling.top_k, top_p=float(self.sampling.top_p),
        )  # fmt: skip
        reply = wire.decode(wire.OpenReply, self.client._open(request.encode(), **self._options()))
        left = self.edge.prompt_length + self.edge.max_new_tokens
        if reply.vocabulary != self.vocabulary or reply.longest < left:
            raise ServiceError(
                f"The server's target has {reply.vocabulary} tokens and reads {reply.longest}; the draft has "
                f"{self.vocabulary}, and the text needs {left}."
            )
        self.session = reply.session

    def _round(self) -> wire.OutcomeMessage:
        """Have the present draft verified, and draft ahead meanwhile."""
        self._ensure()
        draft = self.edge.drafting.finish()
        request = wire.VerifyRequest(
            session=self.session, position=draft.position, tokens=draft.tokens,
            distributions=wire.pack(draft.distributions), exits=self.exits, threshold=self.threshold,
        )  # fmt: skip
        inbox = Inbox(self.client.delay.down)
        threading.Thread(target=self._ask, args=(request.encode(), inbox), daemon=True).start()
        while True:
            message = inbox.get(self.device.remaining() if self.device.busy else DEADLINE)
            if isinstance(message, Exception):
                raise message
            if message is None:
                if self.device.busy:
                    self.device.complete()
                continue
            self._check(message, draft.position, len(draft.tokens))
            if message.final:
                return message
            self.device.switch(self.edge.ahead(message.accepted, message.token))

    def _ask(self, request: bytes, inbox: Inbox) -> None:
        """Send a request and put what comes back into the inbox; runs beside the drafting."""
        time.sleep(self.client.delay.up)
        try:
            for data in self.client._verify(request, **self._options()):
                inbox.put(wire.decode(wire.OutcomeMessage, data))
            inbox.put(ServiceError("The server ended a round without a final outcome."))
        except (grpc.RpcError, ValueError) as error:
            inbox.put(error)

    def _check(self, message: wire.OutcomeMessage, position: int, drafted: int) -> None:
        """Refuse an outcome that cannot be one of this round."""
        if message.position != position or message.accepted > drafted or message.token >= self.vocabulary:
            raise ServiceError(f"The server answered with an outcome that does not fit the draft: {message}.")

    def _leave(self) -> None:
        """Let the server forget the session; if it does not hear this, it will by itself."""
        try:
            self.client._close(wire.CloseRequest(session=self.session).encode(), **self._options() | {"timeout": 2.0})
        except grpc.RpcError:
            return
