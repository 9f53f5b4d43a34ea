"""A name among those allowed, or one sentence with the nearest."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a value that is not among the names allowed, and offer the nearest."""
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.{hint}")
