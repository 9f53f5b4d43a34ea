"""Where the files behind a page are: in the repository, or where that has no address yet, beside the page."""

from __future__ import annotations

from pathlib import Path

from edgebook.notebooks.files import read_yaml

LEDGER, RECORD, NOTEBOOK = "book/claims/{}.yml", "results/full/{}.json", "notebooks/{}.ipynb"
CARRIED = {LEDGER: "ledger", RECORD: "records"}
"""What the rendered book carries along, each with the folder of ``_static`` that holds it."""

_FILES = {"ledger": LEDGER, "record": RECORD, "notebook": NOTEBOOK}


def addresses(notebook: str, root: Path, *, book: bool) -> dict[str, str]:
    """Return the addresses of a paper's ledger, record and notebook, of those that there are.

    They lead into the repository where ``_config.yml`` has its address; else they are relative, to a page of the
    rendered ``book``, or to the notebook in its checkout.
    """
    paths = {what: path.format(notebook) for what, path in _FILES.items()}
    there = {what: path for what, path in paths.items() if (root / path).is_file()}
    config = root / "_config.yml"
    repository = (read_yaml(config, config.name).get("repository") if config.is_file() else None) or {}
    if repository.get("url"):
        front = f"{repository['url'].rstrip('/')}/blob/{repository.get('branch') or 'main'}/"
        return {what: front + path for what, path in there.items()}
    carried = {path.format(notebook): f"_static/{folder}" for path, folder in CARRIED.items()}
    carried |= {paths["notebook"]: "_sources/notebooks"}
    return {what: f"../{carried[path]}/{Path(path).name}" if book else f"../{path}" for what, path in there.items()}
