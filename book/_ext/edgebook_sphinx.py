"""Sphinx extension of this book: speed, support and the launch buttons."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

try:
    import edgebook  # noqa: F401
except ModuleNotFoundError:  # a plain `jupyter-book build .` in a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import edgebook_shown
from edgebook_claims import LinkClaims
from edgebook_page import Rendered as _Rendered
from edgebook_speed import drawn_for, load_benchmarks
from edgebook_support import drawn_for as support_html
from edgebook_support import load_support

from edgebook.notebooks.paths import project_root

_THEBE = {"init_thebe_core", "update_thebe_context"}


class Speed(_Rendered):
    """``{speed} WHAT``: a table of the recorded benchmarks."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        return self.html(drawn_for(self.arguments[0], load_benchmarks(project_root())))


class Support(_Rendered):
    """``{support} WHAT``: what works with a kernel, from the record of the tests."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        return self.html(support_html(self.arguments[0], load_support(project_root())))


def switch_buttons(app: Sphinx, config: Config) -> None:
    """Offer launch and repository buttons only where the repository's address is known."""
    options = dict(config.html_theme_options)
    known = bool(options.get("repository_url"))
    options |= {"use_repository_button": known, "use_issues_button": known}
    if not known:
        options["launch_buttons"] = {}
    config.html_theme_options = options


def leave_out_thebe(app: Sphinx, config: Config) -> None:
    """Drop the live-code scripts that Jupyter Book adds to every page: they name a host outside the book."""
    for listeners in list(app.events.listeners.values()):
        for listener in list(listeners):
            handler = listener.handler
            if handler.__module__ == "sphinx_thebe" and handler.__name__ in _THEBE:
                app.disconnect(listener.id)


def outdated(app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set) -> list[str]:
    """Read pages again that show records or code: what they depend on is no file that Sphinx watches."""
    marked = [name for name, meta in env.metadata.items() if meta.get("edgebook_rendered")]
    return [name for name in marked if name in env.found_docs]


def caption_figures_alone(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put what a captioned cell shows beside its figure into a cell of its own: MyST-NB captions every output."""
    if app.env.doc2path(docname).endswith(".ipynb"):
        notebook = json.loads(source[0])
        notebook["cells"] = [part for cell in notebook["cells"] for part in _figure_and_rest(cell)]
        source[0] = json.dumps(notebook)


def _figure_and_rest(cell: dict[str, Any]) -> list[dict[str, Any]]:
    outputs = cell.get("outputs", [])
    rest = [shown for shown in outputs if "data" in shown and not any("image/" in kind for kind in shown["data"])]
    if not rest or "figure" not in cell["metadata"].get("mystnb", {}):
        return [cell]
    figure = cell | {"outputs": [shown for shown in outputs if shown not in rest]}
    return [figure, cell | {"id": f"{cell['id']}-rest", "metadata": {"tags": ["remove-input"]}, "outputs": rest}]


class KeepPercent(SphinxPostTransform):
    """Leave no percent sign alone at the beginning of a line."""

    default_priority = 900

    def run(self) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if " %" in text and not isinstance(text.parent, nodes.FixedTextElement | nodes.literal | nodes.math):
                text.parent.replace(text, nodes.Text(re.sub(r"(?<=\d) %", "\u00a0%", text)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register directives and events."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app.add_post_transform(KeepPercent)
    app.add_post_transform(LinkClaims)
    app.setup_extension("edgebook_board")
    app.add_directive("speed", Speed)
    app.add_directive("support", Support)
    app.connect("config-inited", switch_buttons)
    app.connect("config-inited", leave_out_thebe)
    app.connect("env-get-outdated", outdated)
    app.connect("source-read", caption_figures_alone)
    edgebook_shown.connect(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
