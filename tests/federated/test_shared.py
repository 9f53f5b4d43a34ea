"""What clients share is made once, and forgotten in time."""

from __future__ import annotations

from edgebook.federated import made_once


def test_values_are_made_once_for_each_argument() -> None:
    calls = []

    def make(number: int) -> list[int]:
        calls.append(number)
        return [number]

    assert made_once(make, 1) is made_once(make, 1)
    assert made_once(make, 2) == [2]
    assert calls == [1, 2]
    for number in range(10, 14):
        made_once(make, number)
    made_once(make, 1)
    assert calls == [1, 2, 10, 11, 12, 13, 1]
