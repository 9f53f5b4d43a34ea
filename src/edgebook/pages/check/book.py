"""Contents, configuration and citations of the book: every page, key and reference exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from edgebook import notebooks
from edgebook.notebooks.files import read_yaml
from edgebook.pages.check.ledgers import read

# Read by Jupyter Book 1 or its theme, but neither in its default configuration nor in its schema.
_CONFIG_BESIDES = {"project", "launch_buttons.jupyterlite_url", "parse.myst_substitutions"}
_CONFIG_OPEN = ("sphinx.config.", "sphinx.local_extensions.", "parse.myst_substitutions.", "latex.latex_documents.")
_CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
_CITE_FIELD = re.compile(r"^\s*(?:- )?cite:\s*(\S+)", flags=re.MULTILINE)


def contents(root: Path) -> Iterator[str]:
    """Yield entries of ``_toc.yml`` that are no page or stand twice, and pages that are no entry."""
    table, refused = _mapping(root, "_toc.yml")
    yield from refused
    if refused:
        return
    entries = list(_files(table))
    listed = [entry.removesuffix(".ipynb").removesuffix(".md") for entry in entries]
    prose = set(_pages(root))
    pages = [*(f"notebooks/{name}" for name in notebooks.paper_names()), *sorted(prose)]
    for entry, page in sorted(set(zip(entries, listed, strict=True))):
        if page not in pages:
            yield f"_toc.yml names '{entry}', which is no file of book/ or notebooks/."
        if listed.count(page) > 1:
            yield f"_toc.yml names '{entry}' more than once."
    yield from (f"_toc.yml does not name '{page}'." for page in pages if page not in listed)


def _pages(root: Path) -> Iterator[str]:
    """Yield every page of prose in book/ and its folders, without its ending."""
    for path in (root / "book").rglob("*"):
        name = path.relative_to(root)
        if path.suffix in (".ipynb", ".md") and not any(part[0] in "._" for part in name.parts):
            yield name.with_suffix("").as_posix()


def _files(node: Any) -> Iterator[str]:
    """Yield every ``file`` and ``root`` of a table of contents."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("file", "root"):
                yield str(value)
            else:
                yield from _files(value)
    elif isinstance(node, list):
        for item in node:
            yield from _files(item)


def configuration(root: Path) -> Iterator[str]:
    """Yield keys of ``_config.yml`` that Jupyter Book does not know: it passes over them without a word."""
    config, refused = _mapping(root, "_config.yml")
    yield from refused
    package = find_spec("jupyter_book")
    if package is None or package.origin is None:
        return
    folder = Path(package.origin).parent
    default = yaml.safe_load((folder / "default_config.yml").read_text(encoding="utf-8"))
    schema = json.loads((folder / "config_schema.json").read_text(encoding="utf-8"))
    known = {*_keys(default), *_properties(schema), *_CONFIG_BESIDES}
    for key in _keys(config):
        if key not in known and not key.startswith(_CONFIG_OPEN):
            near = notebooks.nearest(key, sorted(known))
            yield f"_config.yml has the key '{key}', which Jupyter Book does not know; {near}"


def _keys(node: dict[str, Any], above: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys of nested mappings."""
    for key, value in node.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")


def _properties(schema: dict[str, Any], above: str = "") -> Iterator[str]:
    """Yield the dotted names of all properties of a JSON schema."""
    for key, value in schema.get("properties", {}).items():
        yield f"{above}{key}"
        yield from _properties(value, f"{above}{key}.")


def citations(root: Path) -> Iterator[str]:
    """Yield what a page, a ledger or a docstring cites and the bibliography does not have."""
    bibliography = root / "book" / "references.bib"
    text = bibliography.read_text(encoding="utf-8") if bibliography.is_file() else ""
    known = set(re.findall(r"^\s*@\w+\s*\{\s*([^,\s]+)\s*,", text, flags=re.MULTILINE))
    for place, key in sorted(_cited(root)):
        if key not in known:
            near = notebooks.nearest(key, sorted(known))
            yield f"{place} cites '{key}', which is not in book/references.bib; {near}"


def _cited(root: Path) -> set[tuple[str, str]]:
    """Return (place, key) of every citation in ledgers, catalogue, pages, notebooks and docstrings."""
    found = set()
    for path in [*root.glob("book/claims/*.yml"), root / "book" / "papers.yml"]:
        if path.is_file():
            keys = _CITE_FIELD.findall(path.read_text(encoding="utf-8"))
            found |= {(path.relative_to(root).as_posix(), key) for key in keys}
    pages = [*root.glob("book/**/*.md"), *root.glob("book/*.ipynb"), *root.glob("notebooks/*.ipynb")]
    for path in [*pages, *root.glob("src/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        roles = [*_CITE.findall(text), *re.findall(r":cite(?::\w+)?:`([^`]+)`", text)]
        keys = {key.strip() for role in roles for key in role.split(",")}
        found |= {(path.relative_to(root).as_posix(), key) for key in keys}
    return found


def _mapping(root: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    """Read a YAML file that must hold a mapping; return it and what is wrong with it."""
    table, refused = read(read_yaml, root / name, name) if (root / name).is_file() else ({}, [f"There is no {name}."])
    if not refused and not isinstance(table, dict):
        refused = [f"{name} must be a mapping."]
    return ({} if refused else table), refused
