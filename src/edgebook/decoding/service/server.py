"""The target behind gRPC: sessions, limits, and outcomes that are streamed while the pass goes on."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import grpc
from torch import Tensor

from edgebook.decoding.cloud import Cloud, Outcome
from edgebook.decoding.draws import Draws
from edgebook.decoding.edge import stop_tokens
from edgebook.decoding.generation import checked_prompt
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.service import bounds, wire
from edgebook.decoding.service.faults import Refused
from edgebook.decoding.service.gate import UNREAD, Gate
from edgebook.decoding.service.identity import digest_of_symbols, digest_of_target
from edgebook.measure.arguments import whole

WORKERS = 16  # requests that are worked on at once; others wait


@dataclass(frozen=True)
class Limits:
    """What one server allows; a `ValueError` for a number that is none."""

    sessions: int = 1024  #: at once; a further one is refused
    idle_seconds: float = 300.0  #: after which a session that nobody asks for is forgotten
    message_bytes: int = 4 * 2**20  #: of one request

    def __post_init__(self) -> None:
        whole("sessions", self.sessions, 1, bounds.LARGEST)
        bounds.seconds("idle_seconds", self.idle_seconds, positive=True)
        whole("message_bytes", self.message_bytes, 1, bounds.LARGEST)


@dataclass
class _Held:
    """A session: its text, and its last round for a request that comes twice.

    The cloud has read some of the text. It is taken out for a pass, and put back when that has succeeded; after one
    that has failed or was left another one is begun from the text.
    """

    begin: Callable[[list[int]], Cloud]
    text: list[int]
    greedy: bool
    cloud: Cloud | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    room: threading.Semaphore = field(default_factory=partial(threading.Semaphore, 2))
    used: float = field(default_factory=time.monotonic)
    last: tuple[int, tuple[int, ...], Outcome] | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have the session for one request while another one may wait for it."""
        if not self.room.acquire(blocking=False):
            raise Refused(grpc.StatusCode.ABORTED, "Two requests for this session are under way already.")
        try:
            with self.lock:
                self.used = time.monotonic()
                yield
                self.used = time.monotonic()
        finally:
            self.room.release()


def _port(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """Return the port that a server has been given, 0 where it cannot have the address."""
    with suppress(RuntimeError):
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    return 0


class DecodingServer:
    """A target that any number of edges can ask.

    The outcomes of its exits are sent where a request asks for them. The token is a secret that each request must
    bring along; certificate and key, both in PEM, are for TLS. `symbols` are the characters of its tokens; a draft
    that says others is refused. A pass can be stretched to `pass_seconds`, for experiments on a machine that is not
    the cloud's; then `shares` of it lie before each exit.

    A `ValueError` for another address than loopback without both TLS and a token, an empty token, certificate or key,
    a certificate without its key, a number that is none, or an address that cannot be had.

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
        symbols: str | None = None,
    ) -> None:
        host, _ = bounds.endpoint(address)
        token = bounds.secret(token)
        if (certificate is None) != (key is None) or b"" in (certificate, key):
            raise ValueError("TLS needs both a certificate and its key.")
        if host not in bounds.LOOPBACK and (certificate is None or token is None):
            raise ValueError(f"Beyond loopback TLS and a token are needed, got the address {address!r}.")
        exits = getattr(model.session(), "exits", 0) if shares else 0
        if not all(0 <= share <= 1 for share in shares) or len(shares) < exits:
            raise ValueError(f"The {exits} exits need a share each, from 0 to 1, got {tuple(shares)}.")
        self.model, self.limits, self._gate = model, limits or Limits(), Gate(token)
        self._pass_seconds, self._shares = bounds.seconds("pass_seconds", pass_seconds), tuple(shares)
        self._identity = {"target": digest_of_target(model), "symbols": digest_of_symbols(symbols)}
        self._sessions: dict[str, _Held] = {}
        self._lock, self._device, self._closing = threading.Lock(), threading.Lock(), threading.Event()
        options = [("grpc.max_receive_message_length", self.limits.message_bytes), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(WORKERS + UNREAD), options=options)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, self._handlers()),))
        credentials = None if certificate is None else grpc.ssl_server_credentials([(key, certificate)])
        self.port = _port(self._server, address, credentials)
        if not self.port:
            if credentials and not _port(grpc.server(ThreadPoolExecutor(1)), "127.0.0.1:0", credentials):
                raise ValueError("TLS needs a certificate and the key that it is made for, both in PEM.")
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
        """Stop answering, at once or after some seconds of grace; a pass that goes on is left at its next stage."""
        if not grace:
            self._closing.set()
        self._server.stop(grace).wait()
        self._closing.set()

    def wait(self) -> None:
        self._server.wait_for_termination()

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        return {
            "Open": self._gate.handler(wire.OpenRequest, self._open),
            "Verify": self._gate.handler(wire.VerifyRequest, self._verify),
            "Close": self._gate.handler(wire.CloseRequest, self._close),
        }

    def _open(self, request: wire.OpenRequest, _: grpc.ServicerContext) -> Iterator[bytes]:
        text = checked_prompt(request.prompt, (self.model,), 1, 0)
        begin = partial(Cloud, self.model, sampling=request.sampling, draws=Draws(request.seed))
        held = _Held(begin, text, request.sampling.greedy, begin(text))
        name = secrets.token_hex(16)
        with self._lock:
            if len(self._sessions) >= self.limits.sessions:
                full = f"The server holds {self.limits.sessions} sessions already; try again later."
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, full)
            self._sessions[name] = held
        about = {"vocabulary": self.model.vocabulary, "longest": self.model.longest}
        about["stop"] = sorted(stop_tokens(None, self.model))
        yield wire.OpenReply(session=name, **about, **self._identity).encode()

    def _close(self, request: wire.CloseRequest, _: grpc.ServicerContext) -> Iterator[bytes]:
        with self._lock:
            self._sessions.pop(request.session, None)
        yield b"{}"

    def _verify(self, request: wire.VerifyRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        with self._lock:
            held = self._sessions.get(request.session)
        if held is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, "There is no such session; it has expired or was never opened.")
        draft = (request.position, tuple(request.tokens))
        with held.turn():
            if held.last is None or held.last[:2] != draft:  # else it was sent twice: the answer stays what it was
                for outcome in self._pass(held, request, self._checked(held, request), context):
                    yield wire.OutcomeMessage.of(request.session, request.position, outcome).encode()
            yield wire.OutcomeMessage.of(request.session, request.position, held.last[2]).encode()

    def _checked(self, held: _Held, request: wire.VerifyRequest) -> Tensor | None:
        """Compare a request with its session; a late one and a wrong one are refused."""
        length, vocabulary = len(held.text), self.model.vocabulary
        if request.position != length:
            late = f"The text has {length} tokens, and the draft begins after {request.position}."
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, late)
        if length + len(request.tokens) > self.model.longest:
            raise ValueError(f"A text may have {self.model.longest} tokens, and this draft goes beyond.")
        if not all(token < vocabulary for token in request.tokens):
            raise ValueError(f"Tokens lie between 0 and {vocabulary - 1}.")
        if not held.greedy and request.distributions is None:
            raise ValueError("Sampling needs the distributions that the tokens were drawn from.")
        return None if held.greedy else wire.unpack(request.distributions, request.tokens, vocabulary)

    def _pass(
        self, held: _Held, request: wire.VerifyRequest, rows: Tensor | None, context: grpc.ServicerContext
    ) -> Iterator[Outcome]:
        """Go through a pass, one stage of one session at a time; yield what exits say and is worth a message.

        The session changes when all of the pass has succeeded, and before the final outcome is said.
        """
        cloud, held.cloud = held.cloud or held.begin(held.text), None
        said, began = None, time.monotonic()
        with closing(cloud.verify(request.tokens, rows, exits=request.exits)) as steps:
            while True:
                with self._device:
                    if self._closing.is_set() or not context.is_active():
                        raise Refused(grpc.StatusCode.UNAVAILABLE, "The pass was left before its end.")
                    outcome = next(steps)
                    if outcome.final:
                        steps.close()  # takes back what was not accepted
                share = 1.0 if outcome.final else self._shares[outcome.exit] if self._shares else 0.0
                self._closing.wait(max(0.0, began + share * self._pass_seconds - time.monotonic()))
                if outcome.final:
                    break
                key = (outcome.accepted, outcome.token)
                if outcome.confidence >= request.threshold and key != said:
                    said = key
                    yield outcome
        held.last = (request.position, tuple(request.tokens), outcome)
        held.text += [*request.tokens[: outcome.accepted], outcome.token]
        held.cloud = cloud

    def _sweep(self) -> None:
        """Forget sessions that nobody asks for."""
        while not self._closing.wait(self.limits.idle_seconds / 4):
            old = time.monotonic() - self.limits.idle_seconds
            with self._lock:
                for name in [name for name, held in self._sessions.items() if held.used < old]:
                    if not self._sessions[name].lock.locked():
                        del self._sessions[name]
