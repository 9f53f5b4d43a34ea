"""Who may ask: the token is compared before a request is read, and few requests at once may be unfinished."""

from __future__ import annotations

import hmac
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from edgebook.decoding.service import wire
from edgebook.decoding.service.faults import AGAIN, Refused

UNREAD = 64  # requests at once whose bodies are awaited

Answer = Callable[[Any, grpc.ServicerContext], Iterator[bytes]]


class Gate:
    """Leads to the answer of a request, or refuses it.

    Where too many bodies are awaited, the request that has waited for longest gives way, of the peer with the most of
    them: an honest one has come long before it is its turn.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else f"Bearer {token}".encode()
        self._unread: dict[grpc.ServicerContext, str] = {}
        self._lock = threading.Lock()

    def handler(self, kind: type[wire.Kind], answer: Answer) -> grpc.RpcMethodHandler:
        """Return what gRPC calls; it is called with the stream of the request's messages before one has come."""

        def answered(bodies: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            try:
                self._compare(context)
                yield from answer(self._read(kind, bodies, context), context)
            except grpc.RpcError:  # the peer has gone
                raise
            except Refused as error:
                if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    context.set_trailing_metadata(AGAIN)
                context.abort(error.code, str(error))
            except (ValueError, TypeError) as error:  # of the message, or of a target that cannot do what it asks
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, _sentence(error))
            except Exception as error:
                logging.getLogger(__name__).exception("A request has failed.")
                context.abort(grpc.StatusCode.ABORTED, f"The target has failed: {_sentence(error)}")

        return grpc.stream_stream_rpc_method_handler(answered)

    def _compare(self, context: grpc.ServicerContext) -> None:
        if self._token is not None:
            given = dict(context.invocation_metadata()).get("authorization", "")
            if not hmac.compare_digest(str(given).encode(), self._token):
                raise Refused(grpc.StatusCode.UNAUTHENTICATED, "The token is missing or wrong.")

    def _read(self, kind: type[wire.Kind], bodies: Iterator[bytes], context: grpc.ServicerContext) -> wire.Kind:
        with self._lock:
            if len(self._unread) >= UNREAD:
                crowd = Counter(self._unread.values())
                slow = max(self._unread, key=lambda other: crowd[self._unread[other]])  # the oldest of several
                del self._unread[slow]
                slow.cancel()
            self._unread[context] = context.peer()
        try:
            data = next(bodies, b"")
        finally:
            with self._lock:
                self._unread.pop(context, None)
        return wire.decode(kind, data)


def _sentence(error: Exception) -> str:
    """Return the first line of what an error says, or its name."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
