"""Sphinx extension of this book: speed, support, the API and the launch buttons."""

from __future__ import annotations

import json
import os
import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

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

# The floors of the package from the ground up; a package that is not listed comes last.
_FLOORS = (
    "data",
    "measure",
    "networks",
    "compression",
    "spiking",
    "crossbar",
    "federated",
    "decoding",
    "autonomy",
    "ledger",
)
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


class ApiReference(SphinxDirective):
    """``{api-reference}``: a section per package of ``edgebook``, with every module in it."""

    def run(self) -> list[nodes.Node]:
        package = import_module("edgebook")
        found = [module for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
        wings = sorted((m.name for m in found if m.ispkg), key=lambda name: (_floor(name), name))
        lines = [line for wing in wings for line in _package_lines(f"edgebook.{wing}")]
        lines += ["## edgebook", "", *_automodule("edgebook", members=False)]
        lines += [line for m in found if not m.ispkg for line in _module_lines(f"edgebook.{m.name}")]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, "api"), 0, holder, match_titles=True)
        return holder.children


def _floor(name: str) -> int:
    return _FLOORS.index(name) if name in _FLOORS else len(_FLOORS)


def _package_lines(name: str) -> list[str]:
    lines = [f"## {name}", "", *_automodule(name, members=False)]
    return lines + [line for module in _modules(name) for line in _module_lines(module)]


def _modules(name: str) -> list[str]:
    """Return the modules of a package, those of packages within it in their place."""
    found = sorted(
        (m for m in pkgutil.iter_modules(import_module(name).__path__) if m.name[0] != "_"), key=lambda m: m.name
    )
    inner = ((f"{name}.{m.name}", m.ispkg) for m in found)
    return [module for one, package in inner for module in ([one, *_modules(one)] if package else [one])]


def _module_lines(name: str) -> list[str]:
    return [f"### {name}", "", *_automodule(name, members=True)]


def _automodule(name: str, members: bool) -> list[str]:
    options = ["   :members:", "   :show-inheritance:"] if members else []
    return ["```{eval-rst}", f".. automodule:: {name}", *options, "```", ""]


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
    return [name for name in (*marked, "book/api") if name in env.found_docs]


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


def forget_builtins(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Take Python's own names from the index of sources: there is no page of them that it could lead to."""
    getattr(env, "_viewcode_modules", {}).pop("builtins", None)
    return []


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the docstrings that Python makes for fields of a NamedTuple; the class's own text has them."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register directives and events."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app.add_post_transform(KeepPercent)
    app.add_post_transform(LinkClaims)
    app.setup_extension("edgebook_board")
    app.add_directive("speed", Speed)
    app.add_directive("support", Support)
    app.add_directive("api-reference", ApiReference)
    app.connect("config-inited", switch_buttons)
    app.connect("config-inited", leave_out_thebe)
    app.connect("env-get-outdated", outdated)
    app.connect("source-read", caption_figures_alone)
    edgebook_shown.connect(app)
    app.connect("env-updated", forget_builtins)
    app.connect("autodoc-skip-member", skip_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
