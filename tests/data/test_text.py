"""The text that Python brings along."""

from __future__ import annotations

from pydoc_data.topics import topics

import pytest

from edgebook.data import load_text


def test_topics_are_all_there_in_order() -> None:
    text = load_text("topics")
    whole = text.decode(text.train) + text.decode(text.test)
    assert all(topic.strip("\n") in whole for topic in topics.values())
    assert len(whole) > 300_000
    assert len(text.test) / len(whole) == pytest.approx(0.1, abs=1e-5)
    assert "".join(sorted(set(whole))) == text.symbols


def test_encoding_is_the_inverse_of_decoding() -> None:
    text = load_text()
    assert text.encode(text.decode(text.test[:500])) == text.test[:500].tolist()
    with pytest.raises(ValueError, match="no character"):
        text.encode("\x00")


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="one of topics"):
        load_text("novels")
