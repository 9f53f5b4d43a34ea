"""The command line: ``python -m edgebook run|list|scoreboard|power|compare|confirm|sweep|point|check|prepare|data``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from edgebook import notebooks
from edgebook.notebooks.files import read_plain
from edgebook.notebooks.paths import project_root


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one sentence without the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message[0].upper()}{message[1:]}.")


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed or problems found, 2 wrongly asked."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        if words and not words[0].startswith("-"):
            notebooks.require("command", words[0], _COMMANDS)
        asked = _parser().parse_args(words)
        code = _COMMANDS[asked.command](asked)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads has seen enough, as in `list | head`; nothing may be flushed to it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m edgebook", description="Run the notebooks of the book and read their ledger.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="execute one notebook and write its record")
    run.add_argument("notebook", help="a name that 'list' shows")
    run.add_argument("--tier", default="book", help=f"one of {', '.join(notebooks.TIERS)}; default: book")
    run.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="settings")
    run.add_argument("--out", type=Path, metavar="DIR", help="default: _build/runs/<tier>")
    run.add_argument("--timeout", type=float, metavar="S", help="wall-clock limit in seconds; default: the tier's")
    commands.add_parser("list", help="the papers with their claims and budgets")
    board = commands.add_parser("scoreboard", help="every claim of every paper with its verdict")
    board.add_argument("--markdown", action="store_true", help="a line per paper, as in the README")
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
    data.add_argument("action", nargs="?", choices=("fetch", "needed"), help="by default they are listed")
    data.add_argument("name", nargs="*", help="sets to fetch; papers whose tier full may need one, by default all")
    return parser


def _run(asked: argparse.Namespace) -> int:
    from edgebook.notebooks import runner

    settings = _settings(asked.notebook, asked.settings)
    if asked.tier in notebooks.TIERS and not notebooks.TIERS[asked.tier].pages:  # shorter ones meet it soon enough
        _require_sets(asked.notebook, asked.tier, settings)
    try:
        executed = runner.run(asked.notebook, tier=asked.tier, settings=settings, out=asked.out, timeout=asked.timeout)
    except runner.RunError as error:
        print(error, file=sys.stderr)
        return 1
    print(executed)
    return 0


def _settings(notebook: str, words: Sequence[str]) -> dict[str, notebooks.Value]:
    """Read ``key=value`` words as values of the notebook's parameters."""
    declared = notebooks.parameters(notebooks.find(notebook))
    settings: dict[str, notebooks.Value] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value, not '{word}'.")
        if key in settings:
            raise ValueError(f"--set gives '{key}' twice.")
        if key in declared and key != "tier":
            settings[key] = notebooks.parse(declared[key], text)
        else:
            settings |= notebooks.resolve(notebook, "book", {key: text})  # which says what is wrong with the key
    return settings


def _list(_: argparse.Namespace) -> int:
    for name, tier in notebooks.TIERS.items():
        print(f"{name:6s} {tier.budget}: {tier.is_for}")
    overrides = notebooks.read_tiers()
    written = notebooks.paper_names()
    for wing, names in _wings(written).items():
        print(f"\n{wing}")
        for name in names:
            print(f"  {name:32s} {_claims(name) if name in written else 'not yet written'}")
            for tier, values in overrides.get(name, {}).items():
                print(f"    {tier:6s} {' '.join(f'{key}={value}' for key, value in values.items())}")
    print("\npages")
    for name in notebooks.page_names():
        print(f"  {name}")
    return 0


def _wings(written: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the papers of each wing; without a catalogue, the notebooks that there are."""
    wings: dict[str, list[str]] = {}
    for paper in read_plain("book/papers.yml").get("papers", []):
        wings.setdefault(paper["wing"], []).append(paper["name"])
    known = {name for names in wings.values() for name in names}
    lost = [name for name in written if name not in known]
    return wings | ({"in no wing": lost} if lost else {})


def _claims(name: str) -> str:
    kinds = [claim.get("kind", "claim") for claim in read_plain(f"book/claims/{name}.yml").get("claims", [])]
    names = {"claim": "claims", "question": "questions", "control": "controls", "identity": "identities"}
    return ", ".join(f"{kinds.count(kind)} {name}" for kind, name in names.items() if kind in kinds) or "no ledger"


def _scoreboard(asked: argparse.Namespace) -> int:
    from edgebook.ledger import scoreboard

    write = scoreboard.as_markdown if asked.markdown else scoreboard.as_text
    print(write(scoreboard.rows()))
    return 0


def _power(asked: argparse.Namespace) -> int:
    from edgebook.ledger import power

    print(power.as_text(asked.notebook))
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
    return 0 if whole or not asked.summary else 1


def _point(asked: argparse.Namespace) -> int:
    from edgebook.sweeps.outcome import run_point
    from edgebook.sweeps.points import find_point

    outcome = run_point(find_point(asked.sweep, asked.id))
    print(f"{asked.id}: {outcome['status']} after {outcome['seconds']:g} s")
    if outcome["message"]:
        print(outcome["message"])
    return 0


def _check(_: argparse.Namespace) -> int:
    from edgebook.pages.check import check

    problems = check(project_root())
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _prepare(asked: argparse.Namespace) -> int:
    from edgebook.notebooks.runner import prepare

    for path in prepare(asked.tier, asked.out):
        print(path)
    return 0


def _data(asked: argparse.Namespace) -> int:
    if asked.action == "needed":
        for name in asked.name or notebooks.paper_names():
            _require_sets(name, "full", {})
        return 0
    from edgebook.data.fetching import FetchError, fetch, listing

    if asked.action is None:
        print(listing())
    elif not asked.name:
        raise ValueError("Name the set: python -m edgebook data fetch cifar10.")
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
