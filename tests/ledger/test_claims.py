"""The ledger's file: what it may say and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from edgebook.ledger import Ledger, load_ledger

ENTRY = {
    "id": "T-1", "says": "More.", "where": "abstract", "paper": 2.0, "measures": "a / b", "unit": "times",
    "expects": "positive", "neutral": 1, "margin": 0.1, "target": 2.0, "kind": "claim", "exact": False, "needs": [],
}  # fmt: skip


def write(root: Path, **changes) -> None:
    folder = root / "book" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"title": "T", "cite": "t2020", "claims": [{**ENTRY, **changes}]}
    (folder / "toy.yml").write_text(yaml.safe_dump(content))


def test_a_ledger_reads_back_as_written(tmp_path: Path) -> None:
    write(tmp_path)
    ledger = load_ledger("toy", tmp_path)
    assert ledger.claim("T-1").target == 2.0
    assert ledger.claim("T-1").needs == ()
    with pytest.raises(ValueError, match="it has T-1"):
        ledger.claim("T-2")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"verdict": "reproduced"}, r"claims\.0\.verdict: Extra inputs"),
        ({"expects": "better"}, "claims.0.expects"),
        ({"margin": -1}, "claims.0.margin"),
        ({"target": 1.05}, "lies short of the margin"),
        ({"expects": "negative"}, "lies short of the margin"),
        ({"expects": "equivalent"}, "has a margin and no target"),
        ({"expects": "equivalent", "target": None, "margin": 0}, "needs a margin above 0"),
        ({"id": "7 b"}, "claims.0.id"),
        ({"neutral": float("nan")}, "claims.0.neutral"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, change: dict, sentence: str) -> None:
    write(tmp_path, **change)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_ledger("toy", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no ledger for 'toy'"):
        load_ledger("toy", tmp_path)
    write(tmp_path)
    (tmp_path / "book/claims/toy.yml").write_text("claims: [")
    with pytest.raises(ValueError, match=r"book/claims/toy\.yml is not YAML"):
        load_ledger("toy", tmp_path)


def test_ids_stand_once() -> None:
    with pytest.raises(ValidationError, match="more than once: t-1"):
        Ledger(title="T", cite="t", claims=[ENTRY, {**ENTRY, "id": "t-1"}])
