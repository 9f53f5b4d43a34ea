"""Everything that is committed, compared with itself: ``python -m edgebook check`` says what does not fit."""

from __future__ import annotations

from pathlib import Path

from edgebook.pages.check import book, files, findings, form, ledgers, shown_cells

_PARTS = (
    ledgers.papers, ledgers.across_papers, ledgers.records, ledgers.tier_file, ledgers.sweeps, findings.findings,
    form.notebooks_in_git, shown_cells.shown_cells, book.contents, book.configuration, book.citations, files.tracked,
)  # fmt: skip


def check(root: Path) -> list[str]:
    """Return one sentence for each thing that does not fit; an empty list where all of it does."""
    return [problem for part in _PARTS for problem in part(root)]


def told(root: Path) -> tuple[str, bool]:
    """Return what is wrong, how much was checked, and which records are stale; and whether nothing is wrong."""
    problems = check(root)
    found = f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "all consistent"
    return "\n".join([*problems, f"{ledgers.extent(root)}: {found}", *ledgers.stale(root)]), not problems
