"""The command line: ``python -m edgebook run|list|scoreboard|power|compare|confirm|sweep|point|check|prepare|data``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from edgebook import notebooks
from edgebook.notebooks.paths import project_root

_FORMS = {
    "markdown": "a line per paper, as in the README", "json": "all that is known of each claim",
    "csv": "a row per claim", "bibtex": "an entry to cite each verdict by",
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one sentence without the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message[0].upper()}{message[1:]}.")


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed or problems found, 2 wrongly asked."""
    try:
        try:
            return _called(list(sys.argv[1:] if words is None else words))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as in `list | head`; nothing may be flushed to it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _called(words: list[str]) -> int:
    parser = _parser()
    if not words:
        parser.print_help()
        return 2
    if not words[0].startswith("-"):
        notebooks.require("command", words[0], _COMMANDS)
    asked = parser.parse_args(words)
    return _COMMANDS[asked.command](asked)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m edgebook", description="Run the notebooks of the book and read their ledger.")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="execute one notebook and write its record")
    run.add_argument("notebook", help="a name that 'list' shows")
    run.add_argument("--tier", default="book", help=f"one of {', '.join(notebooks.TIERS)}; default: book")
    run.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="settings")
    run.add_argument("--out", type=Path, metavar="DIR", help="default: _build/runs/<tier>")
    run.add_argument("--timeout", type=float, metavar="S", help="wall-clock limit in seconds; default: the tier's")
    listing = commands.add_parser("list", help="the papers with their claims, or the parameters of one notebook")
    listing.add_argument("notebook", nargs="?", help="whose parameters are explained")
    board = commands.add_parser("scoreboard", help="every claim of every paper with its verdict")
    for what in ("paper", "wing", "kind"):
        board.add_argument(f"--{what}", action="append", default=[], metavar="NAME", help="only this; again for more")
    board.add_argument("--verdict", action="append", nargs="+", default=[], metavar="WORD", help="the same")
    forms = board.add_mutually_exclusive_group()
    for form, what in _FORMS.items():
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, help=what)
    power = commands.add_parser("power", help="for what is inconclusive, the seeds that would decide it")
    power.add_argument("notebook", nargs="*", help="papers with a record; default: all of them")
    compare = commands.add_parser("compare", help="what changed between two records; 1 if a verdict is worse")
    compare.add_argument("before", type=Path, help="a record, or a folder of records")
    compare.add_argument("after", type=Path, help="the same, to be compared with it")
    confirm = commands.add_parser("confirm", help="one seed of a record again at tier full; 1 if a sample differs")
    confirm.add_argument("notebook", nargs="*", help="papers with a record; default: all of them")
    sweep = commands.add_parser("sweep", help="the sweeps, or the points of one and what became of them")
    sweep.add_argument("name", nargs="?", help="a file of notebooks/sweeps, without suffix")
    sweep.add_argument("--table", action="store_true", help="write the table of all points that have been run")
    sweep.add_argument("--summary", action="store_true", help="tell only which points failed or are missing")
    point = commands.add_parser("point", help="run one point of a sweep; a notebook that fails is noted as its outcome")
    point.add_argument("sweep", help="a name that 'sweep' shows")
    point.add_argument("id", help="an id that 'sweep <name>' shows")
    commands.add_parser("check", help="ledger, notebooks, contents and configuration against each other")
    prepare = commands.add_parser("prepare", help="write all notebooks with a tier's parameters, not executed")
    prepare.add_argument("--tier", default="quick", help="default: quick")
    prepare.add_argument("--out", type=Path, required=True, metavar="DIR")
    data = commands.add_parser("data", help="the image sets: what is here, what can be fetched, and from where")
    data.add_argument("action", nargs="?", metavar="fetch|needed", help="by default they are listed")
    data.add_argument("name", nargs="*", help="sets to fetch; papers whose tier full may need one, by default all")
    return parser


def _run(asked: argparse.Namespace) -> int:
    from edgebook.notebooks import runner

    settings = notebooks.settings_of(asked.notebook, asked.settings)
    if asked.tier in notebooks.TIERS and not notebooks.TIERS[asked.tier].pages:  # shorter ones meet it soon enough
        _require_sets(asked.notebook, asked.tier, settings)
    began = time.time()
    try:
        executed = runner.run(asked.notebook, tier=asked.tier, settings=settings, out=asked.out, timeout=asked.timeout)
    except runner.RunError as error:
        print(error, file=sys.stderr)
        return 1
    record = Path(executed).with_suffix(".json")
    written = record.is_file() and record.stat().st_mtime > began - 1  # not that of an earlier run
    if written and asked.notebook in notebooks.paper_names():
        _tell_run(executed, record, time.time() - began)
    else:
        print(executed)
    return 0


def _tell_run(executed: Path, path: Path, seconds: float) -> None:
    """End a run with its verdicts, where its files are, and how long it took."""
    from edgebook.ledger.record import load_record
    from edgebook.ledger.scoreboard import counted
    from edgebook.ledger.terminal import look_of, run_table
    from edgebook.ledger.wording import duration

    record = load_record(path)
    print(run_table(record, look_of(sys.stdout)))
    if record.tier != "quick":  # of which nothing is judged
        print(counted(record.results))
    print(f"\nnotebook  {executed}\nrecord    {path}\ntime      {duration(seconds)}")


def _list(asked: argparse.Namespace) -> int:
    from edgebook.notebooks import listing

    print(listing.explained(asked.notebook) if asked.notebook else listing.overview())
    return 0


def _scoreboard(asked: argparse.Namespace) -> int:
    from edgebook.ledger import scoreboard
    from edgebook.ledger.terminal import look_of

    words = [" ".join(words) for words in asked.verdict]  # `--verdict not reproduced` needs no quotation marks
    rows = scoreboard.rows(paper=asked.paper, wing=asked.wing, kind=asked.kind, verdict=words)
    if asked.form in ("json", "csv", "bibtex"):
        from edgebook.ledger import export

        print(getattr(export, f"as_{asked.form}")(rows).removesuffix("\n"))
    elif not rows:
        print("No claim is like that.")
    else:
        print(scoreboard.as_markdown(rows) if asked.form else scoreboard.as_text(rows, look_of(sys.stdout)))
    return 0


def _power(asked: argparse.Namespace) -> int:
    from edgebook.ledger import power
    from edgebook.ledger.terminal import look_of

    print(power.as_text(asked.notebook, look_of(sys.stdout)))
    return 0


def _compare(asked: argparse.Namespace) -> int:
    from edgebook.ledger.comparison import compare_paths

    said, worse = compare_paths(asked.before, asked.after)
    print(said)
    return 1 if worse else 0


def _confirm(asked: argparse.Namespace) -> int:
    from edgebook.ledger.confirmation import confirm
    from edgebook.ledger.record import records_in
    from edgebook.notebooks.runner import RunError

    recorded = [path.stem for path in records_in(project_root() / "results" / "full")]
    met = []
    for name in asked.notebook or recorded:
        try:
            equal, said = confirm(name)
        except RunError as error:
            equal, said = False, str(error)
        print(said, flush=True)
        met.append(equal)
    return 0 if all(met) else 1


def _sweep(asked: argparse.Namespace) -> int:
    from edgebook.sweeps.outcome import listed, told

    if asked.name is None:
        print(listed())
        return 0
    if asked.table:
        from edgebook.sweeps.table import write_table

        for path in write_table(asked.name):
            print(path)
        return 0
    said, whole = told(asked.name, only_problems=asked.summary)
    print(said)
    if asked.summary:
        return 0 if whole else 1
    from edgebook.pages.sweep_text import pivots

    tables = pivots(asked.name)
    if tables:
        print(f"\n{tables}")
    return 0


def _point(asked: argparse.Namespace) -> int:
    from edgebook.sweeps.outcome import run_point
    from edgebook.sweeps.points import find_point

    outcome = run_point(find_point(asked.sweep, asked.id))
    print(f"{asked.id}: {outcome['status']} after {outcome['seconds']:g} s")
    if outcome["message"]:
        print(outcome["message"])
    return 0


def _check(_: argparse.Namespace) -> int:
    from edgebook.pages.check import told

    said, consistent = told(project_root())
    print(said)
    return 0 if consistent else 1


def _prepare(asked: argparse.Namespace) -> int:
    from edgebook.notebooks.runner import prepare

    for path in prepare(asked.tier, asked.out):
        print(path)
    return 0


def _data(asked: argparse.Namespace) -> int:
    if asked.action is not None:
        notebooks.require("action of data", asked.action, ("fetch", "needed"))
    if asked.action == "needed":
        for name in asked.name or notebooks.paper_names():
            _require_sets(name, "full", {})
        return 0
    from edgebook.data.fetching import FetchError, fetch, listing
    from edgebook.data.images import SETS

    if asked.action is None:
        print(listing())
    elif not asked.name:
        raise ValueError("Name the set: python -m edgebook data fetch cifar10.")
    for name in asked.name:
        notebooks.require("set", name, SETS)
    for name in asked.name:
        try:
            print(fetch(name))
        except FetchError as error:
            print(error, file=sys.stderr)
            return 1
        except (KeyboardInterrupt, SystemExit) as end:
            print(f"{name} was not fetched, and nothing of it is left behind: interrupted.", file=sys.stderr)
            return 143 if isinstance(end, SystemExit) else 130
    return 0


def _require_sets(notebook: str, tier: str, settings: dict[str, notebooks.Value]) -> None:
    """Refuse a notebook of which a parameter (``dataset``, ``data``, ``deep_dataset``) names a real set not here."""
    for key, value in notebooks.resolve(notebook, tier, settings).items():
        if key.rpartition("_")[2] in ("dataset", "data"):
            from edgebook.data.real import require_here

            require_here(str(value), f"{notebook} at tier {tier}")


_COMMANDS = {
    "run": _run, "list": _list, "scoreboard": _scoreboard, "power": _power, "compare": _compare, "confirm": _confirm,
    "sweep": _sweep, "point": _point, "check": _check, "prepare": _prepare, "data": _data,
}  # fmt: skip

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is taken down in order
    sys.exit(main())
