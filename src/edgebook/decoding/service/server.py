"""The target behind gRPC: sessions, limits, and outcomes that are streamed while the pass goes on."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from torch import Tensor

from edgebook.decoding.cloud import Cloud, Outcome
from edgebook.decoding.draws import Draws
from edgebook.decoding.generation import checked_prompt
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.service import wire

WORKERS = 16  # requests that are worked on at once; others wait
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Limits:
    """What one server allows."""

    sessions: int = 1024  #: at once; a further one is refused
    idle_seconds: float = 300.0  #: after which a session that nobody asks for is forgotten
    message_bytes: int = 4 * 2**20  #: of one request


@dataclass
class _Held:
    """A session, and the last round of it for a request that comes twice."""

    cloud: Cloud
    greedy: bool
    lock: threading.Lock = field(default_factory=threading.Lock)
    used: float = 0.0
    last: tuple[int, tuple[int, ...], Outcome] | None = None


class DecodingServer:
    """A target that any number of edges can ask.

    The outcomes of its exits are sent where a request asks for them. The token is a secret that each request must
    bring along; certificate and key, both in PEM, are for TLS. A pass can be stretched to `pass_seconds`, for
    experiments on a machine that is not the cloud's; then `shares` of it lie before each exit.

    A `ValueError` for another address than loopback without both TLS and a token, a certificate without its key, or an
    address that cannot be had.

    Examples
    --------
    >>> from edgebook.decoding.service import EdgeClient
    >>> from edgebook.networks import CharacterDecoder
    >>> model = CharacterDecoder(8, 32, width=8, depth=1, heads=1)  # its own draft
    >>> with DecodingServer(model) as server, EdgeClient(f"127.0.0.1:{server.port}") as client:
    ...     client.generate(model, [1, 2], max_new_tokens=10, drafted=4).rounds
    2
    """

    def __init__(
        self,
        model: LanguageModel,
        address: str = "127.0.0.1:0",
        *,
        token: str | None = None,
        certificate: bytes | None = None,
        key: bytes | None = None,
        limits: Limits | None = None,
        pass_seconds: float = 0.0,
        shares: Sequence[float] = (),
    ) -> None:
        if (certificate is None) != (key is None):
            raise ValueError("TLS needs both a certificate and its key.")
        host = address.rpartition(":")[0].strip("[]")
        if host not in LOOPBACK and (certificate is None or token is None):
            raise ValueError(f"Beyond loopback TLS and a token are needed, got the address {address!r}.")
        self.model, self.limits, self._token = model, limits or Limits(), token
        self._pass_seconds, self._shares = pass_seconds, tuple(shares)
        self._sessions: dict[str, _Held] = {}
        self._lock, self._device, self._closing = threading.Lock(), threading.Lock(), threading.Event()
        size = self.limits.message_bytes
        options = [("grpc.max_receive_message_length", size), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(WORKERS), options=options)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, self._handlers()),))
        try:
            if certificate is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise ValueError(f"The address {address!r} cannot be had.")

    def __enter__(self) -> DecodingServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._server.start()
        threading.Thread(target=self._sweep, daemon=True).start()

    def stop(self, grace: float | None = None) -> None:
        """Stop answering, at once or after some seconds of grace."""
        self._closing.set()
        self._server.stop(grace).wait()

    def wait(self) -> None:
        self._server.wait_for_termination()

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        return {
            "Open": grpc.unary_unary_rpc_method_handler(self._guarded(wire.OpenRequest, self._open)),
            "Verify": grpc.unary_stream_rpc_method_handler(self._verify),
            "Close": grpc.unary_unary_rpc_method_handler(self._guarded(wire.CloseRequest, self._close)),
        }

    def _guarded(self, kind: type[wire.Kind], answer: Callable[[Any, Any], bytes]) -> Callable[[bytes, Any], bytes]:
        def handler(data: bytes, context: grpc.ServicerContext) -> bytes:
            return answer(self._admit(kind, data, context), context)

        return handler

    def _admit(self, kind: type[wire.Kind], data: bytes, context: grpc.ServicerContext) -> wire.Kind:
        """Check the token, then the message; what is refused here has touched nothing."""
        if self._token is not None:
            given = dict(context.invocation_metadata()).get("authorization", "")
            if not hmac.compare_digest(str(given).encode(), f"Bearer {self._token}".encode()):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "The token is missing or wrong.")
        try:
            return wire.decode(kind, data)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def _open(self, request: wire.OpenRequest, context: grpc.ServicerContext) -> bytes:
        try:
            checked_prompt(request.prompt, (self.model,), 1, 0)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        cloud = Cloud(self.model, request.prompt, sampling=request.sampling, draws=Draws(request.seed))
        name = secrets.token_hex(16)
        with self._lock:
            if len(self._sessions) >= self.limits.sessions:
                full = f"The server holds {self.limits.sessions} sessions already; try again later."
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, full)
            self._sessions[name] = _Held(cloud, request.sampling.greedy, used=time.monotonic())
        return wire.OpenReply(session=name, vocabulary=self.model.vocabulary, longest=self.model.longest).encode()

    def _close(self, request: wire.CloseRequest, _: grpc.ServicerContext) -> bytes:
        with self._lock:
            self._sessions.pop(request.session, None)
        return b"{}"

    def _verify(self, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        request = self._admit(wire.VerifyRequest, data, context)
        with self._lock:
            held = self._sessions.get(request.session)
        if held is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "There is no such session; it has expired or was never opened.")
        with held.lock:
            held.used = time.monotonic()
            draft = (request.position, tuple(request.tokens))
            if held.last is not None and held.last[:2] == draft:  # sent twice: the answer stays what it was
                yield wire.OutcomeMessage.of(request.position, held.last[2]).encode()
                return
            rows = self._checked(held, request, context)
            for outcome in self._stages(held, request, rows):
                if outcome.final:
                    held.last = (*draft, outcome)
                yield wire.OutcomeMessage.of(request.position, outcome).encode()
            held.used = time.monotonic()

    def _checked(self, held: _Held, request: wire.VerifyRequest, context: grpc.ServicerContext) -> Tensor | None:
        """Compare a request with its session; a late one and a wrong one are refused."""
        length, vocabulary = len(held.cloud.text), self.model.vocabulary
        if request.position != length:
            late = f"The text has {length} tokens, and the draft begins after {request.position}."
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, late)
        try:
            if length + len(request.tokens) > self.model.longest:
                raise ValueError(f"A text may have {self.model.longest} tokens, and this draft goes beyond.")
            if not all(token < vocabulary for token in request.tokens):
                raise ValueError(f"Tokens lie between 0 and {vocabulary - 1}.")
            if not held.greedy and request.distributions is None:
                raise ValueError("Sampling needs the distributions that the tokens were drawn from.")
            return None if held.greedy else wire.unpack(request.distributions, request.tokens, vocabulary)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def _stages(self, held: _Held, request: wire.VerifyRequest, rows: Tensor | None) -> Iterator[Outcome]:
        """Go through the pass, one stage of one session at a time, and pass on what is worth a message."""
        steps, said, began = held.cloud.verify(request.tokens, rows, exits=request.exits), None, time.monotonic()
        while True:
            with self._device:
                outcome = next(steps, None)
            if outcome is None:
                return
            share = 1.0 if outcome.final else self._shares[outcome.exit] if self._shares else 0.0
            time.sleep(max(0.0, began + share * self._pass_seconds - time.monotonic()))
            key = (outcome.accepted, outcome.token)
            if outcome.final or (outcome.confidence >= request.threshold and key != said):
                said = key
                yield outcome

    def _sweep(self) -> None:
        """Forget sessions that nobody asks for."""
        while not self._closing.wait(self.limits.idle_seconds / 4):
            old = time.monotonic() - self.limits.idle_seconds
            with self._lock:
                for name in [name for name, held in self._sessions.items() if held.used < old]:
                    if not self._sessions[name].lock.locked():
                        del self._sessions[name]
