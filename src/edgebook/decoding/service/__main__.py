"""Both ends from the command line: ``python -m edgebook.decoding.service serve`` and ``generate``."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from edgebook.decoding.exits import StagedDecoder
from edgebook.decoding.generation import checked_prompt
from edgebook.decoding.service.client import EdgeClient
from edgebook.decoding.service.faults import ServiceError
from edgebook.decoding.service.journal import Journal
from edgebook.decoding.service.pacing import Delay
from edgebook.decoding.service.server import DecodingServer, Limits
from edgebook.decoding.service.storage import load_models
from edgebook.decoding.speculative import Sampling


def main(words: Sequence[str] | None = None) -> int:
    """Run one end; return 0, or 1 after one sentence on what went wrong."""
    arguments = _parser().parse_args(words)
    torch.set_num_threads(1)
    try:
        return _serve(arguments) if arguments.end == "serve" else _generate(arguments)
    except (ServiceError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgebook.decoding.service", description=__doc__.splitlines()[0])
    ends = parser.add_subparsers(dest="end", required=True)
    serve = ends.add_parser("serve", help="the cloud: a target that verifies drafts")
    serve.add_argument("--target", type=Path, required=True, help="file of the target and its exits")
    serve.add_argument("--address", default="127.0.0.1:0", help="host and port; port 0 takes a free one")
    serve.add_argument("--certificate", type=Path, help="PEM file, for TLS")
    serve.add_argument("--key", type=Path, help="PEM file of its key")
    serve.add_argument("--sessions", type=int, default=Limits.sessions, help="most sessions at once")
    serve.add_argument("--idle-seconds", type=float, default=Limits.idle_seconds, help="life of an idle session")
    serve.add_argument("--pass-seconds", type=float, default=0.0, help="stretch a pass to this, for experiments")
    make = ends.add_parser("generate", help="the edge: a draft that proposes")
    make.add_argument("--draft", type=Path, required=True, help="file of the draft")
    make.add_argument("--address", required=True, help="host and port of the cloud")
    make.add_argument("--certificate", type=Path, help="PEM file of the authority that vouches for it, for TLS")
    make.add_argument("--prompt", required=True, help="the beginning of the text")
    make.add_argument("--new", type=int, default=100, help="tokens to make")
    make.add_argument("--drafted", type=int, default=4, help="tokens of a draft")
    make.add_argument("--temperature", type=float, default=1.0, help="0 is greedy")
    make.add_argument("--top-k", type=int, help="keep so many tokens")
    make.add_argument("--top-p", type=float, default=1.0, help="keep this much probability")
    make.add_argument("--seed", type=int, default=0, help="of all random numbers")
    make.add_argument("--ahead", choices=("none", "exits"), default="exits", help="draft on what exits say")
    make.add_argument("--threshold", type=float, default=0.0, help="confidence from which an exit is heard")
    make.add_argument("--patience", type=float, default=20.0, help="seconds for which a silent cloud is asked again")
    make.add_argument("--deadline", type=float, default=60.0, help="seconds that one request may take")
    for name in ("up", "down", "draft-step"):
        make.add_argument(f"--delay-{name}", type=float, default=0.0, help="seconds, for experiments")
    make.add_argument("--report", type=Path, help="JSON file for times and counts")
    make.add_argument("--journal", type=Path, help="file of what is verified, from which a killed client goes on")
    for end in (serve, make):
        end.add_argument("--token-file", type=Path, help="file with the secret that both ends share")
    return parser


def _secret(path: Path | None) -> str | None:
    return None if path is None else path.read_text(encoding="utf-8").strip()


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _serve(arguments: argparse.Namespace) -> int:
    stored = load_models(arguments.target)
    target, shares = stored.model, []
    if stored.exits is not None:
        target = StagedDecoder(stored.model, stored.exits)
        shares = [block / len(stored.model.blocks) for block in stored.exits.after]
    server = DecodingServer(
        target, arguments.address, token=_secret(arguments.token_file), certificate=_bytes(arguments.certificate),
        key=_bytes(arguments.key), limits=Limits(arguments.sessions, arguments.idle_seconds),
        pass_seconds=arguments.pass_seconds, shares=shares, symbols=stored.symbols,
    )  # fmt: skip
    for name in (signal.SIGINT, signal.SIGTERM):  # a handler must not wait: it may have interrupted what it waits for
        signal.signal(name, lambda *_: threading.Thread(target=server.stop).start())
    with server:
        host = arguments.address.rpartition(":")[0]
        print(f"serving at {host}:{server.port}", flush=True)
        server.wait()
    return 0


def _journal(arguments: argparse.Namespace) -> Journal:
    """Open the journal of what these arguments ask for; another server may go on, another draft may not."""
    names = ("prompt", "new", "drafted", "temperature", "top_k", "top_p", "seed")
    digest = hashlib.sha256(arguments.draft.read_bytes()).hexdigest()
    return Journal(arguments.journal, {"draft": digest} | {name: getattr(arguments, name) for name in names})


def _generate(arguments: argparse.Namespace) -> int:
    stored = load_models(arguments.draft)
    unknown = sorted(set(arguments.prompt) - set(stored.symbols))
    if unknown:
        raise ValueError(f"The draft does not know the character {unknown[0]!r}.")
    prompt = [stored.symbols.index(character) for character in arguments.prompt]
    checked_prompt(prompt, (stored.model,), arguments.new, arguments.drafted)
    sampling = Sampling(arguments.temperature, arguments.top_k, arguments.top_p)
    delay = Delay(arguments.delay_up, arguments.delay_down, arguments.delay_draft_step)
    client = EdgeClient(
        arguments.address, token=_secret(arguments.token_file), certificate=_bytes(arguments.certificate),
        patience=arguments.patience, deadline=arguments.deadline, delay=delay,
    )  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(client)
        journal = stack.enter_context(_journal(arguments)) if arguments.journal else None
        kept = list(journal.tokens) if journal else []

        def show(tokens: list[int], new: bool = True) -> None:
            if journal and new:
                journal.add(tokens, client.target)
            print("".join(stored.symbols[token] for token in tokens), end="", flush=True)

        if journal and journal.damaged:
            print(f"The journal {journal.path} is damaged after {len(kept)} tokens.", file=sys.stderr)
        if kept:
            print(f"The text goes on after {len(kept)} of {arguments.new} tokens.", file=sys.stderr)
            show(kept, new=False)
        if len(kept) == arguments.new:
            print()
            if arguments.report:
                print("Nothing was left to make, and no report is written.", file=sys.stderr)
            return 0
        found = client.generate(
            stored.model, prompt + kept, max_new_tokens=arguments.new - len(kept), drafted=arguments.drafted,
            sampling=sampling, ahead=arguments.ahead, threshold=arguments.threshold, seed=arguments.seed, show=show,
            symbols=stored.symbols, target=journal.target if journal else None,
        )  # fmt: skip
    print()
    if arguments.report:
        arguments.report.write_text(json.dumps(found._asdict()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    status = main()
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(status)  # the end of the interpreter would wait for a pass that goes on
