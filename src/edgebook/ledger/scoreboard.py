"""Every claim of every paper in one list of rows: catalogue, ledgers and records merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from edgebook.ledger.claims import Claim, ledger_path, load_ledger
from edgebook.ledger.papers import Paper, load_papers
from edgebook.ledger.record import ClaimResult, Hardware, Record, full_record, load_record, stale_reasons
from edgebook.ledger.rule import Kind, Verdict
from edgebook.ledger.terminal import PLAIN, Look, claim_lines
from edgebook.ledger.wording import duration
from edgebook.notebooks.files import require
from edgebook.notebooks.paths import project_root

NOT_RUN = "not run yet"
NOT_WRITTEN = "not yet written"
VERDICTS = (*(str(verdict) for verdict in Verdict), NOT_RUN, NOT_WRITTEN)
# What a summary counts of the kinds that are no claims, and under which heading.
_APART = {
    Kind.QUESTION: ("questions answered", {Verdict.YES, Verdict.NO, Verdict.OTHER_WAY}),
    Kind.CONTROL: ("controls held", {Verdict.HELD}),
    Kind.IDENTITY: ("identities that agree", {Verdict.AGREES}),
}


_PASSED = (Verdict.REPRODUCED, Verdict.DIRECTION_ONLY, Verdict.YES)  # what a placebo should not be called


@dataclass(frozen=True)
class Row:
    """One claim, or one paper that has no ledger yet, with what is known of it.

    ``verdict`` is one of `VERDICTS`. ``link`` is relative to the root of the rendered book and None where there is no
    page; ``result`` and ``record`` are None for a claim that no record covers.
    """

    paper: Paper
    verdict: str
    claim: Claim | None = None
    link: str | None = None
    result: ClaimResult | None = None
    record: Record | None = None
    stale: tuple[str, ...] = ()

    @property
    def holm(self) -> str:
        """The verdict with Holm's correction, where that is another one."""
        return str(self.result.holm_verdict) if self.result and self.result.holm_verdict != self.result.verdict else ""

    @property
    def confirmed(self) -> str:
        """How the record was confirmed, where it was and is not stale."""
        return str(self.record.confirmed) if self.record and self.record.confirmed and not self.stale else ""


def rows(
    root: Path | None = None,
    executed: Path | None = None,
    *,
    paper: Collection[str] = (),
    wing: Collection[str] = (),
    kind: Collection[str] = (),
    verdict: Collection[str] = (),
) -> list[Row]:
    """Return one row per claim, in the order of the catalogue and the ledgers; of some papers, kinds and so on, or all.

    A paper's record is that in ``results/full``, else that in ``executed``, by default ``_build/book``. A `ValueError`
    offers the nearest name where there is no such paper, wing, kind or verdict.
    """
    root = root or project_root()
    executed = executed or root / "_build" / "book"
    catalogue = load_papers(root)
    there = {"paper": (paper, [one.name for one in catalogue.papers]), "wing": (wing, catalogue.wings),
             "kind": (kind, Kind), "verdict": (verdict, VERDICTS)}  # fmt: skip
    for what, (names, known) in there.items():
        for name in names:
            require(what, name, known)
    papers = [one for one in catalogue.papers if one.name in (paper or [one.name]) and one.wing in (wing or [one.wing])]
    found = [row for one in papers for row in _of_paper(one, root, executed)]
    kept = [row for row in found if not kind or (row.claim and row.claim.kind in kind)]
    return [row for row in kept if not verdict or row.verdict in verdict]


def find_record(name: str, root: Path, executed: Path) -> Record | None:
    """Return the record that speaks for a paper: the committed full run, else the last executed one."""
    path = executed / f"{name}.json"
    return full_record(name, root) or (load_record(path) if path.is_file() else None)


def counts(rows: Iterable[Row], kind: Kind = Kind.CLAIM) -> dict[str, int]:
    """Count the verdicts of the claims, or of another kind, in the order of `VERDICTS`, without those not there.

    A paper that is not yet written counts among the claims.
    """
    found = Counter(row.verdict for row in rows if (row.claim.kind if row.claim else Kind.CLAIM) is kind)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def apart(rows: Sequence[Row]) -> dict[str, str]:
    """Say for each kind but claims how many came out as hoped, of how many, as in ``{"controls held": "3 of 5"}``.

    A control can hold and speak against the paper; of those that can speak against it, those that do are counted too.
    """
    found = {name: (counts(rows, kind), words) for kind, (name, words) in _APART.items()}
    told = {
        name: f"{sum(n for word, n in of.items() if word in words)} of {sum(of.values())}"
        for name, (of, words) in found.items() if of
    }  # fmt: skip
    against = [row for row in rows if row.claim and row.claim.speaks_against_the_paper]
    speak = sum(row.verdict == row.claim.speaks_against_the_paper for row in against)
    return told | ({"controls against the paper": f"{speak} of {len(against)}"} if against else {})


def placebos(rows: Iterable[Row]) -> tuple[int, int]:
    """Count the placebos in which an effect was seen, with or without the paper's number, and all that were judged."""
    found = [row.result.placebo.verdict for row in rows if row.result and row.result.placebo]
    judged = [word for word in found if word is not Verdict.NOT_JUDGED]
    return sum(word in _PASSED for word in judged), len(judged)


def by_paper(rows: Sequence[Row]) -> list[tuple[Paper, list[Row]]]:
    """Group rows by paper, keeping their order."""
    return [(paper, list(group)) for paper, group in groupby(rows, key=lambda row: row.paper)]


def hardware_line(hardware: Hardware) -> str:
    """Say in one line what a run was computed on."""
    return f"{hardware.gpu}, {hardware.cpu}" if hardware.gpu else f"{hardware.cpu}, {hardware.cores} cores"


def commit_mark(commit: str | None, dirty: bool) -> str:
    """Return a commit's first seven digits, marked where the tree held uncommitted changes."""
    short = commit[:7] if commit else "no commit"
    return f"{short} (dirty)" if dirty else short


def counted(rows: Sequence[Row]) -> str:
    """Write counts in a line, as in "3 reproduced, 1 inconclusive; controls held: 2 of 3"."""
    return "; ".join([_words(rows), *(f"{name}: {of}" for name, of in apart(rows).items())])


def _words(rows: Sequence[Row]) -> str:
    """Write how often claims met each word, as in "3 reproduced, 1 inconclusive"."""
    return ", ".join(verdict if verdict == NOT_WRITTEN else f"{n} {verdict}" for verdict, n in counts(rows).items())


def as_text(rows: Sequence[Row], look: Look = PLAIN) -> str:
    """Write the scoreboard for a terminal: a heading per paper, each claim with its sentence, a total."""
    lines: list[str] = []
    for paper, group in by_paper(rows):
        lines += [f"{paper.name} ({paper.year}): {counted(group)}", *_about(group)]
        for row in group:
            if row.claim:
                notes = [row.claim.kind] * (row.claim.kind is not Kind.CLAIM) + [f"with Holm: {row.holm}"] * bool(
                    row.holm
                )
                lines += claim_lines(row.claim, row.verdict, row.result, look, notes)
        lines.append("")
    return "\n".join([*lines, f"All: {counted_all(rows)}", placebo_line(rows)])


def _about(group: Sequence[Row]) -> list[str]:
    """Say of which run the rows of a paper are, why it is stale, and how it was confirmed."""
    record = next((row.record for row in group if row.record), None)
    if record is None:
        return []
    made = f"{commit_mark(record.commit, record.dirty)}, {duration(record.seconds)}"
    lines = [f"  {record.label}, {len(record.seeds)} seeds, {made}: {record.scale}"]
    lines += [f"  stale: {'; '.join(reasons)}" for reasons in {row.stale for row in group if row.stale}]
    return lines + [f"  confirmed: {said}" for said in {row.confirmed for row in group if row.confirmed}]


def as_markdown(rows: Sequence[Row]) -> str:
    """Write the scoreboard in short as a Markdown table: a line per paper, its claims' words, the other kinds apart."""
    others = list(apart(rows))
    heads = ["Paper", "Year", "Claims", *(name[0].upper() + name[1:] for name in others)]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|---|" + "--:|" * len(others)]
    for paper, group in by_paper(rows):
        beside = apart(group)
        cells = [paper.short, str(paper.year), _words(group), *(beside.get(name, "") for name in others)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def counted_all(rows: Sequence[Row]) -> str:
    """Write the total over all papers: claims per verdict, the other kinds, and the papers still to be written."""
    written = [row for row in rows if row.verdict != NOT_WRITTEN]
    missing = len(rows) - len(written)
    return "; ".join([counted(written)] * bool(written) + [f"{missing} papers {NOT_WRITTEN}"] * bool(missing))


def placebo_line(rows: Sequence[Row]) -> str:
    """Say how often an effect was seen in a method that does nothing."""
    passed, judged = placebos(rows)
    return f"Placebos called reproduced, direction only or yes: {passed} of {judged}"


def _of_paper(paper: Paper, root: Path, executed: Path) -> Iterator[Row]:
    page = f"notebooks/{paper.name}.html" if (root / "notebooks" / f"{paper.name}.ipynb").is_file() else None
    if not ledger_path(paper.name, root).is_file():
        yield Row(paper, NOT_WRITTEN, link=page)
        return
    record = find_record(paper.name, root, executed)
    results = {result.claim.id: result for result in record.results} if record else {}
    stale = why_stale(record, root) if record else ()
    for claim in load_ledger(paper.name, root).claims:
        link, result = f"{page}#{claim.id.lower()}" if page else None, results.get(claim.id)
        if result is None:
            yield Row(paper, NOT_RUN, claim, link)
        else:  # shown is the claim that was judged; where the ledger says something else by now, the row is stale
            yield Row(paper, str(result.verdict), result.claim, link, result, record, stale)


def why_stale(record: Record, root: Path) -> tuple[str, ...]:
    """Say why a record is stale, also where the checkout has nothing to compare it with; nothing where it is not."""
    try:
        return tuple(stale_reasons(record, root))
    except (ValueError, FileNotFoundError) as error:  # a tier or a file that the record names is gone
        return (f"the checkout has nothing to compare it with ({str(error).rstrip('.')})",)
