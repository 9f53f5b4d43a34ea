"""One text with a server: rounds, retries, and the refusal of answers that cannot be right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import grpc

from edgebook.decoding.edge import Edge
from edgebook.decoding.service import wire
from edgebook.decoding.service.faults import ServiceError, kind
from edgebook.decoding.service.pacing import Inbox, PacedDevice

if TYPE_CHECKING:
    from edgebook.decoding.service.client import EdgeClient


class Report(NamedTuple):
    """New tokens of a text, and how they came about."""

    tokens: list[int]  #: all verified
    seconds: float  #: from the first draft step until the last outcome; opening the session is left out
    rounds: int  #: verifications
    hits: int  #: those after which the next draft had been begun ahead of time
    draft_steps: int  #: drafted tokens, those of dropped drafts included
    resumed: int  #: how often a request was sent again or a session opened anew


class Expected(NamedTuple):
    """What the server's target must be: tokens, and the digests of its symbols and of itself where they are known."""

    vocabulary: int
    symbols: str | None
    target: str | None
    stops: bool  #: whether its own stop tokens end the text


class Conversation:
    """A text in the making between an edge and the server of a client."""

    def __init__(
        self, client: EdgeClient, edge: Edge, opening: wire.OpenRequest, expected: Expected, exits: bool,
        threshold: float,
    ) -> None:  # fmt: skip
        self.client, self.edge, self.opening, self.expected = client, edge, opening, expected
        self.exits, self.threshold = exits, threshold
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
        """Ask until there is an answer, in a new session if need be, and over a new connection after a deadline."""
        until, pause = None, 0.05
        while True:
            channel = self.client._channel
            try:
                return ask()
            except ValueError:
                if self.client._channel is channel:  # else another text has left the connection meanwhile
                    raise
            except grpc.RpcError as error:
                until = until or time.monotonic() + self.client.patience  # from the first failure on
                self._judge(error, over=time.monotonic() + pause > until)
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    self.client._reconnect(channel)
            self.resumed += 1
            time.sleep(pause)
            pause = min(1.0, 2 * pause)

    def _judge(self, error: grpc.RpcError, *, over: bool) -> None:
        """Raise where waiting cannot help, or has not helped until it was over."""
        address, said, sort = self.client.address, str(error.details()).rstrip("."), kind(error)
        if sort == "lost":
            self.session = None
        elif sort == "permanent":
            raise ServiceError(f"The server at {address} refuses: {said}.") from None
        elif error.code() is grpc.StatusCode.UNAVAILABLE and (why := self.client._distrust()):
            raise ServiceError(f"The server at {address} cannot be trusted: {why}.") from None
        if over:
            raise ServiceError(
                f"The server at {address} has given no answer for {self.client.patience:g} s ({said}); "
                f"{len(self.edge.new_tokens)} of {self.edge.max_new_tokens} tokens are verified."
            ) from None

    def _read(self, expected: type[wire.Kind], data: bytes) -> wire.Kind:
        try:
            return wire.decode(expected, data)
        except ValueError as error:
            raise ServiceError(
                f"The server at {self.client.address} gives no answer that can be read: {error}"
            ) from None

    def _options(self) -> dict[str, object]:
        return {"metadata": self.client._metadata, "timeout": self.client.deadline}

    def _ensure(self) -> None:
        """Open a session for the text as far as it is verified, if there is none."""
        if self.session is not None:
            return
        request = self.opening.model_copy(update={"prompt": self.edge.text})
        reply = self._read(wire.OpenReply, self.client._open(request.encode(), **self._options()))
        left = self.edge.prompt_length + self.edge.max_new_tokens
        if reply.vocabulary != self.expected.vocabulary or reply.longest < left:
            raise ServiceError(
                f"The server's target has {reply.vocabulary} tokens and reads {reply.longest}; the draft has "
                f"{self.expected.vocabulary}, and the text needs {left}."
            )
        if None not in (reply.symbols, self.expected.symbols) and reply.symbols != self.expected.symbols:
            raise ServiceError("The tokens of the server's target stand for other symbols than those of the draft.")
        if self.expected.target not in (None, reply.target):
            raise ServiceError(
                f"The server at {self.client.address} has another target than the one that the text was begun with."
            )
        if self.expected.stops:
            self.edge.stop = frozenset(reply.stop)
        self.expected = self.expected._replace(target=reply.target)
        self.session, self.client.target = reply.session, reply.target

    def _round(self) -> wire.OutcomeMessage:
        """Have the present draft verified, and draft ahead meanwhile."""
        self._ensure()
        draft = self.edge.drafting.finish()
        request = wire.VerifyRequest(
            session=self.session, position=draft.position, tokens=draft.tokens,
            distributions=wire.pack(draft.distributions), exits=self.exits, threshold=self.threshold,
        )  # fmt: skip
        inbox = Inbox(self.client.delay.down)
        threading.Thread(target=self._ask, args=(request, inbox), daemon=True).start()
        while True:
            message = inbox.get(self.device.remaining() if self.device.busy else self.client.deadline)
            if isinstance(message, Exception):
                raise message
            if message is None:
                if self.device.busy:
                    self.device.complete()
                continue
            if message.final:
                return message
            self.device.switch(self.edge.ahead(message.accepted, message.token))

    def _ask(self, request: wire.VerifyRequest, inbox: Inbox) -> None:
        """Send a request and put what comes back into the inbox; runs beside the drafting.

        Whatever happens here, the last thing in the inbox is a final outcome or an error.
        """
        end: Exception = ServiceError("The server ended a round without a final outcome.")
        try:
            time.sleep(self.client.delay.up)
            heard = -1
            for data in self.client._verify(request.encode(), **self._options()):
                message = self._read(wire.OutcomeMessage, data)
                self._check(message, request)
                if message.exit > heard:  # what comes twice is heard once
                    inbox.put(message)
                heard = max(heard, message.exit)
        except Exception as error:
            end = error
        finally:
            inbox.put(end)

    def _check(self, message: wire.OutcomeMessage, request: wire.VerifyRequest) -> None:
        """Refuse an outcome that cannot be one of this round."""
        mine = message.session in (None, request.session) and message.position == request.position
        if not mine or message.accepted > len(request.tokens) or message.token >= self.expected.vocabulary:
            raise ServiceError(f"The server answered with an outcome that does not fit the draft: {message}.")

    def _leave(self) -> None:
        """Let the server forget the session; if it does not hear this, it will by itself."""
        try:
            self.client._close(wire.CloseRequest(session=self.session).encode(), **self._options() | {"timeout": 2.0})
        except grpc.RpcError:
            return
