# What is out of date is executed, one process and one thread per notebook; then the book is rendered.
#
#   snakemake --cores all                                   the book
#   snakemake --cores all execute                           its notebooks only
#   snakemake --cores all quick                             every notebook at tier quick
#   snakemake --cores all record --config paper=<notebook>  a verdict-grade run into results/full
#
# Out of date is what has another content, not another date: a notebook, a file of the package that it uses,
# its ledger, its parameter values, the lock file. Each rule calls one command, so that any executor will do.

import json
import os
import sys
from pathlib import Path

os.environ["EDGEBOOK_ROOT"] = os.getcwd()

from edgebook import notebooks, sources

PYTHON = sys.executable
PAPERS, PAGES = notebooks.paper_names(), notebooks.page_names()
CHOSEN = [notebooks.find(config["paper"]).stem] if config.get("paper") else PAPERS
RUN = (
    "{PYTHON} -m edgebook run {wildcards.name} --tier {params.tier} --out _build/{params.tier} > {log} 2>&1"
    " || {{ tail -n 1 {log} >&2; exit 1; }}"
)


def names(known):
    """Return the regular expression of some names, or one that nothing matches."""
    return "|".join(known) or "(?!)"


def used(wildcards):
    """Return the files that decide what a notebook shows."""
    found = [*sources.source_files(notebooks.find(wildcards.name)), Path("constraints.txt").resolve()]
    found += Path("book/claims").resolve().glob(f"{wildcards.name}.yml")
    return sorted(os.path.relpath(path) for path in found if path.exists())


def shown(wildcards):
    """Return the verdict-grade record, which a page shows beside its own; its own run must not wait for it."""
    return [str(path) for path in Path("results/full").glob(f"{wildcards.name}.json")]


def values(tier):
    """Return a function to the parameter values of a notebook, and to the names it binds, as one text."""

    def of(wildcards):
        name = wildcards.name
        values = notebooks.resolve(name, tier or wildcards.tier)
        return json.dumps([values, sources.fingerprint(notebooks.find(name))], sort_keys=True)

    return of


def pages(tier):
    """Return the executed notebooks of a tier, and the records of the papers."""
    executed = expand("_build/{tier}/{name}.ipynb", tier=tier, name=PAPERS + PAGES)
    return executed + expand("_build/{tier}/{name}.json", tier=tier, name=PAPERS)


def written():
    """Return everything that a person writes into the book."""
    trees = [*Path("book").rglob("*"), *Path("src").rglob("*.py"), *Path("results/full").glob("*.json")]
    hidden = ("__pycache__", ".ipynb_checkpoints")
    kept = [path for path in trees if path.is_file() and not any(part in hidden for part in path.parts)]
    return sorted(map(str, kept)) + ["_config.yml", "_toc.yml"]


wildcard_constraints:
    tier="quick|book",


rule book:
    default_target: True
    input:
        "_build/html/index.html",


rule execute:
    input:
        pages("book"),


rule quick:
    input:
        pages("quick"),


rule record:
    input:
        expand("_build/full/{name}.json", name=CHOSEN),


rule paper:
    wildcard_constraints:
        name=names(PAPERS),
    input:
        "notebooks/{name}.ipynb",
        used,
        shown,
    output:
        "_build/{tier}/{name}.ipynb",
        "_build/{tier}/{name}.json",
    params:
        tier="{tier}",
        values=values(None),
    log:
        "_build/logs/{tier}/{name}.log",
    message:
        "Executing {wildcards.name} at tier {params.tier}; cells done: {log}"
    shell:
        RUN


rule page:
    wildcard_constraints:
        name=names(PAGES),
    input:
        "book/{name}.ipynb",
        used,
    output:
        "_build/{tier}/{name}.ipynb",
    params:
        tier="{tier}",
        values=values(None),
    log:
        "_build/logs/{tier}/{name}.log",
    message:
        "Executing {wildcards.name} at tier {params.tier}; cells done: {log}"
    shell:
        RUN


rule full:
    wildcard_constraints:
        name=names(PAPERS),
    input:
        "notebooks/{name}.ipynb",
        used,
    output:
        "_build/full/{name}.ipynb",
        "_build/full/{name}.json",
    params:
        tier="full",
        values=values("full"),
    log:
        "_build/logs/full/{name}.log",
    message:
        "Executing {wildcards.name} at tier full; cells done: {log}"
    shell:
        "export EDGEBOOK_RESUME=_build/cache; " + RUN + "; mkdir -p results/full && cp {output[1]} results/full/"


rule render:
    input:
        pages("book"),
        written(),
    output:
        "_build/html/index.html",
    log:
        "_build/logs/render.log",
    message:
        "Rendering the book; warnings are errors"
    shell:
        "{PYTHON} -m edgebook.book --executed _build/book --out _build/html > {log} 2>&1"
        " || {{ cat {log} >&2; exit 1; }}"
