"""Whole numbers of every library, and what looks like one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edgebook.measure.arguments import whole


@pytest.mark.parametrize(
    "value", [4, np.int64(4), np.uint8(4), np.array(4), torch.tensor(4), torch.tensor([4])], ids=repr
)
def test_whole_numbers_of_every_library_become_pythons(value: Any) -> None:
    assert type(whole("steps", value)) is int and whole("steps", value) == 4


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        torch.tensor(True),
        4.0,
        np.float64(4),
        torch.tensor(4.0),
        torch.ones(2, dtype=torch.long),
        "4",
        None,
    ],
    ids=repr,
)
def test_what_is_no_whole_number_is_one_sentence(value: Any) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number, got "):
        whole("steps", value)


def test_the_smallest_that_is_allowed() -> None:
    assert whole("seed", -3, None) == -3 and whole("epochs", 0, 0) == 0
    with pytest.raises(ValueError, match=r"^steps must be at least 1, got 0\.$"):
        whole("steps", np.int32(0))
