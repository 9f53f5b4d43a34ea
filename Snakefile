# What is out of date is executed, one process and one thread per notebook; then the book is rendered.
#
#   snakemake --cores all                                   the book
#   snakemake --cores all execute                           its notebooks only
#   snakemake --cores all quick                             every notebook at tier quick
#   snakemake --cores all record --config paper=<notebook>  a verdict-grade run into results/full
#   snakemake --cores all sweep --config name=<sweep>       every point of a sweep, and its table
#
# Out of date is what has another content, not another date: a notebook, a definition of the package that it reaches,
# its ledger, its parameter values, the lock file. Each rule calls one command, so that any executor will do.

import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

os.environ["EDGEBOOK_ROOT"] = os.getcwd()

from edgebook import notebooks

from edgebook.notebooks import sources

PYTHON = sys.executable
PAPERS, PAGES = notebooks.paper_names(), notebooks.page_names()
SWEEP = str(config.get("name") or "")
CHOSEN = [notebooks.find(config["paper"]).stem] if config.get("paper") else PAPERS
RUN = (
    "{PYTHON} -m edgebook run {wildcards.name} --tier {params.tier} --out _build/{params.tier} > {log} 2>&1"
    " || {{ tail -n 1 {log} >&2; exit 1; }}"
)


def planned(sweep):
    """Return the points of a sweep by id; a sweep that asks for something wrong is refused here, before any runs."""
    if not sweep:
        return {}
    from edgebook.sweeps import outcome, points

    try:
        found = {point.id: point for point in points.points_of(sweep)}
    except ValueError as error:
        sys.exit(str(error))  # one sentence, where an exception would come with a traceback
    if workflow.is_main_process and not workflow.dryrun:  # points that failed are run again, in this call's jobs
        outcome.forget_failures(point.folder for point in found.values())
    return found


POINTS = planned(SWEEP)


def names(known):
    """Return the regular expression of some names, or one that nothing matches."""
    return "|".join(known) or "(?!)"


def used(wildcards):
    """Return the files that decide what a notebook shows, beside itself and the kernels that it reaches."""
    found = ["constraints.txt", f"book/claims/{wildcards.name}.yml", f"results/{wildcards.name}.json"]
    return [path for path in found if Path(path).exists()]


def shown(wildcards):
    """Return the verdict-grade record, which a page shows beside its own; its own run must not wait for it."""
    return [str(path) for path in sorted(Path("results/full").glob(f"{wildcards.name}.*json"))]


def values(tier):
    """Return a function to the parameter values of a notebook and the fingerprint of all code behind it, as one text.

    A run at tier full is out of date where a number could change, any other where a page could.
    """

    def of(wildcards):
        name = wildcards.name
        values = notebooks.resolve(name, tier or wildcards.tier)
        code = sources.fingerprint if tier == "full" else sources.page_fingerprint
        return json.dumps([values, code(notebooks.find(name))], sort_keys=True)

    return of


def pages(tier):
    """Return the executed notebooks of a tier, and the records of the papers."""
    executed = expand("_build/{tier}/{name}.ipynb", tier=tier, name=PAPERS + PAGES)
    return executed + expand("_build/{tier}/{name}.json", tier=tier, name=PAPERS)


def written():
    """Return everything that a person writes into the book, and the tables of sweeps that it shows."""
    trees = [*Path("book").rglob("*"), *Path("src").rglob("*.py"), *Path("results/full").glob("*.json")]
    trees += [*Path("notebooks/sweeps").glob("*.yml"), *Path("_build/sweeps").glob("*.parquet")]  # those that were run
    trees += Path("results/sweeps").glob("*.csv")  # those that are committed
    hidden = ("__pycache__", ".ipynb_checkpoints")
    kept = [path for path in trees if path.is_file() and not any(part in hidden for part in path.parts)]
    return sorted(map(str, kept)) + ["_config.yml", "_toc.yml"]


def used_by_point(wildcards):
    """Return the notebook of a point, and the lock file; its id holds the fingerprint of its code."""
    return [os.path.relpath(notebooks.find(POINTS[wildcards.point].notebook)), "constraints.txt"]


def outcomes(wildcards):
    """Return what became of every point of the sweep."""
    if not POINTS:
        from edgebook.sweeps.sweep_file import sweep_names

        raise WorkflowError(f"Name the sweep with --config name=<sweep>; there are {', '.join(sweep_names())}.")
    return [f"_build/points/{point}/outcome.json" for point in POINTS]


wildcard_constraints:
    tier="|".join(name for name, tier in notebooks.TIERS.items() if tier.pages),


localrules:
    book,
    execute,
    quick,
    record,
    sweep,
    table,


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


rule sweep:
    input:
        outcomes, # a point that is forgotten is missing here; the table alone would not miss it
        f"_build/sweeps/{SWEEP}.parquet",
    shell:
        "{PYTHON} -m edgebook sweep {SWEEP} --summary"


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
        "export EDGEBOOK_RESUME=_build/cache; " + RUN + "; mkdir -p results/full && cp {output[1]} results/full/; "
        "beside=_build/full/{wildcards.name}.measured.json; [ ! -e $beside ] || cp $beside results/full/"


rule point:
    wildcard_constraints:
        point=names(POINTS),
    input:
        used_by_point,
    output:
        "_build/points/{point}/outcome.json",
    log:
        "_build/logs/points/{point}.log",
    message:
        "Running point {wildcards.point} of {SWEEP}; cells done: {log}"
    shell:
        "{PYTHON} -m edgebook point {SWEEP} {wildcards.point} > {log} 2>&1 || {{ tail -n 1 {log} >&2; exit 1; }}"


rule table:
    input:
        outcomes,
        lambda wildcards: f"notebooks/sweeps/{SWEEP}.yml",
    output:
        f"_build/sweeps/{SWEEP}.parquet",
        f"_build/sweeps/{SWEEP}.csv",
    log:
        f"_build/logs/sweeps/{SWEEP}.log",
    params:
        points=list(POINTS),
    shell:
        "{PYTHON} -m edgebook sweep {SWEEP} --table > {log} 2>&1 || {{ tail -n 1 {log} >&2; exit 1; }}"


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
        "{PYTHON} -m edgebook.pages.render --executed _build/book --out _build/html > {log} 2>&1"
        " || {{ cat {log} >&2; exit 1; }}"
