"""Ledger, notebooks, tier file, contents and configuration, compared with each other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from edgebook import notebooks

# Read by Jupyter Book 1 or its theme, but neither in its default configuration nor in its schema.
_CONFIG_BESIDES = {"project", "launch_buttons.jupyterlite_url", "parse.myst_substitutions"}
_CONFIG_OPEN = (
    "sphinx.config",
    "sphinx.local_extensions",
    "parse.myst_substitutions",
    "latex.latex_documents",
)
_CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
_CITE_FIELD = re.compile(r"^\s*(?:- )?cite:\s*(\S+)", flags=re.MULTILINE)
_ANCHOR = re.compile(r"<a\s+id=\"([^\"]+)\"")


def check(root: Path) -> list[str]:
    """Return one sentence for each thing that does not fit; an empty list where all of it does."""
    parts: tuple[Callable[[Path], Iterable[str]], ...] = (
        _ledgers,
        _parameter_cells,
        _tier_file,
        _sweeps,
        _contents,
        _configuration,
        _citations,
    )
    return [problem for part in parts for problem in part(root)]


def _refusal(function: Callable[..., object], *arguments: object) -> list[str]:
    """Return what a loader says of a file that it refuses, or nothing."""
    try:
        function(*arguments)
    except (ValueError, FileNotFoundError) as error:
        return [str(error)]
    return []


def _ledgers(root: Path) -> Iterator[str]:
    """Papers, ledgers and papers.yml name each other, and each claim has its section."""
    from edgebook.ledger.claims import load_ledger
    from edgebook.ledger.papers import load_papers

    papers = notebooks.paper_names()
    ledgers = sorted(path.stem for path in (root / "book" / "claims").glob("*.yml"))
    for name in sorted({*papers, *ledgers}):
        refused = _refusal(load_ledger, name, root)
        yield from refused
        if name not in papers:
            yield f"book/claims/{name}.yml has no notebook notebooks/{name}.ipynb."
        elif not refused:
            yield from _anchors(root, name, [claim.id.lower() for claim in load_ledger(name, root).claims])
    refused = _refusal(load_papers, root)
    yield from refused
    if not refused:
        known = {paper.name: paper for paper in load_papers(root).papers}
        for name in papers:
            if name not in known:
                yield f"book/papers.yml does not know '{name}'; {notebooks.nearest(name, known)}"
            elif name in ledgers and not _refusal(load_ledger, name, root):
                yield from _same(known[name], load_ledger(name, root), name)


def _same(paper: Any, ledger: Any, name: str) -> Iterator[str]:
    for field in ("title", "cite"):
        if getattr(paper, field) != getattr(ledger, field):
            yield f"The {field} of '{name}' differs between book/papers.yml and book/claims/{name}.yml."


def _anchors(root: Path, name: str, claims: list[str]) -> Iterator[str]:
    """Each claim has one anchor in its notebook; an anchor that looks like a claim's belongs to one."""
    cells = _readable(root / "notebooks" / f"{name}.ipynb")
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    anchors = _ANCHOR.findall(text)
    prefixes = tuple({claim.rpartition("-")[0] + "-" for claim in claims})
    for claim in claims:
        if anchors.count(claim) != 1:
            found = anchors.count(claim)
            yield f'notebooks/{name}.ipynb has {found} anchors <a id="{claim}"></a>; it must have one.'
    for anchor in sorted(set(anchors) - set(claims)):
        if anchor.lower() in claims or re.fullmatch(rf"({'|'.join(map(re.escape, prefixes))})\d+", anchor):
            yield f"notebooks/{name}.ipynb has the anchor '{anchor}' but its ledger has no such claim."


def _readable(path: Path) -> list[dict[str, Any]]:
    try:
        return notebooks.cells(path)
    except ValueError:  # said by the check of the parameter cells
        return []


def _parameter_cells(root: Path) -> Iterator[str]:
    """Each notebook's first code cell is its parameters cell, and begins with the tier."""
    for name in [*notebooks.paper_names(), *notebooks.page_names()]:
        path = notebooks.find(name)
        refused = _refusal(notebooks.parameters, path)
        yield from refused
        if refused:
            continue
        code = [cell for cell in notebooks.cells(path) if cell["cell_type"] == "code"]
        if "parameters" not in notebooks.tags(code[0]):
            yield f"The first code cell of {path.name} must be its parameters cell."
        declared = list(notebooks.parameters(path).values())
        if not declared or (declared[0].name, declared[0].default) != ("tier", "book"):
            yield f"The first parameter of {path.name} must be 'tier: str = \"book\"'."
        for parameter in declared:
            if not parameter.help:
                yield f"The parameter '{parameter.name}' of {path.name} has no help comment."


def _tier_file(root: Path) -> Iterator[str]:
    """Every value of the tier file fits its parameter; every paper has values for every tier but book."""
    refused = _refusal(notebooks.read_tiers)
    yield from refused
    if refused:
        return
    for name in [*notebooks.paper_names(), *notebooks.page_names()]:
        if not _refusal(notebooks.parameters, notebooks.find(name)):
            for tier in notebooks.tiers():
                yield from _refusal(notebooks.overrides, name, tier)


def _sweeps(root: Path) -> Iterator[str]:
    """Every sweep asks for a notebook, tier, parameters and claims that exist, with values of their types."""
    from edgebook.sweeps.points import points_of
    from edgebook.sweeps.sweep_file import sweep_names

    for name in sweep_names():
        yield from _refusal(points_of, name)


def _contents(root: Path) -> Iterator[str]:
    """Every entry of ``_toc.yml`` is a file, no file twice, and every notebook is an entry."""
    table, problems = _mapping(root, "_toc.yml")
    yield from problems
    if problems:
        return
    entries = list(_files(table))
    for entry in sorted(set(entries)):
        if not any((root / f"{entry}{suffix}").is_file() for suffix in ("", ".md", ".ipynb", ".rst")):
            yield f"_toc.yml names '{entry}', which is no file."
        if entries.count(entry) > 1:
            yield f"_toc.yml names '{entry}' more than once."
    stems = {entry.removesuffix(".ipynb") for entry in entries}
    for name in [*notebooks.paper_names(), *notebooks.page_names()]:
        stem = notebooks.find(name).relative_to(root.resolve()).with_suffix("").as_posix()
        if stem not in stems:
            yield f"_toc.yml does not name '{stem}'."


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


def _configuration(root: Path) -> Iterator[str]:
    """Every key is one that Jupyter Book knows: it passes over others without a word."""
    config, problems = _mapping(root, "_config.yml")
    yield from problems
    package = find_spec("jupyter_book")
    if package is None or package.origin is None:
        return
    folder = Path(package.origin).parent
    default = yaml.safe_load((folder / "default_config.yml").read_text(encoding="utf-8"))
    schema = json.loads((folder / "config_schema.json").read_text(encoding="utf-8"))
    known = {*_keys(default), *_properties(schema), *_CONFIG_BESIDES}
    for key in _keys(config):
        if key not in known and not key.startswith(tuple(f"{name}." for name in _CONFIG_OPEN)):
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


def _citations(root: Path) -> Iterator[str]:
    """Every key that a page or a ledger cites is in the bibliography."""
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
    if not (root / name).is_file():
        return {}, [f"There is no {name}."]
    try:
        table = yaml.safe_load((root / name).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        return {}, [f"{name} is no valid YAML: {' '.join(str(error).split())}."]
    return (table, []) if isinstance(table, dict) else ({}, [f"{name} must be a mapping."])
