"""The table of a sweep: a row per point and claim, as Parquet and as CSV, each written whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from edgebook import notebooks
from edgebook.ledger.evidence import MINIMUM_SEEDS
from edgebook.ledger.statistics import mean_interval
from edgebook.notebooks.files import write_whole
from edgebook.notebooks.paths import project_root
from edgebook.sweeps.outcome import read_outcome
from edgebook.sweeps.points import Point, points_of

Row = dict[str, Any]

_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
_BEFORE = {"sweep": pa.string(), "notebook": pa.string(), "point": pa.string()}
_AFTER = {
    "kind": pa.string(),  # of the statement; or metric, failure, or nothing where a notebook records nothing
    "claim": pa.string(),  # id of the claim or name of the metric
    "unit": pa.string(),
    "samples": pa.int64(),
    "value": pa.float64(),  # mean over the seeds, or their median where there is no interval
    "low": pa.float64(),  # 95 % interval
    "high": pa.float64(),
    "verdict": pa.string(),  # of a statement; "failed" for a failure
    "reason": pa.string(),
    "seconds": pa.float64(),  # of the whole point, on the clock
    "commit": pa.string(),
    "dirty": pa.bool_(),
    "fingerprint": pa.string(),  # of notebook and kernels, as in the record
}


def table_path(sweep: str, suffix: str = ".parquet") -> Path:
    return project_root() / "_build" / "sweeps" / f"{sweep}{suffix}"


def shown_table(sweep: str) -> Path | None:
    """Return the table that the book draws: the one that was run here, else the committed one, else None."""
    found = (table_path(sweep), project_root() / "results" / "sweeps" / f"{sweep}.csv")
    return next((path for path in found if path.is_file()), None)


def schema_of(notebook: str) -> pa.Schema:
    """Return the columns of a table: sweep, notebook and point, each parameter, and what was measured."""
    declared = notebooks.parameters(notebooks.find(notebook)).values()
    given = {parameter.name: _TYPES[parameter.type] for parameter in declared}
    return pa.schema(list((_BEFORE | given | _AFTER).items()))


def rows_of(sweep: str) -> list[Row]:
    """Return the rows of all finished points, in the order of the sweep and of the ledger.

    A point that failed has one row, of the kind ``failure``; a point that has not been run has none.
    """
    return [row for point in points_of(sweep) for row in _of_point(sweep, point)]


def write_table(sweep: str) -> list[Path]:
    """Write the table of a sweep as Parquet and as CSV; return both paths. A `ValueError` where no point has run."""
    rows = rows_of(sweep)
    if not rows:
        raise ValueError(f"No point of the sweep '{sweep}' has been run yet.")
    table = pa.Table.from_pylist(rows, schema=schema_of(rows[0]["notebook"]))
    return [
        write_whole(table_path(sweep), lambda part: pq.write_table(table, part)),
        write_whole(table_path(sweep, ".csv"), lambda part: _write_csv(part, rows, table.schema.names)),
    ]


def read_table(path: Path) -> list[Row]:
    """Read a table that `write_table` has written, as Parquet or as CSV."""
    if path.suffix != ".csv":
        return pq.read_table(path).to_pylist()
    notebook = pc.read_csv(path)["notebook"][0].as_py()
    types = pc.ConvertOptions(column_types=schema_of(notebook), true_values=["True"], false_values=["False"])
    rows = pc.read_csv(path, convert_options=types).to_pylist()
    words = ("claim", "unit", "reason")  # of which CSV cannot tell an empty one from none
    return [row | {name: row[name] or "" for name in words} for row in rows]


def _of_point(sweep: str, point: Point) -> Iterator[Row]:
    outcome = read_outcome(point.folder)
    if outcome is None:
        return
    ends = {name: outcome[name] for name in ("seconds", "commit", "dirty", "fingerprint")}
    begins = {"sweep": sweep, "notebook": point.notebook, "point": point.id} | point.values
    yield from (begins | found | ends for found in _measured(outcome))


def _measured(outcome: Mapping[str, Any]) -> list[Row]:
    if outcome["status"] != "done":
        return [_row("failure", verdict="failed", reason=outcome["message"])]
    return [*_claims(outcome), *_metrics(outcome)] or [_row("nothing")]


def _claims(outcome: Mapping[str, Any]) -> Iterator[Row]:
    for result in (outcome["record"] or {}).get("results", ()):
        claim = result["claim"]
        same = {name: result[name] for name in ("samples", "interval", "verdict", "reason")}
        yield _row(claim["kind"], claim["id"], claim["unit"], value=result["mean"], **same)


def _metrics(outcome: Mapping[str, Any]) -> Iterator[Row]:
    for name, values in (outcome["metrics"] or {}).items():
        interval = mean_interval(values) if len(values) >= MINIMUM_SEEDS else None
        yield _row("metric", name, samples=values, value=sum(values) / len(values), interval=interval)


def _row(
    kind: str,
    claim: str = "",
    unit: str = "",
    *,
    samples: Sequence[float] = (),
    value: float | None = None,
    interval: Sequence[float] | None = None,
    verdict: str | None = None,
    reason: str = "",
) -> Row:
    low, high = interval or (None, None)
    return {
        "kind": kind, "claim": claim, "unit": unit, "samples": len(samples), "value": value,
        "low": low, "high": high, "verdict": verdict, "reason": reason,
    }  # fmt: skip


def _write_csv(path: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
