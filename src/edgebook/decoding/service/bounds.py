"""What is given from outside: numbers, addresses and secrets, each refused in one sentence before anything happens."""

from __future__ import annotations

import re
from numbers import Real

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MOST_SECONDS = 1e6
LARGEST = 2**31 - 1  # that a message of gRPC may have in bytes
# A name or an address, one of IPv6 in brackets, and a port; schemes and lists of addresses are not for this service.
ENDPOINT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
HEADER = re.compile(r"[ -~]{1,4096}")


def seconds(name: str, value: float, *, positive: bool = False) -> float:
    """Return a time that can be waited for, or raise a ValueError."""
    number = float(value) if isinstance(value, Real) else -1.0
    if not 0 <= number <= MOST_SECONDS or (positive and number == 0):
        least = "more than 0" if positive else "at least 0"
        raise ValueError(f"{name} must be {least} and at most {MOST_SECONDS:g} seconds, got {value!r}.")
    return number


def endpoint(address: str, least_port: int = 0) -> tuple[str, int]:
    """Return host and port of an address, or raise a ValueError."""
    found = ENDPOINT.fullmatch(address) if isinstance(address, str) else None
    if found is None or not least_port <= int(found["port"]) <= 65535:
        raise ValueError(
            f"An address is host:port or [IPv6]:port with a port from {least_port} to 65535, got {address!r}."
        )
    return found["six"] or found["host"], int(found["port"])


def secret(token: str | None) -> str | None:
    """Return a token without the white space around it, or raise a ValueError that does not show it."""
    if token is not None and (not isinstance(token, str) or not token.strip()):
        raise ValueError("A token must be text and more than white space.")
    return token and token.strip()


def header(token: str | None, *, protected: bool) -> tuple[tuple[str, str], ...]:
    """Return the metadata that carry a token, or raise a ValueError where none can or where all could read it."""
    token = secret(token)
    if token is None:
        return ()
    if not HEADER.fullmatch(token):
        raise ValueError("A token must be at most 4096 printable characters of ASCII, for a header carries it.")
    if not protected:
        raise ValueError("Beyond loopback a token travels with TLS only, and no certificate is given.")
    return (("authorization", f"Bearer {token}"),)
