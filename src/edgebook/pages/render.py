"""Render the book: stage sources and executed notebooks in one tree, then let Jupyter Book build it."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from edgebook.notebooks.paths import project_root
from edgebook.pages.sweeps import write_pages

_SKIPPED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "claims")
_WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|Error:")


def stage(executed: Path, stage_dir: Path, root: Path | None = None) -> list[str]:
    """Lay out the tree that Sphinx reads, replacing what an earlier call left there.

    Sweeps get pages that stand in no source: their list, and a page for each that has a table.
    Returned are the names of the notebooks that ``executed`` does not have; their pages show the sources.
    A `ValueError` where ``stage_dir`` is not empty and was not made by this function.
    """
    root = root or project_root()
    _empty(stage_dir)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(root / name, stage_dir / name)
    shutil.copytree(root / "book", stage_dir / "book", ignore=_SKIPPED)
    (stage_dir / "notebooks").mkdir()
    for record in sorted(executed.glob("*.json")):
        shutil.copy2(record, stage_dir / "records" / record.name)
    missing = []
    for source in (*sorted((root / "notebooks").glob("*.ipynb")), *sorted((root / "book").glob("*.ipynb"))):
        done = executed / source.name
        if not done.is_file():
            missing.append(source.stem)
        shutil.copy2(done if done.is_file() else source, stage_dir / source.parent.name / source.name)
    _add_to_contents(stage_dir / "_toc.yml", write_pages(stage_dir))
    return missing


def build(stage_dir: Path, html_dir: Path, root: Path | None = None) -> None:
    """Build the staged tree with warnings as errors and put the pages at ``html_dir``.

    The previous pages stay until the new ones are complete; a `RuntimeError` holds what Jupyter Book complained of.
    """
    environment = os.environ | {
        "EDGEBOOK_ROOT": str(root or project_root()),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])),
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(stage_dir)]
    command += ["--all", "-W", "--keep-going"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=stage_dir)
    if done.returncode:
        raise RuntimeError(f"The book did not build without warnings:\n{_said(done.stdout + done.stderr)}")
    _without_icon(stage_dir / "_build" / "html" / "index.html")
    _replace(stage_dir / "_build" / "html", html_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Stage and build from the command line; the exit status is 1 when the book did not build cleanly."""
    root = project_root()
    parser = argparse.ArgumentParser(prog="python -m edgebook.pages.render", description="Render the book.")
    parser.add_argument("--executed", type=Path, default=root / "_build" / "book", help="executed notebooks, records")
    parser.add_argument("--stage", type=Path, default=root / "_build" / "stage", help="tree that Sphinx reads")
    parser.add_argument("--out", type=Path, default=root / "_build" / "html", help="where the pages go")
    chosen = parser.parse_args(arguments)
    try:
        missing = stage(chosen.executed.resolve(), chosen.stage.resolve(), root)
        if missing:
            print(f"Not executed, shown as sources: {', '.join(missing)}.")
        build(chosen.stage.resolve(), chosen.out.resolve(), root)
    except (RuntimeError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The book is at {chosen.out.resolve() / 'index.html'}")
    return 0


def _empty(stage_dir: Path) -> None:
    # A mistyped folder must not be wiped: only an empty one or an earlier stage is.
    if stage_dir.is_dir() and any(stage_dir.iterdir()) and not (stage_dir / "records").is_dir():
        raise ValueError(f"{stage_dir} is not empty and was not staged by this command; name another folder.")
    shutil.rmtree(stage_dir, ignore_errors=True)
    (stage_dir / "records").mkdir(parents=True)


def _add_to_contents(file: Path, pages: Sequence[str]) -> None:
    """Add the pages of the sweeps before the reference, or last where there is none."""
    if not pages:
        return
    table = yaml.safe_load(file.read_text(encoding="utf-8"))
    first = {"file": pages[0]} | ({"sections": [{"file": page} for page in pages[1:]]} if pages[1:] else {})
    captions = [part.get("caption") for part in table["parts"]]
    place = captions.index("Reference") if "Reference" in captions else len(captions)
    table["parts"].insert(place, {"caption": "Sweeps", "chapters": [first]})
    file.write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")


def _without_icon(page: Path) -> None:
    # The page that sends readers on has no head, so a browser asks for an icon that is not there, or that it gives up
    # when it leaves: an empty one is not asked for.
    page.write_text(f'<link rel="icon" href="data:,">\n{page.read_text(encoding="utf-8")}', encoding="utf-8")


def _replace(new: Path, target: Path) -> None:
    aside = target.with_name(target.name + ".old")
    shutil.rmtree(aside, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(aside)
    shutil.move(new, target)
    shutil.rmtree(aside, ignore_errors=True)


def _said(output: str) -> str:
    lines = output.splitlines()
    telling = [line for line in lines if _WARNING.search(line)]
    return "\n".join(telling or lines[-40:])


if __name__ == "__main__":
    raise SystemExit(main())
