"""What the clients of one process need once, such as data: made where it is needed and never sent."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

MOST = 4  # values kept at a time
_KEPT: dict[Hashable, Any] = {}


def made_once(make: Callable[..., Any], *arguments: Hashable) -> Any:
    """Return `make(*arguments)`, made once in each process for the same name and arguments.

    An app that closes over its data sends it along with every message of the engine "ray"; one that calls this does
    not. A few values are kept, the oldest is dropped first.

    Parameters
    ----------
    make : callable
        Known by its module and name: a second function of the same name gets the value of the first.
    *arguments : hashable
        All that decides the value, and that a changed function would need too.

    Returns
    -------
    object
        The same object each time; nobody may change it.
    """
    key = (make.__module__, make.__qualname__, *arguments)
    if key not in _KEPT:
        while len(_KEPT) >= MOST:
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[key] = make(*arguments)
    return _KEPT[key]
