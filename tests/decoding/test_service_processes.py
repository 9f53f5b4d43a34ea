"""Both ends as processes of their own, killed and restarted; and the file that they get their models from."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from edgebook.decoding import CharacterDecoder, Draws, Exits, Sampling, StagedDecoder, trace
from edgebook.decoding.service import DecodingServer, EdgeClient, ServiceError, load_models, save_models
from edgebook.decoding.service import serving as serving_models

pytestmark = pytest.mark.alone

SYMBOLS = "abcdefgh ."
NEW = 60
SLOW = (
    "--delay-down",
    2.0,
)  # a text then takes half a minute or more: time enough to kill its client on a busy machine


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    target = CharacterDecoder(10, 80, width=16, depth=3, heads=2, seed=1)
    draft = CharacterDecoder(10, 80, width=8, depth=1, heads=1, seed=2)
    save_models(folder / "target.pt", target, SYMBOLS, Exits(target.head, (1, 2), heads=2, longest=80, seed=3))
    save_models(folder / "draft.pt", draft, SYMBOLS)
    return folder / "target.pt", folder / "draft.pt"


@pytest.fixture(scope="module")
def expected(files: tuple[Path, Path]) -> str:
    target, draft = (load_models(path) for path in files)
    options = {"max_new_tokens": NEW, "sampling": Sampling(0.8), "draws": Draws(7), "ahead": "none"}
    return "".join(SYMBOLS[token] for token in trace(target.model, draft.model, [0, 1, 2], **options).tokens)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "edgebook.decoding.service", *map(str, words)]


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "bufsize": 0}
    process = subprocess.Popen(command(*words), env=environment, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving(path: Path, port: int = 0, pass_seconds: float = 0.05) -> Iterator[tuple[subprocess.Popen[str], int]]:
    words = ("serve", "--target", path, "--address", f"127.0.0.1:{port}", "--pass-seconds", pass_seconds)
    for left in reversed(range(10)):  # the system may take a moment to let go of the address of a killed server
        with started(*words) as process:
            line = process.stdout.readline()
            if not line and left and "cannot be had" in process.stderr.read():
                continue
            found = re.fullmatch(r"serving at 127\.0\.0\.1:(\d+)\n", line)
            assert found, line
            yield process, int(found[1])
            return


def test_a_server_of_one_block_of_code(files: tuple[Path, Path], expected: str) -> None:
    target, draft = (load_models(path) for path in files)
    with serving_models(target.model, target.exits) as address, EdgeClient(address) as client:
        options = {"max_new_tokens": NEW, "sampling": Sampling(0.8), "seed": 7}
        report = client.generate(draft.model, [0, 1, 2], **options)
        assert "".join(SYMBOLS[token] for token in report.tokens) == expected
    with pytest.raises(OSError, match="refused"):  # it has ended with the block
        socket.create_connection(address.split(":"), timeout=30)


def test_a_server_that_cannot_serve_says_so(files: tuple[Path, Path]) -> None:
    target = load_models(files[0]).model
    with pytest.raises(RuntimeError, match="ended before it could serve"), serving_models(target, pass_seconds="soon"):
        pass


def edge(path: Path, port: int, *more: object) -> tuple[object, ...]:
    words = ("generate", "--draft", path, "--address", f"127.0.0.1:{port}", "--prompt", "abc", "--new", NEW)
    return (*words, "--temperature", 0.8, "--seed", 7, "--patience", 300, *more)


def read(process: subprocess.Popen[str], count: int) -> str:
    """Read so many characters, or until the process has closed its output."""
    text = ""
    while len(text) < count and (more := process.stdout.read(1)):
        text += more
    return text


def test_killed_servers_and_clients(files: tuple[Path, Path], expected: str) -> None:
    target, draft = files
    with serving(target) as (server, port), started(*edge(draft, port)) as client:
        seen = read(client, 10)
        server.send_signal(signal.SIGKILL)  # in the middle of a round
        server.wait(300)
        with serving(target, port) as (second, _):
            seen += read(client, 1000)
            assert (client.wait(300), seen) == (0, expected + "\n")
            with started(*edge(draft, port, *SLOW)) as killed:
                seen = read(killed, 1)
                killed.send_signal(signal.SIGKILL)
                seen += killed.stdout.read()
            assert expected.startswith(seen) and len(seen) < NEW
            done = subprocess.run(command(*edge(draft, port)), capture_output=True, text=True, timeout=600)
            assert done.stdout == expected + "\n"  # the next client gets the whole text: the seed decides it
            second.terminate()
            assert second.wait(300) == 0


def test_a_killed_client_goes_on_with_its_journal(files: tuple[Path, Path], expected: str, tmp_path: Path) -> None:
    """Killed twice, it shows a beginning of the right text each time, and then the whole of it once."""
    report = tmp_path / "report.json"
    words = ("--journal", tmp_path / "journal", "--report", report)
    with serving(files[0]) as (_, port):
        before = 0
        for count in (1, 10):
            with started(*edge(files[1], port, *words, *SLOW)) as killed:
                seen = read(killed, count)
                killed.send_signal(signal.SIGKILL)
                seen += killed.stdout.read()
                said = killed.stderr.read()
            assert expected.startswith(seen) and count <= len(seen) < NEW
            assert said == (f"The text goes on after {before} of {NEW} tokens.\n" if before else "")
            lines = (tmp_path / "journal").read_text().splitlines()[2:]  # behind the request and the target
            before = sum(len(json.loads(line.partition(" ")[2])) for line in lines)
            assert before >= len(seen)
        done = subprocess.run(command(*edge(files[1], port, *words)), capture_output=True, text=True, timeout=600)
        assert done.stdout == expected + "\n"
        assert done.stderr == f"The text goes on after {before} of {NEW} tokens.\n"
        assert len(json.loads(report.read_text())["tokens"]) == NEW - before  # the rest alone was asked for
    done = subprocess.run(command(*edge(files[1], port, *words)), capture_output=True, text=True, timeout=600)
    assert done.stdout == expected + "\n"  # all of it is there, and no server is needed
    assert done.stderr.splitlines()[1:] == ["Nothing was left to make, and no report is written."]
    other = edge(files[1], port, *words, "--top-k", 3)
    done = subprocess.run(command(*other), capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"The journal .* is of another request; name another file\.\n", done.stderr)


def test_a_client_without_a_server_says_so_in_one_sentence(files: tuple[Path, Path]) -> None:
    done = subprocess.run(command(*edge(files[1], 9, "--patience", 0.2)), capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"The server at 127\.0\.0\.1:9 has given no answer for 0\.2 s .* 0 of 60 .*\.\n", done.stderr)


def test_a_file_gives_back_the_same_models(files: tuple[Path, Path], tmp_path: Path) -> None:
    stored = load_models(files[0])
    again = StagedDecoder(stored.model, stored.exits).session()
    target = CharacterDecoder(10, 80, width=16, depth=3, heads=2, seed=1)
    first = StagedDecoder(target, Exits(target.head, (1, 2), heads=2, longest=80, seed=3)).session()
    for one, other in zip(again.stages([1, 2, 3], 2), first.stages([1, 2, 3], 2), strict=True):
        assert torch.equal(one, other)
    assert stored.symbols == SYMBOLS and load_models(files[1]).exits is None


@pytest.mark.parametrize("kind", ["absent", "text", "pickle", "cut", "half", "other"])
def test_files_that_hold_no_decoder_are_refused(files: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file.pt"
    if kind == "text":
        path.write_text("no archive")
    elif kind == "pickle":
        torch.save(files[0], path)
    elif kind == "cut":
        path.write_bytes(files[0].read_bytes()[:-100])
    elif kind == "half":
        stored = torch.load(files[0], weights_only=True)
        stored["model"] = {name: value for name, value in stored["model"].items() if "blocks.2" not in name}
        torch.save(stored, path)
    elif kind == "other":
        torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds no decoder") as refused:
        load_models(path)
    assert len(str(refused.value).splitlines()) == 1


def test_a_character_that_the_draft_does_not_know(files: tuple[Path, Path], capsys: Any) -> None:
    from edgebook.decoding.service.__main__ import main

    words = edge(files[1], 9)
    changed = ["a?" if word == "abc" else str(word) for word in words]
    assert main(changed) == 1
    assert capsys.readouterr().err == "The draft does not know the character '?'.\n"


def test_a_server_that_is_told_to_end_does_not_wait_for_its_pass(files: tuple[Path, Path]) -> None:
    asked = threading.Event()
    with serving(files[0], pass_seconds=3000.0) as (server, port), EdgeClient(f"127.0.0.1:{port}", patience=0) as edge:
        verify = edge._verify

        def noted(*given: Any, **named: Any) -> Any:
            call = verify(*given, **named)
            asked.set()
            return call

        edge._verify = noted
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(edge.generate, load_models(files[1]).model, [0, 1, 2], max_new_tokens=NEW)
            assert asked.wait(300)
            time.sleep(1)  # the request is on its way into the pass
            server.terminate()
            assert server.wait(300) == 0
            with pytest.raises(ServiceError, match="0 of 60 tokens are verified"):
                made.result(300)


def run(capsys: Any, *words: object) -> tuple[int, str, str]:
    from edgebook.decoding.service.__main__ import main

    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    "words",
    [
        ("--new", 0), ("--new", -3), ("--new", 1000), ("--drafted", -1), ("--drafted", 65), ("--temperature", "nan"),
        ("--temperature", -1), ("--temperature", "inf"), ("--top-k", 0), ("--top-p", "nan"), ("--top-p", 0),
        ("--patience", "nan"), ("--patience", "inf"), ("--patience", -1), ("--deadline", 0), ("--deadline", "nan"),
        ("--delay-up", -1), ("--delay-down", "nan"), ("--delay-draft-step", "inf"), ("--threshold", "nan"),
        ("--threshold", -1), ("--seed", -1), ("--seed", 2**63), ("--address", "127.0.0.1"),
        ("--address", "127.0.0.1:0"),
    ],
)  # fmt: skip
def test_numbers_that_are_none_end_in_one_sentence(files: tuple[Path, Path], capsys: Any, words: Any) -> None:
    code, said, error = run(capsys, *edge(files[1], 9, *words))
    assert (code, said) == (1, "") and re.fullmatch(r"[^\n]+\.\n", error)


@pytest.mark.parametrize(
    "words",
    [("--sessions", 0), ("--idle-seconds", "nan"), ("--pass-seconds", "-1"), ("--address", "127.0.0.1:99999"),
     ("--address", "0.0.0.0:0")],
)  # fmt: skip
def test_a_server_with_numbers_that_are_none_does_not_begin(files: tuple[Path, Path], capsys: Any, words: Any) -> None:
    code, said, error = run(capsys, "serve", "--target", files[0], *words)
    assert (code, said) == (1, "") and re.fullmatch(r"[^\n]+\.\n", error)


def test_a_file_without_a_token_is_none(files: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    for content in (b"", b" \n\t\n"):
        (tmp_path / "token").write_bytes(content)
        for words in (("serve", "--target", files[0]), edge(files[1], 9)):
            code, said, error = run(capsys, *words, "--token-file", tmp_path / "token")
            assert (code, said, error) == (1, "", "A token must be text and more than white space.\n")


def test_a_journal_of_another_target_is_refused(files: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    other = CharacterDecoder(10, 80, width=16, depth=3, heads=2, seed=9)
    path = tmp_path / "journal"
    with DecodingServer(load_models(files[0]).model) as server:
        code, text, _ = run(capsys, *edge(files[1], server.port, "--journal", path))
        assert code == 0
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    with DecodingServer(other) as server:
        code, begun, error = run(capsys, *edge(files[1], server.port, "--journal", path))
    assert code == 1 and text.startswith(begun) and begun
    assert "has another target than the one that the text was begun with" in error
    path.write_bytes(b"".join(lines[:4]) + b"\0" * 40 + b"\n")
    with DecodingServer(load_models(files[0]).model) as server:
        code, whole, error = run(capsys, *edge(files[1], server.port, "--journal", path))
    assert (code, whole) == (0, text)
    assert error.startswith(f"The journal {path} is damaged after {len(begun)} tokens.\nThe text goes on after")


@pytest.mark.parametrize("symbols", ["abc", SYMBOLS[:-1] + "a", 7])
def test_symbols_that_are_not_one_for_each_token_are_refused(files: tuple[Path, Path], symbols: Any) -> None:
    model = load_models(files[1]).model
    with pytest.raises(ValueError, match="as many characters"):
        save_models(files[0].with_name("other.pt"), model, symbols)
    stored = torch.load(files[1], weights_only=True)
    torch.save(stored | {"symbols": symbols}, files[0].with_name("other.pt"))
    with pytest.raises(ValueError, match="holds no decoder"):
        load_models(files[0].with_name("other.pt"))
