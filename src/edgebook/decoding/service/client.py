"""The edge's end: a connection to a server, over which texts are made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import grpc

from edgebook.decoding.draws import Draws
from edgebook.decoding.edge import Edge
from edgebook.decoding.generation import checked_prompt
from edgebook.decoding.protocol import LanguageModel
from edgebook.decoding.service import bounds, wire
from edgebook.decoding.service.conversation import Conversation, Expected, Report
from edgebook.decoding.service.faults import distrust
from edgebook.decoding.service.identity import digest_of_symbols
from edgebook.decoding.service.pacing import Delay
from edgebook.decoding.speculative import Sampling
from edgebook.measure.arguments import whole

# Channels to one address share a connection and its back-off unless they are told not to.
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 1000),
           ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100))  # fmt: skip


class EdgeClient:
    """A connection to a `DecodingServer`; texts can be made over it one after another or at the same time.

    The address is host and port, the token the server's secret, and the certificate that of the authority (PEM) which
    vouches for the server, for TLS. A request may take `deadline` seconds; after that the connection is taken for dead
    and another one is made. From a first failure on, a server that does not answer is asked again for the seconds of
    `patience`; where no waiting can help, it is not.

    A `ValueError` for an address or a time that is none.

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
        deadline: float = 60.0,
        delay: Delay | None = None,
    ) -> None:
        self._host, self._port = bounds.endpoint(address, least_port=1)
        self.address, self.delay = address, delay or Delay()
        self.patience = bounds.seconds("patience", patience)
        self.deadline = bounds.seconds("deadline", deadline, positive=True)
        self.target: str | None = None  #: digest of the target that has answered last
        self._token, self._certificate = token, certificate
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._lock = threading.Lock()
        self._connect()

    def _connect(self) -> None:
        if self._certificate is None:
            self._channel = grpc.insecure_channel(self.address, options=OPTIONS)
        else:
            trusted = grpc.ssl_channel_credentials(self._certificate)
            self._channel = grpc.secure_channel(self.address, trusted, options=OPTIONS)
        self._open = self._channel.unary_unary(f"/{wire.SERVICE}/Open")
        self._verify = self._channel.unary_stream(f"/{wire.SERVICE}/Verify")
        self._close = self._channel.unary_unary(f"/{wire.SERVICE}/Close")

    def _reconnect(self, silent: grpc.Channel) -> None:
        """Leave a channel on which nothing has come for a whole deadline: its connection may be half open."""
        with self._lock:
            if self._channel is silent:
                self._connect()
                silent.close()

    def _distrust(self) -> str | None:
        """Return why the server cannot be trusted, None where it can or does not answer."""
        return distrust(self._host, self._port, self._certificate, min(2.0, self.deadline))

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
        stop: int | Iterable[int] | None = None,
        show: Callable[[list[int]], None] | None = None,
        symbols: str | None = None,
        target: str | None = None,
    ) -> Report:
        """Make a text; the same as `edgebook.decoding.trace` makes in one process, whose arguments these are.

        At most 64 tokens are drafted; `seed` is of the random numbers of both sides. With `ahead` at "exits", the
        outcomes of exits are drafted on, those that are sent from a confidence of `threshold` on. `show` is given the
        tokens of each round once they are final. `symbols` are the characters of the draft's tokens, and `target` is
        the digest of the target that a text was begun with; a server with others is refused where they are known, and
        one that comes back with another target in the middle of the text always.

        A `ServiceError` where the server refuses or is refused, or has not answered for the time of patience; a
        `ValueError` as for `edgebook.decoding.generate`, for an unknown `ahead`, a number that is none, or a token that
        cannot be sent.
        """
        if ahead not in ("none", "exits") or drafted > wire.MOST_DRAFTED:
            most = wire.MOST_DRAFTED
            raise ValueError(f"ahead must be none or exits and drafted at most {most}, got {ahead}, {drafted}.")
        if not 0 <= threshold <= wire.MOST_THRESHOLD:
            raise ValueError(f"threshold must lie between 0 and {wire.MOST_THRESHOLD}, got {threshold}.")
        protected = self._certificate is not None or self._host in bounds.LOOPBACK
        self._metadata = bounds.header(self._token, protected=protected)
        sampling = sampling or Sampling()
        text = checked_prompt(prompt, (draft,), max_new_tokens, drafted)
        opening = wire.OpenRequest.of(text, whole("seed", seed, 0, 2**63 - 1), sampling)
        options = {"sampling": sampling, "draws": Draws(opening.seed), "stop": stop}
        edge = Edge(draft, text, max_new_tokens=max_new_tokens, drafted=drafted, **options)
        expected = Expected(draft.vocabulary, digest_of_symbols(symbols), target, stop is None)
        return Conversation(self, edge, opening, expected, ahead == "exits", float(threshold)).run(show)
