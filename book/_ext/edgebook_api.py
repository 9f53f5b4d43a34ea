"""The reference: a page for each room of the package, and links to it from every mention of a name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

PAGES = "book/api/"


class ApiReference(SphinxDirective):
    """``{api-reference} ROOM``: a section for each module of a package or module of ``edgebook``.

    A room too large for one page has two: one ``:without:`` some modules, one with ``:only:`` these.
    """

    required_arguments = 1
    option_spec: ClassVar = {"without": directives.unchanged_required, "only": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        room = f"edgebook.{self.arguments[0]}"
        package = hasattr(import_module(room), "__path__")
        only, without = ([f"{room}.{one}" for one in self.options.get(of, "").split()] for of in ("only", "without"))
        lines = [] if only else _automodule(room, members=not package)
        for name in only or (name for name in (_modules(room) if package else ()) if name not in without):
            # The heading leaves out what the page's own says, so that the list of contents holds it whole.
            lines += [f"## {name.removeprefix(f'{room}.')}", "", *_automodule(name, members=True)]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, "api"), 0, holder, match_titles=True)
        return holder.children


def _modules(name: str) -> list[str]:
    """Return the modules of a package, those of packages within it in their place."""
    found = sorted(
        (m for m in pkgutil.iter_modules(import_module(name).__path__) if m.name[0] != "_"), key=lambda m: m.name
    )
    inner = ((f"{name}.{m.name}", m.ispkg) for m in found)
    return [module for one, package in inner for module in ([one, *_modules(one)] if package else [one])]


def _automodule(name: str, members: bool) -> list[str]:
    options = ["   :members:", "   :show-inheritance:"] if members else []
    return ["```{eval-rst}", f".. automodule:: {name}", *options, "```", ""]


def at_its_definition(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    """Resolve a mention of a name where a package exports it, as ``edgebook.crossbar.fold``, to where it is defined."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("edgebook."):
        return None
    defined = _defined(target)
    if defined in (None, target):
        return None
    docname = node.get("refdoc", env.docname)
    return env.get_domain("py").resolve_xref(env, docname, app.builder, node["reftype"], defined, node, text)


def _defined(name: str) -> str | None:
    """Return the full name under which what a dotted name stands for is documented."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None
    home, own = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    return f"{home}.{own}" if home and own else None


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what Python says of fields of a NamedTuple, and pydantic of its settings; the class's text has more."""
    if name == "model_config":
        return True
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None


def text_first(app: Sphinx, doctree: nodes.document) -> None:
    """Put what a room says of itself before its modules: where headings are nested it is read last."""
    if app.env.docname.startswith(PAGES):
        for page in [one for one in doctree.children if isinstance(one, nodes.section)]:
            page.children.sort(key=lambda one: isinstance(one, nodes.section))


def forget_builtins(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Take Python's own names from the index of sources: there is no page of them that it could lead to."""
    getattr(env, "_viewcode_modules", {}).pop("builtins", None)
    return []


def outdated(app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set) -> list[str]:
    """Read the pages of the reference again: the code that they show is no file that Sphinx watches."""
    return [name for name in env.found_docs if name.startswith(PAGES)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and what belongs to it."""
    app.add_directive("api-reference", ApiReference)
    app.connect("missing-reference", at_its_definition)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("doctree-read", text_first)
    app.connect("env-updated", forget_builtins)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
