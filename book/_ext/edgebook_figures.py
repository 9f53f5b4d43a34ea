"""Figures: numbered on each page, drawn into the page so that their text is text, and legible on a phone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.environment import BuildEnvironment

from edgebook.style.watching import COVERED

SMALLEST = 9.0  # pixels that the smallest text of a figure has on any screen; below, the figure scrolls in its box
LARGEST = 200_000  # characters of SVG that go into a page; beyond, an image of its own
_FONT = re.compile(r"font-family: 'DejaVu Sans'[^;\"]*;? ?")  # of each piece of text; the page names it once
_REFERRED = re.compile(r'(?:xlink:href="#|url\(#)([^")]+)')
_LETTER = re.compile(r'<tspan x="([^"]*)" y="([^"]*)" style="([^"]*)">([^<]*)</tspan>')
_RUN = re.compile(r"(?:\s*<tspan [^>]*>[^<]*</tspan>)+\s*")
_LEGENDS = re.compile(rf"^.*Warning: {COVERED}.*\n(?:  .*\n?)?", re.MULTILINE)
_BINDS = re.compile(r"^(?:def|class) (\w+)|^(\w+)(?:: [^=]+)? = ", re.MULTILINE)
_IMPORTS = re.compile(r"^(?:from|import) ", re.MULTILINE)


def number_by_page(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Count figures and tables of each page from one: a figure added to one page renumbers no other."""
    for kinds in env.toc_fignumbers.values():
        for kind, found in kinds.items():
            kinds[kind] = {name: (place,) for place, name in enumerate(found, 1)}
    return []


def name_code(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say at every fold of code what it holds: which figure it draws, or the first names that it binds."""
    if not app.env.doc2path(docname).endswith(".ipynb"):
        return
    notebook, figure = json.loads(source[0]), 0
    for cell in notebook["cells"]:
        shown = cell["metadata"].get("mystnb", {})
        drawn = sum(map(_drawn, cell.get("outputs", []))) if "figure" in shown else 0
        if "hide-input" in cell["metadata"].get("tags", []):
            what = f"Code of Fig. {figure + 1}" if drawn else _bound("".join(cell["source"]))
            cell["metadata"]["mystnb"] = shown | {"code_prompt_show": what, "code_prompt_hide": what}
        figure += drawn
    source[0] = json.dumps(notebook)


def keep_quiet(app: Sphinx, docname: str, source: list[str]) -> None:
    """Leave out what a cell warns of legends: where they stand depends on a run's data, and no build may hang on it."""
    if app.env.doc2path(docname).endswith(".ipynb"):
        notebook = json.loads(source[0])
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                if output.get("name") == "stderr":
                    output["text"] = _LEGENDS.sub("", "".join(output["text"]))
            cell["outputs"] = [
                one for one in cell.get("outputs", []) if one.get("name") != "stderr" or one["text"].strip()
            ]
        source[0] = json.dumps(notebook)


def _drawn(output: Mapping[str, Any]) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def _bound(source: str) -> str:
    """Name what a cell without a figure holds: the first of the names that it binds, or its imports."""
    names = list(dict.fromkeys(function or value for function, value in _BINDS.findall(source)))
    if names:
        return f"Code: {', '.join(names[:3])}{', ...' * (len(names) > 3)}"
    return "Imports" if _IMPORTS.search(source) else "Code"


def inlined(svg: str, alt: str, address: str) -> str:
    """Return a figure of Matplotlib as part of a page, with a link to the figure alone.

    Its identifiers get a name of their own, so that two figures of a page do not share a clip path; it shrinks with
    the page until its smallest text would have less than `SMALLEST` pixels, and scrolls in its box from there.
    """
    box = re.search(r'viewBox="([^"]*)"', svg)[1]
    drawing = svg[re.search(r"<svg[^>]*>", svg).end() :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawing, flags=re.DOTALL)
    own, used = f"f{hashlib.sha256(svg.encode()).hexdigest()[:6]}-", set(_REFERRED.findall(drawing))
    drawing = re.sub(r' id="([^"]*)"', lambda found: f' id="{own}{found[1]}"' if found[1] in used else "", drawing)
    drawing = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{own}", drawing)
    drawing = _RUN.sub(_joined, _FONT.sub("", drawing))
    width = float(box.split()[2])
    size = f"width:{width * 4 / 3:.0f}px;min-width:{SMALLEST * width / _smallest(svg):.0f}px"
    return (
        '<div class="eb-figure"><div class="eb-scroll">'
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}" role="img" aria-label="{escape(alt)}" '
        f'stroke-linejoin="round" style="{size}">{drawing.strip()}</div>'
        f'<a class="eb-alone" href="{escape(address)}">This figure alone</a></div>'
    )


def _joined(run: re.Match[str]) -> str:
    """Put the letters of a formula, each in an element of its own, together into words that can be searched."""
    letters = _LETTER.findall(run[0])
    words = groupby(letters, key=lambda letter: (letter[1], letter[2]))  # one line, one look
    joined = ""
    for (y, look), word in words:
        places, *_, signs = zip(*word, strict=True)
        joined += f'<tspan x="{" ".join(places)}" y="{y}" style="{look}">{"".join(signs)}</tspan>'
    return joined


def _smallest(svg: str) -> float:
    """Return the size of a figure's smallest text, in units of its box; a raised or lowered sign does not count."""
    found = []
    for text in re.findall(r"<text.*?</text>", svg, flags=re.DOTALL):
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", text)]
        scaled = [float(scale) for scale in re.findall(r"scale\(([\d.]+)", text)]
        found += [max(sizes) * (scaled[0] if scaled else 1.0)] if sizes else []
    return min(found, default=SMALLEST)


def source_of(builder: Builder, node: nodes.image) -> str | None:
    """Return the SVG of an image that Matplotlib drew and that is small enough for a page; else None."""
    path = Path(builder.srcdir) / node["uri"].lstrip("/")
    if path.suffix != ".svg" or node["uri"] not in builder.images or not path.is_file():
        return None
    svg = path.read_text(encoding="utf-8")
    return svg if "Matplotlib" in svg[:1200] and len(svg) <= LARGEST else None


def visit_image(self: Any, node: nodes.image) -> None:
    """Write a figure into the page, and any other image as the theme does."""
    svg = source_of(self.builder, node)
    if svg is None:
        type(self).visit_image(self, node)
        return
    address = f"{self.builder.imgpath}/{self.builder.images[node['uri']]}"
    self.body.append(inlined(svg, node.get("alt", ""), address))
    raise nodes.SkipNode


def depart_image(self: Any, node: nodes.image) -> None:
    """End an image as the theme does."""
    type(self).depart_image(self, node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the numbers, the names of folded code and the way in which figures are written."""
    app.connect("env-get-updated", number_by_page, priority=900)  # after Sphinx's own numbers
    app.connect("source-read", keep_quiet, priority=400)
    app.connect("source-read", name_code, priority=400)  # before a cell with a figure is taken apart
    app.add_node(nodes.image, override=True, html=(visit_image, depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
