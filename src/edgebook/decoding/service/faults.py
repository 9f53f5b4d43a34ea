"""What went wrong with a request, sorted in one place: can a new session mend it, can waiting, or can nothing."""

from __future__ import annotations

import socket
import ssl
from typing import Literal

import grpc

# The server has lost the session, or is ahead of this client: the text can go on in a new one.
LOST = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
# Nothing was decided, or the answer will be the same.
PASSING = (
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL,
)  # fmt: skip
# With these trailing metadata a server says of RESOURCE_EXHAUSTED that it will pass; without, a message was too large.
AGAIN = (("again", "later"),)


class ServiceError(RuntimeError):
    """Why a text cannot go on, in one sentence; what was shown of it stays right."""


class Refused(Exception):
    """Why a server does not answer a request."""

    def __init__(self, code: grpc.StatusCode, said: str) -> None:
        super().__init__(said)
        self.code = code


def kind(error: grpc.RpcError) -> Literal["lost", "passing", "permanent"]:
    """Sort an error by its status code."""
    code = error.code()
    if code in LOST:
        return "lost"
    later = code is grpc.StatusCode.RESOURCE_EXHAUSTED and AGAIN[0] in map(tuple, error.trailing_metadata() or ())
    return "passing" if later or code in PASSING else "permanent"


def distrust(host: str, port: int, certificate: bytes | None, patience: float) -> str | None:
    """Return why no connection can be had with a server, None where it can or where nobody answers.

    The status of a wrong authority, and that of TLS on one side alone, is that of a server which is not there, so a
    handshake is tried beside it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    if certificate is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        try:
            context.load_verify_locations(cadata=certificate.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            return "the certificate given for its authority is none in PEM"
    try:
        with socket.create_connection((host, port), patience) as line, context.wrap_socket(line, server_hostname=host):
            return None if certificate else "it gives no answer without TLS, and no certificate is given"
    except ssl.SSLCertVerificationError as error:
        return error.verify_message.rstrip(".")
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return None
    except ssl.SSLError as error:
        return f"the handshake fails with {error.reason}" if certificate else None
    except OSError:
        return None
