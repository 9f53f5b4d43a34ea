"""How text with numbers is set on a page: a minus sign, and powers of ten as such."""

from __future__ import annotations

import re

_HYPHEN = re.compile(r"(?<![\w.])-(?=\d)")
_POWER = re.compile(r"(\d)e([-+]\d+)")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def written(text: str) -> str:
    """Give negative numbers a minus sign in place of a hyphen, and small ones a power of ten.

    >>> written("-0.5 [-1, 2.50e-07] points, TI-1")
    '−0.5 [−1, 2.50 × 10⁻⁷] points, TI-1'
    """
    text = _POWER.sub(lambda found: f"{found[1]} × 10{str(int(found[2])).translate(_RAISED)}", text)
    return _HYPHEN.sub("\u2212", text)
