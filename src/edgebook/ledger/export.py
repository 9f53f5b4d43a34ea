"""Verdicts to take along: as JSON, CSV and BibTeX, the same from the command line and from the book's pages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from edgebook.ledger.claims import Claim
from edgebook.ledger.papers import Paper
from edgebook.ledger.record import ClaimResult, Record
from edgebook.ledger.wording import counts_from, measured, sampling
from edgebook.notebooks import require

if TYPE_CHECKING:
    from edgebook.ledger.scoreboard import Row

Entry = dict[str, Any]
AUTHORS = "The Efficient Edge AI, Reproduced authors"
BOOK = "Efficient Edge AI, Reproduced"
CSV_COLUMNS = (
    "id", "paper", "title", "year", "wing", "kind", "headline", "says", "where", "measures", "unit", "expects",
    "neutral", "margin", "number", "target", "size", "tolerance", "mean", "low", "high", "method", "samples", "effect",
    "size_word", "word", "alone", "holm", "under", "placebo", "reason", "stale", "tier", "scale", "commit", "started",
)  # fmt: skip
_ESCAPED = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}  # fmt: skip


def claim_json(result: ClaimResult, record: Record, paper: Paper) -> Entry:
    """Return all that was asked and found about a claim as plain JSON: what cards, scripts and downloads read.

    ``number`` is the paper's own number, ``form`` says whether samples are of seeds, shares or one exact number, and
    ``under_samples`` has those under each declared choice of which ``under`` has the word.
    """
    found = _asked(result.claim, paper) | {
        "samples": [*map(_plain, result.samples)],
        "method": result.method,
        "mean": result.mean,
        "interval": [*result.interval] if result.interval else None,
        "effect": result.effect and str(result.effect),
        "size_word": result.size and str(result.size),
        "word": str(result.verdict),
        "alone": str(result.alone),
        "holm": str(result.holm_verdict),
        "reason": result.reason,
        "under": {name: str(other.verdict) for name, other in result.under.items()},
        "under_samples": {name: [*map(_plain, other.samples)] for name, other in result.under.items()},
        "placebo": str(result.placebo.verdict) if result.placebo else None,
        "seeds": [*record.seeds],
        "tier": record.tier,
        "scale": record.scale,
        "commit": record.commit and record.commit + " (dirty)" * record.dirty,
        "started": record.started,
    }
    return found


def row_json(row: Row) -> Entry:
    """Return a row of the scoreboard as plain JSON: as `claim_json`, with the paper's title and year beside it.

    What no record covers is null. A `ValueError` where the row is of a paper that has no ledger yet.
    """
    if row.claim is None:
        raise ValueError(f"{row.paper.name} has no claims yet.")
    beside = {"title": row.paper.title, "year": row.paper.year, "stale": [*row.stale]}
    if row.result is None or row.record is None:
        none = dict.fromkeys(("method", "mean", "interval", "effect", "size_word", "alone", "holm", "reason"))
        none |= dict.fromkeys(("placebo", "tier", "scale", "commit", "started"))
        empty = {"samples": [], "word": row.verdict, "under": {}, "under_samples": {}, "seeds": []}
        return _asked(row.claim, row.paper) | none | empty | beside
    return claim_json(row.result, row.record, row.paper) | beside


def chosen(
    rows: Sequence[Row],
    *,
    papers: Sequence[str] = (),
    wings: Sequence[str] = (),
    kinds: Sequence[str] = (),
    words: Sequence[str] = (),
) -> list[Row]:
    """Return the rows of certain papers, wings, kinds and words, in their order; what is left empty takes all.

    A `ValueError` names what no row has, and the nearest that there is.
    """
    found = list(rows)
    asked: list[tuple[str, Sequence[str], Callable[[Row], str]]] = [
        ("paper", papers, lambda row: row.paper.name),
        ("wing", wings, lambda row: row.paper.wing),
        ("kind", kinds, lambda row: str(row.claim.kind) if row.claim else ""),
        ("word", words, lambda row: row.verdict),
    ]
    for what, wanted, of in asked:
        known = list(dict.fromkeys(filter(None, map(of, rows))))
        for name in wanted:
            require(what, name, known)
        found = [row for row in found if not wanted or of(row) in wanted]
    return found


def as_json(rows: Iterable[Row]) -> str:
    """Write the claims among rows as a JSON array, a claim on each line."""
    lines = ",\n".join(json_line(row) for row in rows if row.claim)
    return f"[\n{lines}\n]\n"


def as_csv(rows: Iterable[Row]) -> str:
    """Write the claims among rows as comma-separated values, with a head; the samples stand in one cell."""
    return csv_head() + "".join(csv_line(row) for row in rows if row.claim)


def as_bibtex(rows: Iterable[Row]) -> str:
    """Write an entry for each verdict among rows; what has not been run has none."""
    return "\n".join(bibtex(row.result, row.record, row.paper) for row in rows if row.result and row.record)


def json_line(row: Row) -> str:
    """Write a row as JSON on one line."""
    return json.dumps(row_json(row), ensure_ascii=False)


def csv_head() -> str:
    """Write the names of the columns."""
    return _csv(CSV_COLUMNS)


def csv_line(row: Row) -> str:
    """Write a row as comma-separated values, as `CSV_COLUMNS` names them."""
    entry = row_json(row)
    low, high = entry["interval"] or (None, None)
    flat = entry | {
        "low": low,
        "high": high,
        "samples": " ".join("/".join(map(str, one)) if isinstance(one, list) else str(one) for one in entry["samples"]),
        "under": "; ".join(f"{name}: {word}" for name, word in entry["under"].items()),
        "stale": "; ".join(entry["stale"]),
    }
    return _csv([flat[name] for name in CSV_COLUMNS])


def bibtex(result: ClaimResult, record: Record, paper: Paper) -> str:
    """Write the entry by which one verdict is cited: the word, what was measured, and the run behind it."""
    claim = result.claim
    found = f"{measured(result)} ({sampling(result)}; {counts_from(claim)}): {result.reason}"
    commit = f", commit {record.commit[:7]}" if record.commit else ""
    fields = {
        "author": f"{{{AUTHORS}}}",
        "title": f"{{{_tex(f'{claim.id}, {result.verdict}: {claim.says}')}}}",
        "howpublished": _tex(f"{BOOK}, version {record.versions.get('edgebook', 'unknown')}{commit}"),
        "year": record.started[:4],
        "note": _tex(f"On {paper.title} ({paper.year}). {found}. Tier {record.tier}, {record.scale}."),
    }
    lines = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items())
    return f"@misc{{edgebook-{claim.id.lower()},\n{lines}\n}}\n"


def _asked(claim: Claim, paper: Paper) -> Entry:
    """What the ledger asks, with the place of the claim among papers."""
    kept = claim.model_dump(mode="json", exclude={"paper", "samples", "learnt", "speaks_against_the_paper"})
    place = {"id": claim.id, "paper": paper.name, "wing": paper.wing}
    return place | kept | {"number": claim.paper, "form": claim.samples}


def _plain(sample: float | tuple[int, int]) -> float | list[int]:
    return [*sample] if isinstance(sample, tuple) else sample


def _csv(cells: Sequence[object]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()


def _tex(text: str) -> str:
    return "".join(_ESCAPED.get(sign, sign) for sign in text)
