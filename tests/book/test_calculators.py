"""The tables that the calculators show without script hold what the kernels compute."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgebook.decoding import Times, expected_tokens, round_seconds
from edgebook.measure import arithmetic_energy

BLOCK = re.compile(r'<div class="calculator" data-calculator="([\w-]+)">(.*?)</table>', re.DOTALL)


def tables(root: Path) -> list[tuple[str, list[list[str]]]]:
    """Every calculator of the book and of the notebooks, with the rows of its table."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((root / "book").glob("*.md"))]
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    found = [block for text in texts for block in BLOCK.findall(text)]
    rows = [(name, re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", table)) for name, table in found]
    return [(name, [re.findall(r">([^<]+)</t[hd]>", row) for row in some]) for name, some in rows]


def number(text: str) -> float:
    return float(text.replace("−", "-").removesuffix(" %"))


def test_both_calculators_are_there(root: Path) -> None:
    assert {name for name, _ in tables(root)} == {"decoding", "spike-energy"}
    assert all(len(rows) > 5 for _, rows in tables(root))


def test_the_table_of_decoding_is_the_closed_form(root: Path) -> None:
    for _, *cells in (row for name, rows in tables(root) if name == "decoding" for row in rows):
        draft, messages, hits, plain_saved, further = map(number, cells)
        way, tokens = messages / 2, expected_tokens(0.67, 4)
        plain = round_seconds(Times(draft / 4, 1.0, way, way), 4)
        exits = round_seconds(Times(draft / 4, 1.0, way, way, {0: 0.5}, 0.036), 4, hits / 100)
        assert [plain_saved, further] == pytest.approx(
            [100 * (1 - plain / tokens), 100 * (1 - exits / plain)], abs=0.051
        )


def test_the_table_of_spikes_is_the_energy_of_operations(root: Path) -> None:
    for precision, rate, *cells in (row for name, rows in tables(root) if name == "spike-energy" for row in rows):
        for steps, cell in zip((1, 5, 10, 20, 40), cells, strict=True):
            spiking = arithmetic_energy(0, number(rate) * steps, precision=precision)
            assert number(cell) == pytest.approx(arithmetic_energy(1, precision=precision) / spiking, abs=0.051)
