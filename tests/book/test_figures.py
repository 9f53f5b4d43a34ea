"""Figures in pages: their text is text, two share no name, and none is drawn smaller than it can be read."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from edgebook import style


@pytest.fixture(scope="module")
def figures(extension: Callable[[str], ModuleType]) -> ModuleType:
    return extension("edgebook_figures")


def drawn(size: float, width: float = 6.0) -> str:
    """A figure with a line beyond its axes, in a font of some size, as Matplotlib writes it."""
    with mpl.rc_context():
        style.use()
        figure, file = Figure(figsize=(width, 3.0)), io.StringIO()
        ax = figure.add_subplot(xlim=(0, 1))
        ax.plot([-1, 2], [0, 1])
        ax.set_xlabel("spikes & $w_i$ per step", fontsize=size)
        ax.tick_params(labelsize=size)
        figure.savefig(file, format="svg")
    return file.getvalue()


def box_of(page: str) -> tuple[float, float, float]:
    """The width of a figure's box, and the natural and the smallest width in pixels."""
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', page)[1])
    natural, least = re.search(r'style="width:(\d+)px;min-width:(\d+)px"', page).groups()
    return width, float(natural), float(least)


def test_a_figure_is_well_formed_and_keeps_its_words(figures: ModuleType) -> None:
    page = figures.inlined(drawn(10), 'Lines & "quotes".', "../_images/a.svg")
    (svg,) = ElementTree.fromstring(page).iter("svg")
    assert svg.attrib["role"] == "img" and svg.attrib["aria-label"] == 'Lines & "quotes".'
    words = "".join("".join(text.itertext()) for text in svg.iter("text"))
    assert "spikes" in words and "per" in words
    assert "<style" not in page and "<metadata" not in page and "DejaVu" not in page
    assert 'href="../_images/a.svg"' in page


def test_two_figures_of_a_page_share_no_name(figures: ModuleType) -> None:
    pages = [figures.inlined(drawn(size), "", "a.svg") for size in (9, 10)]
    names = [set(re.findall(r' id="([^"]+)"', page)) for page in pages]
    assert names[0] and names[1] and not names[0] & names[1]
    for page, known in zip(pages, names, strict=True):
        assert set(re.findall(r'(?:url\(#|xlink:href="#)([^")]+)', page)) == known  # and no name that nothing uses


@pytest.mark.parametrize(("size", "width"), [(8, 6.0), (11, 6.0), (9, 12.0)])
def test_at_its_smallest_width_the_smallest_text_has_nine_pixels(
    figures: ModuleType, size: float, width: float
) -> None:
    box, natural, least = box_of(figures.inlined(drawn(size, width), "", "a.svg"))
    assert natural == pytest.approx(box * 4 / 3, abs=1)
    assert size * least / box == pytest.approx(9.0, abs=0.1)


def test_other_images_are_left_alone(figures: ModuleType, tmp_path: Path) -> None:
    files = {"plot.svg": drawn(10), "logo.svg": "<svg></svg>", "large.svg": drawn(10) + " " * 300_000, "a.png": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    builder = SimpleNamespace(srcdir=tmp_path, images=dict.fromkeys(files, "x"))
    kept = [name for name in files if figures.source_of(builder, {"uri": name})]
    assert kept == ["plot.svg"]


def test_folded_code_says_what_it_holds(figures: ModuleType) -> None:
    image = {"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"}}

    def cell(source: str, *, figure: bool = False, folded: bool = True) -> dict:
        described = {"mystnb": {"figure": {"caption": "c"}}} if figure else {}
        metadata = described | {"tags": ["hide-input"] if folded else []}
        return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [image] if figure else []}

    cells = [
        cell("import torch\nfrom x import y"),
        cell("plt.show()", figure=True, folded=False),
        cell("a = 1\nb: int = 2\ndef c():\n    d = 3\nclass E: ..."),
        cell("plt.show()", figure=True),
        cell("print(1)"),
        cell("x = [1]"),
    ]
    app = SimpleNamespace(env=SimpleNamespace(doc2path=lambda name: f"{name}.ipynb"))
    source = [json.dumps({"cells": cells})]
    figures.name_code(app, "page", source)
    said = [c["metadata"].get("mystnb", {}).get("code_prompt_show") for c in json.loads(source[0])["cells"]]
    assert said == ["Imports", None, "Code: a, b, c, ...", "Code of Fig. 2", "Code", "Code: x"]


def test_each_page_counts_its_figures_from_one(figures: ModuleType) -> None:
    numbers = {"a": {"figure": {"x": (1,), "y": (2,)}}, "b": {"figure": {"z": (3,)}, "table": {"t": (4,)}}}
    figures.number_by_page(None, SimpleNamespace(toc_fignumbers=numbers))
    assert numbers == {"a": {"figure": {"x": (1,), "y": (2,)}}, "b": {"figure": {"z": (1,)}, "table": {"t": (1,)}}}


def test_what_is_said_of_legends_stays_out_of_a_page_and_nothing_else_does(figures: ModuleType) -> None:
    legend = (
        "/a/b.py:3: UserWarning: A legend hides data: one stands on 'x'.\n  fig.canvas.print_figure(bytes_io, **kw)\n"
    )
    cut = "/a/b.py:3: UserWarning: A figure shows only a part of its data: 'y'.\n  fig.canvas.print_figure(bytes_io)\n"
    cells = [
        {"cell_type": "code", "outputs": [{"name": "stderr", "text": text}, {"name": "stdout", "text": "kept"}]}
        for text in ([legend], [legend, cut], [cut, legend], "other\n")
    ]
    source = [json.dumps({"cells": [{"cell_type": "markdown"}, *cells]})]
    figures.keep_quiet(SimpleNamespace(env=SimpleNamespace(doc2path=lambda name: f"{name}.ipynb")), "page", source)
    left = [[one["text"] for one in cell["outputs"]] for cell in json.loads(source[0])["cells"][1:]]
    assert left == [["kept"], [cut, "kept"], [cut, "kept"], ["other\n", "kept"]]
